//! Reading what a route takes from the head of a request: query parameters, ids in the path,
//! headers. Everything that is not understood is refused by name.

use std::borrow::Cow;
use std::str::FromStr;
use std::time::Duration;

use axum::extract::{FromRequestParts, Path};
use http::HeaderMap;
use http::request::Parts;
use muster_core::room::NodeId;
use muster_core::stats::Day;
use muster_core::{InstanceId, ModelId, PhaseName, PrincipalId, RequestId, SessionId, Timestamp};
use uuid::Uuid;

use crate::http::problem::{Kind, Problem};

const MODEL_ID: &str = "a model's id: a-z, 0-9, '-', '_' and '.'";

/// Query parameters, each known, and given at most once if it is not repeatable.
pub struct Query<T>(pub T);

/// What a route reads from the query.
pub trait Parameters: Sized {
    const NAMES: &'static [&'static str];
    /// Those of the names that may be given several times.
    const REPEATABLE: &'static [&'static str] = &[];

    fn read(pairs: &mut Pairs) -> Result<Self, Problem>;
}

impl<S: Sync, T: Parameters> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut pairs =
            Pairs::parse(parts.uri.query().unwrap_or_default(), T::NAMES, T::REPEATABLE)?;
        T::read(&mut pairs).map(Self)
    }
}

