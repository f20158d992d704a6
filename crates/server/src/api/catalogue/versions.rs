//! `/api/v1/catalogue/{id}/versions`: folders that are pushed. What comes is read and checked; nothing of it runs here.

use std::io;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use muster_core::hex::hex;
use muster_core::model::Network;
use muster_core::{ModelId, PrincipalId, RequestId, Timestamp};
use muster_store::{ModelVersion, NewVersion, Pushed, RolledBack, VersionState, trial_id};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;
use utoipa::ToSchema;

use super::reading::check;
use super::{find, show};
use crate::api::requests::view::{InputView, OutputView, PageView};
use crate::app::{App, to_the_end};
use crate::config::{FolderRefused, PushedFolder};
use crate::http::answer::json;
use crate::http::extract::{ModelPath, Pairs, Parameters, Query};
use crate::http::problem::{At, Kind, Problem};
use crate::identity::ModelEditor;
use crate::reading::body::Upload;
use crate::reading::media_type;
use crate::reading::small::Json;

/// What archives are called.
const GZIP: [&str; 3] = ["application/gzip", "application/x-gzip", "application/x-compressed-tar"];
/// Most inputs to try.
const EXAMPLES: usize = 100;
/// Most faults that are told at once, characters.
const TOLD: usize = 2_000;

/// A version of a model that was pushed.
#[derive(Serialize, ToSchema)]
#[schema(as = ModelVersion)]
pub struct VersionView<'v> {
    /// As its folder declares it, and a hash of what is in it.
    #[schema(example = "1.0.0+3fa9c1d2")]
    version: &'v str,
    /// Its example runs, it had predictions, or it had none.
    #[schema(example = "good")]
    state: &'static str,
    /// Requests go to it.
    served: bool,
    /// Why it failed.
    reason: Option<&'v str>,
    /// Why its example waits, as long as it does.
    waiting_reason: Option<String>,
    /// The request of its example; it is of whoever pushed it.
    #[schema(value_type = Option<String>, format = Uuid)]
    request: Option<RequestId>,
    #[schema(value_type = String, format = DateTime)]
    pushed_at: Timestamp,
    /// The id of a user.
    #[schema(value_type = String, format = Uuid)]
    pushed_by: PrincipalId,
    /// The user's name, as long as there is an account.
    pushed_by_name: Option<&'v str>,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// Of its archive.
    bytes: u64,
    files: u64,
    /// The SHA-256 of its archive.
    content: &'v str,
    title: &'v str,
    input: InputView<'v>,
    outputs: Vec<OutputView<'v>>,
    example: &'v [String],
    /// What is no fault, but should be known.
    notes: &'v [String],
}

impl<'v> VersionView<'v> {
    fn new(app: &App, id: &ModelId, version: &'v ModelVersion) -> Self {
        let model = &version.model;
        let tried = trial_id(id).filter(|_| version.state == VersionState::Trying);
        Self {
            version: &version.version,
            state: version.state.name(),
            served: version.served,
            reason: version.reason.as_deref(),
            waiting_reason: tried.and_then(|trial| app.store.held(&trial)),
            request: version.request,
            pushed_at: version.pushed_at,
            pushed_by: version.pushed_by,
            pushed_by_name: version.by_name.as_deref(),
            ended_at: version.ended_at,
            bytes: version.bytes,
            files: version.files,
            content: &version.content,
            title: &model.card.title,
            input: InputView::new(model),
            outputs: model.outputs.iter().map(OutputView::new).collect(),
            example: &model.example,
            notes: &version.notes,
        }
    }
}

/// Which version requests shall go to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ModelRollBack, example = json!({"version": "1.0.0+3fa9c1d2"}))]
pub struct RollBack {
    /// One that was good.
    version: String,
}

/// Inputs to try it with.
pub struct PushQuery {
    example: Vec<String>,
}

impl Parameters for PushQuery {
    const NAMES: &'static [&'static str] = &["example"];
    const REPEATABLE: &'static [&'static str] = &["example"];

    fn read(pairs: &mut Pairs) -> Result<Self, Problem> {
        let example = pairs.texts("example");
        if example.len() > EXAMPLES {
            return Err(Problem::parameter("example", format!("Give at most {EXAMPLES} of them.")));
        }
        Ok(Self { example })
    }
}

/// The versions of a model that was pushed
///
/// The newest first: the last ten, and the one that is served.
#[utoipa::path(
    get, path = "/api/v1/catalogue/{id}/versions", operation_id = "list_model_versions", tag = "catalogue",
    params(("id" = String, Path, description = "The model's id")),
    responses((status = 200, description = "All of them on one page; none of a model that was not pushed",
        body = PageView<VersionView>)),
    security(("session" = [])),
)]
pub async fn list_model_versions(
    State(app): State<Arc<App>>,
    _editor: ModelEditor,
    ModelPath(id): ModelPath,
) -> Result<Response, Problem> {
    let versions = app.store.list_versions(&id).await?;
    if versions.is_empty() {
        find(&app, &id).await?;
    }
    let page = PageView::all(versions.iter().map(|version| VersionView::new(&app, &id, version)));
    json(StatusCode::OK, &page)
}

