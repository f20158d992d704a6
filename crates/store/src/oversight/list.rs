//! A page of everybody's requests, whatever the filter, in bounded time.
//!
//! A filter may fit one request in a million. So a page looks at stretches of requests, each longer than
//! the one before, until it is full, there are no more, or [`MOST`] were looked at: then it is cut, and
//! says where to go on. For each stretch, the ways that could find what the filter wants (by person, by
//! model, what failed, what is open, all) compete: an index alone says how far each gets with so many
//! requests, and the one that gets furthest is gone.

use muster_core::stats::AuthType;
use muster_core::{ModelId, PhaseName, PrincipalId, RequestId, Timestamp};
use uuid::Uuid;

use super::Overseen;
use crate::db::Ts;
use crate::db::clock::{LATEST, first_id, last_id};
use crate::db::conn::Conn;
use crate::db::dialect::{Walk, walks};
use crate::db::statement::{row, rows};
use crate::db::text::one_of;
use crate::{Error, Store};

/// Requests that one page looks at.
const MOST: usize = 4096;
/// How much longer each stretch is.
const LONGER: usize = 4;

/// Which requests to list. What is empty or absent restricts nothing.
#[derive(Clone, Debug, Default)]
pub struct OversightFilter {
    /// Accounts and anonymous sessions.
    pub people: Vec<PrincipalId>,
    pub models: Vec<ModelId>,
    pub phases: Vec<PhaseName>,
    pub auth: Option<AuthType>,
    /// Submitted then or later.
    pub from: Option<Timestamp>,
    /// Submitted before.
    pub until: Option<Timestamp>,
    /// The oldest first.
    pub oldest_first: bool,
    /// Only those that come after this one.
    pub after: Option<RequestId>,
    /// 1 to 1000.
    pub limit: u32,
}

pub struct OversightPage {
    pub items: Vec<Overseen>,
    /// Where the next page starts, if there may be one.
    pub next: Option<RequestId>,
    /// It looked at as many requests as it may before it was full.
    pub cut: bool,
}

/// A way to find requests.
struct Way<'w> {
    walk: &'w Walk,
    /// What it goes along, for `$1`.
    list: Option<&'w str>,
    parts: usize,
}

impl Way<'_> {
    /// How many requests of each part a stretch of this length may have.
    fn each(&self, length: usize) -> i64 {
        (length / self.parts.max(1)).max(1) as i64
    }
}

/// The lists and limits of a filter, as the statements read them.
struct Wanted {
    people: Option<String>,
    models: Option<String>,
    phases: Option<String>,
    auth: Option<&'static str>,
    from: Ts,
    until: Ts,
}

/// The ids that are still to be looked at.
#[derive(Clone, Copy)]
struct Range {
    low: Uuid,
    high: Uuid,
    oldest_first: bool,
}

impl Range {
    fn of(filter: &OversightFilter) -> Self {
        let low = filter.from.map_or(Uuid::nil(), first_id);
        let high = filter.until.map_or(Uuid::max(), last_id);
        let range = Self { low, high, oldest_first: filter.oldest_first };
        filter.after.map_or(range, |after| range.after(after.0))
    }

    /// What comes after an id.
    fn after(self, id: Uuid) -> Self {
        if self.oldest_first {
            Self { low: self.low.max(id), ..self }
        } else {
            Self { high: self.high.min(id), ..self }
        }
    }

    /// What comes before it, and the id itself.
    fn up_to(self, edge: Option<Uuid>) -> Self {
        match edge {
            None => self,
            Some(edge) if self.oldest_first => Self { high: edge, ..self },
            Some(edge) => Self { low: edge, ..self },
        }
    }

    fn is_further(self, edge: Uuid, than: Uuid) -> bool {
        if self.oldest_first { edge > than } else { edge < than }
    }
}

