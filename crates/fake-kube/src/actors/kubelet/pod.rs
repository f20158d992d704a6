//! One pod on its node: from the first look at it until its object is removed.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    super::{
        events::{NORMAL, Said, WARNING},
        needs::needs,
        shapes::{Amounts, Key, Pod},
    },
    Contact, Shared,
    container::Runner,
    process::{Exit, Process},
    status::{Board, Over, Role, State, Verdict, containers, qos},
};
use crate::Resource;

/// The most that is kept of what a container leaves, characters.
const LAST_WORDS: usize = 4096;

/// Why a pod does not simply go on.
enum Interrupt {
    Deleted,
    /// The object is removed already.
    Gone,
    /// The node has lost its power.
    Off,
    Ordered(Verdict),
}

pub struct Worker {
    pub shared: Arc<Shared>,
    pub node: String,
    pub key: Key,
    pub uid: String,
    pub pod: Pod,
    pub needs: Amounts,
    /// [`None`] once it is removed.
    pub object: watch::Sender<Option<Arc<Value>>>,
    ordered: watch::Sender<Option<Verdict>>,
    board: Mutex<Board>,
    pub inside: Mutex<Inside>,
    /// Something on the board or inside has changed.
    news: watch::Sender<()>,
}

/// What no status tells.
#[derive(Default)]
pub struct Inside {
    pub runners: HashMap<usize, Runner>,
    /// Killed for its memory.
    pub starved: HashSet<usize>,
    /// Came to its end, and does not start again.
    pub done: HashSet<usize>,
}

impl Worker {
    pub fn new(shared: &Arc<Shared>, object: &Arc<Value>, pod: Pod) -> Self {
        let node = pod.spec.node_name.clone();
        let board = Board {
            containers: containers(&pod.spec),
            started: shared.now(),
            ip: None,
            host_ip: shared.address_of(&node),
            verdict: None,
        };
        Self {
            shared: shared.clone(),
            key: pod.key(),
            uid: pod.metadata.uid.clone(),
            needs: needs(&pod.spec),
            object: watch::channel(Some(object.clone())).0,
            ordered: watch::channel(None).0,
            board: Mutex::new(board),
            inside: Mutex::default(),
            news: watch::channel(()).0,
            node,
            pod,
        }
    }

    pub fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn policy(&self) -> &str {
        self.pod.spec.restart_policy.as_deref().unwrap_or("Always")
    }

    pub fn is_over(&self) -> bool {
        matches!(self.board().phase(self.policy()), "Failed" | "Succeeded")
    }

    pub fn dir(&self) -> PathBuf {
        self.shared.scratch.path().join(&self.uid)
    }

    pub fn order(&self, verdict: Verdict) {
        self.ordered.send_replace(Some(verdict));
    }

    pub fn say(&self, kind: &str, reason: &str, message: &str) {
        if self.shared.contact(&self.node) != Contact::On {
            return;
        }
        let Some(about) = self.object.borrow().clone() else { return };
        let said = Said { kind, reason, action: "", message, host: &self.node };
        self.shared.events.say(&about, &said, self.shared.now());
    }

    /// Writes the status, if the node can be heard.
    pub fn post(&self) {
        self.news.send_replace(());
        if self.shared.contact(&self.node) != Contact::On {
            return;
        }
        let board = self.board();
        let (at, qos) = (self.shared.now(), qos(&self.pod.spec));
        let written =
            self.shared.objects.change(&Resource::pods(), Some(&self.key.0), &self.key.1, |pod| {
                if pod["metadata"]["uid"] == self.uid.as_str() {
                    board.write(pod, self.policy(), at);
                    pod["status"]["qosClass"] = json!(qos);
                }
            });
        // One that is gone is told to this worker by its change.
        drop(written);
    }

    pub async fn run(self: Arc<Self>) {
        let was_over = self.pod.is_over();
        if !was_over {
            match self.shared.admit(&self) {
                Err(refusal) => {
                    self.say(WARNING, &refusal.reason, &refusal.message);
                    let message = format!("Pod was rejected: {}", refusal.message);
                    self.board().verdict = Some(Verdict { message, ..refusal });
                }
                Ok(()) => {
                    self.post();
                    self.live_on().await;
                }
            }
        }
        let (mut object, mut changed) = (self.object.subscribe(), self.shared.changed());
        loop {
            if !was_over {
                self.post();
            }
            if object.borrow_and_update().is_none() {
                return;
            }
            if self.shared.contact(&self.node) == Contact::On && self.is_going() {
                self.shared.objects.remove(&Resource::pods(), Some(&self.key.0), &self.key.1);
                return;
            }
            tokio::select! {
                _ = object.changed() => {}
                _ = changed.changed() => {}
            }
        }
    }

