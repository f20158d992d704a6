//! Large inputs and results: a folder, or S3-compatible storage.

mod sweep;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    BackoffConfig, ClientOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig,
};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::Mutex;

use crate::{Error, Objects};

/// Larger objects go up in parts of this size, bytes: each is tried again by itself, and none takes
/// longer than [`TRY`] on a usable network.
const PART: usize = 8 << 20;
/// Objects that are removed one by one, at the same time.
const REMOVED_AT_ONCE: usize = 8;
/// Parts of one object on their way at once.
const PARTS_AT_ONCE: usize = 4;
/// S3: one try, connecting, and when no other try begins. So an answer comes within 45 seconds.
const TRY: Duration = Duration::from_secs(15);
const CONNECT: Duration = Duration::from_secs(3);
const TRIES: Duration = Duration::from_secs(30);
const MOST_RETRIES: usize = 5;
/// Bytes of a seal.
pub(crate) const SEAL: usize = 32;

type Listing = BoxStream<'static, object_store::Result<ObjectMeta>>;

pub(crate) struct ObjectFolder {
    store: Arc<dyn ObjectStore>,
    /// It removes many objects in one go.
    bulk: bool,
    /// Where the sweep is in the list of all objects.
    listing: Mutex<Option<Listing>>,
}

impl ObjectFolder {
    pub(crate) fn open(objects: Objects) -> Result<Self, Error> {
        let bulk = matches!(objects, Objects::S3 { .. });
        let store: Arc<dyn ObjectStore> = match objects {
            Objects::Memory => Arc::new(InMemory::new()),
            Objects::Folder(folder) => {
                let mut private = DirBuilder::new();
                private.recursive(true).mode(0o700).create(&folder).map_err(Error::unavailable)?;
                // T4: without fsync an acknowledged result can vanish at power loss.
                Arc::new(LocalFileSystem::new_with_prefix(folder)?.with_fsync(true))
            }
            Objects::S3 { url, options } => s3(&url, options)?,
        };
        Ok(Self { store, bulk, listing: Mutex::default() })
    }

    /// When this returns the object is there, whole.
    pub(crate) async fn put(&self, path: &str, bytes: Bytes) -> Result<(), Error> {
        let path = Path::from(path);
        let put = if bytes.len() <= PART {
            self.store.put(&path, PutPayload::from_bytes(bytes)).await.map(|_| ())
        } else {
            self.put_in_parts(&path, &bytes).await
        };
        put.map_err(not_stored)
    }

    async fn put_in_parts(&self, path: &Path, bytes: &Bytes) -> object_store::Result<()> {
        let mut upload = self.store.put_multipart(path).await?;
        let mut parts = Vec::new();
        for at in (0..bytes.len()).step_by(PART) {
            let part = bytes.slice(at..bytes.len().min(at + PART));
            parts.push(upload.put_part(PutPayload::from_bytes(part)));
        }
        let sent = stream::iter(parts).buffer_unordered(PARTS_AT_ONCE).try_collect::<()>().await;
        let done = match sent {
            Ok(()) => upload.complete().await.map(|_| ()),
            Err(error) => Err(error),
        };
        // Parts of an object that never came to be are kept, and paid for, until they are let go.
        // A server that is killed leaves them to a lifecycle rule of the bucket.
        if done.is_err()
            && let Err(error) = upload.abort().await
        {
            tracing::debug!(%error, %path, "the parts of an object stay");
        }
        done
    }

    /// The same of what a file has, piece by piece: it may be larger than memory.
    pub(crate) async fn put_file(&self, path: &str, file: &std::path::Path) -> Result<(), Error> {
        let mut file = File::open(file).await.map_err(Error::unavailable)?;
        if file.metadata().await.map_err(Error::unavailable)?.len() <= PART as u64 {
            let bytes = read_part(&mut file).await.map_err(Error::unavailable)?;
            return self.put(path, bytes).await;
        }
        let path = Path::from(path);
        let mut upload = self.store.put_multipart(&path).await.map_err(not_stored)?;
        let sent = async {
            loop {
                let part = read_part(&mut file).await.map_err(Error::unavailable)?;
                if part.is_empty() {
                    return upload.complete().await.map(|_| ()).map_err(not_stored);
                }
                upload.put_part(PutPayload::from_bytes(part)).await.map_err(not_stored)?;
            }
        }
        .await;
        if sent.is_err()
            && let Err(error) = upload.abort().await
        {
            tracing::debug!(%error, %path, "the parts of an object stay");
        }
        sent
    }

    /// An object piece by piece.
    pub(crate) async fn stream(
        &self,
        path: &str,
    ) -> Result<BoxStream<'static, object_store::Result<Bytes>>, Error> {
        Ok(self.store.get(&Path::from(path)).await?.into_stream())
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Bytes, Error> {
        Ok(self.store.get(&Path::from(path)).await?.bytes().await?)
    }

    /// A range that was stored with its [`seal`]; without it.
    pub(crate) async fn get_sealed(&self, path: &str, at: u64, len: u64) -> Result<Bytes, Error> {
        let damaged = || Error::Corrupt(format!("object {path} is not what was stored"));
        let place = Path::from(path);
        let mut bytes = match self.store.get_range(&place, at..at + len).await {
            Ok(bytes) => bytes,
            // Every storage has words of its own for a range that is not there.
            Err(error) => match self.store.head(&place).await {
                Ok(meta) if meta.size < at + len => return Err(damaged()),
                _ => return Err(error.into()),
            },
        };
        if bytes.len() as u64 != len || bytes.len() < SEAL {
            return Err(damaged());
        }
        let sealed = bytes.split_off(bytes.len() - SEAL);
        if seal(path, at, &bytes)[..] == sealed[..] { Ok(bytes) } else { Err(damaged()) }
    }

