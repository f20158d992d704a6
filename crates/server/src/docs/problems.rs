//! The problems that each operation may answer.

use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder};

use crate::http::problem::{Kind, Problem};
use crate::legacy;

/// What an operation reads beside its head.
#[derive(Clone, Copy)]
enum Body {
    None,
    /// A small object.
    Json,
    /// Inputs as JSON or as a file.
    Submission,
    /// Inputs as the lines of a file in JSON.
    Entries,
    /// A folder as tar.gz.
    Archive,
}

impl Body {
    /// What may be wrong with it.
    const fn problems(self) -> &'static [Kind] {
        use Kind::*;
        match self {
            Self::None => &[],
            Self::Json => &[BadJson, TooSlow, BodyTooLarge, UnsupportedMediaType, NotUtf8],
            Self::Archive => &[TooSlow, BodyTooLarge, UnsupportedMediaType, BadArchive, BadFolder],
            Self::Submission => &[
                BadJson,
                TooSlow,
                BodyTooLarge,
                UnsupportedMediaType,
                EmptyInput,
                BadInput,
                InputTooLong,
                TooManyInputs,
                NotUtf8,
                BinaryFile,
                OtherFile,
                BadCsv,
                NoSuchColumn,
                DuplicateHeader,
            ],
            Self::Entries => &[
                BadJson,
                TooSlow,
                BodyTooLarge,
                UnsupportedMediaType,
                EmptyInput,
                BadInput,
                InputTooLong,
                TooManyInputs,
                NotUtf8,
                BinaryFile,
                OtherFile,
                BadCsv,
                DuplicateHeader,
            ],
        }
    }
}

/// Operations that need a session.
const SESSION: &[Kind] = &[Kind::Unauthorised, Kind::Forbidden];
/// Operations that change something.
const UNSAFE: &[Kind] = &[Kind::CrossSite, Kind::DiskFull];
const EVERYWHERE: &[Kind] = &[Kind::BadRequest, Kind::HeadTooLarge, Kind::Internal, Kind::Busy];

/// With the current password.
const PROVE: &[Kind] = &[Kind::WrongLogin, Kind::TooManyTries, Kind::LastAdmin, Kind::BadValues];

