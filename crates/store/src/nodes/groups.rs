//! Groups of nodes: an order is a row before it is a call.

use futures::FutureExt;
use muster_core::room::{GroupBooks, GroupId, NodeId};

use crate::db::statement::{row, rows, run};
use crate::db::text;
use crate::instances::servers::leads;
use crate::writer::{Tx, work};
use crate::{Change, Error, Store};

const LIST: &str = "SELECT id, version, books FROM node_group ORDER BY id";

const ADD: &str = "INSERT INTO node_group (id, version, books) VALUES ($1, 1, $2) \
     ON CONFLICT (id) DO NOTHING";

const CHANGE: &str = "UPDATE node_group SET version = version + 1, books = $1 \
     WHERE id = $2 AND version = $3";

/// Nothing new comes to a node that the plan cordoned, and nothing is on it. Of pods the books have only a wish
/// where they are: their cluster says where, and lets nothing new come.
const IS_EMPTY: &str = "SELECT CAST(1 AS BIGINT) FROM node_mark m WHERE m.node = $1 AND m.ours \
     AND NOT EXISTS (SELECT 1 FROM instance i WHERE i.node = m.node AND i.state <> 'ended' AND i.runs <> 'pod')";

/// A group as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRow {
    pub id: GroupId,
    /// It grows with each change; 0 if there is no row yet.
    pub version: i64,
    pub books: GroupBooks,
}

impl Store {
    pub async fn groups(&self) -> Result<Vec<GroupRow>, Error> {
        let mut conn = self.inner.db.read().await?;
        let found: Vec<(String, i64, String)> = rows!(&mut conn, LIST);
        let group = |(id, version, books): (String, i64, String)| {
            let books = serde_json::from_str(&books)
                .map_err(|_| Error::Corrupt(format!("the books of the group {id}")))?;
            Ok(GroupRow { id: GroupId(id), version, books })
        };
        found.into_iter().map(group).collect()
    }

    /// Writes down what changed since it was read, and answers with its new version. Nothing if somebody else
    /// was first or plans by now, or if one of `empty` is not cordoned by the plan or has something on it.
    pub async fn change_group(
        &self,
        group: &GroupRow,
        empty: &[NodeId],
    ) -> Result<Option<i64>, Error> {
        let id = text::exact(&group.id.0)?.to_owned();
        let books = serde_json::to_string(&group.books)
            .map_err(|error| Error::Refused(error.to_string()))?;
        let books = text::words(&books);
        let (version, server, empty) = (group.version, self.inner.server, empty.to_vec());
        let (op, answer) = work(move |tx: &mut Tx| {
            let (id, books, empty) = (id.clone(), books.clone(), empty.clone());
            async move {
                if !leads(tx, server).await? {
                    return Ok(None);
                }
                for node in &empty {
                    let is_empty: Option<(i64,)> = row!(&mut tx.conn, IS_EMPTY, &node.0);
                    if is_empty.is_none() {
                        return Ok(None);
                    }
                }
                let changed = if version == 0 {
                    run!(&mut tx.conn, ADD, &id, &books)
                } else {
                    run!(&mut tx.conn, CHANGE, &books, &id, version)
                };
                if changed == 0 {
                    return Ok(None);
                }
                tx.after.changes.push(Change::Nodes);
                Ok(Some(version + 1))
            }
            .boxed()
        });
        self.answer(op, answer).await
    }
}
