//! The answer to a question, gathered from stored rows, from requests that ended since, and from open
//! ones.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;

use super::bytes::{Corrupt, grow};
use super::period::Day;
use super::query::{Dimension, Query, Read};
use super::tally::{Counts, EndedRequest, Spans, counts, entries};
use super::{AuthType, How, class_name};
use crate::PrincipalId;

/// What was counted of a group of requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// By [`How`].
    pub ended: [u64; 3],
    pub waiting: u64,
    pub running: u64,
    pub inputs: u64,
    pub failed: u64,
    pub cached: u64,
    measured: Measured,
}

/// Times of a group. Of many groups few are shown: what was stored is read when it is asked for.
#[derive(Clone, Debug, Default)]
struct Measured {
    /// Encoded spans; nothing: empty bytes.
    stored: Box<[u8]>,
    more: Option<Box<Spans>>,
}

impl Group {
    pub fn active(&self) -> u64 {
        self.waiting + self.running
    }

    pub fn total(&self) -> u64 {
        self.ended.iter().sum::<u64>() + self.active()
    }

    /// Of those that the question asks the times of.
    pub fn times(&self) -> Spans {
        self.measured.spans()
    }

    fn add(&mut self, other: &Self) -> Result<(), Corrupt> {
        for (mine, more) in self.ended.iter_mut().zip(other.ended) {
            grow(mine, more)?;
        }
        for (mine, more) in [
            (&mut self.waiting, other.waiting),
            (&mut self.running, other.running),
            (&mut self.inputs, other.inputs),
            (&mut self.failed, other.failed),
            (&mut self.cached, other.cached),
        ] {
            grow(mine, more)?;
        }
        self.measured.add(&other.measured)
    }
}

impl Measured {
    fn spans(&self) -> Spans {
        let mut spans = self.more.as_deref().cloned().unwrap_or_default();
        if !self.stored.is_empty() {
            let read = spans.add_encoded(&mut &*self.stored);
            debug_assert_eq!(read, Ok(()), "it was read into the sum of all groups before");
        }
        spans
    }

    fn add(&mut self, other: &Self) -> Result<(), Corrupt> {
        if self.stored.is_empty() && self.more.is_none() {
            *self = other.clone();
            return Ok(());
        }
        if !other.stored.is_empty() {
            self.more.get_or_insert_default().add_encoded(&mut &*other.stored)?;
        }
        if let Some(more) = &other.more {
            self.more.get_or_insert_default().merge(more);
        }
        Ok(())
    }
}

/// However they are held.
impl PartialEq for Measured {
    fn eq(&self, other: &Self) -> bool {
        self.spans() == other.spans()
    }
}

impl Eq for Measured {}

/// What a group is of: the value of one dimension.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    Model(Arc<str>),
    Day(Day),
    /// By its Monday.
    Week(Day),
    /// By its first day.
    Month(Day),
    /// An account, or an anonymous session; nobody for those of the other kind.
    Person(Option<PrincipalId>),
    AuthType(AuthType),
    InputSize(u8),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(model) => f.write_str(model),
            Self::Day(day) => day.fmt(f),
            Self::Week(day) => f.write_str(&day.week_name()),
            Self::Month(day) => f.write_str(&day.month_name()),
            Self::Person(Some(id)) => id.fmt(f),
            Self::Person(None) => Ok(()),
            Self::AuthType(auth) => auth.fmt(f),
            Self::InputSize(size) => f.write_str(&class_name(*size)),
        }
    }
}

/// Who submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person {
    pub id: PrincipalId,
    pub auth: AuthType,
}

/// A stored row: of a model or of a person.
pub struct StoredRow<'r> {
    pub model: Option<&'r str>,
    pub person: Option<Person>,
    /// The first day of its period.
    pub period: Day,
    /// An encoded tally; if its read wants detail, an encoded detail.
    pub bytes: &'r [u8],
}

/// Open requests that are alike.
#[derive(Clone, Debug)]
pub struct OpenRequests {
    pub model: String,
    /// Absent if it was not asked who submitted.
    pub principal: Option<PrincipalId>,
    pub auth: AuthType,
    pub running: bool,
    pub day: Day,
    pub size: u8,
    pub requests: u64,
    pub inputs: u64,
    pub failed: u64,
    pub cached: u64,
}