/// Each operation, what it reads, and its own problems.
const OPERATIONS: &[(&str, Body, &[Kind])] = {
    use Kind::*;
    &[
        ("create_session", Body::Json, &[TooManySessions]),
        ("log_in", Body::Json, &[WrongLogin, Forbidden, EmailNotVerified, TooManyTries]),
        ("find_session", Body::None, &[]),
        ("renew_session", Body::None, &[]),
        ("log_out", Body::None, &[]),
        ("sign_up", Body::Json, &[NameTaken, TooManySessions, TooManyMails, BadValues]),
        ("ask_password_reset", Body::Json, &[NoMail, TooManySessions, TooManyMails]),
        ("ask_email_verification", Body::Json, &[NoMail, TooManySessions, TooManyMails]),
        ("reset_password", Body::Json, &[BadLink, BadValues]),
        ("verify_email", Body::Json, &[BadLink]),
        ("find_me", Body::None, &[]),
        ("find_my_limits", Body::None, &[]),
        ("change_me", Body::Json, &[WrongLogin, TooManyTries, TooManyMails, LastAdmin, BadValues]),
        ("delete_me", Body::Json, PROVE),
        ("change_password", Body::Json, PROVE),
        ("list_my_sessions", Body::None, &[]),
        ("end_my_session", Body::None, &[NotFound, LastAdmin]),
        ("list_tokens", Body::None, &[]),
        ("create_token", Body::Json, &[TooManyTokens]),
        ("revoke_token", Body::None, &[NotFound, LastAdmin]),
        ("list_users", Body::None, &[BadParameter]),
        ("find_user", Body::None, &[NotFound]),
        ("list_user_sessions", Body::None, &[NotFound]),
        ("grant", Body::Json, &[NotFound, LastAdmin]),
        ("revoke", Body::Json, &[NotFound, LastAdmin]),
        ("disable", Body::None, &[NotFound, LastAdmin]),
        ("enable", Body::None, &[NotFound, LastAdmin]),
        ("end_sessions", Body::None, &[NotFound, LastAdmin]),
        ("reset_link", Body::None, &[NotFound, LastAdmin]),
        ("delete_user", Body::None, &[NotFound, LastAdmin]),
        ("list_audit", Body::None, &[BadParameter]),
        ("find_statistics", Body::None, &[BadParameter]),
        ("find_my_statistics", Body::None, &[BadParameter]),
        ("list_statistics_filters", Body::None, &[BadParameter]),
        ("list_all_requests", Body::None, &[BadParameter]),
        ("find_any_request", Body::None, &[NotFound]),
        ("cancel_any_request", Body::Json, &[NotFound]),
        ("move_request_to_front", Body::None, &[NotFound, Ended]),
        (
            "requeue_request",
            Body::None,
            &[NotFound, NotFailed, InputsGone, UnknownModel, ModelDisabled],
        ),
        ("list_nodes", Body::None, &[BadParameter, NobodyPlans]),
        ("find_node", Body::None, &[NotFound, NobodyPlans]),
        ("cordon_node", Body::Json, &[NotFound, NobodyPlans]),
        ("uncordon_node", Body::None, &[NotFound, NobodyPlans]),
        ("drain_node", Body::Json, &[NotFound, NobodyPlans]),
        ("list_node_groups", Body::None, &[NobodyPlans]),
        ("list_autoscalers", Body::None, &[]),
        ("find_plan", Body::None, &[BadParameter, NobodyPlans]),
        ("fetch_folder", Body::None, &[BadLink, BadParameter, NotFound]),
        ("list_catalogue", Body::None, &[BadParameter]),
        ("find_in_catalogue", Body::None, &[UnknownModel]),
        ("create_model", Body::Json, &[ModelTaken, BadModel, ModelAddress, ModelImage]),
        (
            "edit_model",
            Body::Json,
            &[UnknownModel, IfMatchNeeded, ChangedMeanwhile, BadModel, ModelAddress, ModelImage],
        ),
        (
            "delete_model",
            Body::None,
            &[UnknownModel, IfMatchNeeded, ChangedMeanwhile, ModelInUse, ModelOfFolder],
        ),
        ("enable_model", Body::None, &[UnknownModel, ChangedMeanwhile]),
        ("disable_model", Body::Json, &[UnknownModel, ChangedMeanwhile]),
        ("clear_model_cache", Body::None, &[UnknownModel]),
        ("list_model_versions", Body::None, &[UnknownModel]),
        (
            "push_model_version",
            Body::Archive,
            &[BadParameter, UnknownModel, ModelTaken, VersionTrying, NoPushes, BadModel],
        ),
        ("roll_back_model", Body::Json, &[UnknownModel, NotFound, VersionNotGood]),
        ("list_instances", Body::None, &[BadParameter]),
        ("find_instance", Body::None, &[NotFound]),
        ("list_instance_events", Body::None, &[BadParameter, NotFound]),
        ("list_instance_requests", Body::None, &[BadParameter, NotFound]),
        ("find_instance_usage", Body::None, &[NotFound]),
        ("find_instance_log", Body::None, &[BadParameter, NotFound]),
        ("stop_instance", Body::Json, &[NotFound]),
        ("list_models", Body::None, &[BadParameter]),
        ("find_model", Body::None, &[BadParameter, UnknownModel]),
        (
            "submit_request",
            Body::Submission,
            &[
                BadParameter,
                UnknownModel,
                NotFound,
                InputsGone,
                KeyReused,
                ModelDisabled,
                TooManyWaitingRequests,
                TooManyWaitingInputs,
                TooManyInputsToday,
                NoSpaceLeft,
                AnonymousSpaceFull,
                TooManyUploads,
            ],
        ),
        ("delete_request", Body::None, &[NotFound, NotEnded]),
        ("find_request", Body::None, &[BadParameter, NotFound]),
        ("list_requests", Body::None, &[BadParameter]),
        ("find_inputs", Body::None, &[NotFound, TooManyDownloads]),
        ("change_request", Body::Json, &[NotFound]),
        ("cancel_request", Body::Json, &[NotFound]),
        (
            "find_result",
            Body::None,
            &[BadParameter, NotFound, NotEnded, NoResult, RangeNotSatisfiable, TooManyDownloads],
        ),
        ("follow_events", Body::None, &[]),
        ("legacy_log_in_anonymously", Body::None, &[TooManySessions]),
        ("legacy_log_in", Body::Json, &[WrongLogin, Forbidden, EmailNotVerified, TooManyTries]),
        ("legacy_refresh", Body::None, &[]),
        ("legacy_log_out", Body::None, &[]),
        ("legacy_list_models", Body::None, &[]),
        ("legacy_find_model", Body::None, &[UnknownModel]),
        (
            "legacy_submit_request",
            Body::Entries,
            &[
                UnknownModel,
                ModelDisabled,
                TooManyWaitingRequests,
                TooManyWaitingInputs,
                TooManyInputsToday,
                NoSpaceLeft,
                AnonymousSpaceFull,
                TooManyUploads,
            ],
        ),
        ("legacy_find_request", Body::None, &[BadParameter, NotFound, TooManyDownloads]),
        ("legacy_list_requests", Body::None, &[BadParameter]),
        ("find_hub", Body::None, &[]),
        ("find_version", Body::None, &[]),
        ("find_hub_state", Body::None, &[]),
        ("livez", Body::None, &[]),
        ("readyz", Body::None, &[]),
        ("openapi", Body::None, &[]),
    ]
};

/// Adds to each operation the problems that it may answer.
///
/// # Panics
///
/// If an operation is missing in the list, which a test would show.
pub fn add_problems(api: &mut OpenApi) {
    for item in api.paths.paths.values_mut() {
        let PathItem { get, post, patch, delete, .. } = item;
        let safe = get.iter_mut().map(|get| (get, &[][..]));
        let changes = [post, patch, delete].into_iter().flatten().map(|other| (other, UNSAFE));
        for (operation, of_method) in safe.chain(changes) {
            let id = operation.operation_id.as_deref().unwrap_or_default();
            let known = OPERATIONS.iter().find(|(known, ..)| *known == id);
            let (_, body, own) =
                known.unwrap_or_else(|| panic!("the problems of {id} are not listed"));
            let session = if operation.security.is_some() { SESSION } else { &[] };
            let kinds = [session, own, body.problems(), of_method, EVERYWHERE].concat();
            add_to(operation, kinds);
        }
    }
}

fn add_to(operation: &mut Operation, mut kinds: Vec<Kind>) {
    let is_legacy = operation.tags.iter().flatten().any(|tag| tag == legacy::TAG);
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
