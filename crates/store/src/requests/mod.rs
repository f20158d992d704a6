//! Finding, listing, awaiting and cancelling requests; `clearing` deletes them. Every function takes the principal: foreign
//! and unknown ids are both nothing.

pub mod download;
pub mod end;
pub mod notify;
pub mod pack;
pub mod parts;
pub mod submit;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use muster_core::request::{Phase, Progress, Reading};
use muster_core::{Cause, Ended, ModelId, PhaseName, PrincipalId, Request, RequestId};
use uuid::Uuid;

use crate::db::Ts;
use crate::db::conn::on;
use crate::db::dialect;
use crate::db::dialect::request_columns;
use crate::db::statement::{named_row, row, rows};
use crate::db::text::{exact, one_of, pattern};
use crate::writer::{Tx, work};
use crate::{Change, Error, Finished, Page, RequestFilter, Store};

use end::end;

/// Nobody's id: the owner of what is detached, to be cleared.
pub(crate) const NOBODY: Uuid = Uuid::nil();

named_row! {
    pub(crate) struct RequestRow {
        id: Uuid,
        principal: Uuid,
        model: String,
        model_version: String,
        phase: String,
        submitted_at: Ts,
        started_at: Option<Ts>,
        ended_at: Option<Ts>,
        reason: Option<String>,
        inputs: i64,
        done: i64,
        failed: i64,
        cached: i64,
        reading: String,
        label: Option<String>,
    }
}

pub(crate) const COLUMNS_SQL: &str =
    concat!("SELECT ", request_columns!(), " FROM request WHERE id = $1");

/// Of these requests those that have ended.
pub(crate) const ENDED_POSTGRES: &str = concat!(
    "SELECT ",
    request_columns!(),
    " FROM request WHERE id = ANY ($1) AND ended_at IS NOT NULL"
);

const FIND: &str =
    concat!("SELECT ", request_columns!(), " FROM request WHERE id = $1 AND principal_id = $2");

const LABEL: &str = concat!(
    "UPDATE request SET label = $3, label_key = $4 WHERE id = $1 AND principal_id = $2 RETURNING ",
    request_columns!()
);

impl Store {
    pub async fn find_request(
        &self,
        principal: PrincipalId,
        id: RequestId,
    ) -> Result<Option<Arc<Request>>, Error> {
        let mut conn = self.inner.db.read().await?;
        let row: Option<RequestRow> = on!(&mut conn, c => {
            sqlx::query_as(FIND).bind(id.0).bind(principal.0).fetch_optional(c).await?
        });
        row.map(|row| request(row).map(Arc::new)).transpose()
    }

    /// Newest first.
    pub async fn list_requests(
        &self,
        principal: PrincipalId,
        filter: &RequestFilter,
    ) -> Result<Page<Request>, Error> {
        let limit = filter.limit.clamp(1, 1000);
        let phases: Vec<&str> = filter.phases.iter().map(|phase| phase.name()).collect();
        let models: Vec<&str> = filter.models.iter().map(ModelId::as_str).collect();
        let search = filter.search.as_deref().map(exact).transpose()?;
        let like = search.map(|text| pattern(&text.to_lowercase()));
        let searched: Option<RequestId> = search.and_then(|text| text.trim().parse().ok());
        let mut conn = self.inner.db.read().await?;
        let list = dialect::requests(conn.is_postgres());
        let rows: Vec<RequestRow> = rows!(
            &mut conn,
            list,
            principal.0,
            filter.after.map(|id| id.0),
            one_of(&models),
            one_of(&phases),
            filter.from.map(Ts),
            filter.to.map(Ts),
            filter.id.map(|id| id.0),
            &like,
            searched.map(|id| id.0),
            i64::from(limit) + 1,
        );
        let mut items = rows.into_iter().map(request).collect::<Result<Vec<_>, _>>()?;
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next = if more { items.last().map(|request| request.id) } else { None };
        Ok(Page { items, next })
    }

    /// Cancels a request; one that ended is returned as it is.
    pub async fn cancel_request(
        &self,
        principal: PrincipalId,
        id: RequestId,
        reason: &str,
    ) -> Result<Option<Arc<Request>>, Error> {
        let Some(found) = self.find_request(principal, id).await? else { return Ok(None) };
        if found.phase.is_ended() {
            return Ok(Some(found));
        }
        let reason = reason.to_owned();
        let (op, answer) = work(move |tx: &mut Tx| {
            let reason = reason.clone();
            let how = Ended::Cancelled { reason };
            async move { end(tx, id, how, Cause::CancelledByOwner).await }.boxed()
        });
        if self.answer(op, answer).await? {
            self.inner.counters.cancelled.add(1);
        }
        self.find_request(principal, id).await
    }

    /// Calls a request otherwise, or nothing; it may have ended.
    pub async fn label_request(
        &self,
        principal: PrincipalId,
        id: RequestId,
        label: Option<&str>,
    ) -> Result<Option<Arc<Request>>, Error> {
        let label = label.map(exact).transpose()?.map(str::to_owned);
        let (op, answer) = work(move |tx: &mut Tx| {
            let label = label.clone();
            async move {
                let key = label.as_deref().map(str::to_lowercase);
                let found: Option<RequestRow> =
                    row!(&mut tx.conn, LABEL, id.0, principal.0, label, key);
                let Some(found) = found.map(request).transpose()? else { return Ok(None) };
                let phase = found.phase.in_a_word();
                tx.after.changes.push(Change::Request { id, principal, phase });
                Ok(Some(Arc::new(found)))
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// The request as it is when it ended or the time is over.
    pub async fn wait_ended(
        &self,
        principal: PrincipalId,
        id: RequestId,
        at_most: Duration,
    ) -> Result<Option<Arc<Request>>, Error> {
        let ending = self.inner.waiters.register(id);
        let Some(found) = self.find_request(principal, id).await? else { return Ok(None) };
        if found.phase.is_ended() || at_most.is_zero() {
            return Ok(Some(found));
        }
        match ending.wait(at_most).await {
            Some(Finished { request, .. }) => Ok(Some(request)),
            None => self.find_request(principal, id).await,
        }
    }
}

pub(crate) fn phase(text: &str) -> Result<PhaseName, Error> {
    text.parse().map_err(|_| Error::Corrupt("the phase of a request".into()))
}

pub(crate) fn request(row: RequestRow) -> Result<Request, Error> {
    let started_at = row.started_at.map(|at| at.0);
    let reason = row.reason.unwrap_or_default();
    let how = match phase(&row.phase)? {
        PhaseName::Waiting | PhaseName::Running => None,
        PhaseName::Completed => Some(Ended::Completed),
        PhaseName::Failed => Some(Ended::Failed { reason }),
        PhaseName::Cancelled => Some(Ended::Cancelled { reason }),
    };
    let phase = match (how, row.ended_at, started_at) {
        (Some(how), Some(ended), _) => Phase::Ended { started_at, ended_at: ended.0, how },
        (_, _, Some(started_at)) => Phase::Running { started_at },
        _ => Phase::Waiting,
    };
    Ok(Request {
        id: RequestId(row.id),
        principal: PrincipalId(row.principal),
        model: row.model.parse().map_err(|_| Error::Corrupt("a model id".into()))?,
        model_version: row.model_version,
        submitted_at: row.submitted_at.0,
        phase,
        progress: Progress {
            inputs: row.inputs as u64,
            done: row.done as u64,
            failed: row.failed as u64,
            cached: row.cached as u64,
        },
        reading: serde_json::from_str::<Reading>(&row.reading)
            .map_err(|_| Error::Corrupt("how a request was read".into()))?,
        label: row.label,
    })
}
