//! What is known of one instance: its launch, its pod as it was seen last, and what the hub was told of it.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use muster_core::instance::EndCause;
use muster_core::news::{self, News, Usage};
use muster_core::waits::{Scheduler, Waits};
use muster_core::{Address, InstanceId, Observed, ObservedState, Timestamp};
use tokio::time::Instant;

use super::events::Events;
use super::logs::Log;
use super::make;
use super::pods::{Named, Todo, epoch};
use super::read::MODEL_CONTAINER;
use super::read::pod::{Phase, PodState, pod_state};
use super::runner::PREPARES;
use super::show::shown;
use super::work::Marks;
use crate::Launch;

/// A pod as the watch shows it.
pub(super) struct Seen {
    pub(super) pod: Arc<Pod>,
    pub(super) is: Named,
    pub(super) state: PodState,
    /// Only its making was answered so far; no watch showed it.
    pub(super) answered: Option<Instant>,
    pub(super) gone: bool,
}

impl Seen {
    /// It may reach what it needs for its environment.
    pub(super) fn prepares(&self) -> bool {
        let labels = self.pod.metadata.labels.as_ref();
        labels.is_some_and(|labels| labels.contains_key(PREPARES))
    }
}

/// What is kept of an instance.
pub(super) struct Entry {
    pub(super) observed: Observed,
    /// None: nobody launched it here.
    pub(super) launch: Option<Arc<Launch>>,
    pub(super) pod: Option<Seen>,
    /// Where it was ready first: a pod keeps its address, also while it is too busy to say that it is ready.
    address: Option<Address>,
    /// What is observed of it is otherwise than whoever looks was told.
    pub(super) is_news: bool,
    pub(super) stop: Option<Duration>,
    /// When it was seen first that its pod is to be gone.
    leaves: Option<Instant>,
    /// Why it ended, while its last words are being taken.
    pub(super) ends: Option<EndCause>,
    pub(super) is_told: bool,
    is_closing: bool,
    pub(super) marks: Marks,
    pub(super) events: Events,
    pub(super) log: Log,
    pub(super) usage: Usage,
}