    /// The next objects of the list of all; nothing at its end.
    pub(crate) async fn next_objects(&self, most: usize) -> Result<Vec<ObjectMeta>, Error> {
        let mut listing = self.listing.lock().await;
        let mut list = listing.take().unwrap_or_else(|| self.store.list(None));
        let mut found = Vec::new();
        while found.len() < most {
            match list.next().await {
                Some(meta) => found.push(meta?),
                None => return Ok(found),
            }
        }
        *listing = Some(list);
        Ok(found)
    }

    /// Removes objects, those that are not there too: which of them are gone, and why the others are not.
    pub(crate) async fn remove_all(&self, paths: Vec<String>) -> (Vec<String>, Option<Error>) {
        if self.bulk {
            let all: Vec<_> = paths.iter().map(|path| Ok(Path::from(path.as_str()))).collect();
            let removed = self.store.delete_stream(stream::iter(all).boxed());
            // What went before an error goes once more next time.
            return match removed.try_for_each(|_| std::future::ready(Ok(()))).await {
                Ok(()) => (paths, None),
                Err(error) => (Vec::new(), Some(error.into())),
            };
        }
        let (mut gone, mut failed) = (Vec::new(), None);
        let each = paths.into_iter().map(|path| async move {
            let removed = self.remove(&Path::from(path.as_str())).await;
            (path, removed)
        });
        let mut each = stream::iter(each).buffer_unordered(REMOVED_AT_ONCE);
        while let Some((path, removed)) = each.next().await {
            match removed {
                Ok(()) => gone.push(path),
                Err(error) => failed = Some(error),
            }
        }
        (gone, failed)
    }

    /// Is there an object of this name?
    pub(crate) async fn has(&self, path: &str) -> Result<bool, Error> {
        match self.store.head(&Path::from(path)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn remove(&self, path: &Path) -> Result<(), Error> {
        match self.store.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// No bucket, or no such upload any more: nothing that was stored is missing.
fn not_stored(error: object_store::Error) -> Error {
    match error {
        object_store::Error::NotFound { .. } => Error::unavailable(error),
        error => error.into(),
    }
}

/// The next part of a file; nothing at its end.
async fn read_part(file: &mut File) -> std::io::Result<Bytes> {
    let mut part = Vec::new();
    file.take(PART as u64).read_to_end(&mut part).await?;
    Ok(part.into())
}

/// What stands behind a range of an object: says that these bytes belong there.
pub(crate) fn seal(path: &str, at: u64, bytes: &[u8]) -> [u8; SEAL] {
    let place = Sha256::new().chain_update(path).chain_update(at.to_be_bytes());
    place.chain_update(bytes).finalize().into()
}

fn s3(url: &str, options: Vec<(String, String)>) -> Result<Arc<dyn ObjectStore>, Error> {
    let wrong = |what: String| Error::Schema(format!("objects: {what}"));
    let rest = url
        .strip_prefix("s3://")
        .ok_or_else(|| wrong("the URL is s3://BUCKET/PREFIX".to_owned()))?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(3),
        base: 2.0,
    };
    let client = ClientOptions::new().with_timeout(TRY).with_connect_timeout(CONNECT);
    let mut builder = object_store::aws::AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_client_options(client)
        .with_retry(RetryConfig { backoff, max_retries: MOST_RETRIES, retry_timeout: TRIES });
    for (name, value) in options {
        let key = name.parse().map_err(|_| wrong(format!("there is no option {name}")))?;
        builder = builder.with_config(key, value);
    }
    let store = builder.build().map_err(|error| wrong(error.to_string()))?;
    Ok(match prefix.trim_matches('/') {
        "" => Arc::new(store),
        prefix => Arc::new(PrefixStore::new(store, prefix)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Trap T4. There is no other way to ask than how it prints itself.
    #[test]
    fn objects_in_a_folder_are_on_disk_before_they_count() {
        let folder = tempfile::tempdir().expect("a folder");
        let objects = ObjectFolder::open(Objects::Folder(folder.path().into())).expect("a folder");
        assert!(format!("{:?}", objects.store).contains("fsync: true"));
    }

    #[tokio::test]
    async fn a_range_is_only_what_was_stored_there() {
        let objects = ObjectFolder::open(Objects::Memory).expect("a store");
        let mut object = Vec::new();
        for bytes in [b"one", b"two"] {
            let at = object.len() as u64;
            object.extend_from_slice(bytes);
            object.extend_from_slice(&seal("a", at, bytes));
        }
        objects.put("a", object.clone().into()).await.expect("it is stored");
        objects.put("b", object.into()).await.expect("it is stored");
        assert_eq!(objects.get_sealed("a", 35, 35).await.expect("it"), "two");
        for (path, at, len) in
            [("b", 35, 35), ("a", 0, 34), ("a", 36, 34), ("a", 35, 36), ("a", 0, 3)]
        {
            let read = objects.get_sealed(path, at, len).await;
            assert!(matches!(read, Err(Error::Corrupt(_))), "{path} {at} {len}: {read:?}");
        }
    }
}
