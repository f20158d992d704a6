//! `/api/v1/models`

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use muster_core::{Model, ModelId};
use muster_store::{Figures, InstanceState, Store};
use tokio::sync::Mutex;

use crate::api::requests::view::{
    CardView, InputView, LimitsView, ModelSummaryView, ModelView, OutputView, PageView, QueueView,
};
use crate::app::App;
use crate::http::answer::json;
use crate::http::extract::{ModelPath, Pairs, Parameters, Query};
use crate::http::problem::Problem;

/// How old the figures that are shown may be.
const FRESH: Duration = Duration::from_millis(250);

/// A page of models in the order of their ids.
pub struct ListModels {
    pub after: Option<ModelId>,
    pub limit: u32,
}

impl Parameters for ListModels {
    const NAMES: &'static [&'static str] = &["after", "limit"];

    fn read(pairs: &mut Pairs) -> Result<Self, Problem> {
        Ok(Self { after: pairs.model("after")?, limit: pairs.limit()? })
    }
}

/// List the models
///
/// Those that take requests.
#[utoipa::path(
    get, path = "/api/v1/models", operation_id = "list_models", tag = "models",
    params(
        ("after" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 200; 50 if not given"),
    ),
    responses((status = 200, description = "A page of models in the order of their ids",
        body = PageView<ModelSummaryView>)),
)]
pub async fn list_models(
    State(app): State<Arc<App>>,
    Query(query): Query<ListModels>,
) -> Result<Response, Problem> {
    let (seen, models) = (app.overview.look(&app.store).await?, app.store.models());
    let disabled = |model: &Model| app.store.disabled(&model.id).is_some();
    let rest = models.iter().filter(|model| {
        query.after.as_ref().is_none_or(|after| model.id > *after) && !disabled(model)
    });
    let found: Vec<_> = rest.take(query.limit as usize + 1).collect();
    let id = |model: &&Arc<Model>| model.id.to_string();
    json(
        StatusCode::OK,
        &PageView::cut(found, query.limit, id, |model| {
            seen.summary(model, app.store.held(&model.id))
        }),
    )
}

/// Find a model
///
/// What a newcomer needs to use it: what it does, what it takes and answers, and how busy it is.
#[utoipa::path(
    get, path = "/api/v1/models/{id}", operation_id = "find_model", tag = "models",
    params(("id" = String, Path, description = "The model's id")),
    responses((status = 200, description = "The model", body = ModelView)),
)]
pub async fn find_model(
    State(app): State<Arc<App>>,
    ModelPath(id): ModelPath,
) -> Result<Response, Problem> {
    let model = app.store.find_model(&id).ok_or_else(Problem::unknown_model)?;
    let seen = app.overview.look(&app.store).await?;
    json(StatusCode::OK, &view(&app, &seen, &model))
}

fn view<'m>(app: &App, seen: &Seen, model: &'m Model) -> ModelView<'m> {
    let (held, ours) = (app.store.held(&model.id), &app.config.limits);
    let summary = seen.summary(model, held);
    let limits = LimitsView {
        batch_size: model.limits.batch_size,
        max_instances: model.limits.max_instances,
        job_seconds: model.limits.job_seconds,
        start_seconds: model.limits.start_seconds,
        inputs: ours.inputs,
        input_bytes: ours.input_bytes,
        body_bytes: ours.body_bytes,
    };
    ModelView {
        queue: QueueView { waiting: summary.waiting, running: summary.running },
        summary,
        card: CardView::new(model),
        outputs: model.outputs.iter().map(OutputView::new).collect(),
        limits,
        example: &model.example,
        cache: model.cache,
        disabled: app.store.disabled(&model.id).map(|reason| reason.to_string()),
    }
}

/// How the models do, looked up at most every [`FRESH`] however often it is asked for.
#[derive(Default)]
pub struct Overview(Mutex<Option<(Instant, Arc<Seen>)>>);

/// The models' business at one moment.
#[derive(Default)]
pub struct Seen {
    figures: HashMap<ModelId, Figures>,
    /// Of each model and version: is one of its instances ready? Starting ones are not.
    instances: HashMap<(ModelId, String), bool>,
}

impl Overview {
    pub async fn look(&self, store: &Store) -> Result<Arc<Seen>, Problem> {
        let mut last = self.0.lock().await;
        if let Some((at, seen)) = &*last
            && at.elapsed() < FRESH
        {
            return Ok(seen.clone());
        }
        let mut seen = Seen { figures: store.model_figures().await?, ..Seen::default() };
        for instance in store.instances().await? {
            let ready = matches!(instance.state, InstanceState::Ready { .. });
            if ready || instance.state == InstanceState::Starting {
                *seen.instances.entry((instance.model, instance.version)).or_default() |= ready;
            }
        }
        let seen = Arc::new(seen);
        *last = Some((Instant::now(), seen.clone()));
        Ok(seen)
    }
}

impl Seen {
    pub fn figures(&self, model: &Model) -> Figures {
        self.figures.get(&model.id).copied().unwrap_or_default()
    }

    /// The word for how soon the model could begin.
    pub fn state(&self, model: &Model) -> &'static str {
        match self.instances.get(&(model.id.clone(), model.version.clone())) {
            Some(true) => "ready",
            Some(false) => "starting",
            None => "cold",
        }
    }

    fn summary<'m>(&self, model: &'m Model, held: Option<String>) -> ModelSummaryView<'m> {
        let figures = self.figures(model);
        let title = &model.card.title;
        ModelSummaryView {
            id: model.id.clone(),
            title: if title.is_empty() { model.id.to_string() } else { title.clone() },
            sentence: model.card.sentence(),
            tags: &model.card.tags,
            input: InputView::new(model),
            version: model.version.clone(),
            state: self.state(model),
            waiting: figures.waiting,
            running: figures.running,
            p50_seconds: figures.p50_seconds,
            usual_start_seconds: figures.start_seconds,
            held,
        }
    }
}
