//! Small JSON bodies. A route takes a type, the API's description shows the same type, and whoever sends
//! something else is told by that description what is wrong.

use std::fmt;

use axum::extract::{FromRequest, Request};
use muster_core::input::check_text;
use muster_core::pointer::escaped;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_path_to_error::Segment;
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, Object, Schema, SchemaFormat, SchemaType, Type};

use super::{HasReader, open_json};
use crate::http::problem::{At, Kind, Problem};

const MOST_BYTES: u64 = 64 << 10;
/// Most characters of a reason.
pub const REASON: usize = 500;

/// A body that has to be there.
pub struct Json<T>(pub T);

/// A body that may be left out: then it is one without members.
pub struct MaybeJson<T>(pub T);

impl<T: DeserializeOwned + ToSchema, S: HasReader> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let mut upload = open_json(state.reader(), request, MOST_BYTES).await?;
        let mut body = Vec::new();
        while let Some(piece) = upload.next().await? {
            body.extend_from_slice(&piece);
        }
        parse(&body).map(Self)
    }
}

impl<T: DeserializeOwned + ToSchema, S: HasReader> FromRequest<S> for MaybeJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if http_body::Body::is_end_stream(request.body()) {
            return parse(b"{}").map(Self);
        }
        Json::from_request(request, state).await.map(|Json(body)| Self(body))
    }
}

/// Why somebody wants what they ask for, if they say.
pub fn reason(given: Option<String>) -> Result<Option<String>, Problem> {
    let reason = given.filter(|reason| !reason.trim().is_empty());
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON) {
        return Err(wrong("reason", format!("A reason has at most {REASON} characters.")));
    }
    Ok(reason)
}

/// A member that cannot be used.
pub fn wrong(member: &str, detail: impl Into<String>) -> Problem {
    Problem::new(Kind::BadJson, detail).at(At::Pointer(format!("/{}", escaped(member))))
}

fn parse<T: DeserializeOwned + ToSchema>(body: &[u8]) -> Result<T, Problem> {
    let not_utf8 = |_| Problem::new(Kind::NotUtf8, "The body must be JSON in UTF-8.");
    let text = std::str::from_utf8(body).map_err(not_utf8)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().iter().next();
        let member = path.and_then(|first| match first {
            Segment::Map { key } => Some(key.as_str()),
            _ => None,
        });
        explain(&shape::<T>(), text, member, error.inner())
    })?;
    json.end().map_err(|error| syntax(&error))?;
    // JSON has no other way to write a NUL.
    if text.contains("\\u0000") {
        refuse_nul(&shape::<T>(), text)?;
    }
    Ok(value)
}

fn syntax(error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    let detail = format!("It is not valid JSON in UTF-8 at line {line} column {column}.");
    Problem::new(Kind::BadJson, detail)
}

/// The parser's complaint in our words. `member`: where it was, if it was in a member.
fn explain(shape: &Object, text: &str, member: Option<&str>, error: &serde_json::Error) -> Problem {
    if error.is_syntax() || error.is_eof() {
        return syntax(error);
    }
    let example = || shape.example.as_ref().map(Value::to_string).unwrap_or_default();
    let Ok(Names(sent)) = serde_json::from_str(text) else {
        let detail = format!("The body must be a JSON object like {}.", example());
        return Problem::new(Kind::BadJson, detail).at(At::Pointer(String::new()));
    };
    if let Some(name) = member {
        if let Some(known) = shape.properties.get(name) {
            return wrong(name, format!("`{name}` must be {}.", what(known)));
        }
        let known: Vec<&str> = shape.properties.keys().map(String::as_str).collect();
        let name: String = name.chars().take(64).collect();
        let known = known.join(", ");
        return wrong(&name, format!("There is no member `{name}` here. There are: {known}."));
    }
    let twice = sent.iter().enumerate().find(|(n, name)| sent[..*n].contains(name));
    if let Some((_, name)) = twice {
        return wrong(name, format!("`{name}` is given twice."));
    }
    let missing = shape.required.iter().find(|name| !sent.contains(name));
    let name = missing.map(String::as_str).unwrap_or_default();
    wrong(name, format!("`{name}` is missing. Send for example {}.", example()))
}

