//! Query parameters as these clients send them: lists as repeated keys, lenient booleans, and
//! what is not known is passed over.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use muster_core::{ModelId, Timestamp};
use muster_store::RequestFilter;

use super::Detail;
use super::view::phases;
use crate::app::App;
use crate::http::extract::{decode, request_id};
use crate::http::problem::Problem;

/// The parameters in their order, without empty ones.
pub struct Pairs(Vec<(String, String)>);

impl Pairs {
    fn parse(query: &str) -> Result<Self, Problem> {
        let mut pairs = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !value.is_empty() {
                pairs.push((decode(name)?.into_owned(), decode(value)?.into_owned()));
            }
        }
        Ok(Self(pairs))
    }

    fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn last(&self, name: &'static str) -> Option<&str> {
        self.all(name).last()
    }

    pub fn flag(&self, name: &'static str) -> Result<bool, Problem> {
        match self.last(name).map(str::to_ascii_lowercase).as_deref() {
            Some("true" | "t" | "1" | "yes" | "y" | "on") => Ok(true),
            None | Some("false" | "f" | "0" | "no" | "n" | "off" | "none" | "null") => Ok(false),
            Some(_) => Err(wrong(name, "true or false")),
        }
    }

    /// RFC 3339; without an offset it is UTC, and without a time it is midnight.
    fn moment(&self, name: &'static str) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.last(name) else { return Ok(None) };
        let tries = [text.to_owned(), format!("{text}Z"), format!("{text}T00:00:00Z")];
        let moment = tries.iter().find_map(|text| text.parse().ok());
        moment.map(Some).ok_or_else(|| wrong(name, "a time such as 2026-01-31T12:00:00Z"))
    }

    /// What a list is asked for; nothing if nothing can fit.
    pub fn filter(&self) -> Result<Option<RequestFilter>, Problem> {
        let limit = match self.last("limit").map(str::parse) {
            None => 100,
            Some(Ok(limit @ 1..=500)) => limit,
            Some(_) => return Err(wrong("limit", "a whole number from 1 to 500")),
        };
        let (from, to) = (self.moment("request_date_from")?, self.moment("request_date_to")?);
        let models: Vec<ModelId> = self.all("model_ids").filter_map(|id| id.parse().ok()).collect();
        let phases: Vec<_> = self.all("request_statuses").flat_map(phases).copied().collect();
        let id = self.last("id").and_then(request_id);
        let asked = |name| self.last(name).is_some();
        let nothing = asked("model_ids") && models.is_empty()
            || asked("request_statuses") && phases.is_empty()
            || asked("id") && id.is_none();
        let filter =
            RequestFilter { id, models, phases, from, to, search: None, after: None, limit };
        Ok(Some(filter).filter(|_| !nothing))
    }
}

fn wrong(name: &str, what: &str) -> Problem {
    Problem::parameter(name, format!("`{name}` must be {what}."))
}

impl FromRequestParts<Arc<App>> for Pairs {
    type Rejection = Detail;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Detail> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(query: &str) -> Pairs {
        Pairs::parse(query).expect("a query")
    }

    #[test]
    fn booleans_are_lenient() {
        for yes in ["true", "True", "TRUE", "1", "yes", "on"] {
            assert_eq!(pairs(&format!("x=0&x={yes}")).flag("x"), Ok(true), "{yes}");
        }
        for no in ["", "x", "x=", "x=false", "x=False", "x=0", "x=no", "y=1"] {
            assert_eq!(pairs(no).flag("x"), Ok(false), "{no}");
        }
        assert!(pairs("x=maybe").flag("x").is_err());
    }

    #[test]
    fn lists_are_repeated_keys_and_what_is_not_known_is_passed_over() {
        let query =
            "model_ids=a&model_ids=b&request_statuses=FAILED&request_statuses=QUEUED&_=1&user_id=x";
        let filter = pairs(query).filter().expect("a filter").expect("something");
        let models: Vec<&str> = filter.models.iter().map(ModelId::as_str).collect();
        assert_eq!(models, ["a", "b"]);
        let phases = filter.phases.iter().map(|phase| phase.name()).collect::<Vec<_>>();
        assert_eq!(phases, ["failed", "cancelled", "waiting"]);
        assert_eq!(filter.limit, 100);
    }

    #[test]
    fn what_nothing_can_fit_finds_nothing() {
        for query in ["model_ids=A%20B", "request_statuses=SCHEDULING", "id=42"] {
            assert!(pairs(query).filter().expect("a filter").is_none(), "{query}");
        }
    }

    #[test]
    fn times_are_read_as_they_are_written() {
        let at = |text: &str| {
            let query = format!("request_date_from={}", text.replace('+', "%2B"));
            pairs(&query).filter().map(|filter| filter.and_then(|filter| filter.from))
        };
        let noon: Timestamp = "2026-01-31T12:00:00Z".parse().expect("a time");
        for text in [
            "2026-01-31T12:00:00Z",
            "2026-01-31T14:00:00+02:00",
            "2026-01-31 12:00:00",
            "2026-01-31T12:00:00.000",
        ] {
            assert_eq!(at(text), Ok(Some(noon)), "{text}");
        }
        assert_eq!(at("2026-01-31"), Ok("2026-01-31T00:00:00Z".parse().ok()));
        for bad in ["yesterday", "2026-13-01", "1", "' OR 1=1"] {
            assert!(at(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_keep_to_their_range() {
        for bad in ["0", "501", "-1", "x", "1.5", "99999999999"] {
            assert!(pairs(&format!("limit={bad}")).filter().is_err(), "{bad}");
        }
        let most = pairs("limit=500").filter().expect("a filter").expect("something");
        assert_eq!(most.limit, 500);
    }
}
