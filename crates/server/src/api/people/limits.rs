//! `/api/v1/me/limits`

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use muster_core::quota::{Amounts, until_next_day};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::answer::json;
use crate::http::problem::Problem;
use crate::identity::{Caller, nobody};

/// What you have and may have.
#[derive(Serialize, ToSchema)]
#[schema(as = Limits)]
pub struct LimitsOfView {
    pub limits: AmountsView,
    pub used: AmountsView,
    /// When `day_inputs` begins anew.
    pub seconds_until_next_day: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Amounts)]
pub struct AmountsView {
    /// Requests with inputs that wait.
    pub waiting_requests: u64,
    pub waiting_inputs: u64,
    /// Inputs submitted since midnight UTC.
    pub day_inputs: u64,
    /// Of stored inputs and results.
    pub bytes: u64,
}

impl From<Amounts> for AmountsView {
    fn from(amounts: Amounts) -> Self {
        let Amounts { waiting_requests, waiting_inputs, day_inputs, bytes } = amounts;
        Self { waiting_requests, waiting_inputs, day_inputs, bytes }
    }
}

/// Your limits, and what you have of them
#[utoipa::path(
    get, path = "/api/v1/me/limits", operation_id = "find_my_limits", tag = "people",
    responses((status = 200, description = "Limits and use", body = LimitsOfView)),
    security(("session" = [])),
)]
pub async fn find_my_limits(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Response, Problem> {
    let store = &app.store;
    let waiting = store.waiting_of(caller.principal).await?;
    let kept = store.kept_of(caller.principal).await?.ok_or_else(nobody)?;
    let used = Amounts { day_inputs: kept.day_inputs, bytes: kept.bytes, ..waiting };
    let view = LimitsOfView {
        limits: app.uses.quota(kept.anonymous).into(),
        used: used.into(),
        seconds_until_next_day: until_next_day(store.now()).as_secs(),
    };
    json(StatusCode::OK, &view)
}
