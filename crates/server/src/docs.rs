//! The API's description, and the page that shows it.

use std::sync::{Arc, LazyLock};

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, Uri};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{ArrayItems, Schema};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder};
use utoipa::{OpenApi as _, ToSchema};
use utoipa_swagger_ui::Config;

use crate::door::{no_route, redirect};
use crate::legacy;
use crate::problem::{Kind, Problem};

/// The body of a submission.
#[derive(ToSchema)]
#[schema(as = NewRequest, example = json!({"model": "rdkit-descriptors", "inputs": ["CCO", "c1ccccc1"]}))]
#[expect(dead_code, reason = "it only describes what `reading::SubmitBody` reads")]
pub struct SubmitDocument {
    /// The model's id.
    model: String,
    /// One text for each prediction; numbers are written in quotes.
    inputs: Vec<String>,
    /// May known predictions be used, and new ones be kept? True if not given.
    cache: Option<bool>,
}

/// The body of a cancellation.
#[derive(ToSchema)]
#[schema(as = Cancellation, example = json!({"reason": "not needed any more"}))]
#[expect(dead_code, reason = "it only describes what `requests::CancelBody` reads")]
pub struct CancelDocument {
    /// At most 1,000 bytes.
    reason: Option<String>,
}

/// What went wrong (RFC 9457). `type` is stable: switch on it.
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "it only describes what `problem::Problem` writes")]
pub struct ProblemDocument {
    /// `/problems/` and a slug.
    #[schema(example = "/problems/bad-input")]
    r#type: String,
    title: String,
    status: u16,
    /// What is wrong with this very request, and what to do.
    detail: String,
    /// A JSON pointer to what is wrong in the body.
    pointer: Option<String>,
    /// The query parameter or header that is wrong.
    parameter: Option<String>,
    /// The line of the file; the first is 1.
    line: Option<u64>,
    /// The file's columns, when none of them is the input.
    columns: Option<Vec<String>>,
    /// All values that break a rule, when several may.
    errors: Option<Vec<ValueDocument>>,
}

/// One value that breaks a rule.
#[derive(ToSchema)]
#[schema(as = BadValue)]
#[expect(dead_code, reason = "it only describes what `problem::Problem` writes")]
pub struct ValueDocument {
    /// `/problems/` and the slug of the rule; stable.
    #[schema(example = "/problems/password-too-short")]
    r#type: String,
    /// A JSON pointer to the value in the body.
    pointer: String,
    detail: String,
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Muster",
        description = "A hub for models: submit inputs, download predictions.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(ProblemDocument, ValueDocument, legacy::Words)),
    tags(
        (name = "sessions", description = "Who you are"),
        (name = "people", description = "Your account"),
        (name = "users", description = "For administrators"),
        (name = "models", description = "What there is"),
        (name = "catalogue", description = "Models, for those who administer them"),
        (name = "requests", description = "What you want predicted"),
        (name = "statistics", description = "How much, and how long it took"),
        (name = "events", description = "What changed"),
        (name = "existing clients", description = "What clients of Muster's predecessor speak"),
        (name = "health", description = "For those who run the hub"),
    ),
)]
struct Description;

/// The description that the routes are added to.
pub fn description() -> OpenApi {
    let mut api = Description::openapi();
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.description = Some("The token of POST /api/v1/sessions".into());
    let components = api.components.get_or_insert_default();
    components.add_security_scheme("session", SecurityScheme::Http(bearer));
    let words =
        "`ErsiliaAnonymous` or `ErsiliaUser`, a space, and the base64 of the session object";
    let header = ApiKeyValue::with_description("Authorization", words);
    let legacy_scheme = SecurityScheme::ApiKey(ApiKey::Header(header));
    components.add_security_scheme("legacy", legacy_scheme);
    api
}

const MAIL: &[Kind] = {
    use Kind::*;
    &[
        NoMail,
        TooManySessions,
        BadJson,
        TooSlow,
        BodyTooLarge,
        UnsupportedMediaType,
        NotUtf8,
        DiskFull,
    ]
};
const ASK: &[Kind] = &[Kind::Unauthorised, Kind::Forbidden];
const ACT: &[Kind] =
    &[Kind::Unauthorised, Kind::Forbidden, Kind::NotFound, Kind::LastAdmin, Kind::DiskFull];
