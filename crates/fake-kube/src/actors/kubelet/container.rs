//! One container: its image, its start, its probes, its end and its next start.

use std::{
    ops::ControlFlow,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    super::events::{NORMAL, WARNING},
    env::{Env, Place, env, expand},
    image::{ImageFault, Reference, failure, hex},
    pod::Worker,
    probe::{self, Found, Target},
    process::{Exit, Process, Program},
    status::{Role, State},
    volumes,
};
use crate::Resource;

/// What runs in a container: a process, or nothing that waits for its end.
pub enum Runner {
    Process(Process),
    Idle(watch::Sender<Option<Exit>>),
}

impl Runner {
    pub fn exit(&self) -> watch::Receiver<Option<Exit>> {
        match self {
            Self::Process(process) => process.exit(),
            Self::Idle(end) => end.subscribe(),
        }
    }

    pub fn id(&self) -> Option<i32> {
        match self {
            Self::Process(process) => Some(process.id()),
            Self::Idle(_) => None,
        }
    }

    pub fn terminate(&self) {
        match self {
            Self::Process(process) => process.terminate(),
            Self::Idle(end) => {
                end.send_replace(Some(Exit { code: 0, at: Timestamp::now() }));
            }
        }
    }

    pub fn kill(&self) {
        match self {
            Self::Process(process) => process.kill(),
            Self::Idle(end) => {
                end.send_replace(Some(Exit { code: 137, at: Timestamp::now() }));
            }
        }
    }
}

impl Worker {
    /// Until its last end.
    pub async fn run_container(self: Arc<Self>, at: usize) {
        let backoff = self.shared.settings.backoff;
        let mut rest = backoff;
        let role = self.board().containers[at].role;
        loop {
            self.pull(at).await;
            let since = Instant::now();
            if let Some(exit) = self.start(at).await {
                let exit = self.attend(at, exit).await;
                self.ended(at, exit);
            }
            let code = match &self.board().containers[at].state {
                State::Over(over) => over.code,
                _ => 0,
            };
            let again = match (role, self.policy()) {
                (Role::Sidecar, _) => true,
                (Role::Main, "Always") => true,
                (_, "Never") => false,
                _ => code != 0,
            };
            if !again {
                break;
            }
            if since.elapsed() > backoff * 60 {
                rest = backoff;
            }
            self.crashed(at, rest);
            sleep(rest).await;
            rest = (rest * 2).min(backoff * 30);
            self.shared.logs.again(&self.uid, &self.pod_container(at));
        }
        self.inside().done.insert(at);
        self.post();
    }

    fn crashed(&self, at: usize, rest: Duration) {
        let (name, pod) = (self.pod_container(at), format!("{}_{}", self.key.1, self.key.0));
        let told = format!("restarting failed container={name} pod={pod}({})", self.uid);
        {
            let mut board = self.board();
            let held = &mut board.containers[at];
            if let State::Over(over) = &held.state {
                held.last = Some(over.clone());
            }
            held.restarts += 1;
            held.state = State::Waiting {
                reason: "CrashLoopBackOff".into(),
                message: format!("back-off {} {told}", go(rest)),
            };
        }
        self.post();
        self.say(WARNING, "BackOff", &format!("Back-off {told}"));
    }

    pub fn wait_for(&self, at: usize, reason: &str, message: &str) {
        let (reason, message) = (reason.to_owned(), message.to_owned());
        self.board().containers[at].state = State::Waiting { reason, message };
        self.post();
    }

