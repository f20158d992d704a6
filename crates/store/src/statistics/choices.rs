//! What there is to filter by: all models, all kinds of people, all people.

use std::collections::{BTreeMap, HashMap};

use muster_core::person::key;
use muster_core::stats::AuthType;
use muster_core::{PrincipalId, Timestamp};
use uuid::Uuid;

use super::{Snapshot, to_the_end};
use crate::db::Ts;
use crate::db::conn::Conn;
use crate::db::statement::{named_row, rows};
use crate::db::text::{self, pattern};
use crate::people::auth;
use crate::{Error, Store};

const MODELS: &str = "SELECT model_id, requests, last_at FROM model_seen";

const KINDS: &str = "SELECT auth_type, CAST(SUM(requests) AS BIGINT), MAX(last_at) \
     FROM person_seen GROUP BY auth_type";

const PEOPLE: &str = "SELECT s.principal_id, s.requests, s.last_at, a.name FROM person_seen s \
     LEFT JOIN account a ON a.principal_id = s.principal_id \
     WHERE s.auth_type = $1 \
     AND ($2 IS NULL OR s.principal_id > $2) \
     AND ($3 IS NULL OR a.name_key LIKE $3 ESCAPE '!' OR s.principal_id = $4) \
     ORDER BY s.principal_id LIMIT $5";

/// Not rolled up yet (through the index, not through all pages that ever had such a row), and open.
const LIVE: [&str; 2] = [
    "SELECT e.model_id, e.auth_type, e.principal_id, a.name, COUNT(*), MAX(e.ended_at) \
     FROM (SELECT * FROM ended ORDER BY request_id) e LEFT JOIN account a ON a.principal_id = e.principal_id \
     GROUP BY e.model_id, e.auth_type, e.principal_id, a.name",
    "SELECT r.model_id, p.kind, r.principal_id, a.name, COUNT(*), MAX(r.submitted_at) \
     FROM request r JOIN principal p ON p.id = r.principal_id \
     LEFT JOIN account a ON a.principal_id = r.principal_id WHERE r.ended_at IS NULL \
     GROUP BY r.model_id, p.kind, r.principal_id, a.name",
];

named_row! {
    struct LiveRow {
        model: String,
        kind: String,
        principal: Uuid,
        name: Option<String>,
        requests: i64,
        last_at: Ts,
    }
}

/// How many requests, and when the last one came or ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    pub requests: u64,
    /// Nothing if there were no requests.
    pub last_at: Option<Timestamp>,
}

impl Choice {
    fn add(&mut self, requests: i64, last: Ts) {
        self.requests += requests as u64;
        self.last_at = self.last_at.max(Some(last.0));
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonChoice {
    pub id: PrincipalId,
    /// Of an account that is still there.
    pub name: Option<String>,
    pub choice: Choice,
}

/// Which people to list, the oldest first.
#[derive(Clone, Debug, Default)]
pub struct ChoiceFilter {
    /// A part of a user name, or an id.
    pub search: Option<String>,
    /// Only accounts newer than this one.
    pub after_user: Option<PrincipalId>,
    /// Only anonymous sessions newer than this one.
    pub after_session: Option<PrincipalId>,
    pub limit: u32,
}

/// All there is to filter by; of users and sessions at most one more than the limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choices {
    pub models: BTreeMap<String, Choice>,
    pub kinds: BTreeMap<AuthType, Choice>,
    pub users: Vec<PersonChoice>,
    pub sessions: Vec<PersonChoice>,
}

impl Store {
    pub async fn statistics_choices(&self, filter: ChoiceFilter) -> Result<Choices, Error> {
        if let Some(search) = &filter.search {
            text::exact(search)?;
        }
        let catalogue = self.models();
        let inner = self.inner.clone();
        let mut choices = to_the_end(async move {
            let mut snapshot = Snapshot::begin(&inner.db).await?;
            let choices = gather(&mut snapshot.0, &filter).await;
            snapshot.end(choices).await
        })
        .await?;
        for model in catalogue.iter() {
            choices.models.entry(model.id.to_string()).or_default();
        }
        Ok(choices)
    }
}

async fn gather(conn: &mut Conn, filter: &ChoiceFilter) -> Result<Choices, Error> {
    let mut models: BTreeMap<String, Choice> = BTreeMap::new();
    let stored: Vec<(String, i64, Ts)> = rows!(conn, MODELS);
    for (model, requests, last) in stored {
        models.entry(model).or_default().add(requests, last);
    }
    let mut kinds =
        BTreeMap::from([AuthType::Account, AuthType::Anonymous].map(|k| (k, Choice::default())));
    let stored: Vec<(String, i64, Ts)> = rows!(conn, KINDS);
    for (kind, requests, last) in stored {
        kinds.entry(auth(&kind)?).or_default().add(requests, last);
    }
    let mut live: HashMap<(AuthType, Uuid), (Option<String>, Choice)> = HashMap::new();
    for statement in LIVE {
        let found: Vec<LiveRow> = rows!(conn, statement);
        for row in found {
            let (kind, requests, last) = (auth(&row.kind)?, row.requests, row.last_at);
            models.entry(row.model).or_default().add(requests, last);
            kinds.entry(kind).or_default().add(requests, last);
            let who = (kind, row.principal);
            let person = live.entry(who).or_insert((row.name, Choice::default()));
            person.1.add(requests, last);
        }
    }
    let users = people(conn, (AuthType::Account, filter.after_user), filter, &live).await?;
    let sessions = people(conn, (AuthType::Anonymous, filter.after_session), filter, &live).await?;
    Ok(Choices { models, kinds, users, sessions })
}

async fn people(
    conn: &mut Conn,
    (kind, after): (AuthType, Option<PrincipalId>),
    filter: &ChoiceFilter,
    live: &HashMap<(AuthType, Uuid), (Option<String>, Choice)>,
) -> Result<Vec<PersonChoice>, Error> {
    let after = after.map(|id| id.0);
    let search = filter.search.as_deref().map(key);
    let id = filter.search.as_deref().and_then(|text| text.parse::<Uuid>().ok());
    let most = filter.limit as usize + 1;
    let like = search.as_deref().map(pattern);
    let stored: Vec<(Uuid, i64, Ts, Option<String>)> =
        rows!(conn, PEOPLE, kind.name(), after, like, id, most as i64);
    // Those behind the page may be stored too: they come with their own page.
    let last = stored.last().filter(|_| stored.len() == most).map(|(id, ..)| *id);
    let mut all: BTreeMap<Uuid, (Option<String>, Choice)> = BTreeMap::new();
    for (id, requests, last, name) in stored {
        all.entry(id).or_insert((name, Choice::default())).1.add(requests, last);
    }
    for ((of, who), (name, choice)) in live {
        let found = search.as_deref().is_none_or(|part| {
            id == Some(*who) || name.as_deref().is_some_and(|name| key(name).contains(part))
        });
        let on_page =
            after.is_none_or(|after| *who > after) && last.is_none_or(|last| *who <= last);
        if *of != kind || !found || !on_page {
            continue;
        }
        let person = all.entry(*who).or_insert_with(|| (name.clone(), Choice::default()));
        person.1.requests += choice.requests;
        person.1.last_at = person.1.last_at.max(choice.last_at);
    }
    let person = |(id, (name, choice))| PersonChoice { id: PrincipalId(id), name, choice };
    Ok(all.into_iter().take(most).map(person).collect())
}