/// Push a folder: a new model, or a new version of one that was pushed
///
/// The body is the folder as tar.gz: plain files and folders, no links. It is read and checked, and nothing of it
/// runs in the hub; then its example runs as a request of yours, in an instance like any other. When that has
/// predictions, the version takes the place of the last good one, which is served until then.
#[utoipa::path(
    post, path = "/api/v1/catalogue/{id}/versions", operation_id = "push_model_version", tag = "catalogue",
    params(
        ("id" = String, Path, description = "The model's id; as its model.toml says it, if that does"),
        ("example" = Option<Vec<String>>, Query,
            description = "An input to try it with, instead of the folder's example; may be given several times"),
    ),
    request_body(content((String = "application/gzip"))),
    responses(
        (status = 201, description = "It is tried now", body = VersionView),
        (status = 200, description = "Just this is tried or served already", body = VersionView),
    ),
    security(("session" = [])),
)]
pub async fn push_model_version(
    State(app): State<Arc<App>>,
    editor: ModelEditor,
    ModelPath(id): ModelPath,
    Query(query): Query<PushQuery>,
    request: Request,
) -> Result<Response, Problem> {
    admit(&app, &editor, &id).await?;
    let Ok(turn) = Arc::clone(&app.pushing).try_acquire_owned() else {
        let detail = "The hub is taking in as many folders as it does at a time. Try again.";
        return Err(Problem::new(Kind::Busy, detail).retry_after(5));
    };
    for input in &query.example {
        app.config.limits.check(input).map_err(|error| {
            Problem::parameter("example", format!("This cannot be an input: {error}."))
        })?;
    }
    let archive = receive(&app, request).await?;
    let (app_too, id_too) = (Arc::clone(&app), id.clone());
    let pushed = to_the_end(async move {
        let _turn = turn;
        take(&app_too, &editor, &id_too, (archive, query.example)).await
    })
    .await?;
    let (status, version) = match pushed {
        Pushed::New(version) => (StatusCode::CREATED, version),
        Pushed::Known(version) => (StatusCode::OK, version),
        Pushed::Taken => return Err(taken(&id)),
        Pushed::Trying(other) => {
            let detail = format!(
                "Version {} is being tried. Push again when that has ended, or cancel its request{}.",
                other.version,
                other.request.map(|id| format!(" {id}")).unwrap_or_default()
            );
            return Err(Problem::new(Kind::VersionTrying, detail));
        }
    };
    json(status, &VersionView::new(&app, &id, &version))
}

/// Serve an earlier version again
///
/// One that was good. Requests that did not end start over with it; its predictions count again.
#[utoipa::path(
    post, path = "/api/v1/catalogue/{id}/rollback", operation_id = "roll_back_model", tag = "catalogue",
    params(("id" = String, Path, description = "The model's id")),
    request_body(content((RollBack = "application/json"))),
    responses((status = 200, description = "The model", body = super::view::CatalogueView,
        headers(("ETag" = String)))),
    security(("session" = [])),
)]
pub async fn roll_back_model(
    State(app): State<Arc<App>>,
    editor: ModelEditor,
    ModelPath(id): ModelPath,
    Json(RollBack { version }): Json<RollBack>,
) -> Result<Response, Problem> {
    find(&app, &id).await?;
    let (store, actor) = (app.store.clone(), editor.id);
    let done = to_the_end(async move { Ok(store.roll_back(actor, id, version).await?) }).await?;
    match done {
        RolledBack::Done(entry) => show(StatusCode::OK, &editor, &entry),
        RolledBack::Unknown => {
            let detail =
                "The model has no such version. GET /api/v1/catalogue/{id}/versions has them.";
            Err(Problem::new(Kind::NotFound, detail))
        }
        RolledBack::NotGood(version) => {
            let why = version.reason.as_deref().unwrap_or("It is being tried.");
            Err(Problem::new(Kind::VersionNotGood, format!("It never had predictions: {why}")))
        }
    }
}

