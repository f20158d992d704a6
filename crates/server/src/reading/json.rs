//! JSON bodies: objects whose members are known, each given once, read without building a tree.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read};
use std::marker::PhantomData;

use muster_core::pointer::escaped;
use muster_store::aside_if;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::body::Upload;
use super::text::Utf8;
use crate::http::problem::{At, Kind, Problem};

/// Pieces of a body are copied into blocks, so that many small pieces cost what they weigh.
const BLOCK: usize = 256 << 10;

/// An object that a route takes.
pub trait Object: Sized + Send + 'static {
    /// Its members, at most 8, and what each must be: `("model", "a string")`.
    const MEMBERS: &'static [(&'static str, &'static str)];
    /// How it looks, for those who send something else.
    const EXAMPLE: &'static str;
    /// Are other members passed over?
    const LENIENT: bool = false;

    /// Reads the value of member `n`. A problem of its own goes to `fault`.
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        n: usize,
        map: &mut A,
        fault: &mut Fault,
    ) -> Result<(), A::Error>;
}

/// What the JSON parser was reading, and what a rule found wrong with it.
#[derive(Debug, Default)]
pub struct Fault {
    /// Its name, and what it must be.
    member: Option<(&'static str, &'static str)>,
    /// Which element of the member, if that is an array.
    pub element: Option<usize>,
    problem: Option<Problem>,
}

impl Fault {
    pub fn is<E: serde::de::Error>(&mut self, problem: Problem) -> E {
        self.problem = Some(problem);
        E::custom("")
    }
}

/// Reads the whole body.
pub async fn read<T: Object>(upload: &mut Upload, empty: T) -> Result<T, Problem> {
    let mut body = Blocks::default();
    while let Some(piece) = upload.next().await? {
        body.push(&piece);
    }
    let bytes = body.blocks.iter().map(Vec::len).sum();
    aside_if(bytes, move || body.parse(empty)).await
}

/// A body in pieces that are given back while they are read.
#[derive(Debug, Default)]
pub struct Blocks {
    blocks: VecDeque<Vec<u8>>,
    /// Bytes of the first block that were read.
    read: usize,
    utf8: Utf8,
    broken: bool,
}

impl Blocks {
    pub fn push(&mut self, mut piece: &[u8]) {
        self.check(piece);
        while !piece.is_empty() {
            let space = self.blocks.back().map_or(0, |block| BLOCK - block.len());
            if space == 0 {
                self.blocks.push_back(Vec::with_capacity(piece.len().min(BLOCK)));
                continue;
            }
            let (now, later) = piece.split_at(space.min(piece.len()));
            if let Some(block) = self.blocks.back_mut() {
                block.extend_from_slice(now);
            }
            piece = later;
        }
    }

    fn check(&mut self, mut piece: &[u8]) {
        while let Some((char, rest)) = self.utf8.complete(piece) {
            self.broken |= char.is_err();
            piece = rest;
            if self.broken {
                return;
            }
        }
        self.broken |= self.utf8.split(piece).1;
    }

    pub fn parse<T: Object>(mut self, empty: T) -> Result<T, Problem> {
        if self.broken || !self.utf8.is_complete() {
            return Err(Problem::new(Kind::NotUtf8, "The body must be JSON in UTF-8."));
        }
        if self.blocks.len() > 1 {
            return parse(&mut serde_json::Deserializer::from_reader(self), empty);
        }
        let body = self.blocks.pop_front().unwrap_or_default();
        let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&body);
        parse(&mut serde_json::Deserializer::from_slice(body), empty)
    }
}

impl Read for Blocks {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let Some(block) = self.blocks.front() else { return Ok(0) };
        let rest = &block[self.read..];
        let n = rest.len().min(to.len());
        to[..n].copy_from_slice(&rest[..n]);
        self.read += n;
        if self.read == block.len() {
            self.blocks.pop_front();
            self.read = 0;
        }
        Ok(n)
    }
}

fn parse<'de, T: Object, R: serde_json::de::Read<'de>>(
    json: &mut serde_json::Deserializer<R>,
    empty: T,
) -> Result<T, Problem> {
    let mut fault = Fault::default();
    let read = OneObject(&mut fault, empty)
        .deserialize(&mut *json)
        .and_then(|object| json.end().map(|()| object));
    read.map_err(|error| problem::<T>(&error, fault))
}

/// The parser's complaint in our words.
fn problem<T: Object>(error: &serde_json::Error, fault: Fault) -> Problem {
    if let Some(problem) = fault.problem {
        return problem;
    }
    if error.is_syntax() || error.is_eof() {
        let (line, column) = (error.line(), error.column());
        let detail = format!("It is not valid JSON in UTF-8 at line {line} column {column}.");
        return Problem::new(Kind::BadJson, detail);
    }
    match (fault.member, fault.element) {
        (Some((name, _)), Some(n)) => {
            let detail = "Each input must be a string. Write numbers in quotes.";
            Problem::new(Kind::BadInput, detail).at(At::Pointer(format!("/{name}/{n}")))
        }
        (Some((name, what)), None) => {
            let detail = format!("`{name}` must be {what}.");
            Problem::new(Kind::BadJson, detail).at(At::Pointer(format!("/{name}")))
        }
        (None, _) => {
            let detail = format!("The body must be a JSON object like {}.", T::EXAMPLE);
            Problem::new(Kind::BadJson, detail).at(At::Pointer(String::new()))
        }
    }
}

/// Reads an object, also one inside another.
pub struct OneObject<'f, T>(pub &'f mut Fault, pub T);