/// With the current password.
const PROVE: &[Kind] = {
    use Kind::*;
    &[
        Unauthorised,
        Forbidden,
        WrongLogin,
        TooManyTries,
        LastAdmin,
        BadValues,
        BadJson,
        TooSlow,
        BodyTooLarge,
        UnsupportedMediaType,
        NotUtf8,
        DiskFull,
    ]
};
const PERMIT: &[Kind] = {
    use Kind::*;
    &[
        Unauthorised,
        Forbidden,
        NotFound,
        LastAdmin,
        BadJson,
        TooSlow,
        BodyTooLarge,
        UnsupportedMediaType,
        NotUtf8,
        DiskFull,
    ]
};

/// The problems of each operation, beside those that every operation has.
const PROBLEMS: &[(&str, &[Kind])] = {
    use Kind::*;
    &[
        (
            "create_session",
            &[
                TooManySessions,
                BadJson,
                TooSlow,
                BodyTooLarge,
                UnsupportedMediaType,
                NotUtf8,
                DiskFull,
            ],
        ),
        (
            "log_in",
            &[
                WrongLogin,
                Forbidden,
                EmailNotVerified,
                TooManyTries,
                BadJson,
                TooSlow,
                BodyTooLarge,
                UnsupportedMediaType,
                NotUtf8,
                DiskFull,
            ],
        ),
        ("find_session", ASK),
        ("renew_session", &[DiskFull]),
        ("log_out", &[DiskFull]),
        (
            "sign_up",
            &[
                NameTaken,
                TooManySessions,
                BadValues,
                BadJson,
                TooSlow,
                BodyTooLarge,
                UnsupportedMediaType,
                NotUtf8,
                DiskFull,
            ],
        ),
        ("ask_password_reset", MAIL),
        ("ask_email_verification", MAIL),
        (
            "reset_password",
            &[
                BadLink,
                BadValues,
                BadJson,
                TooSlow,
                BodyTooLarge,
                UnsupportedMediaType,
                NotUtf8,
                DiskFull,
            ],
        ),
        (
            "verify_email",
            &[BadLink, BadJson, TooSlow, BodyTooLarge, UnsupportedMediaType, NotUtf8, DiskFull],
        ),
        ("find_me", ASK),
        ("find_my_limits", ASK),
        ("change_me", PROVE),
        ("delete_me", PROVE),
        ("change_password", PROVE),
        ("list_my_sessions", ASK),
        ("end_my_session", ACT),
        ("list_tokens", ASK),
        (
            "create_token",
            &[
                Unauthorised,
                Forbidden,
                TooManyTokens,
                BadJson,
                TooSlow,
                BodyTooLarge,
                UnsupportedMediaType,
                NotUtf8,
                DiskFull,
            ],
        ),
        ("revoke_token", ACT),
        ("list_users", &[BadParameter, Unauthorised, Forbidden]),
        ("find_user", &[Unauthorised, Forbidden, NotFound]),
        ("list_user_sessions", &[Unauthorised, Forbidden, NotFound]),
        ("grant", PERMIT),
        ("revoke", PERMIT),
        ("disable", ACT),
        ("enable", ACT),
        ("end_sessions", ACT),
        ("reset_link", ACT),
        ("delete_user", ACT),
        ("list_audit", &[BadParameter, Unauthorised, Forbidden]),
        ("find_statistics", &[BadParameter, Unauthorised, Forbidden]),
        ("find_my_statistics", &[BadParameter, Unauthorised, Forbidden]),
        ("list_statistics_filters", &[BadParameter, Unauthorised, Forbidden]),
        ("list_catalogue", &[BadParameter, Unauthorised, Forbidden]),
        ("find_in_catalogue", &[Unauthorised, Forbidden, UnknownModel]),
        (
            "create_model",
            &[
                Unauthorised,
                Forbidden,
                ModelTaken,
                BadModel,
                ModelAddress,
                BadJson,
                TooSlow,
                BodyTooLarge,
                UnsupportedMediaType,
                NotUtf8,
                DiskFull,
            ],
        ),
        (
            "edit_model",
            &[
                Unauthorised,
                Forbidden,
                UnknownModel,
                IfMatchNeeded,
                ChangedMeanwhile,
                BadModel,
                ModelAddress,
                BadJson,
                TooSlow,
                BodyTooLarge,
                UnsupportedMediaType,
                NotUtf8,
                DiskFull,
            ],
        ),
        (
            "delete_model",
            &[
                Unauthorised,
                Forbidden,
                UnknownModel,
                IfMatchNeeded,
                ChangedMeanwhile,
                ModelInUse,
                ModelOfFolder,
                DiskFull,
            ],
        ),
        ("enable_model", &[Unauthorised, Forbidden, UnknownModel, ChangedMeanwhile, DiskFull]),
        (
            "disable_model",
            &[
                Unauthorised,
                Forbidden,
                UnknownModel,
                ChangedMeanwhile,
                BadJson,
                TooSlow,
                BodyTooLarge,
                UnsupportedMediaType,
                NotUtf8,
                DiskFull,
            ],
        ),
        ("clear_model_cache", &[Unauthorised, Forbidden, UnknownModel, DiskFull]),
        ("list_models", &[BadParameter]),
        ("find_model", &[UnknownModel]),
        (
            "submit_request",
            &[
                BadParameter,
                BadJson,
                Unauthorised,
                Forbidden,
                UnknownModel,
                TooSlow,
                KeyReused,
                ModelDisabled,
                BodyTooLarge,
                UnsupportedMediaType,
                EmptyInput,
                BadInput,
                InputTooLong,
                TooManyInputs,
                NotUtf8,
                BinaryFile,
                BadCsv,
                NoSuchColumn,
                DuplicateHeader,
                TooManyWaitingRequests,
                TooManyWaitingInputs,
                TooManyInputsToday,
                NoSpaceLeft,
                DiskFull,
            ],
        ),
        ("delete_request", &[Unauthorised, Forbidden, NotFound, NotEnded, DiskFull]),
        ("find_request", &[BadParameter, Unauthorised, Forbidden, NotFound]),
        ("list_requests", &[BadParameter, Unauthorised, Forbidden]),
        (
            "cancel_request",
            &[
                BadJson,
                Unauthorised,
                Forbidden,
                NotFound,
                TooSlow,
                BodyTooLarge,
                UnsupportedMediaType,
                NotUtf8,
                DiskFull,
            ],
        ),
        ("find_result", &[BadParameter, Unauthorised, Forbidden, NotFound, NotEnded, NoResult]),
        ("follow_events", ASK),
        ("legacy_log_in_anonymously", &[TooManySessions, DiskFull]),
        (
            "legacy_log_in",
            &[
                WrongLogin,
                Forbidden,
                EmailNotVerified,
                TooManyTries,
                BadJson,
                TooSlow,
                BodyTooLarge,
                UnsupportedMediaType,
                NotUtf8,
                DiskFull,
            ],
        ),
        ("legacy_refresh", &[Unauthorised, Forbidden, DiskFull]),
        ("legacy_log_out", &[Unauthorised, Forbidden, DiskFull]),
        ("legacy_list_models", ASK),
        ("legacy_find_model", &[Unauthorised, Forbidden, UnknownModel]),
        (
            "legacy_submit_request",
            &[
                BadJson,
                Unauthorised,
                Forbidden,
                UnknownModel,
                TooSlow,
                BodyTooLarge,
                UnsupportedMediaType,
                EmptyInput,
                BadInput,
                InputTooLong,
                TooManyInputs,
                NotUtf8,
                BinaryFile,
                BadCsv,
                DuplicateHeader,
                ModelDisabled,
                TooManyWaitingRequests,
                TooManyWaitingInputs,
                TooManyInputsToday,
                NoSpaceLeft,
                DiskFull,
            ],
        ),
        ("legacy_find_request", &[BadParameter, Unauthorised, Forbidden, NotFound]),
        ("legacy_list_requests", &[BadParameter, Unauthorised, Forbidden]),
        ("livez", &[]),
        ("readyz", &[]),
        ("openapi", &[]),
    ]
};
const EVERYWHERE: [Kind; 3] = [Kind::BadRequest, Kind::Internal, Kind::Busy];

