//! The tasks of a request in their order, as they are read for those who want what is in them.

use std::collections::VecDeque;

use muster_core::RequestId;

use crate::db::conn::on;
use crate::db::statement::named_row;
use crate::{Error, Store};

/// Tasks read from the database at once.
const TASKS: i64 = 8;

const PARTS: &str = "SELECT position, inputs, input, input_at, input_len, records, records_at, \
     records_len, result, result_object, result_sha FROM task \
     WHERE request_id = $1 AND position >= $2 ORDER BY position LIMIT $3";

const OBJECT: &str = "SELECT input_object, result_sizes FROM request WHERE id = $1";

named_row! {
    pub(super) struct PartRow {
        position: i64,
        count: i64,
        input: Option<Vec<u8>>,
        input_at: Option<i64>,
        input_len: Option<i64>,
        records: Option<Vec<u8>>,
        records_at: Option<i64>,
        records_len: Option<i64>,
        result: Option<Vec<u8>>,
        object: Option<String>,
        sha: Option<Vec<u8>>,
    }
}

/// A request's tasks in order.
pub(super) struct Tasks {
    pub store: Store,
    request: RequestId,
    object: Option<String>,
    /// How long the result is in some formats.
    pub sizes: Option<String>,
    next: i64,
    /// Inputs of the tasks that were not read yet.
    left: i64,
    waiting: VecDeque<PartRow>,
}

impl Tasks {
    pub async fn of(store: &Store, request: RequestId, inputs: u64) -> Result<Self, Error> {
        let mut conn = store.inner.db.read().await?;
        let found: Option<(Option<String>, Option<String>)> = on!(&mut conn, c => {
            sqlx::query_as(OBJECT).bind(request.0).fetch_optional(c).await?
        });
        let (object, sizes) = found.ok_or_else(cleared)?;
        let (store, left, waiting) = (store.clone(), inputs as i64, VecDeque::new());
        Ok(Self { store, request, object, sizes, next: 0, left, waiting })
    }

    pub async fn next_row(&mut self) -> Result<Option<PartRow>, Error> {
        if self.waiting.is_empty() {
            let mut conn = self.store.inner.db.read().await?;
            let rows: Vec<PartRow> = on!(&mut conn, c => {
                sqlx::query_as(PARTS)
                    .bind(self.request.0)
                    .bind(self.next)
                    .bind(TASKS)
                    .fetch_all(c)
                    .await?
            });
            self.next = rows.last().map_or(self.next, |row| row.position + 1);
            self.waiting = rows.into();
        }
        let row = self.waiting.pop_front();
        self.left -= row.as_ref().map_or(0, |row| row.count);
        // A result that ends too early looks like a whole one.
        if row.is_none() && self.left > 0 { Err(cleared()) } else { Ok(row) }
    }

    /// What was submitted of a task: the JSON array of its inputs, and the person's own lines.
    pub async fn slice(&mut self, row: PartRow) -> Result<(Vec<u8>, Option<Vec<u8>>), Error> {
        let PartRow { input, input_at: at, input_len: len, records, .. } = row;
        let PartRow { records_at, records_len, .. } = row;
        let input = self.bytes(input, at, len).await?;
        let lines = match (&records, records_at) {
            (None, None) => None,
            _ => Some(self.bytes(records, records_at, records_len).await?),
        };
        Ok((input, lines))
    }

    pub async fn bytes(
        &mut self,
        inline: Option<Vec<u8>>,
        at: Option<i64>,
        len: Option<i64>,
    ) -> Result<Vec<u8>, Error> {
        if let Some(bytes) = inline {
            return Ok(bytes);
        }
        let (Some(path), Some(at), Some(len)) = (&self.object, at, len) else {
            return Err(Error::Corrupt("the inputs of a task are missing".into()));
        };
        let bytes = self.store.inner.objects.get_sealed(path, at as u64, len as u64).await?;
        Ok(bytes.to_vec())
    }
}

fn cleared() -> Error {
    Error::Gone
}
