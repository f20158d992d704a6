//! Small JSON bodies: objects of a few texts, lists, numbers and flags.

use std::marker::PhantomData;

use axum::extract::Request;
use muster_core::input::check_text;
use serde::de::MapAccess;

use super::json::{Fault, Object, read};
use super::open_json;
use crate::app::App;
use crate::http::problem::{At, Kind, Problem};

const MOST_BYTES: u64 = 64 << 10;
/// Most characters of a reason.
pub const REASON: usize = 500;

/// What a member may be.
pub const TEXT: &str = "a string";
/// A string that is hashed and never stored: any characters.
pub const SECRET: &str = "a string of any characters";
pub const FLAG: &str = "true or false";
pub const NUMBER: &str = "a whole number";
pub const TEXTS: &str = "a list of strings";

/// The members of a body.
pub trait Shape: Send + 'static {
    const MEMBERS: &'static [(&'static str, &'static str)];
    const EXAMPLE: &'static str;
    /// Are other members passed over?
    const LENIENT: bool = false;
}

enum Value {
    Text(String),
    Flag(bool),
    Number(u64),
    Texts(Vec<String>),
}

/// A body that was read. Members that were not sent are absent.
pub struct Form<S> {
    values: Vec<(&'static str, Value)>,
    shape: PhantomData<S>,
}

impl<S: Shape> Form<S> {
    fn empty() -> Self {
        Self { values: Vec::new(), shape: PhantomData }
    }

    pub async fn read(app: &App, request: Request) -> Result<Self, Problem> {
        let mut upload = open_json(app, request, MOST_BYTES).await?;
        read(&mut upload, Self::empty()).await
    }

    /// No body is as good as one without members.
    pub async fn read_if_any(app: &App, request: Request) -> Result<Self, Problem> {
        if http_body::Body::is_end_stream(request.body()) {
            return Ok(Self::empty());
        }
        Self::read(app, request).await
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        match self.value(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.value(name) {
            Some(Value::Flag(flag)) => Some(*flag),
            _ => None,
        }
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        match self.value(name) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    pub fn texts(&self, name: &str) -> Option<&[String]> {
        match self.value(name) {
            Some(Value::Texts(texts)) => Some(texts),
            _ => None,
        }
    }

    /// Why somebody wants what they ask for, if they say.
    pub fn reason(&self) -> Result<Option<&str>, Problem> {
        let reason = self.text("reason").filter(|reason| !reason.trim().is_empty());
        if reason.is_some_and(|reason| reason.chars().count() > REASON) {
            let detail = format!("A reason has at most {REASON} characters.");
            return Err(Problem::new(Kind::BadJson, detail).at(At::Pointer("/reason".into())));
        }
        Ok(reason)
    }

    /// A text that must be there.
    pub fn needed(&self, name: &'static str) -> Result<&str, Problem> {
        self.text(name).ok_or_else(|| {
            let detail = format!("`{name}` is missing. Send for example {}.", S::EXAMPLE);
            Problem::new(Kind::BadJson, detail).at(At::Pointer(format!("/{name}")))
        })
    }
}

impl<S: Shape> Object for Form<S> {
    const MEMBERS: &'static [(&'static str, &'static str)] = S::MEMBERS;
    const EXAMPLE: &'static str = S::EXAMPLE;
    const LENIENT: bool = S::LENIENT;

    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        n: usize,
        map: &mut A,
        fault: &mut Fault,
    ) -> Result<(), A::Error> {
        let (name, what) = S::MEMBERS[n];
        let value = match what {
            FLAG => Value::Flag(map.next_value()?),
            NUMBER => Value::Number(map.next_value()?),
            TEXTS => Value::Texts(map.next_value()?),
            _ => Value::Text(map.next_value()?),
        };
        let texts = match &value {
            Value::Text(text) if what != SECRET => std::slice::from_ref(text),
            Value::Texts(texts) => texts,
            _ => &[],
        };
        if texts.iter().any(|text| check_text(text).is_err()) {
            let detail = format!("`{name}` has a NUL character.");
            let problem = Problem::new(Kind::BadJson, detail);
            return Err(fault.is(problem.at(At::Pointer(format!("/{name}")))));
        }
        self.values.push((name, value));
        Ok(())
    }
}
