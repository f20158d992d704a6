//! Watches: what happens to the objects of a selector, for as long as somebody listens.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::objects::meta;
use crate::server::Cut;
use crate::{Change, Happened, Resource, Status, What};

use super::list::parse_version;
use super::selector::Selector;
use super::shape::Shape;
use super::{Answer, Call, Kube};

/// How long a watch lasts that does not say it.
const LONG: Duration = Duration::from_secs(30 * 60);

type Out = mpsc::Sender<Result<Frame<Bytes>, Cut>>;

struct Watch {
    kube: Arc<Kube>,
    of: Resource,
    /// As faults name it.
    plural: String,
    selector: Selector,
    shape: Shape,
    bookmarks: bool,
    /// All up to this version has been told.
    at: u64,
    end: Instant,
    first: VecDeque<Value>,
}

pub(super) fn watch(kube: &Arc<Kube>, call: Call) -> Answer {
    let of = call.stored();
    let selector = Selector::of(&call)?;
    let shape = Shape::of(&call);
    let bookmarks = call.flag("allowWatchBookmarks");
    let initial = initial(kube, &call, bookmarks)?;
    let version = call.param("resourceVersion").map(parse_version).transpose()?.unwrap_or(0);
    let seconds: u64 = call.number("timeoutSeconds")?.unwrap_or(0);
    let lasts = if seconds > 0 { Duration::from_secs(seconds) } else { LONG };
    let mut first = VecDeque::new();
    let mut at = version;
    if initial == Some(true) || (version == 0 && initial.is_none()) {
        let (latest, all) = kube.objects.list(&of);
        let all = all.iter().filter(|object| selector.has(object));
        first.extend(all.map(|object| event("ADDED", shape.one(object))));
        if initial == Some(true) {
            first.push_back(event("BOOKMARK", shape.bookmark(latest, true)));
        }
        at = latest;
    }
    let (out, taken) = mpsc::channel(64);
    let watch = Watch {
        kube: Arc::clone(kube),
        of,
        plural: call.kind.plural,
        selector,
        shape,
        bookmarks,
        at,
        end: Instant::now() + lasts,
        first,
    };
    tokio::spawn(async move {
        // Ends when nobody listens, too.
        if watch.run(&out).await == Some(Ended::Cut) {
            drop(out.send(Err(Cut)).await);
        }
    });
    let frames = futures::stream::unfold(taken, async |mut taken| {
        let frame = taken.recv().await?;
        Some((frame, taken))
    });
    let mut answer = Response::new(StreamBody::new(frames).boxed_unsync());
    let kind = header::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(answer)
}

/// Whether the watch is to begin with all there is; [`None`]: as it always was.
fn initial(kube: &Kube, call: &Call, bookmarks: bool) -> Result<Option<bool>, Status> {
    let forbidden = |why: &str| {
        let text =
            format!("ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: {why}");
        Err(Status::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", text))
    };
    let matched = call.param("resourceVersionMatch");
    if call.param("sendInitialEvents").is_none() {
        return match matched {
            None => Ok(None),
            Some(_) => forbidden(
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ),
        };
    }
    if kube.config.minor < 34 {
        return forbidden(
            "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
        );
    }
    if matched != Some("NotOlderThan") {
        return forbidden(
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        );
    }
    let wants = call.flag("sendInitialEvents");
    if wants && !bookmarks {
        return forbidden("sendInitialEvents requires allowWatchBookmarks");
    }
    Ok(Some(wants))
}

#[derive(PartialEq)]
enum Ended {
    /// In the middle of something.
    Cut,
    Done,
}

impl Watch {
    /// [`None`] when nobody listens any more.
    async fn run(mut self, out: &Out) -> Option<Ended> {
        let mut versions = self.kube.objects.version();
        let mut faults = self.kube.faults.changed();
        let every = self.kube.config.bookmarks;
        let mut mark = Instant::now() + every;
        let mut frozen = false;
        loop {
            versions.mark_unchanged();
            faults.mark_unchanged();
            frozen |= self.fault(|what| *what == What::Freeze).is_some();
            if frozen {
                out.closed().await;
                return None;
            }
            if self.fault(|what| *what == What::Drop).is_some() {
                // What comes then is half an event.
                send(out, Bytes::from_static(b"{\"type\":\"MODI")).await?;
                return Some(Ended::Cut);
            }
            while let Some(first) = self.first.pop_front() {
                send(out, line(&first)).await?;
            }
            let Some((latest, changes)) = self.kube.objects.since(&self.of, self.at) else {
                let text =
                    format!("too old resource version: {} ({})", self.at, *versions.borrow());
                send(out, line(&event("ERROR", Status::expired(text).to_value()))).await?;
                return Some(Ended::Done);
            };
            for change in changes {
                let Some(told) = self.told(&change) else { continue };
                let told = line(&told);
                if self.fault(|what| *what == What::Twice).is_some() {
                    send(out, told.clone()).await?;
                }
                send(out, told).await?;
            }
            self.at = self.at.max(latest);
            tokio::select! {
                changed = versions.changed() => changed.ok()?,
                changed = faults.changed() => changed.ok()?,
                () = out.closed() => return None,
                () = sleep_until(mark) => {
                    mark = Instant::now() + every;
                    self.mark(out).await?;
                }
                () = sleep_until(self.end) => {
                    self.mark(out).await?;
                    return Some(Ended::Done);
                }
            }
        }
    }

    fn fault(&self, which: impl Fn(&What) -> bool) -> Option<What> {
        self.kube.faults.take("watch", &self.plural, which)
    }

    async fn mark(&self, out: &Out) -> Option<()> {
        if !self.bookmarks {
            return Some(());
        }
        send(out, line(&event("BOOKMARK", self.shape.bookmark(self.at, false)))).await
    }

    /// What a change is for those who see only what the selector has.
    fn told(&self, change: &Change) -> Option<Value> {
        let was = change.before.as_ref().filter(|before| self.selector.has(before));
        let is = change.kind != Happened::Deleted && self.selector.has(&change.object);
        let (kind, object) = match (was, is) {
            (None, false) => return None,
            (None, true) => ("ADDED", self.shape.one(&change.object)),
            (Some(_), true) => ("MODIFIED", self.shape.one(&change.object)),
            (Some(_), false) if change.kind == Happened::Deleted => {
                ("DELETED", self.shape.one(&change.object))
            }
            // It left the selector: as it was when it was last seen, at the version of the change.
            (Some(was), false) => {
                let mut last = Value::clone(was);
                let version = change.object["metadata"]["resourceVersion"].clone();
                meta(&mut last).insert("resourceVersion".to_owned(), version);
                ("DELETED", self.shape.one(&last))
            }
        };
        Some(event(kind, object))
    }
}

fn event(kind: &str, object: Value) -> Value {
    json!({ "type": kind, "object": object })
}

fn line(event: &Value) -> Bytes {
    let mut text = serde_json::to_vec(event).expect("a value");
    text.push(b'\n');
    text.into()
}

async fn send(out: &Out, bytes: Bytes) -> Option<()> {
    out.send(Ok(Frame::data(bytes))).await.ok()
}
