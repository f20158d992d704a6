//! Opening and closing a store.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_core::{ServerId, Timestamp};
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use tokio::sync::{Notify, broadcast, mpsc, watch};

use crate::db::Db;
use crate::db::checkpoint;
use crate::db::conn::on;
use crate::db::schema;
use crate::instances::planned;
use crate::objects::ObjectFolder;
use crate::requests::notify;
use crate::writer::Writer;
use crate::{Clock, Database, Error, Inner, Op, Store, StoreConfig};

/// Operations that may wait for the writer; more make their callers wait.
const OPS: usize = 4096;
const CHANGES: usize = 1024;
/// The mode of the database's files.
const PRIVATE: u32 = 0o600;

impl Store {
    /// Opens the store, brings its schema up to date and registers this server. On SQLite a second
    /// server on the same file is refused.
    pub async fn open(config: StoreConfig, clock: Clock) -> Result<Self, Error> {
        let store = Self::open_as(config, clock, true).await?;
        let begun = async {
            store.reap(!store.inner.db.is_postgres(), None).await?;
            store.load_models().await?;
            store.read_held().await
        };
        if let Err(error) = begun.await {
            store.release().await;
            return Err(error);
        }
        Ok(store)
    }

    /// Opens the store of a hub that may be running, for a command about people: it is no server
    /// and takes no work.
    pub async fn open_beside(config: StoreConfig, clock: Clock) -> Result<Self, Error> {
        Self::open_as(config, clock, false).await
    }

    async fn open_as(config: StoreConfig, clock: Clock, serves: bool) -> Result<Self, Error> {
        let server = ServerId(clock.id());
        let mut lock = None;
        let mut temporary = None;
        let db = match &config.database {
            Database::Memory => {
                let folder = std::env::temp_dir().join(format!(
                    "muster-{}-{}",
                    std::process::id(),
                    Clock::system().id()
                ));
                let mut private = DirBuilder::new();
                private.recursive(true).mode(0o700).create(&folder).map_err(Error::unavailable)?;
                let options = SqliteConnectOptions::new()
                    .filename(folder.join("muster.db"))
                    .create_if_missing(true)
                    .synchronous(SqliteSynchronous::Off);
                temporary = Some(folder);
                Db::sqlite(options).await?
            }
            Database::Sqlite { file } => {
                if serves {
                    lock = Some(lock_folder(file)?);
                }
                keep_private(file)?;
                Db::connect(&config.database).await?
            }
            Database::Postgres { .. } => Db::connect(&config.database).await?,
        };
        schema::migrate(&db, clock.now()).await?;
        let (ops, received) = mpsc::channel(OPS);
        let ahead = AtomicI64::new(clock.now().micros() - clock.steady());
        let inner = Arc::new(Inner {
            db,
            objects: ObjectFolder::open(config.objects)?,
            clock,
            server,
            inline_bytes: config.inline_bytes,
            ops,
            parked: Default::default(),
            waiters: Arc::default(),
            changes: broadcast::channel(CHANGES).0,
            queue_changed: watch::channel(0).0,
            unseen: Default::default(),
            notify: Notify::new(),
            telling: Default::default(),
            epoch: Default::default(),
            folders_in_pods: Default::default(),
            elsewhere: Notify::new(),
            listens: Default::default(),
            counters: crate::Counters::default(),
            used: Default::default(),
            rolled_up: Default::default(),
            committed: tokio::sync::Notify::new(),
            checked: Mutex::default(),
            models: Default::default(),
            models_changed: Notify::new(),
            held: watch::Sender::default(),
            planned: Default::default(),
            figures: tokio::sync::Mutex::default(),
            weeks: tokio::sync::Mutex::default(),
            lines: tokio::sync::Mutex::default(),
            ahead,
            tasks: Mutex::default(),
            lock: Mutex::new(lock),
            temporary,
        });
        inner.start(received);
        Ok(Self { inner })
    }

