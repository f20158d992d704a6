//! How long a result is: learned when it is first written to its end, and kept. A result of an ended
//! request is the same bytes each time, as long as its columns and what writes them are the same.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use futures::FutureExt;
use muster_core::RequestId;
use parquet::file::properties::DEFAULT_CREATED_BY;
use sha2::{Digest, Sha256};

use super::{Format, Header, Window};
use crate::db::conn::on;
use crate::writer::{Tx, work};
use crate::{Error, SMALL_RESULT, Store};

/// To be counted up when a writer writes the same rows as other bytes.
const WRITERS: u32 = 1;

const FIND: &str = "SELECT result_sizes FROM request WHERE id = $1";
const KEEP: &str = "UPDATE request SET result_sizes = $2 WHERE id = $1";

/// By tags.
type Sizes = BTreeMap<String, u64>;

/// What was written of a result.
pub(super) struct Size {
    request: RequestId,
    /// Results with the same tag are the same bytes.
    pub tag: String,
    pub known: Option<u64>,
    written: u64,
    /// It is the whole result: there are as many parts of it as anybody asks for.
    is_whole: bool,
}

impl Size {
    /// `kept`: what is known of the request's results.
    pub(super) fn new(
        request: RequestId,
        (format, window): (Format, Window),
        header: &Header,
        kept: Option<&str>,
    ) -> Self {
        let tag = tag(request, (format, window), header);
        let kept: Sizes = kept.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let known = kept.get(&tag).copied();
        Self { request, tag, known, written: 0, is_whole: window == Window::default() }
    }

    /// The next piece has so many bytes; it may be the last one. A result that is not as long as it
    /// was before breaks off: its length was told already.
    pub(super) async fn add(
        &mut self,
        store: &Store,
        bytes: usize,
        is_end: bool,
    ) -> Result<(), Error> {
        self.written += bytes as u64;
        match self.known {
            Some(known) if self.written > known || (is_end && self.written < known) => {
                self.keep(store, None).await;
                Err(Error::Corrupt("a result is not as long as it was before".into()))
            }
            None if is_end && self.is_whole && self.written > SMALL_RESULT => {
                self.keep(store, Some(self.written)).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn keep(&self, store: &Store, size: Option<u64>) {
        let (request, tag) = (self.request, self.tag.clone());
        let (op, answer) = work(move |tx: &mut Tx| {
            let tag = tag.clone();
            async move { keep(tx, request, tag, size).await }.boxed()
        });
        // It is learned again the next time.
        if let Err(error) = store.answer(op, answer).await {
            tracing::debug!(%error, request.id = %request, "the length of a result was not kept");
        }
    }
}

async fn keep(tx: &mut Tx, id: RequestId, tag: String, size: Option<u64>) -> Result<(), Error> {
    let kept: Option<Option<String>> = on!(&mut tx.conn, c => {
        sqlx::query_scalar(FIND).bind(id.0).fetch_optional(c).await?
    });
    let Some(kept) = kept else { return Ok(()) };
    let mut sizes: Sizes =
        kept.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    match size {
        Some(size) => sizes.insert(tag, size),
        None => sizes.remove(&tag),
    };
    let text = serde_json::to_string(&sizes).map_err(|e| Error::Refused(e.to_string()))?;
    on!(&mut tx.conn, c => {
        sqlx::query(KEEP).bind(id.0).bind(text).execute(c).await?;
    });
    Ok(())
}

fn tag(request: RequestId, (format, window): (Format, Window), header: &Header) -> String {
    let what = (format.name(), WRITERS, DEFAULT_CREATED_BY, request.to_string());
    let columns = (&header.own, header.lines, &header.model, &header.error);
    let mut text = serde_json::to_vec(&(what, columns)).unwrap_or_default();
    if window != Window::default() {
        let rows = serde_json::to_vec(&(window.offset, window.limit)).unwrap_or_default();
        text.extend_from_slice(&rows);
    }
    let hash = Sha256::digest(text);
    hash.iter().take(16).fold(String::with_capacity(32), |mut hex, byte| {
        // Writing to a string cannot fail.
        write!(hex, "{byte:02x}").unwrap_or_default();
        hex
    })
}