    /// Until the image is there.
    async fn pull(&self, at: usize) {
        let spec = self.board().containers[at].spec.clone();
        let (name, backoff) = (&spec.image, self.shared.settings.backoff);
        let mut rest = backoff;
        self.miss_secrets();
        loop {
            let Some(reference) = Reference::parse(name) else {
                let said = format!(
                    "Failed to apply default image tag {name:?}: couldn't parse image name \
                     {name:?}: invalid reference format"
                );
                self.wait_for(at, "InvalidImageName", &said);
                self.say(WARNING, "InspectFailed", &said);
                self.say(WARNING, "Failed", "Error: InvalidImageName");
                sleep(backoff).await;
                continue;
            };
            let policy = match spec.image_pull_policy.as_deref() {
                Some(policy) => policy,
                None if reference.is_latest() => "Always",
                None => "IfNotPresent",
            };
            let present = self.shared.has_image(&self.node, &reference.full);
            if policy == "Never" && !present {
                let said =
                    format!("Container image {name:?} is not present with pull policy of Never");
                self.wait_for(at, "ErrImageNeverPull", &said);
                self.say(WARNING, "ErrImageNeverPull", &said);
                self.say(WARNING, "Failed", "Error: ErrImageNeverPull");
                sleep(backoff).await;
                continue;
            }
            let failed = if present && policy != "Always" {
                let said = format!("Container image {name:?} already present on machine");
                self.say(NORMAL, "Pulled", &said);
                None
            } else {
                self.fetch(at, name, &reference, present).await
            };
            let Some(said) = failed else {
                let id = reference.id(&self.shared.image(name).unwrap_or_default());
                let mut board = self.board();
                let held = &mut board.containers[at];
                (held.image, held.image_id) = (reference.full, id);
                return;
            };
            self.say(WARNING, "Failed", &format!("Failed to pull image {name:?}: {said}"));
            self.say(WARNING, "Failed", "Error: ErrImagePull");
            self.wait_for(at, "ErrImagePull", &said);
            sleep(rest / 10).await;
            let back = format!("Back-off pulling image {name:?}");
            self.say(NORMAL, "BackOff", &back);
            self.say(WARNING, "Failed", "Error: ImagePullBackOff");
            self.wait_for(at, "ImagePullBackOff", &format!("{back}: ErrImagePull: {said}"));
            sleep(rest).await;
            rest = (rest * 2).min(backoff * 30);
        }
    }

    /// Secrets for pulls that are not there are told; the pull is tried all the same.
    fn miss_secrets(&self) {
        let there = |name: &str| {
            self.shared.objects.get(&Resource::secrets(), Some(&self.key.0), name).is_some()
        };
        let named = self.pod.spec.image_pull_secrets.iter().map(|it| it.name.as_str());
        let missing: Vec<&str> = named.filter(|name| !there(name)).collect();
        if !missing.is_empty() {
            let said = format!(
                "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                missing.join(", ")
            );
            self.say(WARNING, "FailedToRetrieveImagePullSecret", &said);
        }
    }

    /// The words of a failure; one pull at a time on a node.
    async fn fetch(
        &self,
        at: usize,
        name: &str,
        reference: &Reference,
        present: bool,
    ) -> Option<String> {
        let asked = Instant::now();
        self.say(NORMAL, "Pulling", &format!("Pulling image {name:?}"));
        let one_at_a_time = self.shared.pulls(&self.node);
        let _turn = one_at_a_time.lock().await;
        let start = Instant::now();
        let mut changed = self.shared.changed();
        while self.shared.image_fault(name) == Some(ImageFault::Hangs) {
            changed.changed().await.ok()?;
        }
        let fault = self.shared.image_fault(name);
        let told = fault.as_ref().and_then(|fault| failure(fault, reference));
        let Some(image) = self.shared.image(name).filter(|_| told.is_none()) else {
            return told.or_else(|| failure(&ImageFault::Missing, reference));
        };
        if !present {
            sleep(image.pull).await;
        }
        self.shared.keep_image(&self.node, &reference.full);
        let said = format!(
            "Successfully pulled image {name:?} in {} ({} including waiting). Image size: {} bytes.",
            go(start.elapsed()),
            go(asked.elapsed()),
            image.size
        );
        self.say(NORMAL, "Pulled", &said);
        let waits = self.board().containers[at].state.clone();
        if matches!(&waits, State::Waiting { reason, .. } if reason != "CrashLoopBackOff") {
            self.wait_for(at, "ContainerCreating", "");
        }
        None
    }