impl<'de, T: Object> DeserializeSeed<'de> for OneObject<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<T, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de, T: Object> Visitor<'de> for OneObject<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let Self(fault, mut object) = self;
        let mut seen = 0u8;
        while let Some(n) = map.next_key_seed(Name::<T>(fault, PhantomData))? {
            let Some(n) = n else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if seen & (1 << n) != 0 {
                let (name, _) = T::MEMBERS[n];
                let problem = Problem::new(Kind::BadJson, format!("`{name}` is given twice."));
                return Err(fault.is(problem.at(At::Pointer(format!("/{name}")))));
            }
            seen |= 1 << n;
            (fault.member, fault.element) = (Some(T::MEMBERS[n]), None);
            object.member(n, &mut map, fault)?;
            fault.member = None;
        }
        Ok(object)
    }
}

struct Name<'f, T>(&'f mut Fault, PhantomData<T>);

impl<'de, T: Object> DeserializeSeed<'de> for Name<'_, T> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl<T: Object> Visitor<'_> for Name<'_, T> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        let known = T::MEMBERS.iter().position(|(known, _)| *known == name);
        if known.is_some() || T::LENIENT {
            return Ok(known);
        }
        let known: Vec<&str> = T::MEMBERS.iter().map(|(name, _)| *name).collect();
        let name: String = name.chars().take(64).collect();
        let detail = format!("There is no member `{name}` here. There are: {}.", known.join(", "));
        let pointer = format!("/{}", escaped(&name));
        Err(self.0.is(Problem::new(Kind::BadJson, detail).at(At::Pointer(pointer))))
    }
}

/// Calls `each` with every text of an array of strings.
pub struct EachText<'f, F>(pub &'f mut Fault, pub F);

impl<'de, F> DeserializeSeed<'de> for EachText<'_, F>
where
    F: FnMut(usize, &str) -> Result<(), Problem>,
{
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de, F> Visitor<'de> for EachText<'_, F>
where
    F: FnMut(usize, &str) -> Result<(), Problem>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an array of strings")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        for n in 0.. {
            self.0.element = Some(n);
            let Some(checked) = seq.next_element_seed(OneText(n, &mut self.1))? else { break };
            checked.map_err(|problem| self.0.is::<A::Error>(problem))?;
        }
        self.0.element = None;
        Ok(())
    }
}

struct OneText<'f, F>(usize, &'f mut F);

impl<'de, F> DeserializeSeed<'de> for OneText<'_, F>
where
    F: FnMut(usize, &str) -> Result<(), Problem>,
{
    type Value = Result<(), Problem>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl<F> Visitor<'_> for OneText<'_, F>
where
    F: FnMut(usize, &str) -> Result<(), Problem>,
{
    type Value = Result<(), Problem>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok((self.1)(self.0, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Pair {
        name: String,
        texts: Vec<String>,
    }

    impl Object for Pair {
        const MEMBERS: &'static [(&'static str, &'static str)] =
            &[("name", "a string"), ("texts", "an array of strings")];
        const EXAMPLE: &'static str = r#"{"name": "x"}"#;

        fn member<'de, A: MapAccess<'de>>(
            &mut self,
            n: usize,
            map: &mut A,
            fault: &mut Fault,
        ) -> Result<(), A::Error> {
            if n == 0 {
                self.name = map.next_value()?;
                return Ok(());
            }
            let texts = &mut self.texts;
            map.next_value_seed(EachText(fault, |_, text: &str| {
                texts.push(text.to_owned());
                Ok(())
            }))
        }
    }

    fn read(body: &[u8], piece: usize) -> Result<Pair, Problem> {
        let mut blocks = Blocks::default();
        body.chunks(piece).for_each(|piece| blocks.push(piece));
        blocks.parse(Pair::default())
    }

    #[test]
    fn an_object_is_read_whatever_its_pieces() {
        let body = "\u{feff}{\"texts\": [\"\u{e9}\", \"\\u0041\"], \"name\": \"n\"} ".as_bytes();
        for piece in [1, 2, 3, 100] {
            let want = Pair { name: "n".into(), texts: vec!["\u{e9}".into(), "A".into()] };
            assert_eq!(read(body, piece), Ok(want), "pieces of {piece}");
        }
        let long = format!(r#"{{"texts": ["{}"], "name": "n"}}"#, "x".repeat(BLOCK));
        assert_eq!(read(long.as_bytes(), 1000).map(|pair| pair.texts[0].len()), Ok(BLOCK));
    }

    #[test]
    fn what_does_not_fit_is_pointed_at() {
        let at = |body: &str| {
            let problem = read(body.as_bytes(), 100).expect_err(body);
            let At::Pointer(pointer) = problem.at else { panic!("no pointer: {problem:?}") };
            (problem.kind, pointer)
        };
        assert_eq!(at(r#"{"texts": ["a", 1]}"#), (Kind::BadInput, "/texts/1".into()));
        assert_eq!(at(r#"{"texts": [["a"]]}"#), (Kind::BadInput, "/texts/0".into()));
        assert_eq!(at(r#"{"texts": "a"}"#), (Kind::BadJson, "/texts".into()));
        assert_eq!(at(r#"{"name": 1}"#), (Kind::BadJson, "/name".into()));
        assert_eq!(at(r#"{"name": "a", "name": "b"}"#), (Kind::BadJson, "/name".into()));
        assert_eq!(at(r#"{"a/b": 1}"#), (Kind::BadJson, "/a~1b".into()));
        assert_eq!(at("[]"), (Kind::BadJson, String::new()));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for body in ["", "{", "{}x", r#"{"name": "\ud800"}"#, r#"{"name": tru}"#] {
            let problem = read(body.as_bytes(), 100).expect_err(body);
            assert_eq!((problem.kind, problem.at), (Kind::BadJson, At::Nowhere), "{body}");
        }
        assert_eq!(read(b"{\"name\": \"\xff\"}", 3).expect_err("bytes").kind, Kind::NotUtf8);
    }
}