/// What is grouped by; what is not has one value for all.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    model: usize,
    day: i32,
    week: i32,
    month: i32,
    user: u128,
    session: u128,
    auth: Option<AuthType>,
    size: u8,
}

/// What one request, or several that are alike, are of.
struct Point<'p> {
    model: &'p str,
    person: Option<Person>,
    auth: Option<AuthType>,
    day: Day,
    size: u8,
}

/// Groups, each with what it is of.
pub type Rows = Vec<(Vec<Value>, Group)>;

/// An answer in the making.
pub struct Groups {
    query: Query,
    models: Vec<Arc<str>>,
    groups: HashMap<Key, Group>,
    /// All of them together.
    total: Group,
    /// The place of the model that was asked for last: they mostly come in the same order.
    last_model: usize,
    /// Of the last day that was asked for: finding it takes the calendar.
    month: (Day, Day),
}

impl Groups {
    pub fn new(query: Query) -> Self {
        // The sum reads what is stored: what cannot be read is found.
        let measured = Measured { more: Some(Box::default()), ..Measured::default() };
        Self {
            query,
            models: Vec::new(),
            groups: HashMap::new(),
            total: Group { measured, ..Group::default() },
            last_model: 0,
            month: (Day::FIRST, Day::FIRST),
        }
    }

    pub fn query(&self) -> &Query {
        &self.query
    }

    /// Adds a row that `read` asked for.
    pub fn add_row(&mut self, read: &Read, row: &StoredRow<'_>) -> Result<(), Corrupt> {
        if let Some(person) = row.person
            && !(self.query.takes_auth(person.auth)
                && self.query.takes_person(person.id, person.auth))
        {
            return Ok(());
        }
        let model = row.model.unwrap_or_default();
        if !read.detail {
            if row.model.is_some() && !self.query.takes_model(model) {
                return Ok(());
            }
            let (person, day) = (row.person, row.period);
            let auth = person.map(|person| person.auth);
            return self.add_tally(&Point { model, person, auth, day, size: 0 }, row.bytes);
        }
        entries(row.bytes, |entry| {
            let day = Day(row.period.0 + i32::from(entry.day));
            let model = row.model.unwrap_or(entry.model);
            let (person, auth) = (row.person, Some(entry.auth));
            let point = Point { model, person, auth, day, size: entry.size };
            // A row that does not tell days apart was asked for as a whole.
            if read.days.contains(&day) && self.takes(&point) {
                self.add_tally(&point, entry.tally)?;
            }
            Ok(())
        })
    }

    /// Adds a request that ended and is in no stored row.
    pub fn add_ended(&mut self, request: &EndedRequest) -> Result<(), Corrupt> {
        let person = Person { id: request.principal, auth: request.auth };
        let (auth, day) = (Some(request.auth), request.day());
        let (model, size) = (request.model.as_str(), request.size());
        let point = Point { model, person: Some(person), auth, day, size };
        if !(self.query.takes_ended(request.how) && self.takes_live(&point)) {
            return Ok(());
        }
        let mut ended = [0; 3];
        ended[request.how as usize] = 1;
        let mut group = Group {
            ended,
            inputs: request.inputs,
            failed: request.failed,
            cached: request.cached,
            ..Group::default()
        };
        if self.query.by.includes(request.how) {
            group.measured.more.get_or_insert_default().add(request);
        }
        self.add(&point, group)
    }

    pub fn add_open(&mut self, open: &OpenRequests) -> Result<(), Corrupt> {
        let person = open.principal.map(|id| Person { id, auth: open.auth });
        let (auth, day, size) = (Some(open.auth), open.day, open.size);
        let point = Point { model: &open.model, person, auth, day, size };
        if !(self.query.takes_open(open.running) && self.takes_live(&point)) {
            return Ok(());
        }
        let (waiting, running) = if open.running { (0, open.requests) } else { (open.requests, 0) };
        let OpenRequests { inputs, failed, cached, .. } = *open;
        let group = Group { waiting, running, inputs, failed, cached, ..Group::default() };
        self.add(&point, group)
    }

