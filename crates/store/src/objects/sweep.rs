//! Objects and rows compared, both ways (I-10). Objects that no row points to go: of submissions, results and
//! logs that were stored and then refused, or whose server died before it wrote the row. Rows whose object
//! is not there are found: somebody removed it, or the storage lost it.

use std::sync::PoisonError;
use std::time::Duration;

use muster_core::Timestamp;
use object_store::path::Path;
use uuid::Uuid;

use crate::db::conn::{Conn, on};
use crate::db::statement::rows;
use crate::{Error, Store, crash_point};

/// Objects looked up on one connection before others may have it.
const AT_ONCE: usize = 256;

const INPUTS_NEEDED: &str =
    "SELECT EXISTS (SELECT 1 FROM request WHERE id = $1 AND input_object = $2)";

/// The current attempt may still write the row that points to its object. A later one never takes
/// an earlier one's number.
const RESULT_NEEDED: &str = "SELECT EXISTS (SELECT 1 FROM task WHERE request_id = $1 \
     AND position = $2 AND (result_object = $3 OR (state = 'leased' AND attempt = $4)))";

/// Requests, and instances whose log is an object, in the order of their ids. Each part has its limit, so
/// that no database sorts all of them.
const OWNERS: &str = "SELECT id FROM (SELECT id FROM request WHERE id > $1 \
     ORDER BY id LIMIT $2) AS requests UNION ALL SELECT id FROM (SELECT instance_id AS id \
     FROM instance_seen WHERE instance_id > $1 AND log_object IS NOT NULL \
     ORDER BY instance_id LIMIT $2) AS logs ORDER BY 1 LIMIT $2";

const POINTED: &str = "SELECT input_object FROM request \
     WHERE id > $1 AND id <= $2 AND input_object IS NOT NULL \
     UNION ALL SELECT result_object FROM task \
     WHERE request_id > $1 AND request_id <= $2 AND result_object IS NOT NULL \
     UNION ALL SELECT log_object FROM instance_seen \
     WHERE instance_id > $1 AND instance_id <= $2 AND log_object IS NOT NULL";

const LOG_NEEDED: &str =
    "SELECT EXISTS (SELECT 1 FROM instance_seen WHERE instance_id = $1 AND log_object = $2)";

const FOLDER_NEEDED: &str =
    "SELECT EXISTS (SELECT 1 FROM model_version WHERE content = $1 AND try_id = $2)";

/// Whose object it is, by its name.
#[derive(Debug, PartialEq, Eq)]
enum Owner {
    Request(Uuid),
    Instance(Uuid),
    Task {
        request: Uuid,
        position: i64,
        attempt: i64,
    },
    /// The version that was pushed with this copy of its archive.
    Folder {
        content: String,
        copy: Uuid,
    },
}

impl Store {
    /// Removes objects older than `older_than` that no row points to; says how many. `older_than` is
    /// longer than anybody takes from storing an object to writing its row. Looks at `most` objects;
    /// the next call goes on from there, and after the last object from the first.
    pub async fn sweep_objects(&self, older_than: Duration, most: usize) -> Result<u64, Error> {
        let objects = &self.inner.objects;
        let before = self.inner.clock.now() - older_than;
        let (mut looked, mut removed) = (0, 0);
        while looked < most {
            let wanted = AT_ONCE.min(most - looked);
            let found = objects.next_objects(wanted).await?;
            crash_point("during-sweep");
            looked += found.len();
            let last = found.len() < wanted;
            let old = |at: i64| Timestamp(at) <= before;
            let found = found.into_iter().filter(|meta| old(meta.last_modified.timestamp_micros()));
            for path in self.orphans(found.map(|meta| meta.location).collect()).await? {
                objects.remove(&path).await?;
                removed += 1;
            }
            if last {
                break;
            }
        }
        Ok(removed)
    }

