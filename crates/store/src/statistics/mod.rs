//! Statistics of all requests that ever were. A request that ends leaves a row in `ended` (a trigger
//! writes it), those rows are rolled up into stored ones, and a question reads what is stored, what is not
//! rolled up yet and the open requests, all of one moment.

mod choices;
mod figures;
mod read;
mod rollup;
mod verify;

pub use choices::{Choice, ChoiceFilter, Choices, PersonChoice};
pub use figures::UserFigures;
pub(crate) use figures::Weeks;
pub use read::Answer;
pub use rollup::RolledUp;
pub use verify::Difference;

use muster_core::PrincipalId;
use muster_core::stats::{EndedRequest, How};
use uuid::Uuid;

use crate::Error;
use crate::db::conn::Conn;
use crate::db::statement::named_row;
use crate::db::{Db, Ts};
use crate::people::auth;

named_row! {
    /// A row of `ended`, without its request.
    struct EndedRow {
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

fn ended(row: EndedRow) -> Result<EndedRequest, Error> {
    let how = How::ALL.into_iter().find(|how| how.phase().name() == row.phase);
    Ok(EndedRequest {
        model: row.model,
        principal: PrincipalId(row.principal),
        auth: auth(&row.auth_type)?,
        how: how.ok_or_else(|| Error::Corrupt("how a request ended".into()))?,
        inputs: row.inputs as u64,
        failed: row.failed as u64,
        cached: row.cached as u64,
        submitted_at: row.submitted_at.0,
        started_at: row.started_at.map(|at| at.0),
        ended_at: row.ended_at.0,
    })
}

fn unreadable(error: muster_core::stats::Corrupt) -> Error {
    Error::Corrupt(error.to_string())
}

/// A connection that sees one moment only, until it is given back.
struct Snapshot(Conn);

impl Snapshot {
    async fn begin(db: &Db) -> Result<Self, Error> {
        let mut conn = db.read().await?;
        match conn.command(crate::db::dialect::begin_snapshot(db.is_postgres())).await {
            Ok(()) => Ok(Self(conn)),
            Err(error) => {
                conn.abandon();
                Err(error)
            }
        }
    }

    /// Passes on what was read, once the connection is fit for others.
    async fn end<T>(mut self, read: Result<T, Error>) -> Result<T, Error> {
        if read.is_ok() && self.0.command("COMMIT").await.is_ok() {
            return read;
        }
        self.0.abandon();
        read
    }
}

/// In a task of its own: who leaves does not leave a snapshot open on a connection.
async fn to_the_end<T: Send + 'static>(
    read: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    tokio::spawn(read).await.map_err(Error::unavailable)?
}