    /// The groups in the order of what they are of, and all of them together.
    pub fn finish(self) -> (Rows, Group) {
        let mut rows = Vec::with_capacity(self.groups.len());
        for (key, group) in self.groups {
            let values = self.query.group_by.iter();
            let values = values.map(|dimension| key.value(*dimension, &self.models));
            rows.push((values.collect::<Vec<_>>(), group));
        }
        rows.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        (rows, self.total)
    }

    fn takes(&self, point: &Point<'_>) -> bool {
        let query = &self.query;
        query.takes_model(point.model)
            && query.takes_size(point.size)
            && point.auth.is_none_or(|auth| query.takes_auth(auth))
    }

    fn takes_live(&self, point: &Point<'_>) -> bool {
        let is_ours = |person: Person| self.query.takes_person(person.id, person.auth);
        let on_time = self.query.days.contains(&point.day);
        on_time && self.takes(point) && point.person.is_none_or(is_ours)
    }

    fn add_tally(&mut self, point: &Point<'_>, mut bytes: &[u8]) -> Result<(), Corrupt> {
        let mut group = Group::default();
        for how in How::ALL {
            let Counts { requests, inputs, failed, cached } = counts(&mut bytes)?;
            if requests == 0 {
                continue;
            }
            let spans = bytes;
            Spans::skip_encoded(&mut bytes)?;
            if !self.query.takes_ended(how) {
                continue;
            }
            let mut one = Group { inputs, failed, cached, ..Group::default() };
            one.ended[how as usize] = requests;
            if self.query.by.includes(how) {
                one.measured.stored = spans[..spans.len() - bytes.len()].into();
            }
            group.add(&one)?;
        }
        if group.total() == 0 { Ok(()) } else { self.add(point, group) }
    }

    fn add(&mut self, point: &Point<'_>, group: Group) -> Result<(), Corrupt> {
        self.total.add(&group)?;
        let key = self.key(point);
        match self.groups.entry(key) {
            Entry::Vacant(new) => {
                new.insert(group);
                Ok(())
            }
            Entry::Occupied(mut known) => known.get_mut().add(&group),
        }
    }

    fn key(&mut self, point: &Point<'_>) -> Key {
        let mut key =
            Key { model: 0, day: 0, week: 0, month: 0, user: 0, session: 0, auth: None, size: 0 };
        let of = |auth| point.person.filter(|p| p.auth == auth).map_or(0, |p| p.id.0.as_u128());
        for n in 0..self.query.group_by.len() {
            match self.query.group_by[n] {
                Dimension::Model => key.model = self.model(point.model),
                Dimension::Day => key.day = point.day.0,
                Dimension::Week => key.week = point.day.monday().0,
                Dimension::Month => key.month = self.month(point.day).0,
                Dimension::User => key.user = of(AuthType::Account),
                Dimension::Session => key.session = of(AuthType::Anonymous),
                Dimension::AuthType => key.auth = point.auth,
                Dimension::InputSize => key.size = point.size,
            }
        }
        key
    }

    /// The place of a model among those that were seen.
    fn model(&mut self, model: &str) -> usize {
        let all = self.models.len();
        let after_last = (0..all).map(|n| (self.last_model + 1 + n) % all);
        let place = after_last.into_iter().find(|place| *self.models[*place] == *model);
        self.last_model = place.unwrap_or_else(|| {
            self.models.push(model.into());
            all
        });
        self.last_model
    }

    fn month(&mut self, day: Day) -> Day {
        if self.month.0 != day {
            self.month = (day, day.start(super::Grain::Month));
        }
        self.month.1
    }
}

impl Key {
    fn value(&self, dimension: Dimension, models: &[Arc<str>]) -> Value {
        let person = |id: u128| (id != 0).then(|| PrincipalId(uuid::Uuid::from_u128(id)));
        match dimension {
            Dimension::Model => Value::Model(models[self.model].clone()),
            Dimension::Day => Value::Day(Day(self.day)),
            Dimension::Week => Value::Week(Day(self.week)),
            Dimension::Month => Value::Month(Day(self.month)),
            Dimension::User => Value::Person(person(self.user)),
            Dimension::Session => Value::Person(person(self.session)),
            Dimension::AuthType => Value::AuthType(self.auth.unwrap_or(AuthType::Anonymous)),
            Dimension::InputSize => Value::InputSize(self.size),
        }
    }
}
