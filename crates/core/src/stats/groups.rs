//! The answer to a question, gathered from stored rows, from requests that ended since, and from open
//! ones.

use std::collections::HashMap;
use std::fmt;

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
    /// Of those that the question asks the times of.
    pub times: Spans,
}

impl Group {
    pub fn active(&self) -> u64 {
        self.waiting + self.running
    }

    pub fn total(&self) -> u64 {
        self.ended.iter().sum::<u64>() + self.active()
    }

    fn merge(&mut self, other: &Self) {
        for (mine, more) in self.ended.iter_mut().zip(other.ended) {
            *mine += more;
        }
        self.waiting += other.waiting;
        self.running += other.running;
        self.inputs += other.inputs;
        self.failed += other.failed;
        self.cached += other.cached;
        self.times.merge(&other.times);
    }
}

/// What a group is of: the value of one dimension.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    Model(String),
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
pub type Rows = Vec<(Vec<Value>, Box<Group>)>;

/// An answer in the making.
pub struct Groups {
    query: Query,
    models: Vec<String>,
    /// Boxed: they are large, and moved when the map grows and when they are sorted.
    groups: HashMap<Key, Box<Group>>,
    /// Of the last day that was asked for: finding it takes the calendar.
    month: (Day, Day),
}

impl Groups {
    pub fn new(query: Query) -> Self {
        let (models, groups) = (Vec::new(), HashMap::new());
        Self { query, models, groups, month: (Day::FIRST, Day::FIRST) }
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
    pub fn add_ended(&mut self, request: &EndedRequest) {
        let person = Person { id: request.principal, auth: request.auth };
        let (auth, day) = (Some(request.auth), request.day());
        let (model, size) = (request.model.as_str(), request.size());
        let point = Point { model, person: Some(person), auth, day, size };
        if !(self.query.takes_ended(request.how) && self.takes_live(&point)) {
            return;
        }
        let by = self.query.by.includes(request.how);
        let group = self.group(&point);
        group.ended[request.how as usize] += 1;
        group.inputs += request.inputs;
        group.failed += request.failed;
        group.cached += request.cached;
        if by {
            group.times.add(request);
        }
    }

    pub fn add_open(&mut self, open: &OpenRequests) {
        let person = open.principal.map(|id| Person { id, auth: open.auth });
        let (auth, day, size) = (Some(open.auth), open.day, open.size);
        let point = Point { model: &open.model, person, auth, day, size };
        if !(self.query.takes_open(open.running) && self.takes_live(&point)) {
            return;
        }
        let group = self.group(&point);
        *if open.running { &mut group.running } else { &mut group.waiting } += open.requests;
        group.inputs += open.inputs;
        group.failed += open.failed;
        group.cached += open.cached;
    }

    /// The groups in the order of what they are of, and all of them together.
    pub fn finish(self) -> (Rows, Group) {
        let mut total = Group::default();
        let mut rows = Vec::with_capacity(self.groups.len());
        for (key, group) in self.groups {
            total.merge(&group);
            let values = self.query.group_by.iter();
            let values = values.map(|dimension| key.value(*dimension, &self.models));
            rows.push((values.collect::<Vec<_>>(), group));
        }
        rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        (rows, total)
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
        let query = &self.query;
        let takes = How::ALL.map(|how| query.takes_ended(how));
        let by = How::ALL.map(|how| takes[how as usize] && query.by.includes(how));
        let mut group = None;
        for how in How::ALL.map(|how| how as usize) {
            let Counts { requests, inputs, failed, cached } = counts(&mut bytes)?;
            if requests == 0 {
                continue;
            }
            if takes[how] {
                if group.is_none() {
                    group = Some(self.key(point));
                }
                let Some(key) = group else { continue };
                let group = self.groups.entry(key).or_default();
                grow(&mut group.ended[how], requests)?;
                grow(&mut group.inputs, inputs)?;
                grow(&mut group.failed, failed)?;
                grow(&mut group.cached, cached)?;
                if by[how] {
                    group.times.add_encoded(&mut bytes)?;
                    continue;
                }
            }
            Spans::skip_encoded(&mut bytes)?;
        }
        Ok(())
    }

    fn group(&mut self, point: &Point<'_>) -> &mut Group {
        let key = self.key(point);
        self.groups.entry(key).or_default()
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

    /// The place of a model among those that were seen: there are few.
    fn model(&mut self, model: &str) -> usize {
        let seen = self.models.iter().position(|seen| seen == model);
        seen.unwrap_or_else(|| {
            self.models.push(model.to_owned());
            self.models.len() - 1
        })
    }

    fn month(&mut self, day: Day) -> Day {
        if self.month.0 != day {
            self.month = (day, day.start(super::Grain::Month));
        }
        self.month.1
    }
}

impl Key {
    fn value(&self, dimension: Dimension, models: &[String]) -> Value {
        let person = |id: u128| (id != 0).then(|| PrincipalId(uuid::Uuid::from_u128(id)));
        match dimension {
            Dimension::Model => Value::Model(models.get(self.model).cloned().unwrap_or_default()),
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
