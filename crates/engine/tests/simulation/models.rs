//! The simulated cluster, and the model servers of its instances: real sockets in this process, with
//! answers drawn from the scenario's seed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use muster_cluster::{Cluster, Launch, SimPolicy, Simulator, Written};
use muster_core::instance::{EndCause, Observed, ObservedState};
use muster_core::news::News;
use muster_core::{Address, InstanceId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::pulse::Pulse;
use crate::scenario::{Faults, Random};

/// How often a starting or stopping instance is looked at.
const TICKS: u32 = 8;
const SLOWEST_START: Duration = Duration::from_secs(10);

/// What the models did, in all lives of the hub.
#[derive(Default)]
pub struct Calls {
    /// The inputs of each call.
    pub all: Vec<Vec<String>>,
    /// The calls that are not over, and their instances.
    pub under_way: HashMap<usize, InstanceId>,
    /// How often each input killed its instance.
    pub killed: HashMap<String, u32>,
}

pub type CallLog = Arc<Mutex<Calls>>;

/// See the module.
pub struct Models {
    simulator: Arc<Simulator>,
    /// The longest start.
    slow: Duration,
    /// Ends the sockets of an instance.
    served: Arc<Mutex<HashMap<InstanceId, CancellationToken>>>,
    models: Mutex<HashMap<InstanceId, String>>,
}

#[derive(Clone)]
struct Server {
    id: InstanceId,
    seed: u64,
    faults: Faults,
    calls: CallLog,
    pulse: Arc<Pulse>,
    simulator: Arc<OnceLock<Weak<Simulator>>>,
    ended: CancellationToken,
}

impl Models {
    pub fn new(
        (seed, faults): (u64, Faults),
        folder: PathBuf,
        calls: CallLog,
        pulse: &Arc<Pulse>,
    ) -> Arc<Self> {
        let served: Arc<Mutex<HashMap<InstanceId, CancellationToken>>> = Arc::default();
        let this: Arc<OnceLock<Weak<Simulator>>> = Arc::default();
        let (servers, simulator, own) = (Arc::clone(&served), Arc::clone(&this), Arc::clone(pulse));
        let address = move |id: InstanceId, _: &muster_core::Model| {
            let path = folder.join(format!("{id}.sock"));
            servers.lock().expect("no panic").entry(id).or_insert_with(|| {
                let ended = CancellationToken::new();
                let (calls, pulse) = (Arc::clone(&calls), Arc::clone(&own));
                let (simulator, ended) = (Arc::clone(&simulator), ended.clone());
                let server = Server { id, seed, faults, calls, pulse, simulator, ended };
                server.clone().serve(&path);
                server.ended
            });
            Address::Socket(path.to_string_lossy().into_owned())
        };
        let slow = Duration::from_millis(faults.slow).min(SLOWEST_START);
        let policy = SimPolicy {
            boot: Duration::ZERO..=slow,
            failing_starts: faults.start,
            stopping: slow / 4,
            address: Arc::new(address),
            ..SimPolicy::default()
        };
        let clock = pulse.clock.clone();
        let drawn = seed_of_hub(seed, pulse);
        let simulator = Simulator::new(drawn, policy, Arc::new(move || clock.now()));
        this.get_or_init(|| Arc::downgrade(&simulator));
        Arc::new(Self { simulator, slow, served, models: Mutex::default() })
    }

    /// Ends one of the instances that live, if there are any.
    pub fn crash(&self, n: usize) {
        if let Some(id) = self.one_alive(n) {
            self.simulator.end(id, killed());
            self.observe();
        }
    }

    /// One of those that live, if there are any.
    pub fn one_alive(&self, n: usize) -> Option<InstanceId> {
        let live = self.live();
        live.get(n % live.len().max(1)).map(|(id, _)| *id)
    }

    /// Those that did not end, and their models.
    pub fn live(&self) -> Vec<(InstanceId, String)> {
        let models = self.models.lock().expect("no panic");
        let seen = self.simulator.observe();
        let live = seen.iter().filter(|seen| !matches!(seen.state, ObservedState::Ended { .. }));
        live.map(|seen| (seen.instance, models[&seen.instance].clone())).collect()
    }

    /// The simulator does not move by itself: looks at it until what was ordered has happened.
    fn tick(&self) {
        let (simulator, slow) = (Arc::clone(&self.simulator), self.slow);
        tokio::spawn(async move {
            for _ in 0..=TICKS {
                tokio::time::sleep(slow / TICKS + Duration::from_millis(1)).await;
                simulator.tick();
            }
        });
    }
}

/// The simulated starts of each hub are others.
fn seed_of_hub(seed: u64, pulse: &Pulse) -> u64 {
    Random(seed ^ pulse.now().micros() as u64).next()
}

fn killed() -> EndCause {
    EndCause::Exited { code: None, signal: Some(9), last_lines: String::new() }
}

impl Cluster for Models {
    fn launch(&self, launch: Launch) {
        let model = launch.model.id.to_string();
        self.models.lock().expect("no panic").insert(launch.instance, model);
        self.simulator.launch(launch);
        self.tick();
    }

    fn stop(&self, id: InstanceId, grace: Duration) {
        self.simulator.stop(id, grace);
        self.tick();
    }

    fn observe(&self) -> Vec<Observed> {
        let seen = self.simulator.observe();
        let mut served = self.served.lock().expect("no panic");
        for ended in seen.iter().filter(|seen| matches!(seen.state, ObservedState::Ended { .. })) {
            if let Some(server) = served.remove(&ended.instance) {
                server.cancel();
            }
        }
        seen
    }

    fn forget(&self, id: InstanceId) {
        self.simulator.forget(id);
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.simulator.changed()
    }

    fn log(&self, id: InstanceId, from: u64) -> Written {
        self.simulator.log(id, from)
    }

    fn news(&self, id: InstanceId) -> News {
        self.simulator.news(id)
    }
}

impl Server {
    fn serve(self, path: &Path) {
        let listener = UnixListener::bind(path).expect("a socket");
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = self.ended.cancelled() => return,
                    accepted = listener.accept() => {
                        self.pulse.touch();
                        let (server, (stream, _)) = (self.clone(), accepted.expect("a client"));
                        tokio::spawn(async move {
                            tokio::select! {
                                () = server.ended.cancelled() => {}
                                _ = server.converse(stream) => {}
                            }
                        });
                    }
                }
            }
        });
    }

    /// HTTP/1.1 as far as the hub speaks it, until the client leaves.
    async fn converse(&self, mut stream: UnixStream) -> Option<()> {
        let mut read = Vec::new();
        loop {
            let head = loop {
                if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                    break end + 4;
                }
                self.more(&mut stream, &mut read).await?;
            };
            let text = String::from_utf8_lossy(&read[..head]).to_ascii_lowercase();
            let is_run = text.starts_with("post /run");
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.trim().parse().expect("a number"));
            while read.len() < head + length {
                self.more(&mut stream, &mut read).await?;
            }
            let body = read[head..head + length].to_vec();
            read.drain(..head + length);
            let answer = if is_run {
                // Whoever leaves does not want the answer.
                tokio::select! {
                    answer = self.run(&body) => answer,
                    _ = self.more(&mut stream, &mut read) => return None,
                }
            } else {
                self.answer("200 OK", "", "ok")
            };
            self.pulse.touch();
            stream.write_all(answer.as_bytes()).await.ok()?;
        }
    }

    async fn more(&self, stream: &mut UnixStream, read: &mut Vec<u8>) -> Option<()> {
        let count = stream.read_buf(read).await.ok()?;
        self.pulse.touch();
        (count > 0).then_some(())
    }

    fn answer(&self, status: &str, header: &str, body: &str) -> String {
        let (id, length) = (self.id, body.len());
        format!(
            "HTTP/1.1 {status}\r\nmuster-instance: {id}\r\ncontent-type: application/json\r\n\
             {header}content-length: {length}\r\n\r\n{body}"
        )
    }

    async fn run(&self, body: &[u8]) -> String {
        let inputs: Vec<String> = serde_json::from_slice(body).expect("an array of texts");
        let call = UnderWay::begin(&self.calls, &inputs, self.id);
        let number = call.number;
        let mut random = Random(self.seed ^ (number as u64).wrapping_mul(0x5851_f42d_4c95_7f2d));
        tokio::time::sleep(Duration::from_millis(random.below(self.faults.slow + 1))).await;
        if let Some(poison) = inputs.iter().find(|input| input.ends_with("poison")) {
            *self.calls.lock().expect("no panic").killed.entry(poison.clone()).or_default() += 1;
            return self.die().await;
        }
        if let Some(refused) = inputs.iter().find(|input| input.ends_with("refused")) {
            let said = format!(r#"{{"detail": "{refused} is bad"}}"#);
            return self.answer("500 Internal Server Error", "", &said);
        }
        let row = |input: &String| serde_json::json!({"echo": input, "call": number});
        let mut rows: Vec<serde_json::Value> = inputs.iter().map(row).collect();
        let faults = &self.faults;
        let mut drawn = random.below(100) as u32;
        let mut falls = |percent: u32| {
            let hit = drawn < percent;
            drawn = drawn.wrapping_sub(percent);
            hit
        };
        if falls(faults.crash) {
            return self.die().await;
        }
        if falls(faults.hang) {
            return std::future::pending().await;
        }
        if falls(faults.busy) {
            let status = random.of(&["503 Busy", "429 Too Many Requests", "409 Conflict"]);
            return self.answer(status, random.of(&["", "retry-after: 2\r\n"]), "busy");
        }
        if falls(faults.error) {
            return self.answer("500 Internal Server Error", "", r#"{"detail": "no"}"#);
        }
        if falls(faults.garbage) {
            return self.answer("200 OK", "", "garbage");
        }
        if falls(faults.short) {
            rows.pop();
        } else if falls(faults.long) {
            rows.push(serde_json::json!({"echo": "one too many", "call": number}));
        }
        let text = serde_json::to_string(&rows).expect("JSON");
        if falls(faults.foreign) {
            let foreign = text.replace("echo\":\"", "echo\":\"foreign ");
            let answer = self.answer("200 OK", "", &foreign);
            return answer.replace(&self.id.to_string(), "0198b7a0-0000-7000-8000-000000000000");
        }
        self.answer("200 OK", "", &text)
    }

    async fn die(&self) -> String {
        let simulator = self.simulator.get().and_then(Weak::upgrade);
        simulator.expect("a simulator").end(self.id, killed());
        std::future::pending().await
    }
}

/// A call that is not over.
struct UnderWay {
    calls: CallLog,
    number: usize,
}

impl UnderWay {
    fn begin(calls: &CallLog, inputs: &[String], instance: InstanceId) -> Self {
        let mut log = calls.lock().expect("no panic");
        let number = log.all.len();
        log.all.push(inputs.to_vec());
        log.under_way.insert(number, instance);
        Self { calls: Arc::clone(calls), number }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.calls.lock().expect("no panic").under_way.remove(&self.number);
    }
}