/// Adds to each operation the problems that it may answer.
///
/// # Panics
///
/// If an operation is missing in the list, which a test would show.
pub fn add_problems(api: &mut OpenApi) {
    for item in api.paths.paths.values_mut() {
        let PathItem { get, post, patch, delete, .. } = item;
        let unsafe_ones = [post, patch, delete].into_iter().flatten();
        let all = get.iter_mut().map(|get| (get, None));
        for (operation, cross) in all.chain(unsafe_ones.map(|other| (other, Some(Kind::CrossSite))))
        {
            let id = operation.operation_id.clone().unwrap_or_default();
            let own = PROBLEMS.iter().find(|(known, _)| *known == id).map(|(_, kinds)| *kinds);
            let own = own.unwrap_or_else(|| panic!("the problems of {id} are not listed"));
            let kinds = own.iter().copied().chain(cross).chain(EVERYWHERE).collect();
            let is_legacy = operation.tags.iter().flatten().any(|tag| tag == legacy::TAG);
            add_to(operation, kinds, is_legacy);
        }
    }
}

/// Pages refer to the things they are of, so that clients have one type for each.
pub fn refer_to_items(api: &mut OpenApi) {
    for (name, schema) in &mut api.components.get_or_insert_default().schemas {
        let item = name.strip_prefix("PageView_").or_else(|| name.strip_prefix("ItemsView_"));
        let Some(item) = item else { continue };
        if let RefOr::T(Schema::Object(page)) = schema
            && let Some(RefOr::T(Schema::Array(items))) = page.properties.get_mut("items")
        {
            items.items = ArrayItems::RefOrSchema(Box::new(Ref::from_schema_name(item).into()));
        }
    }
}