    fn is_going(&self) -> bool {
        let object = self.object.borrow();
        object.as_ref().is_some_and(|it| it["metadata"]["deletionTimestamp"].is_string())
    }

    async fn live_on(self: &Arc<Self>) {
        loop {
            let mut tasks = JoinSet::new();
            let interrupt = tokio::select! {
                biased;
                why = self.interrupted() => Some(why),
                () = self.live(&mut tasks) => None,
            };
            tasks.shutdown().await;
            match interrupt {
                // What still runs are sidecars.
                None => self.stop(self.grace()).await,
                Some(Interrupt::Gone) => return self.inside().runners.clear(),
                Some(Interrupt::Deleted) => self.stop(self.grace()).await,
                Some(Interrupt::Ordered(verdict)) => {
                    self.board().verdict = Some(verdict);
                    self.stop(self.grace()).await;
                }
                Some(Interrupt::Off) => {
                    self.inside().runners.clear();
                    if self.until_on().await {
                        self.lost_all();
                        if self.policy() == "Always" && !self.is_going() {
                            continue;
                        }
                    }
                }
            }
            return;
        }
    }

    /// Init containers one after the other, then all others at once, until those have ended.
    async fn live(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        self.sandbox().await;
        let roles: Vec<Role> = self.board().containers.iter().map(|one| one.role).collect();
        for (at, role) in roles.iter().enumerate() {
            match role {
                Role::Main => {}
                Role::Sidecar => {
                    tasks.spawn(self.clone().run_container(at));
                    self.until(|worker| worker.board().containers[at].started).await;
                }
                Role::Init => {
                    self.clone().run_container(at).await;
                    let state = self.board().containers[at].state.clone();
                    if !matches!(state, State::Over(Over { code: 0, .. })) {
                        return;
                    }
                }
            }
        }
        let mains: Vec<usize> = (0..roles.len()).filter(|at| roles[*at] == Role::Main).collect();
        for at in &mains {
            tasks.spawn(self.clone().run_container(*at));
        }
        self.until(|worker| mains.iter().all(|at| worker.inside().done.contains(at))).await;
    }

    /// Until something is so that is told with [`Worker::post`].
    async fn until(&self, so: impl Fn(&Self) -> bool) {
        let mut news = self.news.subscribe();
        while !so(self) {
            if news.changed().await.is_err() {
                return;
            }
        }
    }

    async fn sandbox(&self) {
        sleep(self.shared.settings.sandbox).await;
        let ip = if self.pod.spec.host_network {
            self.board().host_ip.clone()
        } else {
            self.shared.next_address()
        };
        self.board().ip = Some(ip);
        self.post();
    }

    async fn interrupted(&self) -> Interrupt {
        let mut object = self.object.subscribe();
        let (mut changed, mut ordered) = (self.shared.changed(), self.ordered.subscribe());
        loop {
            let contact = self.shared.contact(&self.node);
            if contact == Contact::Off {
                return Interrupt::Off;
            }
            let seen = object.borrow_and_update().clone();
            if contact == Contact::On {
                match &seen {
                    None => return Interrupt::Gone,
                    Some(_) if self.is_going() => return Interrupt::Deleted,
                    Some(_) => self.post(),
                }
            }
            if let Some(verdict) = ordered.borrow_and_update().clone() {
                return Interrupt::Ordered(verdict);
            }
            // It may be set or made shorter while the pod runs.
            let limit = seen.and_then(|seen| seen["spec"]["activeDeadlineSeconds"].as_i64());
            let left = limit.map(|limit| self.left(limit));
            if left.is_some_and(|left| left.is_zero()) {
                let message = "Pod was active on the node longer than the specified deadline";
                self.say(NORMAL, "DeadlineExceeded", message);
                let reason = "DeadlineExceeded".to_owned();
                let message = message.into();
                return Interrupt::Ordered(Verdict { reason, message, disrupts: false });
            }
            let wakes = Instant::now() + left.unwrap_or(Duration::from_secs(3600));
            tokio::select! {
                _ = object.changed() => {}
                _ = changed.changed() => {}
                _ = ordered.changed() => {}
                () = sleep_until(wakes) => {}
            }
        }
    }

    fn left(&self, limit: i64) -> Duration {
        let end = self.board().started + SignedDuration::from_secs(limit);
        Duration::try_from(end.duration_since(self.shared.now())).unwrap_or_default()
    }

    /// Of its deletion, or the one that it wants.
    fn grace(&self) -> Duration {
        let object = self.object.borrow();
        let given =
            object.as_ref().and_then(|it| it["metadata"]["deletionGracePeriodSeconds"].as_u64());
        let own = self.pod.spec.termination_grace_period_seconds;
        Duration::from_secs(given.or(own).unwrap_or(30))
    }