/// May they push a folder of this name here?
async fn admit(app: &App, editor: &ModelEditor, id: &ModelId) -> Result<(), Problem> {
    let found = app.store.find_entry(id).await?;
    if found.is_some_and(|entry| entry.owner != muster_store::Owner::Push || entry.model.is_trial())
    {
        return Err(taken(id));
    }
    if trial_id(id).is_none() || id.as_str().ends_with(".trial") {
        let detail = "The name of a model that is pushed has at most 58 characters and does not end with .trial.";
        return Err(Problem::new(Kind::BadModel, detail));
    }
    let pushes = &app.config.pushes;
    if pushes.most_bytes == 0 {
        let detail = "The operator's setting push.archive_bytes is 0.";
        return Err(Problem::new(Kind::NoPushes, detail));
    }
    if !pushes.walls && !editor.is_admin {
        let detail = "Models run without walls on this hub (model_walls is false), so that pushing \
                      them is for the permission ADMIN.";
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    Ok(())
}

fn taken(id: &ModelId) -> Problem {
    let detail = format!(
        "{id} is the name of a model that was not pushed: it comes from a folder on the hub's \
         machine, or was added with the API. Push under another name."
    );
    Problem::new(Kind::ModelTaken, detail)
}

/// An archive on this machine's disk; it goes by itself.
struct Archive {
    file: NamedTempFile,
    content: String,
    bytes: u64,
}

async fn receive(app: &App, request: Request) -> Result<Archive, Problem> {
    let pushes = &app.config.pushes;
    if !GZIP.contains(&media_type(request.headers())?.as_str()) {
        let detail = "Send the folder as tar.gz, with `Content-Type: application/gzip`.";
        return Err(Problem::new(Kind::UnsupportedMediaType, detail));
    }
    let too_large = |problem: Problem| match problem.kind {
        Kind::BodyTooLarge => {
            let most = pushes.most_bytes;
            let detail = format!(
                "An archive may have {most} bytes; the operator's setting is push.archive_bytes."
            );
            Problem::new(Kind::BodyTooLarge, detail)
        }
        _ => problem,
    };
    let upload = Upload::new(request, &app.reader.space, app.config.times, pushes.most_bytes).await;
    let mut upload = upload.map_err(too_large)?;
    upload.pass_on();
    upload.hash_with(&[]);
    let file = NamedTempFile::new_in(&pushes.place).map_err(no_disk)?;
    let mut into = tokio::fs::File::from_std(file.as_file().try_clone().map_err(no_disk)?);
    let mut bytes = 0;
    while let Some(piece) = upload.next().await.map_err(too_large)? {
        bytes += piece.len() as u64;
        into.write_all(&piece).await.map_err(no_disk)?;
    }
    into.flush().await.map_err(no_disk)?;
    let (hash, _) = upload.end();
    Ok(Archive { file, content: hex(&hash), bytes })
}

/// Reads and checks a folder, stores its archive and has it tried.
async fn take(
    app: &Arc<App>,
    editor: &ModelEditor,
    id: &ModelId,
    (archive, example): (Archive, Vec<String>),
) -> Result<Pushed, Problem> {
    let (reads, named) = (Arc::clone(app), id.clone());
    let read = tokio::task::spawn_blocking(move || {
        let read = reads.config.pushes.read(&named, &archive.content, archive.file.path());
        (read, archive)
    });
    let (read, archive) = read.await.map_err(|_| Problem::internal())?;
    let PushedFolder { mut model, files, notes } = read.map_err(refused)?;
    if !example.is_empty() {
        model.example = example;
    }
    if model.example.is_empty() {
        let detail = "It has no example to try it with: give some inputs (`example` in a model.toml, or the parameter example).";
        return Err(Problem::new(Kind::BadFolder, detail).at(At::Parameter("example".into())));
    }
    check(app, &model)?;
    if model.network == Network::All && !editor.is_admin {
        let detail = "What a model's code may reach is for the permission ADMIN. Push it without \
                      `network`, and ask an administrator to edit that.";
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    let stored = app.store.put_folder(&archive.content, archive.file.path()).await;
    let copy = stored.map_err(not_stored)?;
    let Archive { content, bytes, .. } = archive;
    let new = NewVersion { model, content, copy, bytes, files, notes };
    Ok(app.store.push_version(editor.id, new).await?)
}

fn refused(refused: FolderRefused) -> Problem {
    let kind = match refused {
        FolderRefused::Archive(_) => Kind::BadArchive,
        FolderRefused::Faults(_) => Kind::BadFolder,
        FolderRefused::Io(error) => return no_disk(error),
    };
    let detail: String = refused.to_string().chars().take(TOLD).collect();
    Problem::new(kind, format!("{detail}."))
}

fn not_stored(error: muster_store::Error) -> Problem {
    match error {
        muster_store::Error::Unavailable { what, .. } => {
            tracing::warn!(what, "a pushed folder cannot be stored");
            let detail = "The hub cannot reach its object storage right now. Nothing was changed. Try again.";
            Problem::new(Kind::Busy, detail)
        }
        error => error.into(),
    }
}

fn no_disk(error: io::Error) -> Problem {
    tracing::warn!(%error, "a pushed folder cannot be kept on this machine");
    match error.kind() {
        io::ErrorKind::StorageFull => {
            let detail = "The hub's machine has no space for the folder. Tell the operator.";
            Problem::new(Kind::DiskFull, detail)
        }
        _ => Problem::internal(),
    }
}
