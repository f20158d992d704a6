//! Answers to questions.

use std::collections::HashMap;

use muster_core::stats::{
    Day, EndedRequest, Grain, Group, Groups, OpenRequests, Person, Query, Read, Rows, Source,
    StoredRow,
};
use muster_core::{PhaseName, PrincipalId};
use uuid::Uuid;

use super::rollup::name;
use super::{EndedRow, Snapshot, ended, to_the_end, unreadable};
use crate::db::batch::{self, Hex};
use crate::db::conn::Conn;
use crate::db::dialect::{self, ended_columns};
use crate::db::statement::{named_row, rows};
use crate::people::auth;
use crate::{Error, Store};

const READ_MODELS: &str = "SELECT model_id, period, figures \
     FROM model_statistic WHERE grain = $1 AND period >= $2 AND period < $3";

const READ_PEOPLE: &str = "SELECT principal_id, auth_type, period, figures \
     FROM person_statistic WHERE grain = $1 AND period >= $2 AND period < $3";

/// In an order: PostgreSQL goes through the index then, and not through all pages of rows that were rolled up.
const ENDED: &str = concat!("SELECT ", ended_columns!(), " FROM ended ORDER BY request_id");

const CLAIMED: &str = "SELECT id FROM principal WHERE claimed_by = $1";

named_row! {
    struct OpenRow {
        model: String,
        principal: Option<Uuid>,
        kind: String,
        phase: String,
        day: i64,
        size: i64,
        requests: i64,
        inputs: i64,
        failed: i64,
        cached: i64,
    }
}

/// The groups in the order of what they are of, and all of them together.
pub struct Answer {
    pub rows: Rows,
    pub total: Group,
}

/// Rows that one read found.
enum Found {
    Models(Vec<(String, i64, Vec<u8>)>),
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
        let grain = name(read.grain, read.detail);
        let (from, until) = (i64::from(read.from.0), i64::from(read.until.0));
        let found = match read.source {
            Source::Models => Found::Models(rows!(conn, READ_MODELS, grain, from, until)),
            Source::People if people.is_empty() => {
                Found::People(rows!(conn, READ_PEOPLE, grain, from, until))
            }
            Source::People => {
                let statement = dialect::statistics(conn.is_postgres()).read_some;
                let mut all = Vec::new();
                for ids in batch::texts(people.iter().map(|id| Hex(id.0.as_bytes())))? {
                    let some: Vec<(Uuid, String, i64, Vec<u8>)> =
                        rows!(conn, statement, grain, from, until, ids);
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

fn answer(query: Query, material: Material) -> Result<Answer, Error> {
    let mut groups = Groups::new(query);
    for (read, found) in &material.stored {
        match found {
            Found::Models(rows) => {
                for (model, period, bytes) in rows {
                    let (model, period) = (Some(model.as_str()), Day(*period as i32));
                    let row = StoredRow { model, person: None, period, bytes };
                    groups.add_row(read, &row).map_err(unreadable)?;
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
        groups.add_ended(&request).map_err(unreadable)?;
    }
    for row in material.open {
        groups.add_open(&open(row)?).map_err(unreadable)?;
    }
    let (rows, total) = groups.finish();
    Ok(Answer { rows, total })
}

fn open(row: OpenRow) -> Result<OpenRequests, Error> {
    Ok(OpenRequests {
        model: row.model,
        principal: row.principal.map(PrincipalId),
        auth: auth(&row.kind)?,
        running: crate::requests::phase(&row.phase)? == PhaseName::Running,
        day: Day(row.day as i32),
        size: row.size as u8,
        requests: row.requests as u64,
        inputs: row.inputs as u64,
        failed: row.failed as u64,
        cached: row.cached as u64,
    })
}

/// All stored rows of one grain.
pub(super) fn everything(source: Source, grain: Grain, detail: bool) -> Vec<Read> {
    let (from, until) = (Day::FIRST, Day::END);
    vec![Read { source, grain, from, until, days: from..until, detail }]
}
