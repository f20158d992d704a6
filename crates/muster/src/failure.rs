//! What went wrong, for a person: what happened and what to do, and the exit code for scripts.

use std::process::ExitCode;

use reqwest::StatusCode;
use serde::Deserialize;

/// A command that did not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    pub kind: Kind,
    /// One sentence.
    pub what: String,
    /// What to do about it, as far as that is known.
    pub advice: Option<String>,
    /// The hub's problem document, for `--json`.
    pub document: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bad usage or bad input.
    Usage,
    /// The request failed, or the command itself.
    Failed,
    /// The hub cannot be reached.
    Unreachable,
    /// Whoever read the output has left; there is nobody to tell.
    NobodyReads,
    /// The person left with Ctrl-C.
    Interrupted,
}

/// RFC 9457, as the hub sends it.
#[derive(Deserialize)]
pub struct Problem {
    pub r#type: String,
    pub title: String,
    #[serde(default)]
    pub detail: String,
    pub pointer: Option<String>,
    pub parameter: Option<String>,
    pub line: Option<u64>,
    pub columns: Option<Vec<String>>,
}

impl Failure {
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), advice: None, document: None }
    }

    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Kind::Usage, what)
    }

    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(Kind::Failed, what)
    }

    pub fn advice(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }

    /// From an answer that is not a success.
    pub fn from_answer(status: StatusCode, body: &str) -> Self {
        let Ok(problem) = serde_json::from_str::<Problem>(body) else {
            if matches!(status.as_u16(), 502..=504) {
                // Of a proxy before the hub.
                let what = format!("the hub cannot be reached: the answer was {status}");
                return Self::new(Kind::Unreachable, what);
            }
            let what = format!("the answer was {status}, which is not from a Muster hub");
            return Self::failed(what).advice("Is --hub the address of the hub?");
        };
        let kind = match status.as_u16() {
            500 => Kind::Failed,
            502..=504 => Kind::Unreachable,
            507 => Kind::Failed,
            _ => Kind::Usage,
        };
        let mut what = problem.title;
        if let Some(line) = problem.line {
            what = format!("{what} (line {line})");
        }
        if let Some(place) = problem.pointer.or(problem.parameter) {
            what = format!("{what} ({place})");
        }
        let mut advice = problem.detail;
        if let Some(columns) = problem.columns {
            advice = format!("{advice}\nThe file's columns: {}", columns.join(", "));
        }
        if problem.r#type == "/problems/no-such-column" {
            advice = format!(
                "{advice}\nFor `muster run` that is --column NAME, or --no-header --column 1."
            );
        }
        let advice = Some(advice).filter(|advice| !advice.is_empty());
        Self { kind, what, advice, document: Some(body.to_owned()) }
    }

    /// Is this the hub's problem of that name?
    pub fn is_problem(&self, slug: &str) -> bool {
        let document = self.document.as_deref().unwrap_or_default();
        let problem = serde_json::from_str::<Problem>(document);
        problem.is_ok_and(|problem| problem.r#type == format!("/problems/{slug}"))
    }

    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            Kind::NobodyReads => 0,
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Unreachable => 4,
            Kind::Interrupted => 130,
        })
    }

    /// Tells it on standard error.
    pub fn tell(&self, json: bool) {
        match &self.document {
            _ if self.kind == Kind::NobodyReads || self.what.is_empty() => {}
            Some(document) if json => eprintln!("{document}"),
            _ => {
                eprintln!("error: {}", self.what);
                for line in self.advice.iter().flat_map(|advice| advice.lines()) {
                    eprintln!("  {line}");
                }
            }
        }
    }
}

/// What is behind all that an error says: without the address, which may be a secret.
pub fn root(error: &reqwest::Error) -> &dyn std::error::Error {
    let mut reason: &dyn std::error::Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason
}

/// For writing to standard output and files.
pub fn io_failure(what: &str) -> impl Fn(std::io::Error) -> Failure + '_ {
    move |error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::new(Kind::NobodyReads, ""),
        _ => Failure::failed(format!("{what}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_what_happened_and_what_to_do() {
        let body = r#"{"type":"/problems/no-such-column","title":"The input column was not found",
            "status":422,"detail":"Name it with column=.","columns":["a","b"]}"#;
        let failure = Failure::from_answer(StatusCode::UNPROCESSABLE_ENTITY, body);
        assert_eq!(failure.kind, Kind::Usage);
        assert_eq!(failure.what, "The input column was not found");
        assert_eq!(
            failure.advice.as_deref(),
            Some(
                "Name it with column=.\nThe file's columns: a, b\nFor `muster run` that is \
                 --column NAME, or --no-header --column 1."
            )
        );
        assert!(failure.is_problem("no-such-column") && !failure.is_problem("busy"));
    }

    #[test]
    fn an_answer_that_is_not_from_a_hub_is_said_to_be_so() {
        let failure = Failure::from_answer(StatusCode::NOT_FOUND, "<html>");
        assert_eq!(failure.kind, Kind::Failed);
        assert!(failure.what.contains("not from a Muster hub"));
        let proxy = Failure::from_answer(StatusCode::GATEWAY_TIMEOUT, "<html>");
        assert_eq!(proxy.kind, Kind::Unreachable);
    }
}
