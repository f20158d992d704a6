//! The hub's store, as the settings of `muster serve` say.

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use muster_store::{Clock, Database, Objects, Store, StoreConfig};

use crate::arguments::{ServeFlags, StoreFlags};
use crate::commands::settings;
use crate::config::Environment;
use crate::config::server::Serve;
use crate::failure::Failure;

/// Inputs and results of a task up to this size stay in the database, bytes.
const INLINE_BYTES: usize = 64 << 10;

/// The data folder, made if it is missing, for this user only. Where this user is root, models run as
/// users of their own, who pass through it; what is in it they cannot list.
pub fn data_dir(dir: &Path) -> Result<PathBuf, Failure> {
    let mode = if muster_sandbox::is_root() { 0o711 } else { 0o700 };
    let made = DirBuilder::new().recursive(true).mode(mode).create(dir);
    // Who may pass through it must not come into what holds people's inputs.
    let objects = || {
        let objects = dir.join("objects");
        DirBuilder::new().recursive(true).mode(0o700).create(&objects)?;
        std::fs::set_permissions(objects, Permissions::from_mode(0o700))
    };
    made.and_then(|()| objects()).and_then(|()| dir.canonicalize()).map_err(|error| {
        Failure::failed(format!("the data folder {} cannot be used: {error}", dir.display()))
            .advice("The user that runs the hub has to write there. Name another with --data-dir.")
    })
}

/// The database and object storage of the settings.
pub fn store_config(serve: &Serve, data: &Path) -> StoreConfig {
    let database = match &serve.database {
        Some(postgres) => Database::Postgres {
            url: postgres.url.clone(),
            schema: postgres.schema.clone(),
            max_connections: postgres.max_connections,
        },
        None => Database::Sqlite { file: data.join("muster.db") },
    };
    let objects = match &serve.objects {
        Some(url) if url.contains("://") => {
            Objects::S3 { url: url.clone(), options: serve.object_options.clone() }
        }
        _ => Objects::Folder(object_folder(serve, data).unwrap_or_default()),
    };
    StoreConfig { database, objects, inline_bytes: INLINE_BYTES }
}

/// Where large inputs and results are, if that is on this machine.
pub fn object_folder(serve: &Serve, data: &Path) -> Option<PathBuf> {
    match &serve.objects {
        Some(url) if url.contains("://") => None,
        Some(folder) => Some(folder.into()),
        None => Some(data.join("objects")),
    }
}

pub fn store_failure(error: &muster_store::Error) -> Failure {
    let failure = Failure::failed(error.to_string());
    match error {
        muster_store::Error::Unavailable { .. } => failure.advice(
            "Is the database there, and is MUSTER_DATABASE_URL its address? See `muster config`.",
        ),
        _ => failure,
    }
}

/// The store of the hub, beside the hub.
pub async fn open_beside(
    flags: &StoreFlags,
    environment: &Environment,
) -> Result<(Serve, Store), Failure> {
    let flags = ServeFlags {
        config: flags.config.clone(),
        data_dir: flags.data_dir.clone(),
        database_schema: flags.database_schema.clone(),
        ..ServeFlags::default()
    };
    let settings = settings::read(&flags, environment)?;
    let serve = Serve::read(&settings, environment).map_err(Failure::usage)?;
    let data = data_dir(&serve.data_dir)?;
    let store = Store::open_beside(store_config(&serve, &data), Clock::system()).await;
    Ok((serve, store.map_err(|error| store_failure(&error))?))
}