    /// Its exit to come; [`None`] if it could not be started, which is its end as well.
    async fn start(self: &Arc<Self>, at: usize) -> Option<watch::Receiver<Option<Exit>>> {
        let name = self.pod_container(at);
        let (program, image) = loop {
            let image = self.board().containers[at].spec.image.clone();
            let (reason, said) = match (self.shared.image_fault(&image), self.program(at)) {
                (Some(ImageFault::NotMade { reason, message }), _) => (reason, message),
                (_, Err(said)) => ("CreateContainerConfigError".into(), said),
                (_, Ok(program)) => break (program, image),
            };
            self.wait_for(at, &reason, &said);
            self.say(WARNING, "Failed", &format!("Error: {said}"));
            sleep(self.shared.settings.backoff / 5).await;
        };
        self.say(NORMAL, "Created", &format!("Created container: {name}"));
        let runner = if program.line.is_empty() {
            Ok(Runner::Idle(watch::channel(None).0))
        } else if let Err(why) = self.may_listen(at, &image) {
            Err(why)
        } else {
            let (logs, uid, container) = (self.shared.logs.clone(), self.uid.clone(), name.clone());
            let line = Arc::new(move |text: &str| logs.line(&uid, &container, text));
            self.shared.spawner.start(&program, line).await.map(Runner::Process)
        };
        let id =
            format!("containerd://{}", hex(&format!("{}{name}{}", self.uid, self.shared.now())));
        match runner {
            Ok(runner) => {
                let exit = runner.exit();
                self.inside().runners.insert(at, runner);
                let started = self.shared.now();
                self.board().containers[at].state = State::Running { at: started, id };
                self.say(NORMAL, "Started", &format!("Started container {name}"));
                self.post();
                Some(exit)
            }
            Err(why) => {
                let said = format!(
                    "failed to create containerd task: failed to create shim task: OCI runtime \
                     create failed: runc create failed: {why}"
                );
                self.say(WARNING, "Failed", &format!("Error: {said}"));
                self.board().containers[at].state = State::Running { at: self.shared.now(), id };
                self.over(at, 128, "StartError", &said, Timestamp::now());
                self.post();
                None
            }
        }
    }

    fn env(&self, at: usize) -> Result<Env, String> {
        let object = self.object.borrow().clone().ok_or("the pod is gone")?;
        let (spec, ip, host_ip) = {
            let board = self.board();
            let ip = board.ip.clone().unwrap_or_default();
            (board.containers[at].spec.clone(), ip, board.host_ip.clone())
        };
        let place = Place { object: &object, pod: &self.pod, ip: &ip, host_ip: &host_ip };
        let mut all = self.shared.image(&spec.image).unwrap_or_default().env;
        let mounted = self.mounted(at)?;
        let own = env(&self.shared.objects, &place, &spec)?;
        all.extend(own.into_iter().map(|(name, value)| (name, volumes::place(&mounted, &value))));
        Ok(all)
    }

    fn mounted(&self, at: usize) -> Result<Vec<volumes::Mounted>, String> {
        let spec = self.board().containers[at].spec.clone();
        let place = (&*self.key.0, &*self.dir());
        let mut mounted = volumes::mount(&self.shared, place, &self.pod.spec.volumes, &spec)?;
        if let Some(path) = &spec.termination_message_path {
            mounted.push((path.clone(), self.last_words(&spec.name)));
        }
        Ok(mounted)
    }

    /// The file in which a container leaves them.
    pub fn last_words(&self, container: &str) -> PathBuf {
        self.dir().join(format!("{container}-termination-log"))
    }

    fn port(&self, at: usize) -> u16 {
        let spec = self.board().containers[at].spec.clone();
        let own = spec.ports.first().map(|port| port.container_port);
        let image = self.shared.image(&spec.image).unwrap_or_default();
        own.or(image.port).unwrap_or(80)
    }

    fn program(&self, at: usize) -> Result<Program, String> {
        let env = self.env(at)?;
        let spec = self.board().containers[at].spec.clone();
        let ip = self.board().ip.clone().unwrap_or_default();
        let filled = |text: &String| {
            text.replace("{ip}", &ip)
                .replace("{port}", &self.port(at).to_string())
                .replace("{pod}", &self.key.1)
                .replace("{namespace}", &self.key.0)
        };
        let mounted = self.mounted(at)?;
        let expanded = |all: &[String]| -> Vec<String> {
            all.iter().map(|one| volumes::place(&mounted, &expand(one, &env))).collect()
        };
        let mut line = match spec.command.is_empty() {
            true => {
                self.shared.image(&spec.image).unwrap_or_default().run.iter().map(filled).collect()
            }
            false => expanded(&spec.command),
        };
        if !line.is_empty() {
            line.extend(expanded(&spec.args));
        }
        // A directory of the image is not there; one of this machine is.
        let dir = spec.working_dir.map(PathBuf::from).filter(|dir| dir.is_dir());
        Ok(Program { line, env, dir: dir.unwrap_or_else(|| self.dir().join(&spec.name)) })
    }

