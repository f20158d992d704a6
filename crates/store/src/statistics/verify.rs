//! Are the stored statistics what the requests say?

use std::collections::{BTreeMap, BTreeSet};

use muster_core::stats::{By, Day, Dimension, Grain, Group, Groups, Query, Rows, Source, Value};

use uuid::Uuid;

use super::read::everything;
use super::{EndedRow, ended, unreadable};
use crate::db::Ts;
use crate::db::statement::{named_row, rows};
use crate::{Error, Store};

/// Requests that are still there, page by page.
const PRESENT: &str = "SELECT r.id, r.model_id, r.principal_id, p.kind, r.phase, r.inputs, r.failed, \
     r.cached, r.submitted_at, r.started_at, r.ended_at \
     FROM request r JOIN principal p ON p.id = r.principal_id \
     WHERE r.ended_at IS NOT NULL AND ($1 IS NULL OR r.id > $1) ORDER BY r.id LIMIT $2";

const PAGE: i64 = 10_000;

named_row! {
    struct PresentRow {
        id: Uuid,
        model: String,
        principal: Uuid,
        auth_type: String,
        phase: String,
        inputs: i64,
        failed: i64,
        cached: i64,
        submitted_at: Ts,
        started_at: Option<Ts>,
        ended_at: Ts,
    }
}

/// Something that is not as it should be, or that cannot be told any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Fewer requests are still there than were counted: the others were cleared or deleted.
    Cleared { model: String, day: Day, counted: u64, present: u64 },
    /// More requests are there than were counted, or they say something else.
    Wrong { model: String, day: Day, counted: u64, present: u64 },
    /// Two grains do not give the same sum.
    Sums { of: &'static str, one: u64, other: u64 },
}

impl Difference {
    /// Is it to be expected?
    pub fn is_harmless(&self) -> bool {
        matches!(self, Self::Cleared { .. })
    }
}

impl Store {
    /// Counts all requests that are still there and compares. What ends meanwhile may show as a
    /// difference of the current day.
    pub async fn verify_statistics(&self) -> Result<Vec<Difference>, Error> {
        let mut found = self.verify_sums().await?;
        let query = ended_only(vec![Dimension::Model, Dimension::Day]);
        let present = self.recount(query.clone()).await?;
        let counted = by_key(self.statistics(query).await?.rows);
        let keys: BTreeSet<&Vec<Value>> = present.keys().chain(counted.keys()).collect();
        let none = Group::default();
        for key in keys {
            let is = present.get(key).unwrap_or(&none);
            let said = counted.get(key).unwrap_or(&none);
            if is == said {
                continue;
            }
            let [Value::Model(model), Value::Day(day)] = key.as_slice() else { continue };
            let (model, day) = (model.to_string(), *day);
            let (counted, present) = (said.total(), is.total());
            let fewer = is.ended.iter().zip(said.ended).all(|(is, said)| *is <= said);
            found.push(if fewer && present < counted {
                Difference::Cleared { model, day, counted, present }
            } else {
                Difference::Wrong { model, day, counted, present }
            });
        }
        Ok(found)
    }

    async fn recount(&self, query: Query) -> Result<BTreeMap<Vec<Value>, Group>, Error> {
        let mut groups = Groups::new(query);
        let mut after = None;
        loop {
            let mut conn = self.inner.db.read().await?;
            let page: Vec<PresentRow> = rows!(&mut conn, PRESENT, after, PAGE);
            drop(conn);
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            for row in page {
                let PresentRow { model, principal, auth_type, phase, inputs, failed, .. } = row;
                let PresentRow { cached, submitted_at, started_at, ended_at, .. } = row;
                let row = EndedRow {
                    model,
                    principal,
                    auth_type,
                    phase,
                    inputs,
                    failed,
                    cached,
                    submitted_at,
                    started_at,
                    ended_at,
                };
                groups.add_ended(&ended(row)?).map_err(unreadable)?;
            }
        }
        Ok(by_key(groups.finish().0))
    }

    /// Each grain is the same requests.
    async fn verify_sums(&self) -> Result<Vec<Difference>, Error> {
        let mut sums = Vec::new();
        for (of, source, grain, detail) in [
            ("models by year", Source::Models, Grain::Year, false),
            ("models by month", Source::Models, Grain::Month, false),
            ("models by month in detail", Source::Models, Grain::Month, true),
            ("models by day", Source::Models, Grain::Day, false),
            ("models by day in detail", Source::Models, Grain::Day, true),
            ("people", Source::People, Grain::Ever, false),
            ("people by year", Source::People, Grain::Year, false),
            ("people by month", Source::People, Grain::Month, false),
            ("people by month in detail", Source::People, Grain::Month, true),
        ] {
            let query = ended_only(Vec::new());
            let reads = everything(source, grain, detail);
            sums.push((of, self.answer_from(query, reads).await?.total));
        }
        let (_, first) = sums[0].clone();
        let other = sums.into_iter().filter(|(_, sum)| *sum != first);
        let difference = |(of, sum): (&'static str, Group)| Difference::Sums {
            of,
            one: first.total(),
            other: sum.total(),
        };
        Ok(other.map(difference).collect())
    }
}

fn ended_only(group_by: Vec<Dimension>) -> Query {
    let mut query = Query::default();
    (query.group_by, query.by) = (group_by, By::All);
    query.only_ended();
    query
}

fn by_key(rows: Rows) -> BTreeMap<Vec<Value>, Group> {
    rows.into_iter().collect()
}
