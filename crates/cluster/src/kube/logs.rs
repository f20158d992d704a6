//! Logs of pods: followed while somebody asks for them, and taken at the end. Only their ends are kept.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::AsyncBufReadExt;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff;
use kube::Api;
use kube::api::LogParams;
use kube::runtime::watcher::DefaultBackoff;
use muster_core::InstanceId;
use tokio::time::{Instant, sleep, timeout};

use super::Inner;
use super::client::Failed;
use super::entry::Entry;
use super::pods::Named;
use super::read::MODEL_CONTAINER;
use crate::tail::Tail;

/// Who asked so long ago does not wait for more.
const ASKED: Duration = Duration::from_secs(60);
/// Lines that are read of a log that is opened: more than its end holds of usual ones.
const LINES: i64 = 2_000;
/// Longest time that the last words of an instance are waited for.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long the API may take to open a log.
const OPEN: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(1);
/// How often it is tried to read what may not be read.
const FORBIDDEN: Duration = Duration::from_secs(60);
/// How often a follower looks whether anybody still asks.
const LOOK: Duration = Duration::from_secs(20);

/// The log of one instance.
#[derive(Default)]
pub(super) struct Log {
    pub(super) tail: Tail,
    lines: Lines,
    says: Says,
    asked: Option<Instant>,
    /// Somebody follows it.
    follows: bool,
    is_open: bool,
    /// Which reader it is that reads: one at a time.
    reader: u64,
}

impl Log {
    /// Somebody asks. True: it is to be followed, and nobody does that yet.
    pub(super) fn ask(&mut self) -> bool {
        self.asked = Some(Instant::now());
        !std::mem::replace(&mut self.follows, true)
    }

    fn is_wanted(&self) -> bool {
        self.asked.is_some_and(|asked| asked.elapsed() < ASKED)
    }

    fn begin(&mut self) {
        let mut text = Vec::new();
        self.lines.begin(&mut text);
        self.tail.push(&text);
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let mut text = Vec::with_capacity(bytes.len());
        self.lines.read(bytes, &mut text);
        self.says.read(&text);
        self.tail.push(&text);
    }

    /// What our model server said last that it does for the environment, if it is busy with that.
    pub(super) fn preparing(&self) -> Option<&str> {
        self.says.preparing.as_deref()
    }
}

/// Reads what our model server says of its start, in lines of its own.
#[derive(Default)]
struct Says {
    line: Vec<u8>,
    preparing: Option<String>,
}

/// Most bytes that are read of such a line.
const SAID: usize = 1_000;

impl Says {
    fn read(&mut self, text: &[u8]) {
        for byte in text {
            if *byte != b'\n' {
                if self.line.len() < SAID {
                    self.line.push(*byte);
                }
                continue;
            }
            let line = String::from_utf8_lossy(&self.line);
            if let Some(doing) = line.strip_prefix("preparing: ") {
                self.preparing = Some(doing.to_owned());
            } else if line.starts_with("starting: ") {
                self.preparing = None;
            }
            self.line.clear();
        }
    }
}

/// Takes the times from the fronts of lines: by them it is known what was read before.
#[derive(Default)]
struct Lines {
    /// Of the line that is being read, and of the last one that was read to its end.
    now: Option<jiff::Timestamp>,
    last: Option<jiff::Timestamp>,
    /// The same when this answer began: lines of one moment are all read.
    before: Option<jiff::Timestamp>,
    /// The front of a line, as long as its time is not read to its end.
    front: Vec<u8>,
    state: Line,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Line {
    #[default]
    Begins,
    Kept,
    /// It was read before.
    Skipped,
}

/// Longest time at the front of a line.
const STAMP: usize = 40;

impl Lines {
    /// Another answer begins. A line that the one before cut off comes once more, as a line of its own.
    fn begin(&mut self, text: &mut Vec<u8>) {
        if self.state == Line::Kept {
            text.push(b'\n');
        }
        self.front.clear();
        self.before = self.last;
        self.state = Line::Begins;
    }

    fn end(&mut self) {
        self.last = self.now.take().or(self.last);
        self.state = Line::Begins;
    }