/// Texts may have no NUL, but for those that are never stored.
fn refuse_nul(shape: &Object, text: &str) -> Result<(), Problem> {
    let sent: serde_json::Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    for (name, value) in &sent {
        if shape.properties.get(name).is_some_and(is_secret) {
            continue;
        }
        let texts = match value {
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        if texts.iter().filter_map(Value::as_str).any(|text| check_text(text).is_err()) {
            return Err(wrong(name, format!("`{name}` has a NUL character.")));
        }
    }
    Ok(())
}

fn shape<T: ToSchema>() -> Object {
    match T::schema() {
        RefOr::T(Schema::Object(object)) => object,
        _ => Object::default(),
    }
}

/// A string that is hashed and never stored.
fn is_secret(schema: &RefOr<Schema>) -> bool {
    let password = SchemaFormat::KnownFormat(KnownFormat::Password);
    matches!(schema, RefOr::T(Schema::Object(object)) if object.format == Some(password))
}

/// What a member may be.
fn what(schema: &RefOr<Schema>) -> &'static str {
    let of = |kind: &Type| match kind {
        Type::Boolean => Some("true or false"),
        Type::Integer => Some("a whole number"),
        Type::Array => Some("a list of strings"),
        Type::String => Some("a string"),
        _ => None,
    };
    let kind = match schema {
        _ if is_secret(schema) => return "a string of any characters",
        RefOr::T(Schema::Object(object)) => &object.schema_type,
        RefOr::T(Schema::Array(array)) => &array.schema_type,
        _ => return "something else",
    };
    let known = match kind {
        SchemaType::Type(kind) => of(kind),
        SchemaType::Array(kinds) => kinds.iter().find_map(of),
        SchemaType::AnyValue => None,
    };
    known.unwrap_or("something else")
}

/// The names of an object's members, as they come.
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct All;

        impl<'de> Visitor<'de> for All {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some((name, IgnoredAny)) = map.next_entry()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }

        from.deserialize_map(All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    #[schema(example = json!({"name": "ada"}))]
    struct Sent {
        name: String,
        #[schema(format = Password)]
        secret: Option<String>,
        texts: Option<Vec<String>>,
        days: Option<u32>,
        flag: Option<bool>,
    }

    fn at(body: &str) -> (String, String) {
        let problem = parse::<Sent>(body.as_bytes()).expect_err(body);
        assert_eq!(problem.kind, Kind::BadJson, "{body}");
        let At::Pointer(pointer) = problem.at else { panic!("no pointer: {problem:?}") };
        (pointer, problem.detail)
    }

    #[test]
    fn a_body_is_read_as_its_type_says() {
        let body =
            "\u{feff}{\"name\": \"n\", \"secret\": \"a\\u0000\", \"texts\": [\"x\"], \"days\": 3}";
        let sent = parse::<Sent>(body.as_bytes()).expect("a body");
        assert_eq!((sent.name.as_str(), sent.secret.as_deref()), ("n", Some("a\0")));
        assert_eq!((sent.texts, sent.days, sent.flag), (Some(vec!["x".into()]), Some(3), None));
    }

    #[test]
    fn the_first_wrong_member_is_pointed_at_and_said_what_it_must_be() {
        for (body, pointer, detail) in [
            (r#"{"name": 1, "days": "x"}"#, "/name", "`name` must be a string."),
            (
                r#"{"name": "n", "secret": 1}"#,
                "/secret",
                "`secret` must be a string of any characters.",
            ),
            (r#"{"name": "n", "texts": ["x", 1]}"#, "/texts", "`texts` must be a list of strings."),
            (r#"{"name": "n", "days": -1}"#, "/days", "`days` must be a whole number."),
            (r#"{"name": "n", "flag": "x"}"#, "/flag", "`flag` must be true or false."),
            (r#"{"name": "n", "name": "n"}"#, "/name", "`name` is given twice."),
            (r#"{"days": 1}"#, "/name", "`name` is missing. Send for example {\"name\":\"ada\"}."),
            (r#"{"name": "a\u0000"}"#, "/name", "`name` has a NUL character."),
            (
                r#"{"a/b": 1}"#,
                "/a~1b",
                "There is no member `a/b` here. There are: name, secret, texts, days, flag.",
            ),
            ("[]", "", "The body must be a JSON object like {\"name\":\"ada\"}."),
        ] {
            assert_eq!(at(body), (pointer.to_owned(), detail.to_owned()), "{body}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for body in ["", "{", r#"{"name": "n"}x"#, r#"{"name": "\ud800"}"#, r#"{"name": tru}"#] {
            let problem = parse::<Sent>(body.as_bytes()).expect_err(body);
            assert_eq!((problem.kind, problem.at), (Kind::BadJson, At::Nowhere), "{body}");
        }
        let problem = parse::<Sent>(b"{\"name\": \"\xff\"}").expect_err("bytes");
        assert_eq!(problem.kind, Kind::NotUtf8);
    }
}
