//! `/api/v1/models`

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use muster_core::{Model, ModelId};

use crate::api::requests::view::{
    CardView, ExpectedView, InputView, LimitsView, ModelSummaryView, ModelView, OutputView,
    PageView, QueueView, ResourcesView,
};
use crate::app::App;
use crate::http::answer::json;
use crate::http::extract::{ModelPath, Pairs, Parameters, Query};
use crate::http::problem::Problem;
use crate::state::overview::Moment;

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

/// For how many inputs somebody asks.
pub struct FindModel {
    inputs: u64,
}

impl Parameters for FindModel {
    const NAMES: &'static [&'static str] = &["inputs"];

    fn read(pairs: &mut Pairs) -> Result<Self, Problem> {
        match pairs.number("inputs", u32::MAX)?.unwrap_or(1) {
            0 => Err(Problem::parameter("inputs", "This must be 1 or more.")),
            inputs => Ok(Self { inputs: inputs.into() }),
        }
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
        query.after.as_ref().is_none_or(|after| model.id > *after)
            && !disabled(model)
            && !model.is_trial()
    });
    let found: Vec<_> = rest.take(query.limit as usize + 1).collect();
    let id = |model: &&Arc<Model>| model.id.to_string();
    let page = PageView::cut(found, query.limit, id, |model| {
        summary(&seen, model, app.store.held(&model.id))
    });
    json(StatusCode::OK, &page)
}

/// Find a model
///
/// What a newcomer needs to use it: what it does, what it takes and answers, and how busy it is.
#[utoipa::path(
    get, path = "/api/v1/models/{id}", operation_id = "find_model", tag = "models",
    params(
        ("id" = String, Path, description = "The model's id"),
        ("inputs" = Option<u32>, Query,
            description = "Of how many inputs `expected_seconds` is; 1 if not given"),
    ),
    responses((status = 200, description = "The model", body = ModelView)),
)]
pub async fn find_model(
    State(app): State<Arc<App>>,
    ModelPath(id): ModelPath,
    Query(query): Query<FindModel>,
) -> Result<Response, Problem> {
    let model = app.store.find_model(&id).ok_or_else(Problem::unknown_model)?;
    let seen = app.overview.look(&app.store).await?;
    let mut view = view(&app, &seen, &model);
    if view.disabled.is_none() {
        let expected = app.store.expected(&model, query.inputs).await?;
        view.expected_seconds = expected.map(ExpectedView::from);
    }
    json(StatusCode::OK, &view)
}

fn view<'m>(app: &App, seen: &Moment, model: &'m Model) -> ModelView<'m> {
    let (held, ours) = (app.store.held(&model.id), &app.config.limits);
    let summary = summary(seen, model, held);
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
        resources: ResourcesView::new(&model.resources),
        example: &model.example,
        cache: model.cache,
        expected_seconds: None,
        disabled: app.store.disabled(&model.id).map(|reason| reason.to_string()),
    }
}

fn summary<'m>(seen: &Moment, model: &'m Model, held: Option<String>) -> ModelSummaryView<'m> {
    let figures = seen.figures(model);
    let title = &model.card.title;
    ModelSummaryView {
        id: model.id.clone(),
        title: if title.is_empty() { model.id.to_string() } else { title.clone() },
        sentence: model.card.sentence(),
        tags: &model.card.tags,
        task: &model.card.task,
        input: InputView::new(model),
        version: model.version.clone(),
        state: seen.state(model),
        waiting: figures.waiting,
        running: figures.running,
        p50_seconds: figures.p50_seconds,
        usual_start_seconds: figures.start_seconds,
        inputs_per_second: figures.inputs_per_second,
        week: figures.week,
        held,
    }
}