    /// Ports that only root may have, said before a program stumbles over it.
    fn may_listen(&self, at: usize, image: &str) -> Result<(), String> {
        let port = self.port(at);
        let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
        let first = first.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024);
        if port >= first
            || rustix::process::geteuid().is_root()
            || self.shared.image(image).is_none_or(|image| image.run.is_empty())
        {
            return Ok(());
        }
        Err(format!(
            "port {port} of image {image:?} needs root on this machine: without it ports start \
             at {first} (net.ipv4.ip_unprivileged_port_start)"
        ))
    }

    /// Probes it until it ends.
    async fn attend(&self, at: usize, mut exit: watch::Receiver<Option<Exit>>) -> Exit {
        let ended = tokio::select! {
            exit = Process::wait(&mut exit) => return exit,
            what = self.probe(at) => what,
        };
        let name = self.pod_container(at);
        let said = format!("Container {name} failed {ended} probe, will be restarted");
        self.say(NORMAL, "Killing", &said);
        if let Some(runner) = self.inside().runners.get(&at) {
            runner.terminate();
        }
        let grace = self.pod.spec.termination_grace_period_seconds.unwrap_or(30);
        let asked =
            tokio::time::timeout(Duration::from_secs(grace), Process::wait(&mut exit)).await;
        if let Ok(exit) = asked {
            return exit;
        }
        if let Some(runner) = self.inside().runners.get(&at) {
            runner.kill();
        }
        Process::wait(&mut exit).await
    }

    /// The name of the probe for which it has to end.
    async fn probe(&self, at: usize) -> &'static str {
        let spec = self.board().containers[at].spec.clone();
        let env = self.env(at).unwrap_or_default();
        let ip = self.board().ip.clone().unwrap_or_default();
        let dir = self.dir().join(&spec.name);
        let spawner = &self.shared.spawner;
        let target = Target { ip: &ip, container: &spec, env: &env, dir: &dir, spawner };
        let verdict = Mutex::new(None);
        let take = || verdict.lock().unwrap_or_else(PoisonError::into_inner).take();
        let tell = |name: &'static str| {
            let verdict = &verdict;
            move |told: Result<Found, String>| {
                match told {
                    Ok(found) => {
                        *verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
                        return ControlFlow::Break(());
                    }
                    Err(why) => {
                        self.say(WARNING, "Unhealthy", &format!("{name} probe failed: {why}"))
                    }
                }
                ControlFlow::Continue(())
            }
        };
        if let Some(startup) = &spec.startup_probe {
            probe::watch(&target, startup, tell("Startup")).await;
            if take() == Some(Found::Ill) {
                return "startup";
            }
        }
        self.board().containers[at].started = true;
        let readiness = async {
            let set = |ready: bool| {
                self.board().containers[at].ready = ready;
                self.post();
            };
            let Some(readiness) = &spec.readiness_probe else {
                set(true);
                return std::future::pending().await;
            };
            self.post();
            probe::watch(&target, readiness, |told| {
                match told {
                    Ok(found) => set(found == Found::Well),
                    Err(why) => {
                        self.say(WARNING, "Unhealthy", &format!("Readiness probe failed: {why}"));
                    }
                }
                ControlFlow::Continue(())
            })
            .await;
        };
        let liveness = async {
            let Some(liveness) = &spec.liveness_probe else { return std::future::pending().await };
            loop {
                probe::watch(&target, liveness, tell("Liveness")).await;
                if take() == Some(Found::Ill) {
                    return;
                }
                sleep(Duration::from_secs(liveness.period_seconds.unwrap_or(10))).await;
            }
        };
        tokio::select! {
            () = readiness => {}
            () = liveness => {}
        }
        "liveness"
    }

    /// What a pod does before SIGTERM; its time is part of the grace.
    pub async fn pre_stop(&self, at: usize) {
        let spec = self.board().containers[at].spec.clone();
        let hook = &spec.lifecycle["preStop"];
        if let Some(seconds) = hook["sleep"]["seconds"].as_u64() {
            sleep(Duration::from_secs(seconds)).await;
        }
        let Some(line) = hook["exec"]["command"].as_array() else { return };
        let line: Vec<String> =
            line.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect();
        let env = self.env(at).unwrap_or_default();
        let ip = self.board().ip.clone().unwrap_or_default();
        let dir = self.dir().join(&spec.name);
        let spawner = &self.shared.spawner;
        let target = Target { ip: &ip, container: &spec, env: &env, dir: &dir, spawner };
        if let Err(why) = probe::command(&target, &line).await {
            let said = format!("PreStopHook failed: {why}");
            self.say(WARNING, "FailedPreStopHook", &said);
        }
    }
}

/// A time as Go prints it, to milliseconds.
pub fn go(time: Duration) -> String {
    let millis = time.as_millis();
    match millis {
        0..1000 => format!("{millis}ms"),
        1000..60_000 => {
            let text = format!("{:.3}", time.as_secs_f64());
            format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => format!("{}m{}s", millis / 60_000, millis % 60_000 / 1000),
    }
}
