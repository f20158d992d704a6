//! What is counted of requests that ended, and how it is stored.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::bytes::{Corrupt, grow, put, put_text, take, take_text};
use super::period::Day;
use super::times::Times;
use super::{AuthType, How, size_class};
use crate::{PrincipalId, Timestamp};

/// A request that ended: all that statistics need of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedRequest {
    pub model: String,
    pub principal: PrincipalId,
    pub auth: AuthType,
    pub how: How,
    pub inputs: u64,
    pub failed: u64,
    pub cached: u64,
    pub submitted_at: Timestamp,
    /// When its first job was submitted, if any was.
    pub started_at: Option<Timestamp>,
    pub ended_at: Timestamp,
}

impl EndedRequest {
    /// It counts for the day it was submitted.
    pub fn day(&self) -> Day {
        Day::of(self.submitted_at)
    }

    pub fn size(&self) -> u8 {
        size_class(self.inputs)
    }
}

/// Counts and times of requests that ended in one way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub requests: u64,
    pub inputs: u64,
    pub failed: u64,
    pub cached: u64,
    pub times: Spans,
}

/// The three durations of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans {
    /// First job submitted to last result.
    pub job: Times,
    /// Request submitted to ended.
    pub total: Times,
    /// Request submitted to first job submitted.
    pub waiting: Times,
}

impl Spans {
    pub(super) fn add(&mut self, request: &EndedRequest) {
        let micros = |from: Timestamp, to: Timestamp| to.since(from).as_micros() as u64;
        self.total.add(micros(request.submitted_at, request.ended_at));
        if let Some(started) = request.started_at {
            self.job.add(micros(started, request.ended_at));
            self.waiting.add(micros(request.submitted_at, started));
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.job.merge(&other.job);
        self.total.merge(&other.total);
        self.waiting.merge(&other.waiting);
    }

    pub(super) fn add_encoded(&mut self, bytes: &mut &[u8]) -> Result<(), Corrupt> {
        self.job.add_encoded(bytes)?;
        self.total.add_encoded(bytes)?;
        self.waiting.add_encoded(bytes)
    }

    pub(super) fn skip_encoded(bytes: &mut &[u8]) -> Result<(), Corrupt> {
        for _ in 0..3 {
            Times::skip_encoded(bytes)?;
        }
        Ok(())
    }
}

/// Figures by how requests ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(pub [Figures; 3]);

impl Tally {
    pub fn add(&mut self, request: &EndedRequest) {
        let figures = &mut self.0[request.how as usize];
        figures.requests += 1;
        figures.inputs += request.inputs;
        figures.failed += request.failed;
        figures.cached += request.cached;
        figures.times.add(request);
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for figures in &self.0 {
            put(&mut out, figures.requests);
            if figures.requests == 0 {
                continue;
            }
            for number in [figures.inputs, figures.failed, figures.cached] {
                put(&mut out, number);
            }
            for times in [&figures.times.job, &figures.times.total, &figures.times.waiting] {
                times.encode(&mut out);
            }
        }
        out
    }

    /// Together with what was encoded before; nothing: empty bytes.
    pub fn encode_with(mut self, stored: &[u8]) -> Result<Vec<u8>, Corrupt> {
        if !stored.is_empty() {
            self.add_encoded(stored)?;
        }
        Ok(self.encode())
    }

    fn add_encoded(&mut self, mut bytes: &[u8]) -> Result<(), Corrupt> {
        for figures in &mut self.0 {
            let counts = counts(&mut bytes)?;
            if counts.requests == 0 {
                continue;
            }
            grow(&mut figures.requests, counts.requests)?;
            grow(&mut figures.inputs, counts.inputs)?;
            grow(&mut figures.failed, counts.failed)?;
            grow(&mut figures.cached, counts.cached)?;
            figures.times.add_encoded(&mut bytes)?;
        }
        Ok(())
    }
}

/// The numbers before the times of encoded figures; if there are no requests, no times follow.
pub(super) struct Counts {
    pub requests: u64,
    pub inputs: u64,
    pub failed: u64,
    pub cached: u64,
}

pub(super) fn counts(bytes: &mut &[u8]) -> Result<Counts, Corrupt> {
    let requests = take(bytes)?;
    if requests == 0 {
        return Ok(Counts { requests, inputs: 0, failed: 0, cached: 0 });
    }
    let (inputs, failed, cached) = (take(bytes)?, take(bytes)?, take(bytes)?);
    Ok(Counts { requests, inputs, failed, cached })
}

/// What a row of statistics is broken down by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// Empty in a row that is of one model.
    pub model: String,
    /// Days since the row's period began; 0 where that is not told apart.
    pub day: u16,
    pub auth: AuthType,
    pub size: u8,
}

