//! What was submitted, once more: as CSV, and as the inputs of another request.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use muster_core::input::InputTable;
use muster_core::{PrincipalId, Request, RequestId};

use super::csv::{CsvWriter, split_lines};
use super::tasks::Tasks;
use super::{Batch, Header, ResultRow, Writer, own};
use crate::requests::parts;
use crate::{Error, Store, aside_if};

const BYTES: &str = "SELECT input_bytes FROM request WHERE id = $1";

impl Store {
    /// Streams the inputs of a request with all columns of its file as CSV, whatever became of it; `None`
    /// for foreign and unknown ids.
    pub async fn download_inputs(
        &self,
        principal: PrincipalId,
        id: RequestId,
    ) -> Result<Option<BoxStream<'static, Result<Bytes, Error>>>, Error> {
        let Some(request) = self.find_request(principal, id).await? else { return Ok(None) };
        let own = own(&request.reading);
        let lines = own.len() > 1;
        let (model, names) = (Vec::new(), Vec::new());
        let header = Arc::new(Header { own, lines, model, names, error: None, hint: false });
        let mut writer = CsvWriter::new(header);
        let head = Bytes::from(writer.start()?);
        let tasks = Tasks::of(self, id, request.progress.inputs).await?;
        let rows = stream::try_unfold((tasks, writer), |(mut tasks, mut writer)| async move {
            let Some(row) = tasks.next_row().await? else { return Ok(None) };
            let count = row.count;
            let (array, lines) = tasks.slice(row).await?;
            let weight = array.len() + lines.as_ref().map_or(0, Vec::len);
            let writing = move || {
                let inputs =
                    if lines.is_some() { Ok(Vec::new()) } else { parts::read_inputs(&array) };
                let rows = (0..count).map(|_| ResultRow::Values(Vec::new())).collect();
                let written = inputs.and_then(|inputs| writer.batch(Batch { inputs, lines, rows }));
                (written, writer)
            };
            let (written, writer) = aside_if(weight, writing).await;
            Ok(Some((Bytes::from(written?), (tasks, writer))))
        });
        Ok(Some(stream::once(std::future::ready(Ok(head))).chain(rows).boxed()))
    }

    /// About how many bytes [`Store::input_table`] is.
    pub async fn input_bytes(&self, id: RequestId) -> Result<u64, Error> {
        let mut conn = self.inner.db.read().await?;
        let found: Option<(i64,)> = crate::db::statement::row!(&mut conn, BYTES, id.0);
        Ok(found.map_or(0, |(bytes,)| bytes as u64))
    }

    /// The inputs of a request, and the lines of its file, as they were submitted.
    ///
    /// # Errors
    ///
    /// `Corrupt` if they are not stored any more as they were.
    pub async fn input_table(&self, request: &Request) -> Result<InputTable, Error> {
        let mut tasks = Tasks::of(self, request.id, request.progress.inputs).await?;
        let mut table = InputTable::default();
        while let Some(row) = tasks.next_row().await? {
            let (array, lines) = tasks.slice(row).await?;
            let weight = array.len() + lines.as_ref().map_or(0, Vec::len);
            table = aside_if(weight, move || add(table, &array, lines.as_deref())).await?;
        }
        Ok(table)
    }
}

fn add(mut table: InputTable, array: &[u8], lines: Option<&[u8]>) -> Result<InputTable, Error> {
    for input in parts::read_inputs(array)? {
        table.inputs.push(&input);
    }
    if let Some(lines) = lines {
        let records = table.records.get_or_insert_default();
        for line in split_lines(lines) {
            let line = std::str::from_utf8(line);
            records.push(line.map_err(|_| Error::Corrupt("a line of a file".into()))?);
        }
    }
    Ok(table)
}
