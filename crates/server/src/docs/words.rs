//! Closed sets of words, written into the description from where they are defined.

use muster_core::instance::{EndCause, Runs, StateName, StopWork};
use muster_core::model::{InputKind, Network};
use muster_core::news::Level;
use muster_core::plan::{Action, KeptWhy, NodesMode, Why};
use muster_core::room::{FailureClass, MachineState, MarkKind, NodeStage, Owner as TenantOwner};
use muster_core::rule::Rule;
use muster_core::session::EndReason;
use muster_core::stats::{AuthType, By, Dimension};
use muster_core::{Cause, CheckState, Direction, Permission, PhaseName};
use muster_store::{AuditAction, Format, Owner, SessionKind, VersionState};
use serde_json::Value;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ArrayItems, Object, Schema, SchemaType, Type};
use utoipa::openapi::{OpenApi, RefOr};

use crate::api::catalogue::owner;
use crate::api::people::session::NONE;
use crate::api::statistics::query::OWN;
use crate::api::statistics::table::Column;
use crate::http::problem::Kind;
use crate::identity::{DELETE, READ, SUBMIT};
use crate::legacy::{SCHEMES, STATUSES};

type Words = Vec<String>;

fn words<T, W: ToString>(all: impl IntoIterator<Item = T>, word: impl Fn(T) -> W) -> Words {
    all.into_iter().map(|one| word(one).to_string()).collect()
}

/// Schema and property, and all words that may stand there. What this hub does not know today, as the kinds
/// of events of a cluster, is not among them.
fn sets() -> Vec<(&'static str, &'static str, Words)> {
    let permissions = words(Permission::ALL, |it| it.name());
    let auth = words([AuthType::Account, AuthType::Anonymous], AuthType::name);
    let slug = |kind: Kind| format!("/problems/{}", kind.slug());
    let kinds = [SessionKind::Bearer, SessionKind::Cookie, SessionKind::Token];
    let work = [StopWork::Requeue, StopWork::Fail, StopWork::Drain];
    let alive = StateName::ALL.into_iter().filter(|state| *state != StateName::Ended);
    let check = [CheckState::Good, CheckState::Note, CheckState::Broken];
    let reasons = words(EndReason::ALL.map(EndReason::name).into_iter().chain([NONE]), |it| it);
    let kinds_of_cells = words(["integer", "float", "string"], |it| it);
    let secrets = words([SessionKind::Bearer, SessionKind::Cookie], SessionKind::name);
    let scopes = words([READ, SUBMIT, DELETE], |it| it);
    vec![
        // By these two a client tells apart what became of a session.
        ("Session", "state", vec!["live".into()]),
        ("EndedSession", "state", vec!["ended".into()]),
        ("EndedSession", "reason", reasons),
        ("Session", "permissions", permissions.clone()),
        ("Account", "permissions", permissions.clone()),
        ("PermissionChange", "permission", permissions),
        ("NewSession", "kind", secrets.clone()),
        ("Login", "kind", secrets),
        ("NewApiToken", "scopes", scopes.clone()),
        ("SessionInfo", "scopes", scopes),
        ("Principal", "kind", auth.clone()),
        ("SessionInfo", "kind", words(kinds, SessionKind::name)),
        ("AdminRequest", "auth_type", auth),
        (
            "AdminRequest",
            "result_status",
            words(["none", "complete", "partial", "errors"], |it| it),
        ),
        ("AdminRequest", "error_class", words(Cause::ALL, Cause::name)),
        ("Instance", "runs", words(Runs::ALL, Runs::name)),
        ("CatalogueModel", "runs", words(Runs::ALL, Runs::name)),
        ("Instance", "state", words(StateName::ALL, StateName::name)),
        ("InstanceStop", "work", words(work, StopWork::name)),
        ("InstanceStopping", "work", words(work, StopWork::name)),
        ("InstanceEnd", "cause", words(EndCause::NAMES, |it| it)),
        ("InstanceEvent", "level", words([Level::Normal, Level::Warning], Level::name)),
        ("InstanceOnNode", "state", words(alive, StateName::name)),
        ("NodeStage", "name", words(NodeStage::NAMES, |it| it)),
        ("NodeMarked", "mark", words([MarkKind::Cordoned, MarkKind::Drained], MarkKind::name)),
        ("NodeKept", "because", words(KeptWhy::NAMES, |it| it)),
        ("Tenant", "owner", words(TenantOwner::ALL, TenantOwner::name)),
        ("Machine", "state", words(MachineState::NAMES, |it| it)),
        ("NodeFailures", "class", words(FailureClass::ALL, FailureClass::name)),
        ("PlanWords", "mode", words(NodesMode::ALL, NodesMode::name)),
        ("PlannedAction", "do", words(Action::NAMES, |it| it)),
        ("PlannedHeld", "because", words(Why::NAMES, |it| it)),
        ("AuditEntry", "action", words(AuditAction::ALL, AuditAction::name)),
        ("Check", "state", words(check, CheckState::name)),
        ("Reading", "header", words(["used", "absent", "not_a_file"], |it| it)),
        ("ModelOutput", "kind", kinds_of_cells.clone()),
        ("NewModelOutput", "kind", kinds_of_cells),
        ("ModelOutput", "direction", words(Direction::ALL, Direction::name)),
        ("NewModelOutput", "direction", words(Direction::ALL, Direction::name)),
        ("ModelInput", "kind", words(InputKind::ALL, InputKind::name)),
        ("NewModelInput", "kind", words(InputKind::ALL, InputKind::name)),
        ("Problem", "type", words(Kind::ALL, slug)),
        ("BadValue", "type", words(Rule::ALL, |rule| format!("/problems/{}", rule.slug()))),
        (
            "StatisticsRow",
            "auth_type",
            words([AuthType::Account, AuthType::Anonymous], AuthType::name),
        ),
        ("CatalogueModel", "owner", words([Owner::Folder, Owner::Push, Owner::Api], owner)),
        ("ModelVersion", "state", words(VersionState::ALL, VersionState::name)),
        ("CatalogueModel", "network", words(Network::ALL, Network::as_str)),
        ("ModelChange", "network", words(Network::ALL, Network::as_str)),
        ("WorkRequest", "request_status", words(STATUSES, |it| it)),
        ("LegacySession", "auth_type", words(SCHEMES, |it| it)),
    ]
}

