//! Answers to questions.

use std::collections::HashMap;

use muster_core::stats::{
    Day, EndedRequest, Grain, Group, Groups, OpenRequests, Person, Query, Read, Rows, Source,
    StoredRow,
};
use muster_core::{PhaseName, PrincipalId};
use uuid::Uuid;

use super::fold::name;
use super::{EndedRow, Snapshot, auth, ended, ended_columns, to_the_end, unreadable};
use crate::batch::{self, Hex};
use crate::conn::Conn;
use crate::statement::rows;
use crate::{Error, Store, dialect};

const READ_PEOPLE: &str = "SELECT principal_id, auth_type, period, \
     CASE WHEN $4 THEN detail ELSE total END \
     FROM person_statistic WHERE grain = $1 AND period >= $2 AND period < $3";

const ENDED: &str = concat!("SELECT ", ended_columns!(), " FROM ended");

const CLAIMED: &str = "SELECT id FROM principal WHERE claimed_by = $1";

type OpenRow = (String, Option<Uuid>, String, String, i64, i64, i64, i64, i64, i64);

/// The groups in the order of what they are of, and all of them together.
pub struct Answer {
    pub rows: Rows,
    pub total: Group,
}

/// Rows that one read found.
enum Found {
    /// A period, and its models with what is stored of them, in words with blanks between: a year of
    /// days would be very many rows.
    Models(Vec<(i64, String)>),
    People(Vec<(Uuid, String, i64, Vec<u8>)>),
}

/// What an answer is made of, of one moment.
struct Material {
    stored: Vec<(Read, Found)>,
    ended: Vec<EndedRow>,
    open: Vec<OpenRow>,
}

impl Store {
    pub async fn statistics(&self, query: Query) -> Result<Answer, Error> {
        let reads = query.reads();
        self.answer_from(query, reads).await
    }

    /// From certain stored rows.
    pub(super) async fn answer_from(
        &self,
        query: Query,
        reads: Vec<Read>,
    ) -> Result<Answer, Error> {
        let inner = self.inner.clone();
        to_the_end(async move {
            let mut snapshot = Snapshot::begin(&inner.db).await?;
            let material = gather(&mut snapshot.0, &query, reads).await;
            let material = snapshot.end(material).await?;
            tokio::task::spawn_blocking(move || answer(query, material))
                .await
                .map_err(Error::unavailable)?
        })
        .await
    }

    /// The anonymous sessions whose requests an account claimed.
    pub async fn claimed_sessions(&self, account: PrincipalId) -> Result<Vec<PrincipalId>, Error> {
        let mut conn = self.inner.db.read().await?;
        let found: Vec<(Uuid,)> = rows!(&mut conn, CLAIMED, account.0);
        Ok(found.into_iter().map(|(id,)| PrincipalId(id)).collect())
    }

    /// The names of those that have an account.
    pub async fn account_names(
        &self,
        ids: &[PrincipalId],
    ) -> Result<HashMap<PrincipalId, String>, Error> {
        let mut conn = self.inner.db.read().await?;
        let names = dialect::statistics(conn.is_postgres()).names;
        let mut all = HashMap::new();
        for ids in batch::texts(ids.iter().map(|id| Hex(id.0.as_bytes())))? {
            let found: Vec<(Uuid, String)> = rows!(&mut conn, names, ids);
            all.extend(found.into_iter().map(|(id, name)| (PrincipalId(id), name)));
        }
        Ok(all)
    }
}

async fn gather(conn: &mut Conn, query: &Query, reads: Vec<Read>) -> Result<Material, Error> {
    let people: Vec<_> = query.users.iter().chain(&query.sessions).collect();
    let mut stored = Vec::with_capacity(reads.len());
    for read in reads {
        let found = match read.source {
            Source::Models => {
                let statement = dialect::statistics(conn.is_postgres()).read_models;
                let (from, until) = (i64::from(read.from.0), i64::from(read.until.0));
                let grain = name(read.grain);
                Found::Models(rows!(conn, statement, grain, from, until, read.detail))
            }
            Source::People if people.is_empty() => Found::People(found_people(conn, &read).await?),
            Source::People => {
                let statement = dialect::statistics(conn.is_postgres()).read_some;
                let mut all = Vec::new();
                for ids in batch::texts(people.iter().map(|id| Hex(id.0.as_bytes())))? {
                    let grain = name(read.grain);
                    let (from, until) = (i64::from(read.from.0), i64::from(read.until.0));
                    let some: Vec<(Uuid, String, i64, Vec<u8>)> =
                        rows!(conn, statement, grain, from, until, read.detail, ids);
                    all.extend(some);
                }
                Found::People(all)
            }
        };
        stored.push((read, found));
    }
    let ended = rows!(conn, ENDED);
    let open = dialect::statistics(conn.is_postgres()).open;
    let open = rows!(conn, open, query.is_of_people());
    Ok(Material { stored, ended, open })
}

async fn found_people(
    conn: &mut Conn,
    read: &Read,
) -> Result<Vec<(Uuid, String, i64, Vec<u8>)>, Error> {
    let (from, until) = (i64::from(read.from.0), i64::from(read.until.0));
    Ok(rows!(conn, READ_PEOPLE, name(read.grain), from, until, read.detail))
}

fn answer(query: Query, material: Material) -> Result<Answer, Error> {
    let mut groups = Groups::new(query);
    for (read, found) in &material.stored {
        match found {
            Found::Models(rows) => {
                let mut bytes = Vec::new();
                for (period, words) in rows {
                    let period = Day(*period as i32);
                    let mut words = words.split(' ');
                    while let (Some(model), Some(digits)) = (words.next(), words.next()) {
                        batch::unhex(digits, &mut bytes)?;
                        let (model, bytes) = (Some(model), bytes.as_slice());
                        let row = StoredRow { model, person: None, period, bytes };
                        groups.add_row(read, &row).map_err(unreadable)?;
                    }
                }
            }
            Found::People(rows) => {
                for (id, kind, period, bytes) in rows {
                    let person = Some(Person { id: PrincipalId(*id), auth: auth(kind)? });
                    let row = StoredRow { model: None, person, period: Day(*period as i32), bytes };
                    groups.add_row(read, &row).map_err(unreadable)?;
                }
            }
        }
    }
    for row in material.ended {
        let request: EndedRequest = ended(row)?;
        groups.add_ended(&request);
    }
    for row in material.open {
        groups.add_open(&open(row)?);
    }
    let (rows, total) = groups.finish();
    Ok(Answer { rows, total })
}

fn open(row: OpenRow) -> Result<OpenRequests, Error> {
    let (model, principal, kind, phase, day, size, requests, inputs, failed, cached) = row;
    Ok(OpenRequests {
        model,
        principal: principal.map(PrincipalId),
        auth: auth(&kind)?,
        running: crate::requests::phase(&phase)? == PhaseName::Running,
        day: Day(day as i32),
        size: size as u8,
        requests: requests as u64,
        inputs: inputs as u64,
        failed: failed as u64,
        cached: cached as u64,
    })
}

/// All stored rows of one grain.
pub(super) fn everything(source: Source, grain: Grain, detail: bool) -> Vec<Read> {
    let (from, until) = (Day::FIRST, Day::END);
    vec![Read { source, grain, from, until, days: from..until, detail }]
}