    /// Gives back what this server holds and lets go of the database. Once is enough.
    pub async fn close(&self) {
        if let Err(error) = self.leave().await {
            tracing::debug!(%error, "nothing is handed over at the end");
        }
        self.release().await;
    }

    async fn release(&self) {
        let tasks =
            std::mem::take(&mut *self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            task.abort();
        }
        self.inner.db.close().await;
        self.inner.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Does the database answer?
    pub async fn ping(&self) -> Result<(), Error> {
        let asked = async {
            let mut conn = self.inner.db.read().await?;
            let one: i64 = on!(&mut conn, c => {
                sqlx::query_scalar("SELECT CAST(1 AS BIGINT)").fetch_one(c).await?
            });
            drop(conn);
            if one == 1 { Ok(()) } else { Err(Error::unavailable("a wrong answer")) }
        };
        match tokio::time::timeout(Duration::from_secs(2), asked).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::unavailable("no answer within 2 seconds")),
        }
    }
}

impl Inner {
    fn start(self: &Arc<Self>, received: mpsc::Receiver<Op>) {
        let mut tasks = vec![
            tokio::spawn(Writer::new(Arc::clone(self), received).run()),
            tokio::spawn(planned::follow(Arc::clone(self))),
        ];
        if let Db::Postgres { write: pool, .. } = &self.db {
            tasks.push(tokio::spawn(notify::tell(Arc::clone(self), pool.clone())));
            tasks.push(tokio::spawn(notify::listen(Arc::clone(self), pool.clone())));
            tasks.push(tokio::spawn(notify::follow(Arc::clone(self))));
        }
        if let Db::Sqlite { .. } = &self.db {
            tasks.push(tokio::spawn(checkpoint::run(Arc::clone(self))));
        }
        *self.tasks.lock().unwrap_or_else(PoisonError::into_inner) = tasks;
    }

    /// Notes what the database's clock says, and gives it back.
    pub(crate) fn database_now(&self, now: Timestamp) -> Timestamp {
        let ahead = now.micros() - self.clock.steady();
        self.ahead.store(ahead, Ordering::Relaxed);
        now
    }

    /// The database's time, without asking it: what it said last, and what passed since. The clock of
    /// SQLite is the machine's.
    pub(crate) fn now(&self) -> Timestamp {
        if !self.db.is_postgres() {
            return self.clock.now();
        }
        Timestamp(self.clock.steady() + self.ahead.load(Ordering::Relaxed))
    }
}

/// Nobody else on this machine reads what is in the database. SQLite gives the files beside it the
/// mode that it has. It is never opened here: closing it would let go of SQLite's own locks.
fn keep_private(file: &Path) -> Result<(), Error> {
    let failed = |error: std::io::Error| {
        Error::Schema(format!("{} cannot be kept private: {error}", file.display()))
    };
    let new = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(file);
    match new {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        // A folder that is not there, or may not be written, is for SQLite to name.
        Ok(_) | Err(_) => return Ok(()),
    }
    for end in ["", "-wal", "-shm"] {
        let mut path = file.as_os_str().to_owned();
        path.push(end);
        let mode = match std::fs::metadata(&path) {
            Ok(found) => found.permissions().mode(),
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        if mode & 0o077 != 0 {
            std::fs::set_permissions(&path, Permissions::from_mode(PRIVATE)).map_err(failed)?;
        }
    }
    Ok(())
}

/// One server on a SQLite file: the lock goes with the process, also when it is killed.
fn lock_folder(file: &Path) -> Result<File, Error> {
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| {
        Error::Schema(format!("the folder {} cannot be made: {error}", folder.display()))
    })?;
    let path = file.with_extension("lock");
    let lock = File::create(&path)
        .map_err(|error| Error::Schema(format!("{} cannot be written: {error}", path.display())))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::AlreadyServed { folder: folder.to_path_buf() }),
        Err(TryLockError::Error(error)) => Err(Error::unavailable(error)),
    }
}
