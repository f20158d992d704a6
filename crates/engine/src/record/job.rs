//! Jobs as they are noted. What is told of them is put into words when it is written down: most jobs are
//! followed by another one before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use muster_cluster::Work;
use muster_core::news::{Event, Level};
use muster_core::retry::JobFailure;
use muster_core::{InstanceId, RequestId, ServerId, Timestamp};
use muster_store::{ClaimedTask, Served};
use serde_json::{Value, json};

use super::Recorder;

/// Requests that an event names.
const NAMED: usize = 20;

/// What happens to a job. Of a failure only which one it was: words of a model may quote inputs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Sent,
    Done,
    Failed(&'static str),
    BrokenOff,
}

/// How often jobs came to each step, and what is told of the last one.
#[derive(Default)]
pub(super) struct Jobs(BTreeMap<Step, Reached>);

struct Reached {
    count: u64,
    first_at: Timestamp,
    last_at: Timestamp,
    last: Parts,
    took: Duration,
    is_news: bool,
}

/// What is in a job.
#[derive(Clone, Default)]
struct Parts {
    inputs: u64,
    requests: usize,
    named: Vec<RequestId>,
}

/// A job while it runs; dropped without an outcome it was broken off.
pub(crate) struct Job {
    recorder: Arc<Recorder>,
    instance: InstanceId,
    begun: Timestamp,
    parts: Parts,
    /// Since when the instance does nothing for it.
    answered: Option<Timestamp>,
    over: bool,
}

impl Recorder {
    /// These tasks are sent to it.
    pub(crate) fn job(self: &Arc<Self>, instance: InstanceId, tasks: &[ClaimedTask]) -> Job {
        let begun = self.store.now();
        let requests: BTreeSet<RequestId> = tasks.iter().map(|task| task.key.request).collect();
        let parts = Parts {
            inputs: tasks.iter().map(|task| u64::from(task.count)).sum(),
            requests: requests.len(),
            named: requests.iter().copied().take(NAMED).collect(),
        };
        self.note(instance, |entry| {
            entry.working = Some(begun);
            entry.cluster.work(instance, Work { requests: requests.iter().copied().collect() });
            for request in requests {
                let (first_at, last_at) = (begun, begun);
                let new = Served { request, jobs: 0, inputs: 0, first_at, last_at };
                let served = entry.served.entry(request).or_insert(new);
                served.jobs += 1;
                served.last_at = begun;
            }
            for task in tasks {
                let inputs = u64::from(task.count);
                entry.served.entry(task.key.request).and_modify(|served| served.inputs += inputs);
            }
            entry.jobs.add(Step::Sent, parts.clone(), begun, Duration::ZERO);
        });
        Job { recorder: Arc::clone(self), instance, begun, parts, answered: None, over: false }
    }
}

impl Job {
    /// Its answer is here, and is to be read.
    pub(crate) fn answered(&mut self) {
        let now = self.recorder.store.now();
        self.answered = Some(now);
        self.recorder.note(self.instance, |entry| entry.rest(now));
    }

    pub(crate) fn done(mut self) {
        self.close(Step::Done);
    }

    pub(crate) fn failed(mut self, failure: &JobFailure) {
        self.close(Step::Failed(failure.name()));
    }

    fn close(&mut self, step: Step) {
        self.over = true;
        if self.answered.is_none() {
            self.answered();
        }
        let now = self.answered.unwrap_or(self.begun);
        self.recorder.note(self.instance, |entry| {
            entry.cluster.work(self.instance, Work::default());
            entry.jobs.add(step, self.parts.clone(), now, now.since(self.begun));
        });
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if !self.over {
            self.close(Step::BrokenOff);
        }
    }
}

impl Step {
    fn kind(self) -> &'static str {
        match self {
            Self::Sent => "job_sent",
            Self::Done => "job_done",
            Self::Failed(_) => "job_failed",
            Self::BrokenOff => "job_broken_off",
        }
    }

    fn failure(self) -> Option<&'static str> {
        match self {
            Self::Failed(failure) => Some(failure),
            Self::Sent | Self::Done | Self::BrokenOff => None,
        }
    }

    /// Every server that calls an external one counts its own jobs.
    fn uid(self, server: ServerId) -> String {
        format!("{}-{} {server}", self.kind(), self.failure().unwrap_or_default())
    }
}

impl Jobs {
    fn add(&mut self, step: Step, parts: Parts, at: Timestamp, took: Duration) {
        let seen = self.0.entry(step).or_insert_with(|| Reached {
            count: 0,
            first_at: at,
            last_at: at,
            last: Parts::default(),
            took,
            is_news: true,
        });
        seen.count += 1;
        seen.last_at = seen.last_at.max(at);
        (seen.last, seen.took, seen.is_news) = (parts, took, true);
    }

    /// What is new of them as events.
    pub(super) fn take(&mut self, server: ServerId) -> Vec<Event> {
        let news = self.0.iter_mut().filter_map(|(step, seen)| {
            std::mem::take(&mut seen.is_news).then(|| seen.event(*step, server))
        });
        news.collect()
    }

    /// The event with this uid, if it is one of these, is still news.
    pub(super) fn put_back(&mut self, uid: &str, server: ServerId) {
        for (step, seen) in &mut self.0 {
            seen.is_news |= step.uid(server) == uid;
        }
    }
}

impl Reached {
    fn event(&self, step: Step, server: ServerId) -> Event {
        let Parts { inputs, requests, named } = &self.last;
        let seconds = self.took.as_secs_f64();
        let counted = |n: u64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let of = counted(*requests as u64, "request");
        let mut message = format!("the last one: {} of {of}", counted(*inputs, "input"));
        let mut raw = json!({"inputs": inputs, "requests": requests, "of": named});
        if step != Step::Sent {
            message += &format!(" after {seconds:.3} s");
            raw["seconds"] = seconds.into();
        }
        if let Some(failure) = step.failure() {
            message += &format!(" ({failure})");
            raw["failure"] = Value::from(failure);
        }
        let is_bad = step.failure().is_some();
        Event {
            uid: step.uid(server),
            level: if is_bad { Level::Warning } else { Level::Normal },
            count: self.count,
            last_at: self.last_at,
            raw: Some(raw),
            ..Event::once(step.kind(), message, self.first_at)
        }
    }
}