impl Entry {
    pub(super) fn new(instance: InstanceId, at: Timestamp, launch: Option<Arc<Launch>>) -> Self {
        let waits = Waits::Scheduler(Scheduler::Silent);
        let state = ObservedState::Starting { doing: "its pod is being made".to_owned(), waits };
        Self {
            observed: Observed { instance, at, state, node: None },
            pod: None,
            address: None,
            // Whoever launches it is told already.
            is_news: launch.is_none(),
            launch,
            stop: None,
            leaves: None,
            ends: None,
            is_told: true,
            is_closing: false,
            marks: Marks::default(),
            events: Events::default(),
            log: Log::default(),
            usage: Usage::default(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.observed.state, ObservedState::Ended { .. })
    }

    /// Its end is known, and told soon.
    pub(super) fn is_ending(&self) -> bool {
        self.ends.is_some()
    }

    /// Is it still the pod that listened there?
    pub(super) fn is_at(&self, address: &Address) -> bool {
        let is_there = self.pod.as_ref().is_some_and(|seen| !seen.gone);
        is_there && !self.is_over() && !self.is_ending() && self.address.as_ref() == Some(address)
    }

    /// Its container can have written something.
    pub(super) fn has_begun(&self) -> bool {
        let started = |status: &k8s_openapi::api::core::v1::ContainerStatus| {
            let state = status.state.as_ref();
            state.is_some_and(|it| it.running.is_some() || it.terminated.is_some())
        };
        let status = self.pod.as_ref().and_then(|seen| seen.pod.status.as_ref());
        let all = status.and_then(|status| status.container_statuses.as_deref());
        all.unwrap_or_default().iter().any(|it| it.name == MODEL_CONTAINER && started(it))
    }

    /// What is new beside its state.
    pub(super) fn news(&mut self) -> News {
        let is_told = std::mem::replace(&mut self.is_told, true);
        let pod = self.pod.as_ref().filter(|_| !is_told);
        News {
            node: self.observed.node.as_ref().map(ToString::to_string),
            pod: pod.map(|seen| news::Pod {
                status: seen.state.status.clone(),
                message: seen.state.message.clone(),
                raw: shown(&seen.pod),
            }),
            usage: std::mem::take(&mut self.usage),
            events: self.events.take(),
        }
    }

    /// Is a pod of this name the instance's?
    pub(super) fn owns(&self, name: &str, instance: InstanceId) -> bool {
        let launched = self.launch.as_ref();
        let expected = launched.map(|launch| make::name(&launch.model.id, instance));
        let known = self.pod.as_ref().map(|seen| seen.is.name.clone());
        expected.or(known).is_none_or(|expected| expected == name)
    }

    pub(super) fn saw(
        &mut self,
        pod: Pod,
        is: Named,
        answered: Option<Instant>,
        now: Timestamp,
    ) -> Vec<Todo> {
        let instance = self.observed.instance;
        let before = self.pod.as_ref();
        if before.is_some_and(|before| before.is != is) {
            // Another pod has its name, so its own is gone.
            let known = before.map(|before| before.is.clone());
            let ended = known.and_then(|known| self.gone(instance, &known, true));
            return ended.into_iter().chain([Todo::Fake(is, epoch(&pod))]).collect();
        }
        if before.is_some() && answered.is_some() {
            // The watch is ahead of the answer.
            return Vec::new();
        }
        let labels = pod.metadata.labels.as_ref();
        let says = labels.and_then(|labels| labels.get(make::INSTANCE));
        let is_marked = says.is_some_and(|id| *id == instance.to_string());
        self.marks.shown(&pod);
        if pod.metadata.deletion_timestamp.is_some() {
            self.leaves.get_or_insert_with(Instant::now);
        }
        let state = pod_state(&pod);
        let seen = Seen { pod: Arc::new(pod), is, state, answered, gone: false };
        self.is_news |= self.observed.node != seen.state.node;
        self.observed.node.clone_from(&seen.state.node);
        self.pod = Some(seen);
        self.is_told = false;
        let next = self.look(now);
        let todo = match next {
            Some(todo) => Some(todo),
            None if self.is_over() || self.is_ending() => None,
            None if !is_marked => Some(Todo::Heal(instance)),
            None => self.marks.differ().then_some(Todo::Mark(instance)),
        };
        todo.into_iter().collect()
    }

    /// What its pod says becomes what is told of it.
    pub(super) fn look(&mut self, now: Timestamp) -> Option<Todo> {
        let seen = self.pod.as_ref()?;
        let cause = match seen.state.phase.clone() {
            Phase::Ended { cause, .. } | Phase::Stuck { cause } => cause,
            // It gets no input as long as it may reach others.
            Phase::Ready { .. } if seen.prepares() => {
                let doing = "its network is being closed".to_owned();
                self.tell(ObservedState::Starting { doing, waits: Waits::Program }, now);
                let instance = self.observed.instance;
                return (!std::mem::replace(&mut self.is_closing, true))
                    .then_some(Todo::Close(instance));
            }
            Phase::Ready { ip, port } => {
                let url = format!("http://{}", std::net::SocketAddr::new(ip, port));
                let address = Address::Url(url);
                self.address = Some(address.clone());
                self.tell(ObservedState::Ready { address }, now);
                return None;
            }
            Phase::Starts { waits, .. } => {
                self.starts(waits, now);
                return None;
            }
            // What was asked for is no news.
            Phase::Leaves { .. } if self.stop.is_some() => return None,
            Phase::Leaves { cause } => {
                let doing = format!("it is being taken away: {cause}");
                self.tell(ObservedState::Starting { doing, waits: Waits::Program }, now);
                return None;
            }
        };
        self.end(cause)
    }

    pub(super) fn starts(&mut self, waits: Waits, now: Timestamp) {
        let prepares = self.pod.as_ref().is_some_and(Seen::prepares);
        let state = match (&waits, self.log.preparing().filter(|_| prepares)) {
            (Waits::Program, Some(doing)) => ObservedState::Preparing { doing: doing.to_owned() },
            (Waits::Program, None) if self.address.is_some() => {
                ObservedState::Starting { doing: "it is not ready".to_owned(), waits }
            }
            _ => ObservedState::Starting { doing: waits.to_string(), waits },
        };
        self.tell(state, now);
    }

    /// Its pod is no more, or is not in the watch any more.
    pub(super) fn gone(
        &mut self,
        instance: InstanceId,
        is: &Named,
        was_deleted: bool,
    ) -> Option<Todo> {
        let is_open = self.ends.is_none() && !self.is_over();
        let seen = self.pod.as_mut().filter(|seen| seen.is == *is && !seen.gone)?;
        let was_deleted =
            was_deleted || self.stop.is_some() || seen.pod.metadata.deletion_timestamp.is_some();
        if !was_deleted && is_open {
            return Some(Todo::Check(instance));
        }
        seen.gone = true;
        let cause = seen.state.gone();
        self.end(cause)
    }

    /// It was to be gone long ago, and whoever runs it does not say that it is.
    pub(super) fn overdue(&mut self, now: Instant, patience: Duration) -> Option<Todo> {
        let seen = self.pod.as_ref().filter(|seen| !seen.gone)?;
        let grace = seen.pod.metadata.deletion_grace_period_seconds;
        let grace = Duration::from_secs(grace.and_then(|it| it.try_into().ok()).unwrap_or(0));
        if now.duration_since(self.leaves?) <= grace + patience {
            return None;
        }
        let cause = match seen.state.gone() {
            cause @ EndCause::NodeGone { .. } => cause,
            _ => EndCause::NodeGone { why: "its node does not say that it ended".to_owned() },
        };
        self.end(cause)
    }

    pub(super) fn end(&mut self, cause: EndCause) -> Option<Todo> {
        if self.is_over() || self.is_ending() {
            return None;
        }
        let was_asked = self.stop.is_some()
            && !matches!(cause, EndCause::OutOfMemory { .. } | EndCause::OutOfDisk { .. });
        let asked = || EndCause::Retired { why: "it was asked to stop".to_owned() };
        self.ends = Some(if was_asked { asked() } else { cause });
        Some(Todo::End(self.observed.instance))
    }

    /// An end is final, and what did not change is not news.
    pub(super) fn tell(&mut self, state: ObservedState, now: Timestamp) -> bool {
        if self.is_over() || self.observed.state == state {
            return false;
        }
        (self.observed.at, self.observed.state) = (now, state);
        self.is_news = true;
        true
    }
}