    /// Looks whether the objects of `most` requests and logs are there; where those are that are not. The
    /// next call goes on with the next ones, and after the last from the first.
    pub async fn find_missing_objects(&self, most: usize) -> Result<Vec<String>, Error> {
        let (mut looked, mut missing) = (0, Vec::new());
        while looked < most {
            let checked = || self.inner.checked.lock().unwrap_or_else(PoisonError::into_inner);
            let after = *checked();
            let wanted = AT_ONCE.min(most - looked);
            let mut conn = self.inner.db.read().await?;
            let page: Vec<(Uuid,)> = rows!(&mut conn, OWNERS, after, wanted as i64);
            let last = page.last().map_or(Uuid::nil(), |(id,)| *id);
            let pointed: Vec<(String,)> = rows!(&mut conn, POINTED, after, last);
            drop(conn);
            for (path,) in pointed {
                if !self.inner.objects.has(&path).await? && self.is_pointed_to(&path).await? {
                    missing.push(path);
                }
            }
            looked += page.len();
            *checked() = if page.len() < wanted { Uuid::nil() } else { last };
            if page.len() < wanted {
                break;
            }
        }
        self.inner.counters.objects_missing.add(missing.len() as u64);
        Ok(missing)
    }

    /// Or was its row deleted since it was read?
    async fn is_pointed_to(&self, path: &str) -> Result<bool, Error> {
        let Some(owner) = owner(path) else { return Ok(false) };
        let mut conn = self.inner.db.read().await?;
        is_needed(&mut conn, &owner, path).await
    }

    async fn orphans(&self, paths: Vec<Path>) -> Result<Vec<Path>, Error> {
        let mut orphans = Vec::new();
        if paths.is_empty() {
            return Ok(orphans);
        }
        let mut conn = self.inner.db.read().await?;
        for path in paths {
            // What has another name is not ours to remove.
            let Some(owner) = owner(path.as_ref()) else { continue };
            if !is_needed(&mut conn, &owner, path.as_ref()).await? {
                orphans.push(path);
            }
        }
        Ok(orphans)
    }
}

async fn is_needed(conn: &mut Conn, owner: &Owner, path: &str) -> Result<bool, Error> {
    Ok(match owner {
        Owner::Request(id) => on!(conn, c => {
            sqlx::query_scalar(INPUTS_NEEDED).bind(id).bind(path).fetch_one(c).await?
        }),
        Owner::Instance(id) => on!(conn, c => {
            sqlx::query_scalar(LOG_NEEDED).bind(id).bind(path).fetch_one(c).await?
        }),
        Owner::Folder { content, copy } => on!(conn, c => {
            sqlx::query_scalar(FOLDER_NEEDED).bind(content).bind(copy).fetch_one(c).await?
        }),
        Owner::Task { request, position, attempt } => on!(conn, c => {
            sqlx::query_scalar(RESULT_NEEDED)
                .bind(request)
                .bind(position)
                .bind(path)
                .bind(attempt)
                .fetch_one(c)
                .await?
        }),
    })
}

fn owner(path: &str) -> Option<Owner> {
    if let Some(id) = path.strip_prefix("inputs/") {
        return id.parse().ok().map(Owner::Request);
    }
    if let Some(id) = path.strip_prefix("logs/") {
        return id.parse().ok().map(Owner::Instance);
    }
    if let Some(name) = path.strip_prefix("folders/") {
        let (content, copy) = name.strip_suffix(".tar.gz")?.split_once('/')?;
        return Some(Owner::Folder { content: content.to_owned(), copy: copy.parse().ok()? });
    }
    let (request, part) = path.strip_prefix("results/")?.split_once('/')?;
    let (position, attempt) = part.strip_suffix(".parquet")?.split_once('-')?;
    Some(Owner::Task {
        request: request.parse().ok()?,
        position: position.parse().ok()?,
        attempt: attempt.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_known_by_its_name() {
        let id = Uuid::from_u128(7);
        assert_eq!(owner(&format!("inputs/{id}")), Some(Owner::Request(id)));
        assert_eq!(owner(&format!("logs/{id}")), Some(Owner::Instance(id)));
        let task = Owner::Task { request: id, position: 12, attempt: 3 };
        assert_eq!(owner(&format!("results/{id}/12-3.parquet")), Some(task));
        let folder = Owner::Folder { content: "0f".into(), copy: id };
        assert_eq!(owner(&format!("folders/0f/{id}.tar.gz")), Some(folder));
        for other in [
            "folders/0f.tar.gz",
            "folders/0f/x.tar.gz",
            "inputs/x",
            "inputs",
            "results/1-2.parquet",
            "backup/inputs/7",
            "results/x/1-2.parquet",
        ] {
            assert_eq!(owner(other), None, "{other}");
        }
    }
}
