//! Running an installer: its lines are told as they come, its last ones are kept.

use std::ffi::OsString;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, BufReader};

use super::PrepareError;
use crate::Machine;
use crate::process::Spawner;
use crate::walls::Place;

/// Lines of a failing builder that are shown.
const LAST_LINES: usize = 12;

/// Runs a program for the environment in `home`, with the programs of `bin` before the machine's. Other
/// people's code runs here as well: what they install, and how.
pub(super) async fn run(
    words: &[OsString],
    machine: &Machine,
    bin: Option<&Path>,
    (home, dir): (&Path, &Path),
    mut line: impl FnMut(&str),
) -> Result<(), PrepareError> {
    let place = Place::of_builder(dir, home, words, machine)?;
    let dir = place.dir.clone().unwrap_or_else(|| dir.to_owned());
    let spawner = Spawner::new(machine, place).await?;
    let mut group = spawner.start(words, &dir, bin).await?;
    let child = &mut group.child;
    drop(child.stdin.take());
    let mut last: Vec<String> = Vec::new();
    let stdout = child.stdout.take().map(|out| BufReader::new(out).lines());
    let stderr = child.stderr.take().map(|out| BufReader::new(out).lines());
    let (Some(mut stdout), Some(mut stderr)) = (stdout, stderr) else {
        return Err(PrepareError("the builder has no output".into()));
    };
    let (mut out_open, mut err_open) = (true, true);
    while out_open || err_open {
        let next = tokio::select! {
            next = stdout.next_line(), if out_open => next.unwrap_or(None).ok_or(&mut out_open),
            next = stderr.next_line(), if err_open => next.unwrap_or(None).ok_or(&mut err_open),
        };
        match next {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => {
                line(text.trim());
                last.push(text);
                let over = last.len().saturating_sub(LAST_LINES);
                last.drain(..over);
            }
            Err(open) => *open = false,
        }
    }
    let status = child.wait().await?;
    if status.success() {
        return Ok(());
    }
    let said = spawner.explain(last.join("\n"));
    Err(PrepareError(format!(
        "its Python environment cannot be built ({status}). The last lines:\n{said}"
    )))
}
