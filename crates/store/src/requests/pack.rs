//! Inputs of a request on their way in: in the database when they are small, else in one object.

use muster_core::RequestId;
use sha2::{Digest, Sha256};

use crate::objects::seal;
use crate::{Error, Store, crash_point};

/// A slice of a request's inputs, as it is stored.
pub(crate) struct PreparedTask {
    pub count: u64,
    pub input: Stored,
    /// The person's own lines.
    pub records: Option<Stored>,
}

pub(crate) enum Stored {
    Inline(Vec<u8>),
    Object { at: u64, len: u64 },
}

impl Stored {
    pub(crate) fn columns(&self) -> (Option<&[u8]>, Option<(i64, i64)>) {
        match self {
            Self::Inline(bytes) => (Some(bytes), None),
            Self::Object { at, len } => (None, Some((*at as i64, *len as i64))),
        }
    }
}

/// Takes slices one after the other.
pub(crate) struct Packer {
    path: String,
    inline: bool,
    object: Vec<u8>,
    hash: Option<[u8; 32]>,
    pub tasks: Vec<PreparedTask>,
    /// Of all slices, bytes.
    pub bytes: u64,
}

impl Packer {
    pub(crate) fn new(id: RequestId, inline: bool) -> Self {
        let path = format!("inputs/{id}");
        Self { path, inline, object: Vec::new(), hash: None, tasks: Vec::new(), bytes: 0 }
    }

    pub(crate) fn add(&mut self, count: u64, input: Vec<u8>, records: Option<Vec<u8>>) {
        let input = self.store(input);
        let records = records.map(|records| self.store(records));
        self.tasks.push(PreparedTask { count, input, records });
    }

    fn store(&mut self, bytes: Vec<u8>) -> Stored {
        self.bytes += bytes.len() as u64;
        if self.inline {
            return Stored::Inline(bytes);
        }
        let at = self.object.len() as u64;
        self.object.extend_from_slice(&bytes);
        self.object.extend_from_slice(&seal(&self.path, at, &bytes));
        Stored::Object { at, len: self.object.len() as u64 - at }
    }

    /// There are no more slices.
    pub(crate) fn end(&mut self) {
        self.hash = (!self.inline).then(|| Sha256::digest(&self.object).into());
    }

    /// Stores the object, if there is one: its path and hash.
    pub(crate) async fn put(&mut self, store: &Store) -> Result<Option<(String, [u8; 32])>, Error> {
        let Some(hash) = self.hash else { return Ok(None) };
        let object = std::mem::take(&mut self.object);
        store.inner.objects.put(&self.path, object.into()).await?;
        crash_point("after-input-object-before-commit");
        Ok(Some((self.path.clone(), hash)))
    }
}