    /// The main containers and then the sidecars get SIGTERM and, when the grace is over, SIGKILL.
    async fn stop(&self, grace: Duration) {
        let end = Instant::now() + grace;
        for sidecars in [false, true] {
            let board = |at: usize| self.board().containers[at].clone();
            let mut these: Vec<(usize, watch::Receiver<Option<Exit>>)> = {
                let inside = self.inside();
                inside.runners.iter().map(|(at, runner)| (*at, runner.exit())).collect()
            };
            these.retain(|(at, _)| (board(*at).role == Role::Sidecar) == sidecars);
            for (at, _) in &these {
                let name = board(*at).spec.name;
                self.say(NORMAL, "Killing", &format!("Stopping container {name}"));
            }
            let ends = these.into_iter().map(|(at, exit)| self.stop_one(at, exit, end));
            futures::future::join_all(ends).await;
        }
    }

    async fn stop_one(&self, at: usize, mut exit: watch::Receiver<Option<Exit>>, end: Instant) {
        let (mut object, mut changed) = (self.object.subscribe(), self.shared.changed());
        let asked = async {
            self.pre_stop(at).await;
            if let Some(runner) = self.inside().runners.get(&at) {
                runner.terminate();
            }
            std::future::pending::<()>().await;
        };
        tokio::pin!(asked);
        let started = Instant::now();
        let mut ends = end;
        let ended = loop {
            tokio::select! {
                exit = Process::wait(&mut exit) => break Some(exit),
                () = &mut asked => {}
                () = sleep_until(ends) => break None,
                _ = object.changed() => {
                    // A second delete may leave less time, or none.
                    let gone = object.borrow().is_none();
                    ends = if gone { started } else { end.min(started + self.grace()) };
                }
                _ = changed.changed() => {
                    if self.shared.contact(&self.node) == Contact::Off {
                        break None;
                    }
                }
            }
        };
        let exit = match ended {
            Some(exit) => exit,
            None => {
                if let Some(runner) = self.inside().runners.get(&at) {
                    runner.kill();
                }
                Process::wait(&mut exit).await
            }
        };
        self.ended(at, exit);
    }

    /// A container has exited.
    pub fn ended(&self, at: usize, exit: Exit) {
        let starved = {
            let mut inside = self.inside();
            inside.runners.remove(&at);
            inside.starved.remove(&at)
        };
        let (code, reason) = match exit.code {
            _ if starved => (137, "OOMKilled"),
            0 => (0, "Completed"),
            code => (code, "Error"),
        };
        let file = self.last_words(&self.pod_container(at));
        let words = std::fs::read_to_string(&file).unwrap_or_default();
        let words: String = words.chars().take(LAST_WORDS).collect();
        // Its next start leaves others, if any.
        drop(std::fs::remove_file(file));
        self.over(at, code, reason, &words, exit.at);
        self.post();
    }

    pub fn over(&self, at: usize, code: i32, reason: &str, message: &str, when: Timestamp) {
        let skew = self.shared.skew();
        let mut board = self.board();
        let held = &mut board.containers[at];
        let (started, id) = match &held.state {
            State::Running { at, id } => (Some(*at), id.clone()),
            _ => (None, String::new()),
        };
        let (reason, message) = (reason.to_owned(), message.to_owned());
        held.state = State::Over(Over { code, reason, message, started, at: when + skew, id });
        held.ready = false;
        held.started = false;
        drop(board);
        let name = self.pod_container(at);
        self.shared.logs.end(&self.uid, &name);
    }

    pub fn pod_container(&self, at: usize) -> String {
        self.board().containers[at].spec.name.clone()
    }

    /// Waits for the power to be back; false if the pod has gone meanwhile.
    async fn until_on(&self) -> bool {
        let (mut object, mut changed) = (self.object.subscribe(), self.shared.changed());
        loop {
            if object.borrow_and_update().is_none() {
                return false;
            }
            if self.shared.contact(&self.node) == Contact::On {
                return true;
            }
            tokio::select! {
                _ = object.changed() => {}
                _ = changed.changed() => {}
            }
        }
    }

    /// What ran when the node lost its power, as containerd has it afterwards.
    fn lost_all(&self) {
        let count = self.board().containers.len();
        for at in 0..count {
            let state = self.board().containers[at].state.clone();
            if matches!(state, State::Running { .. }) {
                self.over(at, 255, "Unknown", "", Timestamp::now());
            }
        }
        self.inside().done.clear();
    }

    /// On demand, or because it has more memory than its limit.
    pub fn starve(&self, container: &str) -> bool {
        let at = self.board().containers.iter().position(|one| one.spec.name == container);
        let mut inside = self.inside();
        let Some(at) = at.filter(|at| inside.runners.contains_key(at)) else { return false };
        inside.starved.insert(at);
        if let Some(runner) = inside.runners.get(&at) {
            runner.kill();
        }
        true
    }
}
