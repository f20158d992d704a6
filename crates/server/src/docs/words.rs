//! Closed sets of words, written into the description from where they are defined.

use muster_core::instance::{EndCause, StateName, StopWork};
use muster_core::news::Level;
use muster_core::session::EndReason;
use muster_core::stats::AuthType;
use muster_core::{Cause, CheckState, Permission};
use muster_store::SessionKind;
use serde_json::Value;
use utoipa::openapi::schema::{ArrayItems, Object, Schema, SchemaType, Type};
use utoipa::openapi::{OpenApi, RefOr};

use crate::http::problem::Kind;

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
    let check = [CheckState::Good, CheckState::Note, CheckState::Broken];
    vec![
        // By these two a client tells apart what became of a session.
        ("Session", "state", vec!["live".into()]),
        ("EndedSession", "state", vec!["ended".into()]),
        ("EndedSession", "reason", words(EndReason::ALL, EndReason::name)),
        ("Session", "permissions", permissions.clone()),
        ("Account", "permissions", permissions),
        ("Principal", "kind", auth.clone()),
        ("SessionInfo", "kind", words(kinds, SessionKind::name)),
        ("AdminRequest", "auth_type", auth),
        (
            "AdminRequest",
            "result_status",
            words(["none", "complete", "partial", "errors"], |it| it),
        ),
        ("AdminRequest", "error_class", words(Cause::ALL, Cause::name)),
        ("Instance", "state", words(StateName::ALL, StateName::name)),
        ("InstanceStop", "work", words(work, StopWork::name)),
        ("InstanceEnd", "cause", words(EndCause::NAMES, |it| it)),
        ("InstanceEvent", "level", words([Level::Normal, Level::Warning], Level::name)),
        ("Check", "state", words(check, CheckState::name)),
        ("Reading", "header", words(["used", "absent", "not_a_file"], |it| it)),
        ("ModelOutput", "kind", words(["integer", "float", "string"], |it| it)),
        ("Problem", "type", words(Kind::ALL, slug)),
    ]
}

/// Says of each such property which words it may have.
///
/// # Panics
///
/// If there is no such property, which a test would show.
pub fn add_words(api: &mut OpenApi) {
    let schemas = &mut api.components.get_or_insert_default().schemas;
    for (name, property, words) in sets() {
        let found = match schemas.get_mut(name) {
            Some(RefOr::T(Schema::Object(object))) => object.properties.get_mut(property),
            _ => None,
        };
        let text = found.and_then(text_of);
        let text = text.unwrap_or_else(|| panic!("there is no text {property} of {name}"));
        let nullable =
            matches!(&text.schema_type, SchemaType::Array(all) if all.contains(&Type::Null));
        let null = nullable.then_some(Value::Null);
        text.enum_values = Some(words.into_iter().map(Value::String).chain(null).collect());
    }
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
