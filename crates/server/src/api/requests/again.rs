//! The inputs of a request once more: to look at, and for another request.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use muster_core::{PrincipalId, RequestId};
use muster_store::{Error, Format};

use crate::app::App;
use crate::http::csv;
use crate::http::extract::RequestPath;
use crate::http::problem::{At, Kind, Problem};
use crate::http::share::metered;
use crate::identity::Caller;
use crate::reading::Submission;
use crate::reading::table::too_many;

/// Download the inputs of a request
///
/// With all columns of your file, as CSV; also of a request that waits, failed or was cancelled.
#[utoipa::path(
    get, path = "/api/v1/requests/{id}/inputs", operation_id = "find_inputs", tag = "requests",
    params(("id" = String, Path, description = "The request's id")),
    responses((status = 200, description = "The inputs, in the order in which they came",
        content((String = "text/csv", example = "name,smiles\nethanol,CCO\n")))),
    security(("session" = [])),
)]
pub async fn find_inputs(
    State(app): State<Arc<App>>,
    caller: Caller,
    RequestPath(id): RequestPath,
) -> Result<Response, Problem> {
    let (store, principal) = (&app.store, caller.principal);
    let request = store.find_request(principal, id).await?.ok_or_else(Problem::no_such_request)?;
    let hold = app.admit_download(&caller, request.progress.inputs, Format::Csv)?;
    let pieces = store.download_inputs(principal, id).await?;
    let pieces = metered(pieces.ok_or_else(Problem::no_such_request)?, hold);
    let text = id.0.simple().to_string();
    let end = text.get(24..).unwrap_or_default();
    let headers = csv::headers(&format!("{}-{end}-inputs.csv", request.model))?;
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// Takes the inputs of one of the person's earlier requests.
pub async fn take_inputs(
    app: &App,
    principal: PrincipalId,
    id: RequestId,
    submission: &mut Submission,
) -> Result<(), Problem> {
    let pointer = || At::Pointer("/inputs_of".into());
    let Some(request) = app.store.find_request(principal, id).await? else {
        let detail = "You have no request with this id; it may have been cleared or deleted, with its \
                      inputs. Submit the inputs themselves.";
        return Err(Problem::new(Kind::NotFound, detail).at(pointer()));
    };
    let most = app.config.limits.inputs;
    if request.progress.inputs > most {
        return Err(too_many(most).at(pointer()));
    }
    submission.reserved.grow(app.store.input_bytes(id).await?)?;
    submission.inputs = match app.store.input_table(&request).await {
        Err(Error::Corrupt(_)) => {
            let detail = "The inputs of that request are not stored any more as they came. Submit the \
                          inputs themselves.";
            return Err(Problem::new(Kind::InputsGone, detail).at(pointer()));
        }
        table => table?,
    };
    submission.reading = request.reading.clone();
    Ok(())
}