fn add_to(operation: &mut Operation, mut kinds: Vec<Kind>, is_legacy: bool) {
    let status = |kind: Kind| if is_legacy { legacy::status(kind) } else { kind.status() };
    kinds.sort_by_key(|kind| status(*kind).as_u16());
    for same in kinds.chunk_by(|a, b| status(*a) == status(*b)) {
        let lines: Vec<String> =
            same.iter().map(|kind| format!("`{}`: {}", kind.slug(), kind.title())).collect();
        let schema = Ref::from_schema_name("Problem");
        let example = same.first().map(|kind| Problem::new(*kind, "What to do").document());
        let example = example.and_then(|text| serde_json::from_str(&text).ok());
        let content = ContentBuilder::new().schema(Some(schema)).example(example).build();
        let mut response = ResponseBuilder::new().description(lines.join(". "));
        if is_legacy {
            let schema = Ref::from_schema_name("Detail");
            let words = ContentBuilder::new().schema(Some(schema)).build();
            response = response.content("application/json", words);
        }
        // What a request does not even get past the door with is a problem for everybody.
        if !is_legacy || same.iter().any(|kind| matches!(kind, Kind::BadRequest | Kind::CrossSite))
        {
            response = response.content("application/problem+json", content);
        }
        let status = same.first().map(|kind| status(*kind).as_u16().to_string());
        let status = status.unwrap_or_default();
        operation.responses.responses.insert(status, RefOr::T(response.build()));
    }
}

/// The API's description as pretty JSON, as it is checked in as `openapi.json`.
pub fn openapi() -> String {
    let mut text = crate::routes::api().1.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

static OPENAPI: LazyLock<String> = LazyLock::new(openapi);

/// This description
#[utoipa::path(
    get, path = "/api/v1/openapi.json", operation_id = "openapi", tag = "health",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)),
)]
pub async fn openapi_json() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI.as_str()).into_response()
}

static PAGE: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    let config = Config::new(["/api/v1/openapi.json"]).use_base_layout();
    Arc::new(config.try_it_out_enabled(true).display_request_duration(true))
});

/// The page lives at `/api/docs/`; its files stand beside it.
pub async fn docs_root() -> Response {
    redirect("/api/docs/")
}

pub async fn docs_index() -> Response {
    file("").await
}

pub async fn docs_file(Path(path): Path<String>) -> Response {
    file(&path).await
}

async fn file(path: &str) -> Response {
    let Ok(Some(file)) = utoipa_swagger_ui::serve(path, PAGE.clone()) else {
        return no_route(Uri::from_static("/api/docs")).await.into_response();
    };
    // The page styles itself with inline styles, and shows pictures that it carries itself.
    let policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                  object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'";
    let mut response = file.bytes.into_owned().into_response();
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(&file.content_type) {
        headers.insert(CONTENT_TYPE, kind);
    }
    if file.gzpipped {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    response
}