/// Says of each such property and parameter which words it may have.
///
/// # Panics
///
/// If there is no such property or parameter, which a test would show.
pub fn add_words(api: &mut OpenApi) {
    let schemas = &mut api.components.get_or_insert_default().schemas;
    for (name, property, words) in sets() {
        let found = match schemas.get_mut(name) {
            Some(RefOr::T(Schema::Object(object))) => object.properties.get_mut(property),
            _ => None,
        };
        let text = found.and_then(text_of);
        let text = text.unwrap_or_else(|| panic!("there is no text {property} of {name}"));
        allow(text, words);
    }
    let (choices, mut unknown) = (choices(), Vec::new());
    let all = api.paths.paths.values_mut().flat_map(|path| [&mut path.get, &mut path.post]);
    let mut all: Vec<&mut Operation> = all.flatten().collect();
    for (of, name, words) in choices {
        let mut found = 0;
        for operation in &mut all {
            let id = operation.operation_id.as_deref().unwrap_or_default();
            if !of.is_empty() && !of.contains(&id) {
                continue;
            }
            let parameters = operation.parameters.iter_mut().flatten();
            for parameter in parameters {
                let RefOr::T(parameter) = parameter else { continue };
                if parameter.name != name {
                    continue;
                }
                if let Some(text) = parameter.schema.as_mut().and_then(text_of) {
                    allow(text, words.clone());
                    found += 1;
                }
            }
        }
        if found < of.len().max(1) {
            unknown.push(name);
        }
    }
    assert!(unknown.is_empty(), "there is no such parameter: {unknown:?}");
}

fn allow(text: &mut Object, words: Words) {
    let nullable = matches!(&text.schema_type, SchemaType::Array(all) if all.contains(&Type::Null));
    let null = nullable.then_some(Value::Null);
    text.enum_values = Some(words.into_iter().map(Value::String).chain(null).collect());
}

/// Operations whose answer is also had as CSV.
const LISTS: [&str; 4] =
    ["list_requests", "list_all_requests", "find_statistics", "find_my_statistics"];

const STATISTICS: [&str; 2] = ["find_statistics", "find_my_statistics"];

/// Columns with and without `-` before them.
fn sorts(groups: &[Dimension]) -> Words {
    let columns = Column::of(groups).into_iter().map(|column| column.name);
    columns.flat_map(|name| [name.clone(), format!("-{name}")]).collect()
}

/// Parameters of queries that take one of a few words: of which operations (none: of all), their name, the words.
fn choices() -> Vec<(&'static [&'static str], &'static str, Words)> {
    let auth = words([AuthType::Account, AuthType::Anonymous], AuthType::name);
    vec![
        (&[], "phase", words(PhaseName::ALL, PhaseName::name)),
        (&[], "auth_type", auth),
        (&["find_result"], "format", words(Format::ALL, Format::name)),
        (&LISTS, "format", words(["json", "csv"], |it| it)),
        (&["list_all_requests"], "sort", words(["newest", "oldest"], |it| it)),
        (&["submit_request"], "header", words(["auto", "used", "absent"], |it| it)),
        (&["list_audit"], "action", words(AuditAction::ALL, AuditAction::name)),
        (&["list_users"], "permission", words(Permission::ALL, |it| it.name())),
        (&STATISTICS, "by", words(By::ALL, By::name)),
        (&STATISTICS[..1], "group_by", words(Dimension::ALL, Dimension::name)),
        (&STATISTICS[1..], "group_by", words(OWN, Dimension::name)),
        (&STATISTICS[..1], "sort", sorts(&Dimension::ALL)),
        (&STATISTICS[1..], "sort", sorts(&OWN)),
        (&["list_instances"], "cause", words(EndCause::NAMES, |it| it)),
        (&["list_nodes"], "stage", words(NodeStage::NAMES, |it| it)),
    ]
}

/// The schema of a text, or of the texts of a list.
fn text_of(schema: &mut RefOr<Schema>) -> Option<&mut Object> {
    match schema {
        RefOr::T(Schema::Object(object)) => Some(object),
        RefOr::T(Schema::Array(array)) => match &mut array.items {
            ArrayItems::RefOrSchema(items) => text_of(items),
            ArrayItems::False => None,
        },
        _ => None,
    }
}
