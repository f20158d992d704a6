//! `/api/v1/folders/{content}`: what the pod of a model that was pushed fetches, once, by a link of the hub's.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use muster_core::instance::StateName;
use muster_core::{InstanceId, Source};
use muster_store::Error;

use crate::app::App;
use crate::http::extract::{Pairs, Parameters, Query};
use crate::http::problem::{Kind, Problem};

pub struct FolderQuery {
    instance: Option<InstanceId>,
    until: i64,
    signature: String,
}

impl Parameters for FolderQuery {
    const NAMES: &'static [&'static str] = &["instance", "until", "signature"];

    fn read(pairs: &mut Pairs) -> Result<Self, Problem> {
        let text = |pairs: &mut Pairs, name| pairs.text(name).unwrap_or_default();
        Ok(Self {
            instance: text(pairs, "instance").parse().ok(),
            until: text(pairs, "until").parse().unwrap_or(0),
            signature: text(pairs, "signature"),
        })
    }
}

/// Fetch the archive of a model's folder
///
/// For pods of the hub, which it gives the link: for this archive, while the instance starts, and an hour at most.
#[utoipa::path(
    get, path = "/api/v1/folders/{content}", operation_id = "fetch_folder", tag = "catalogue",
    params(
        ("content" = String, Path, description = "The SHA-256 of the archive"),
        ("instance" = String, Query, description = "The instance that starts"),
        ("until" = i64, Query, description = "How long the link holds, seconds since 1970"),
        ("signature" = String, Query, description = "The hub's, over the three"),
    ),
    responses((status = 200, description = "The folder as it was pushed",
        content((String = "application/gzip")))),
)]
pub async fn fetch_folder(
    State(app): State<Arc<App>>,
    Path(content): Path<String>,
    Query(query): Query<FolderQuery>,
) -> Result<Response, Problem> {
    let links = app.config.folder_links.as_ref();
    let held = links.zip(query.instance).filter(|(links, instance)| {
        links.holds((&content, *instance), query.until, &query.signature, app.store.now())
    });
    let (_, instance) = held.ok_or_else(bad_link)?;
    // Whoever has it later, such as from the books of the cluster, has nothing.
    let record = app.store.find_instance(instance).await?.ok_or_else(bad_link)?;
    let starts = matches!(record.state, StateName::Starting | StateName::Preparing);
    let model = app.store.find_model(&record.model).filter(|model| {
        let is_its =
            matches!(&model.source, Source::Pushed { content: its, .. } if *its == content);
        is_its && model.version == record.version
    });
    if !starts || model.is_none() {
        return Err(bad_link());
    }
    let pieces = app.store.get_folder(&content).await.map_err(|error| match error {
        Error::Corrupt(_) => {
            let detail = "The archive is not in object storage any more. Push the folder again.";
            Problem::new(Kind::NotFound, detail)
        }
        error => error.into(),
    })?;
    Ok(([(CONTENT_TYPE, "application/gzip")], Body::from_stream(pieces)).into_response())
}

fn bad_link() -> Problem {
    let detail = "It is not of this hub, it is too old, or its instance does not start any more.";
    Problem::new(Kind::BadLink, detail)
}
