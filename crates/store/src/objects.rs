//! Large inputs and results: a folder, or S3-compatible storage.

use std::sync::Arc;

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

use crate::{Error, Objects};

pub(crate) struct ObjectFolder {
    store: Arc<dyn ObjectStore>,
}

impl ObjectFolder {
    pub(crate) fn open(objects: Objects) -> Result<Self, Error> {
        let store: Arc<dyn ObjectStore> = match objects {
            Objects::Memory => Arc::new(InMemory::new()),
            Objects::Folder(folder) => {
                std::fs::create_dir_all(&folder).map_err(Error::unavailable)?;
                // T4: without fsync an acknowledged result can vanish at power loss.
                Arc::new(LocalFileSystem::new_with_prefix(folder)?.with_fsync(true))
            }
            Objects::S3 { url, options } => s3(&url, options)?,
        };
        Ok(Self { store })
    }

    pub(crate) async fn put(&self, path: &str, bytes: Bytes) -> Result<(), Error> {
        self.store.put(&Path::from(path), PutPayload::from_bytes(bytes)).await?;
        Ok(())
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Bytes, Error> {
        Ok(self.store.get(&Path::from(path)).await?.bytes().await?)
    }

    pub(crate) async fn get_range(&self, path: &str, at: u64, len: u64) -> Result<Bytes, Error> {
        Ok(self.store.get_range(&Path::from(path), at..at + len).await?)
    }
}

fn s3(url: &str, options: Vec<(String, String)>) -> Result<Arc<dyn ObjectStore>, Error> {
    let wrong = |what: String| Error::Schema(format!("objects: {what}"));
    let rest = url
        .strip_prefix("s3://")
        .ok_or_else(|| wrong("the URL is s3://BUCKET/PREFIX".to_owned()))?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let mut builder = object_store::aws::AmazonS3Builder::new().with_bucket_name(bucket);
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
}