/// The parameters of a query, decoded.
pub struct Pairs(Vec<(&'static str, String)>);

impl Pairs {
    fn parse(query: &str, known: &[&'static str], repeatable: &[&str]) -> Result<Self, Problem> {
        let mut pairs: Vec<(&'static str, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)?;
            let Some(&known) = known.iter().find(|known| **known == name) else {
                let known = if known.is_empty() { "none".into() } else { known.join(", ") };
                let shown: String = name.chars().take(64).collect();
                let detail = format!("This route has no such parameter. It has: {known}.");
                return Err(Problem::parameter(&shown, detail));
            };
            let again = pairs.iter().any(|(name, _)| *name == known);
            if again && !repeatable.contains(&known) {
                return Err(Problem::parameter(known, "Give this parameter once."));
            }
            pairs.push((known, decode(value)?.into_owned()));
        }
        Ok(Self(pairs))
    }

    /// Of a form: decoded already.
    pub fn of_fields(
        fields: Vec<(String, String)>,
        known: &[&'static str],
    ) -> Result<Self, Problem> {
        let mut pairs: Vec<(&'static str, String)> = Vec::new();
        for (name, value) in fields {
            let Some(&known) = known.iter().find(|known| **known == name) else {
                let shown: String = name.chars().take(64).collect();
                let detail = format!("A form has no such field. It has: {}.", known.join(", "));
                return Err(Problem::parameter(&shown, detail));
            };
            if pairs.iter().any(|(name, _)| *name == known) {
                return Err(Problem::parameter(known, "Give this field once."));
            }
            pairs.push((known, value));
        }
        Ok(Self(pairs))
    }

    pub fn text(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// All values of a parameter that are not empty.
    pub fn texts(&mut self, name: &str) -> Vec<String> {
        let given = self.0.extract_if(.., |(known, _)| *known == name).map(|(_, text)| text);
        given.filter(|text| !text.is_empty()).collect()
    }

    /// A value of a few words or another type; `what` says what it should be.
    pub fn value<T: FromStr>(&mut self, name: &str, what: &str) -> Result<Option<T>, Problem> {
        self.text(name).map(|text| parse(name, &text, what)).transpose()
    }

    pub fn number(&mut self, name: &str, most: u32) -> Result<Option<u32>, Problem> {
        let what = format!("a whole number from 0 to {most}");
        match self.value::<u32>(name, &what)? {
            Some(number) if number > most => {
                Err(Problem::parameter(name, format!("This must be {what}.")))
            }
            number => Ok(number),
        }
    }

    /// A page's length, 1 to 200; 50 if not given.
    pub fn limit(&mut self) -> Result<u32, Problem> {
        match self.number("limit", 200)? {
            Some(0) => Err(Problem::parameter("limit", "This must be from 1 to 200.")),
            limit => Ok(limit.unwrap_or(50)),
        }
    }

    /// `format`: is it CSV that is wanted, not JSON?
    pub fn csv(&mut self) -> Result<bool, Problem> {
        match self.text("format").as_deref() {
            None | Some("" | "json") => Ok(false),
            Some("csv") => Ok(true),
            Some(_) => Err(Problem::parameter("format", "This must be json or csv.")),
        }
    }

    pub fn request_id(&mut self, name: &str) -> Result<Option<RequestId>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let id = request_id(&text);
        id.map(Some).ok_or_else(|| Problem::parameter(name, "This must be the id of a request."))
    }

    pub fn model(&mut self, name: &str) -> Result<Option<ModelId>, Problem> {
        self.value(name, MODEL_ID)
    }

    pub fn models(&mut self) -> Result<Vec<ModelId>, Problem> {
        self.all("model", MODEL_ID)
    }

    pub fn people(&mut self, name: &str) -> Result<Vec<PrincipalId>, Problem> {
        self.all(name, "the id of a user or session")
    }

    fn all<T: FromStr>(&mut self, name: &str, what: &str) -> Result<Vec<T>, Problem> {
        self.texts(name).iter().map(|text| parse(name, text, what)).collect()
    }

    /// `from` and `to`, each a day (UTC) or a time; both belong to what is meant.
    pub fn span(&mut self) -> Result<(Option<Timestamp>, Option<Timestamp>), Problem> {
        let mut moment = |name: &str, of_day: fn(Day) -> Timestamp| {
            let text = self.text(name).filter(|text| !text.is_empty());
            text.map(|text| match (text.parse::<Day>(), text.parse::<Timestamp>()) {
                (Ok(day), _) => Ok(of_day(day)),
                (_, Ok(time)) => Ok(time),
                (Err(_), Err(_)) => {
                    let what = "This must be a day like 2026-11-24, or a time like \
                                2026-11-24T12:00:00Z.";
                    Err(Problem::parameter(name, what))
                }
            })
            .transpose()
        };
        let from = moment("from", Day::begins)?;
        let to = moment("to", |day| day.tomorrow().begins() - Duration::from_micros(1))?;
        if from.zip(to).is_some_and(|(from, to)| from > to) {
            return Err(wrong_way_round());
        }
        Ok((from, to))
    }

    /// A value that says itself what it should be.
    pub fn one<T: FromStr<Err = &'static str>>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, Problem> {
        // `?user=` in a form that was not filled in is no filter.
        let text = self.text(name).filter(|text| !text.is_empty());
        let value = text.map(|text| text.parse::<T>()).transpose();
        value.map_err(|what| must_be(name, what))
    }
}

/// `from` is after `to`.
pub fn wrong_way_round() -> Problem {
    Problem::parameter("to", "This must not be before `from`: they are the wrong way round.")
}

/// `what` says what the value should be.
pub fn parse<T: FromStr>(name: &str, text: &str, what: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::parameter(name, format!("This must be {what}.")))
}

/// The value of `phase` in a query.
pub fn phase(text: &str) -> Result<PhaseName, Problem> {
    text.parse().map_err(|_| {
        let all = PhaseName::ALL.map(PhaseName::name).join(", ");
        Problem::parameter("phase", format!("This must be one of {all}."))
    })
}

/// `what` begins with "this is".
pub fn must_be(name: &str, what: &str) -> Problem {
    Problem::parameter(name, format!("{}.", what.replacen("this is", "This must be", 1)))
}

/// Percent-decoding; `+` is a space. No NUL, because no value that is stored may have one.
pub fn decode(text: &str) -> Result<Cow<'_, str>, Problem> {
    if !text.bytes().any(|b| matches!(b, b'%' | b'+')) {
        return Ok(Cow::Borrowed(text));
    }
    let bad = || {
        let detail = "A query parameter is not percent-encoded UTF-8, or has a NUL character.";
        Problem::new(Kind::BadParameter, detail)
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|d| char::from(d).to_digit(16));
                let (high, low) = (digit().ok_or_else(bad)?, digit().ok_or_else(bad)?);
                u8::try_from(high * 16 + low).map_err(|_| bad())?
            }
            byte => byte,
        });
    }
    if bytes.contains(&0) {
        return Err(bad());
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| bad())
}