/// A row, broken down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detail(pub BTreeMap<Slot, Tally>);

/// A part of an encoded detail.
pub(super) struct Entry<'b> {
    pub model: &'b str,
    pub day: u16,
    pub auth: AuthType,
    pub size: u8,
    /// An encoded tally.
    pub tally: &'b [u8],
}

impl Detail {
    /// Together with what was encoded before; nothing: empty bytes. Where nothing comes to it, that is
    /// copied as it is.
    pub fn encode_with(self, stored: &[u8]) -> Result<Vec<u8>, Corrupt> {
        let mut all: BTreeMap<(&str, u16, AuthType, u8), Cow<'_, [u8]>> = BTreeMap::new();
        entries(stored, |entry| {
            let slot = (entry.model, entry.day, entry.auth, entry.size);
            all.insert(slot, Cow::Borrowed(entry.tally));
            Ok(())
        })?;
        let (slots, tallies): (Vec<_>, Vec<_>) = self.0.into_iter().unzip();
        for (slot, tally) in slots.iter().zip(tallies) {
            let Slot { model, day, auth, size } = slot;
            let bytes = all.entry((model.as_str(), *day, *auth, *size)).or_default();
            *bytes = Cow::Owned(tally.encode_with(bytes)?);
        }
        let all: Vec<_> = all.into_iter().collect();
        let mut out = Vec::with_capacity(stored.len() + 64 * slots.len());
        for same in all.chunk_by(|(a, _), (b, _)| a.0 == b.0) {
            put_text(&mut out, same[0].0.0.as_bytes());
            put(&mut out, same.len() as u64);
            for ((_, day, auth, size), tally) in same {
                put(&mut out, u64::from(*day));
                put(&mut out, u64::from(*size) << 1 | *auth as u64);
                put_text(&mut out, tally);
            }
        }
        Ok(out)
    }
}

pub(super) fn entries<'b>(
    mut bytes: &'b [u8],
    mut each: impl FnMut(Entry<'b>) -> Result<(), Corrupt>,
) -> Result<(), Corrupt> {
    while !bytes.is_empty() {
        let model = std::str::from_utf8(take_text(&mut bytes)?).map_err(|_| Corrupt)?;
        for _ in 0..take(&mut bytes)? {
            let day = u16::try_from(take(&mut bytes)?).map_err(|_| Corrupt)?;
            let kind = take(&mut bytes)?;
            let auth = if kind & 1 == 0 { AuthType::Account } else { AuthType::Anonymous };
            let size = u8::try_from(kind >> 1).map_err(|_| Corrupt)?;
            each(Entry { model, day, auth, size, tally: take_text(&mut bytes)? })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request() -> impl Strategy<Value = EndedRequest> {
        let times =
            (0..1_000_000_000i64, prop::option::of(0..1_000_000_000i64), 0..1_000_000_000i64);
        (0..3usize, 1..2000u64, any::<bool>(), "[a-c]", times).prop_map(
            |(how, inputs, anonymous, model, (submitted, waited, worked))| EndedRequest {
                model,
                principal: PrincipalId(uuid::Uuid::from_u128(7)),
                auth: if anonymous { AuthType::Anonymous } else { AuthType::Account },
                how: How::ALL[how],
                inputs,
                failed: inputs / 3,
                cached: inputs / 2,
                submitted_at: Timestamp(submitted),
                started_at: waited.map(|waited| Timestamp(submitted + waited)),
                ended_at: Timestamp(submitted + waited.unwrap_or(0) + worked),
            },
        )
    }

    fn detail(requests: &[EndedRequest]) -> Detail {
        let mut detail = Detail::default();
        for request in requests {
            let (model, auth) = (request.model.clone(), request.auth);
            let slot = Slot { model, day: request.inputs as u16 % 31, auth, size: request.size() };
            detail.0.entry(slot).or_default().add(request);
        }
        detail
    }

    proptest! {
        #[test]
        fn what_is_stored_in_pieces_is_the_whole(
            one in prop::collection::vec(request(), 0..20),
            two in prop::collection::vec(request(), 0..20),
        ) {
            let mut stored = Vec::new();
            for piece in [&one, &two] {
                stored = detail(piece).encode_with(&stored).expect("bytes");
            }
            prop_assert_eq!(stored, detail(&[one, two].concat()).encode_with(&[]).expect("bytes"));
        }

        #[test]
        fn other_bytes_are_refused_or_read_but_never_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let read = [
                Detail::default().encode_with(&bytes),
                Tally::default().encode_with(&bytes),
            ];
            prop_assert!(read.iter().all(|read| matches!(read, Ok(_) | Err(Corrupt))));
        }
    }
}