    fn read(&mut self, mut bytes: &[u8], text: &mut Vec<u8>) {
        while !bytes.is_empty() {
            if self.state == Line::Begins {
                let end = bytes.iter().position(|b| matches!(b, b' ' | b'\n'));
                let front = end.map_or(bytes.len(), |end| end + 1);
                self.front.extend(&bytes[..front]);
                bytes = &bytes[front..];
                if end.is_some() || self.front.len() > STAMP {
                    self.stamped(text);
                }
                continue;
            }
            let end = bytes.iter().position(|b| *b == b'\n').map(|end| end + 1);
            let line = &bytes[..end.unwrap_or(bytes.len())];
            if self.state == Line::Kept {
                text.extend(line);
            }
            bytes = &bytes[line.len()..];
            if end.is_some() {
                self.end();
            }
        }
    }

    fn stamped(&mut self, text: &mut Vec<u8>) {
        let front = std::mem::take(&mut self.front);
        let stamp = std::str::from_utf8(&front).ok().and_then(|it| it.trim_end().parse().ok());
        let Some(stamp): Option<jiff::Timestamp> = stamp else {
            // No time: it is the line's own.
            text.extend(&front);
            self.state = if front.ends_with(b"\n") { Line::Begins } else { Line::Kept };
            return;
        };
        let was_read = self.before.is_some_and(|before| stamp <= before);
        self.state = if was_read { Line::Skipped } else { Line::Kept };
        self.now = Some(stamp).filter(|_| !was_read);
        if front.ends_with(b"\n") {
            // Kubernetes writes an empty line without a space after its time.
            if !was_read {
                text.push(b'\n');
            }
            self.end();
        }
    }
}

/// Follows a log until its container ended or nobody asks any more.
pub(super) async fn follow(inner: Arc<Inner>, instance: InstanceId, is: Named) {
    if let Ok(_one_of_few) = inner.followers.acquire().await {
        let mut pause = DefaultBackoff::default();
        while inner.pods.with(instance, |entry| entry.log.is_wanted()) == Some(true) {
            let is_over = |entry: &mut Entry| entry.is_ending() || entry.is_over();
            match read(&inner, instance, &is, true).await {
                // The container ended, or the connection did.
                Ok(()) if inner.pods.with(instance, is_over) != Some(false) => break,
                Ok(()) => sleep(PAUSE).await,
                Err(failed) if failed.is(404) => break,
                Err(failed) if failed.is(403) => sleep(FORBIDDEN).await,
                Err(_) => sleep(pause.next().unwrap_or(FORBIDDEN)).await,
            }
            let is_gone = |entry: &mut Entry| {
                entry.pod.as_ref().is_none_or(|seen| seen.gone || seen.is != is)
            };
            if inner.pods.with(instance, is_gone) != Some(false) {
                break;
            }
        }
    }
    inner.pods.with(instance, |entry| entry.log.follows = false);
}

/// Sees to it that the log of what is about to be deleted is read: followed, or at least as far as it is.
pub(super) async fn opened(inner: &Inner, instance: InstanceId, is: &Named) {
    let until = Instant::now() + PAUSE;
    loop {
        let state = |entry: &mut Entry| (entry.has_begun(), entry.log.is_open);
        match inner.pods.with(instance, state) {
            Some((true, false)) if Instant::now() < until => sleep(Duration::from_millis(5)).await,
            Some((true, false)) => break,
            Some((false, _) | (true, true)) | None => return,
        }
    }
    // Too many are followed, or the API is slow.
    drop(timeout(PAUSE, read(inner, instance, is, false)).await);
}

/// What is left of the log of an instance that ended.
pub(super) async fn take(inner: &Inner, instance: InstanceId, is: &Named, is_gone: bool) {
    let rest = async {
        // Whoever follows it hears its end.
        let until = Instant::now() + PAUSE;
        while inner.pods.with(instance, |entry| entry.log.follows) == Some(true) {
            if Instant::now() > until {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        if is_gone {
            return Ok(());
        }
        read(inner, instance, is, false).await
    };
    match timeout(LAST_WORDS, rest).await {
        Ok(Ok(())) => {}
        Ok(Err(failed)) => {
            tracing::debug!(instance.id = %instance, why = %failed, "its log cannot be read any more");
        }
        Err(_) => tracing::debug!(instance.id = %instance, "its log does not end"),
    }
}

/// Reads what was not read yet.
async fn read(inner: &Inner, instance: InstanceId, is: &Named, follow: bool) -> Result<(), Failed> {
    let api: Api<Pod> = Api::namespaced(inner.calls.client.clone(), &inner.calls.namespace);
    let last = inner.pods.with(instance, |entry| entry.log.lines.last).flatten();
    let parameters = LogParams {
        container: Some(MODEL_CONTAINER.to_owned()),
        follow,
        timestamps: true,
        tail_lines: last.is_none().then_some(LINES),
        // kube rounds it to a second, which must not be a later one.
        since_time: last.and_then(|last| jiff::Timestamp::from_second(last.as_second()).ok()),
        ..LogParams::default()
    };
    let opened = timeout(OPEN, api.log_stream(&is.name, &parameters)).await;
    let lost = |why: String| Failed::Lost { why };
    let mut stream = pin!(opened.map_err(|_| lost("its log is not opened".to_owned()))??);
    let reader = inner.pods.with(instance, |entry| {
        entry.log.begin();
        entry.log.is_open = true;
        entry.log.reader += 1;
        entry.log.reader
    });
    let ended = loop {
        let chunk = match timeout(LOOK, stream.fill_buf()).await {
            Ok(Ok(chunk)) => chunk,
            Ok(Err(error)) => break Err(lost(error.to_string())),
            Err(_) if inner.pods.with(instance, |it| it.log.is_wanted()) == Some(true) => continue,
            Err(_) => break Ok(()),
        };
        if chunk.is_empty() {
            break Ok(());
        }
        let bytes = chunk.len();
        let reads = inner.pods.with(instance, |entry| {
            let reads = Some(entry.log.reader) == reader;
            if reads {
                entry.log.push(chunk);
            }
            // Nobody asks any more, however much it writes.
            reads && (!follow || entry.log.is_wanted())
        });
        inner.pods.wrote(instance);
        if reads != Some(true) {
            break Ok(());
        }
        stream.as_mut().consume_unpin(bytes);
    };
    // Another reader may have come meanwhile.
    let is_ours = |entry: &mut Entry| Some(entry.log.reader) == reader;
    inner.pods.with(instance, |entry| entry.log.is_open &= !is_ours(entry));
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &mut Lines, pieces: &[&str]) -> String {
        let mut text = Vec::new();
        lines.begin(&mut text);
        for piece in pieces {
            lines.read(piece.as_bytes(), &mut text);
        }
        String::from_utf8(text).expect("a text")
    }

    #[test]
    fn a_log_that_is_opened_again_goes_on_where_it_was() {
        let mut lines = Lines::default();
        let first = [
            "2026-11-28T14:00:00.1Z one\n2026-11-2",
            "8T14:00:00.25Z tw",
            "o\n2026-11-28T14:00:00.3Z\n",
        ];
        assert_eq!(read(&mut lines, &first), "one\ntwo\n\n");
        let again = [
            "2026-11-28T14:00:00.1Z one\n2026-11-28T15:00:00.250+01:00 two\n",
            "2026-11-28T14:00:00.3Z\n2026-11-28T14:00:01Z three\n",
        ];
        assert_eq!(read(&mut lines, &again), "three\n");
    }

    #[test]
    fn a_line_that_was_cut_off_comes_whole() {
        let mut lines = Lines::default();
        let first = ["2026-11-28T14:00:00.1Z one\n2026-11-28T14:00:00.2Z tw"];
        assert_eq!(read(&mut lines, &first), "one\ntw");
        let again = [
            "2026-11-28T14:00:00.1Z one\n2026-11-28T14:00:00.2Z two\n2026-11-28T14:00:00.3Z three\n",
        ];
        assert_eq!(read(&mut lines, &again), "\ntwo\nthree\n");
    }

    #[test]
    fn lines_of_one_moment_are_all_read() {
        let mut lines = Lines::default();
        let same = "2026-11-28T14:00:00.1Z one\n2026-11-28T14:00:00.1Z two\n";
        assert_eq!(read(&mut lines, &[same]), "one\ntwo\n");
        assert_eq!(read(&mut lines, &[same]), "");
    }

    #[test]
    fn what_a_start_is_busy_with_is_read_of_whole_lines() {
        let mut says = Says::default();
        says.read(b"preparing: step 1 of 2\nwarning: x\nprep");
        assert_eq!(says.preparing.as_deref(), Some("step 1 of 2"));
        says.read(b"aring: step 2 of 2\n");
        assert_eq!(says.preparing.as_deref(), Some("step 2 of 2"));
        says.read(b"starting: loading the model\n");
        assert_eq!(says.preparing, None);
    }

    #[test]
    fn lines_without_a_time_stay_as_they_are() {
        let long = "x".repeat(100);
        let mut lines = Lines::default();
        assert_eq!(
            read(&mut lines, &["no time\n\nat all\n", &long]),
            format!("no time\n\nat all\n{long}")
        );
    }
}