/// An id as the API writes it. Other spellings of a UUID are not ids.
pub fn request_id(text: &str) -> Option<RequestId> {
    if text.len() == 36 { text.parse().ok() } else { None }
}

/// The request id in a path. What is not an id is unknown like any other.
pub struct RequestPath(pub RequestId);

impl<S: Send + Sync> FromRequestParts<S> for RequestPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let id = path.ok().and_then(|Path(text)| request_id(&text));
        id.map(Self).ok_or_else(Problem::no_such_request)
    }
}

/// The id of a user in a path.
pub struct UserPath(pub PrincipalId);

impl<S: Send + Sync> FromRequestParts<S> for UserPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        thing_id(parts, state).await.map(|id| Self(PrincipalId(id)))
    }
}

/// The id of a session or API token in a path.
pub struct SessionPath(pub SessionId);

impl<S: Send + Sync> FromRequestParts<S> for SessionPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        thing_id(parts, state).await.map(|id| Self(SessionId(id)))
    }
}

/// The id of an instance in a path.
pub struct InstancePath(pub InstanceId);

impl<S: Send + Sync> FromRequestParts<S> for InstancePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        thing_id(parts, state).await.map(|id| Self(InstanceId(id)))
    }
}

async fn thing_id<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<Uuid, Problem> {
    let path = Path::<String>::from_request_parts(parts, state).await;
    let id = path.ok().filter(|Path(text)| text.len() == 36);
    id.and_then(|Path(text)| text.parse().ok()).ok_or_else(Problem::no_such_thing)
}

/// The name of a node in a path.
pub struct NodePath(pub NodeId);

impl<S: Send + Sync> FromRequestParts<S> for NodePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(name)| Self(NodeId(name))).map_err(|_| Problem::no_such_thing())
    }
}

/// The model id in a path.
pub struct ModelPath(pub ModelId);

impl<S: Send + Sync> FromRequestParts<S> for ModelPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let id = path.ok().and_then(|Path(text)| text.parse().ok());
        id.map(Self).ok_or_else(Problem::unknown_model)
    }
}

/// The `Idempotency-Key` header: 1 to 255 visible ASCII characters.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let text = key.to_str().unwrap_or_default();
    let fits = (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if !fits || keys.next().is_some() {
        let detail = "Send one key of 1 to 255 visible ASCII characters, for example a UUID.";
        return Err(Problem::parameter("Idempotency-Key", detail));
    }
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_once() {
        let mut pairs = Pairs::parse("a=x%2By+z&b=", &["a", "b"], &[]).expect("a query");
        assert_eq!(pairs.text("a").as_deref(), Some("x+y z"));
        assert_eq!(pairs.text("b").as_deref(), Some(""));
        assert_eq!(pairs.text("a"), None);
    }

    #[test]
    fn what_may_be_repeated_is_a_list() {
        let mut pairs = Pairs::parse("a=1&b=2&a=&a=3", &["a", "b"], &["a"]).expect("a query");
        assert_eq!(pairs.texts("a"), ["1", "3"]);
        assert_eq!(pairs.text("b").as_deref(), Some("2"));
    }

    #[test]
    fn unknown_repeated_and_broken_parameters_are_refused() {
        for bad in ["c=1", "a=1&a=2", "a=%", "a=%f", "a=%ff", "a=%00", "a=%zz"] {
            let problem = Pairs::parse(bad, &["a"], &[]).err().expect(bad);
            assert_eq!(problem.kind, Kind::BadParameter, "{bad}");
        }
    }
}
