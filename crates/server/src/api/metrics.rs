//! `/metrics`, on an address of its own. No label holds an id of a person, request or instance.

mod planned;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::app::App;
use crate::http::counts::Counts;
use crate::http::problem::Problem;

const CONTENT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfModel {
    model: String,
    state: &'static str,
}

/// Everything as OpenMetrics text.
async fn write(app: &App, counts: &Counts) -> Result<String, Problem> {
    let mut registry = Registry::with_prefix("muster");
    counts.register(&mut registry);
    let stored = app.store.counters();
    for (name, help, count) in [
        ("transactions", "Transactions that wrote to the database", &stored.transactions),
        ("submitted", "Requests taken in", &stored.submitted),
        ("failed", "Requests that failed", &stored.failed),
        ("cancelled", "Requests that were cancelled", &stored.cancelled),
        ("cache_hits", "Inputs answered by known predictions", &stored.cache_hits),
        ("requests_cleared", "Requests cleared for their age", &stored.requests_cleared),
        ("objects_removed", "Objects of deleted requests removed", &stored.objects_removed),
        ("objects_missing", "Objects that are not there and are needed", &stored.objects_missing),
        ("stale_writes_refused", "Writes of attempts that were over", &stored.stale_writes_refused),
        ("looks", "Looks at what there is, by which it is planned", &stored.looks),
        ("look_microseconds", "Time that these looks took", &stored.look_micros),
    ] {
        registry.register(name, help, ConstCounter::new(count.get()));
    }
    let requests: Family<OfModel, Gauge> = Family::default();
    let instances: Family<OfModel, Gauge> = Family::default();
    let seen = app.overview.look(&app.store).await?;
    for model in app.store.models().iter() {
        let (figures, model) = (seen.figures(model), model.id.as_str());
        for (state, count) in [("waiting", figures.waiting), ("running", figures.running)] {
            let gauge = requests.get_or_create_owned(&OfModel { model: model.into(), state });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
    for instance in app.store.instances().await? {
        let state = instance.state.in_a_word().name();
        let model = instance.model.to_string();
        instances.get_or_create_owned(&OfModel { model, state }).inc();
    }
    registry.register("requests", "Requests that have not ended", requests);
    registry.register("instances", "Running copies of models", instances);
    // Only the server that plans has them, so that they are counted once.
    if let Some(planned) = app.store.planned_here().borrow().clone() {
        planned::register(&mut registry, &planned);
    }
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|_| Problem::internal())?;
    Ok(text)
}

/// The figures of this server.
pub async fn metrics(
    State((app, counts)): State<(Arc<App>, Arc<Counts>)>,
) -> Result<Response, Problem> {
    Ok(([(CONTENT_TYPE, CONTENT)], write(&app, &counts).await?).into_response())
}