impl Store {
    /// In the order of submission.
    pub async fn list_all_requests(
        &self,
        filter: &OversightFilter,
    ) -> Result<OversightPage, Error> {
        let limit = filter.limit.clamp(1, 1000) as usize;
        let wanted = Wanted::new(filter);
        let ways = self.ways(filter, &wanted);
        let mut conn = self.inner.db.read().await?;
        let (mut range, mut found) = (Range::of(filter), Vec::new());
        let (mut looked, mut length) = (0, 2 * (limit + 1));
        let cut = loop {
            let (way, edge) = furthest(&mut conn, &ways, range, length).await?;
            let most = limit + 1 - found.len();
            let stretch = (range.up_to(edge), way.each(length));
            found.extend(scan(&mut conn, way, stretch, &wanted, most).await?);
            let Some(edge) = edge.filter(|_| found.len() <= limit) else { break None };
            range = range.after(edge);
            looked += length;
            if looked >= MOST {
                break Some(edge);
            }
            length = (length * LONGER).min(MOST - looked);
        };
        let more = found.len() > limit;
        found.truncate(limit);
        let next = if more { found.last().copied() } else { cut };
        let cut = cut.is_some() && found.len() < limit;
        let items = super::overseen(&mut conn, &found).await?;
        Ok(OversightPage { items, next: next.map(RequestId), cut })
    }

    /// The ways that find all that the filter wants.
    fn ways<'w>(&self, filter: &OversightFilter, wanted: &'w Wanted) -> Vec<Way<'w>> {
        let walks = walks(self.inner.db.is_postgres());
        let direction = usize::from(filter.oldest_first);
        let only = |all: [PhaseName; 2]| {
            !filter.phases.is_empty() && filter.phases.iter().all(|phase| all.contains(phase))
        };
        let models = wanted.models.as_deref();
        let mut ways = Vec::new();
        if only([PhaseName::Waiting, PhaseName::Running]) {
            let parts = if models.is_some() { filter.models.len() } else { self.models().len() };
            ways.push(Way { walk: &walks.open[direction], list: models, parts });
        }
        if only([PhaseName::Failed, PhaseName::Cancelled]) {
            let (walk, parts) = match models {
                Some(_) => (&walks.unfinished_of_models, filter.models.len()),
                None => (&walks.unfinished, 1),
            };
            ways.push(Way { walk: &walk[direction], list: models, parts });
        }
        if let Some(people) = wanted.people.as_deref() {
            let parts = filter.people.len();
            ways.push(Way { walk: &walks.people[direction], list: Some(people), parts });
        }
        if let Some(models) = models {
            let parts = filter.models.len();
            ways.push(Way { walk: &walks.models[direction], list: Some(models), parts });
        }
        ways.push(Way { walk: &walks.all[direction], list: None, parts: 1 });
        ways
    }
}

impl Wanted {
    fn new(filter: &OversightFilter) -> Self {
        let people: Vec<String> =
            filter.people.iter().map(|id| id.0.simple().to_string()).collect();
        let models: Vec<&str> = filter.models.iter().map(ModelId::as_str).collect();
        let phases: Vec<&str> = filter.phases.iter().map(|phase| phase.name()).collect();
        Self {
            people: one_of(&people),
            models: one_of(&models),
            phases: one_of(&phases),
            auth: filter.auth.map(AuthType::name),
            from: Ts(filter.from.unwrap_or(Timestamp(0))),
            until: Ts(filter.until.unwrap_or(LATEST)),
        }
    }
}

/// The way that gets furthest with so many requests, and to where; nothing: to the end.
async fn furthest<'w>(
    conn: &mut Conn,
    ways: &'w [Way<'w>],
    range: Range,
    length: usize,
) -> Result<(&'w Way<'w>, Option<Uuid>), Error> {
    let mut best: Option<(&Way<'_>, Uuid)> = None;
    for way in ways {
        let each = way.each(length) - 1;
        let edge: Option<(Uuid,)> =
            row!(conn, way.walk.edge, way.list, range.low, range.high, each);
        let Some((edge,)) = edge else { return Ok((way, None)) };
        if best.is_none_or(|(_, than)| range.is_further(edge, than)) {
            best = Some((way, edge));
        }
    }
    let (way, edge) = best.ok_or_else(|| Error::Refused("there is no way".into()))?;
    Ok((way, Some(edge)))
}

/// What fits of a stretch, which has at most so many requests of each part.
async fn scan(
    conn: &mut Conn,
    way: &Way<'_>,
    (range, each): (Range, i64),
    wanted: &Wanted,
    most: usize,
) -> Result<Vec<Uuid>, Error> {
    let some: Vec<(Uuid,)> = rows!(
        conn,
        way.walk.scan,
        way.list,
        range.low,
        range.high,
        most as i64,
        &wanted.models,
        &wanted.phases,
        &wanted.people,
        wanted.from,
        wanted.until,
        wanted.auth,
        each,
    );
    Ok(some.into_iter().map(|(id,)| id).collect())
}
