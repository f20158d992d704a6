//! What can go wrong, by what the caller can do about it.

use std::path::PathBuf;

#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The database or the object store is away: try again later.
    #[error("the store is not available: {what}")]
    Unavailable {
        what: String,
        /// Another process holds SQLite's lock.
        locked: bool,
    },
    /// No space left: nothing new can be taken.
    #[error("the store is full")]
    Full,
    /// The idempotency key came with another body before.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The catalogue does not have the model any more; or it takes no new requests, for this reason.
    #[error("the model takes no new requests")]
    NotOffered { disabled: Option<String> },
    /// The model has another version by now: it is to be read again.
    #[error("the model was changed meanwhile")]
    ModelChanged,
    /// The request has not ended, so it has no result yet.
    #[error("the request has not ended")]
    NotEnded,
    /// The request ended without a result.
    #[error("the request has no result")]
    NoResult,
    /// The request was deleted or cleared while its result was read.
    #[error("the request was deleted or cleared while it was read")]
    Gone,
    /// The format has no place for so much; the text says what to do.
    #[error("{0}")]
    TooLarge(String),
    /// Another server works on this data folder.
    #[error("another muster server uses {}; stop it first, or give this one a --data-dir of its own", folder.display())]
    AlreadyServed { folder: PathBuf },
    /// The database cannot be used as it is; the text says why.
    #[error("{0}")]
    Schema(String),
    /// Stored data is not what was written.
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
    /// The database refused a statement: a mistake of ours.
    #[error("the database refused a statement: {0}")]
    Refused(String),
}

impl Error {
    pub(crate) fn unavailable(what: impl ToString) -> Self {
        Self::Unavailable { what: what.to_string(), locked: false }
    }

    pub(crate) fn is_locked(&self) -> bool {
        matches!(self, Self::Unavailable { locked: true, .. })
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        let code = match &error {
            E::Database(database) => database.code().map(|code| code.into_owned()),
            _ => None,
        };
        match (&error, code.as_deref()) {
            // SQLITE_FULL, and PostgreSQL's disk_full.
            (_, Some("13" | "53100")) => Self::Full,
            // SQLITE_BUSY; SQLITE_LOCKED, SQLITE_IOERR, SQLITE_CANTOPEN; PostgreSQL: no resources,
            // shutting down, lost connections, serialization failures.
            (E::Database(_), Some(code)) => {
                let sqlite = code.parse::<u32>().ok().filter(|n| *n < 10_000).map(|n| n & 0xff);
                if sqlite == Some(5) {
                    return Self::Unavailable { what: error.to_string(), locked: true };
                }
                let postgres = ["08", "53", "57", "40", "25P03"];
                if matches!(sqlite, Some(6 | 10 | 14))
                    || (code.len() == 5 && postgres.iter().any(|class| code.starts_with(class)))
                {
                    return Self::unavailable(error);
                }
                Self::Refused(error.to_string())
            }
            (E::Decode(_) | E::ColumnDecode { .. }, _) => Self::Corrupt(error.to_string()),
            (E::Database(_) | E::ColumnNotFound(_) | E::TypeNotFound { .. }, _) => {
                Self::Refused(error.to_string())
            }
            _ => Self::unavailable(error),
        }
    }
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(cause) = source {
            if let Some(io) = cause.downcast_ref::<std::io::Error>()
                && io.kind() == std::io::ErrorKind::StorageFull
            {
                return Self::Full;
            }
            source = cause.source();
        }
        match error {
            object_store::Error::NotFound { path, .. } => {
                Self::Corrupt(format!("object {path} is missing"))
            }
            error => Self::unavailable(error),
        }
    }
}
