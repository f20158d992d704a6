//! What instances write: the end of it in rows while they run, in an object when they have ended.

use bytes::Bytes;
use futures::FutureExt;
use muster_core::InstanceId;
use muster_core::instance::StateName;
use uuid::Uuid;

use super::state;
use crate::db::conn::on;
use crate::db::statement::{named_row, rows, run};
use crate::writer::{Tx, work};
use crate::{Change, Error, Store, crash_point};

/// Bytes of a log that are kept.
const KEPT: i64 = 256 << 10;

const APPEND: &str = "INSERT INTO instance_log (instance_id, position, bytes) VALUES ($1, $2, $3) \
     ON CONFLICT (instance_id, position) DO NOTHING";

const TRIM: &str =
    "DELETE FROM instance_log WHERE instance_id = $1 AND position + length(bytes) <= $2";

const PIECES: &str =
    "SELECT position, bytes FROM instance_log WHERE instance_id = $1 ORDER BY position";

/// Where a log is and its pieces, in one statement: it may be moved at any time.
const FIND: &str = "SELECT i.state, s.log_object, s.log_at, l.position, l.bytes FROM instance i \
     LEFT JOIN instance_seen s ON s.instance_id = i.id \
     LEFT JOIN instance_log l ON l.instance_id = i.id AND l.position + length(l.bytes) > $2 \
     WHERE i.id = $1 ORDER BY l.position";

const MOVED: &str = "UPDATE instance_seen SET log_object = $1, log_at = $2 WHERE instance_id = $3";

const CLEAR: &str = "DELETE FROM instance_log WHERE instance_id = $1 AND position <= $2";

/// Logs of instances that ended while nobody could move them.
const LEFT: &str = "SELECT DISTINCT l.instance_id FROM instance_log l \
     JOIN instance i ON i.id = l.instance_id WHERE i.state = 'ended' LIMIT 100";

named_row! {
    /// Where the log is, and one of its pieces.
    struct FoundRow {
        state: String,
        object: Option<String>,
        object_at: Option<i64>,
        position: Option<i64>,
        bytes: Option<Vec<u8>>,
    }
}

/// A piece of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPiece {
    /// How many bytes were written before it.
    pub position: u64,
    pub bytes: Bytes,
    /// Nothing will follow.
    pub is_last: bool,
}

impl Store {
    /// What is kept of a log, from this position on; nothing if there is no such instance.
    pub async fn instance_log(&self, id: InstanceId, from: u64) -> Result<Option<LogPiece>, Error> {
        let mut conn = self.inner.db.read().await?;
        let start = i64::try_from(from).unwrap_or(i64::MAX);
        let found: Vec<FoundRow> = rows!(&mut conn, FIND, id.0, start);
        drop(conn);
        let Some(log) = found.first() else { return Ok(None) };
        let is_last = state(&log.state)? == StateName::Ended;
        let (position, bytes) = if let Some(object) = &log.object {
            (log.object_at.unwrap_or(0), self.inner.objects.get(object).await?)
        } else {
            let pieces = found.into_iter().filter_map(|row| row.position.zip(row.bytes)).collect();
            let (first, whole) = joined(pieces, start).unwrap_or((start, Vec::new()));
            (first, whole.into())
        };
        let position = position as u64;
        let skip = usize::try_from(from.saturating_sub(position)).unwrap_or(usize::MAX);
        let bytes = bytes.slice(skip.min(bytes.len())..);
        let position = position.max(from);
        Ok(Some(LogPiece { position, bytes, is_last }))
    }

    /// Moves the log of an instance that has ended to object storage.
    pub async fn keep_log(&self, id: InstanceId) -> Result<(), Error> {
        let mut conn = self.inner.db.read().await?;
        let pieces: Vec<(i64, Vec<u8>)> = rows!(&mut conn, PIECES, id.0);
        drop(conn);
        let Some(last) = pieces.last().map(|(position, _)| *position) else { return Ok(()) };
        let Some((at, bytes)) = joined(pieces, 0) else { return Ok(()) };
        let path = path(id.0);
        self.inner.objects.put(&path, bytes.into()).await?;
        crash_point("after-log-object-before-row");
        let (op, answer) = work(move |tx: &mut Tx| {
            let path = path.clone();
            async move {
                if run!(&mut tx.conn, MOVED, &path, at, id.0) > 0 {
                    run!(&mut tx.conn, CLEAR, id.0, last);
                    tx.after.changes.push(Change::Instances);
                }
                Ok(())
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// The same for all that ended while nobody could do it.
    pub async fn keep_logs(&self) -> Result<u64, Error> {
        let mut conn = self.inner.db.read().await?;
        let left: Vec<Uuid> = on!(&mut conn, c => sqlx::query_scalar(LEFT).fetch_all(c).await?);
        drop(conn);
        for id in &left {
            self.keep_log(InstanceId(*id)).await?;
        }
        Ok(left.len() as u64)
    }
}

pub(crate) fn path(instance: Uuid) -> String {
    format!("logs/{instance}")
}

/// Adds to a log; what is more than is kept goes.
pub(super) async fn append(
    tx: &mut Tx,
    id: InstanceId,
    (position, bytes): (u64, &Bytes),
) -> Result<(), Error> {
    let position = i64::try_from(position).unwrap_or(i64::MAX);
    run!(&mut tx.conn, APPEND, id.0, position, bytes.to_vec());
    let end = position.saturating_add(bytes.len() as i64);
    run!(&mut tx.conn, TRIM, id.0, end - KEPT);
    Ok(())
}

/// What pieces of a log hold after its first `from` bytes. What was lost between them is as if it had
/// been lost before them.
fn joined(pieces: Vec<(i64, Vec<u8>)>, from: i64) -> Option<(i64, Vec<u8>)> {
    let end = pieces.last().map(|(position, bytes)| position + bytes.len() as i64)?;
    let mut whole = Vec::new();
    for (position, bytes) in pieces {
        let skip = usize::try_from(from.saturating_sub(position)).unwrap_or(0);
        whole.extend_from_slice(bytes.get(skip..).unwrap_or_default());
    }
    Some((end - whole.len() as i64, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_in_a_log_repeats_nothing() {
        let pieces = || vec![(0, b"abc".to_vec()), (5, b"fg".to_vec())];
        assert_eq!(joined(pieces(), 0), Some((2, b"abcfg".to_vec())));
        assert_eq!(joined(pieces(), 3), Some((5, b"fg".to_vec())));
        assert_eq!(joined(pieces(), 4), Some((5, b"fg".to_vec())));
        assert_eq!(joined(pieces(), 6), Some((6, b"g".to_vec())));
        assert_eq!(joined(vec![], 6), None);
    }
}
