//! Instances as pods: how soon a pod is asked for, how soon a ready one gets its job, and what a large cluster costs
//! the hub. The Kubernetes API is a process of its own, so that its memory is not the hub's.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use hyper::Method;
use serde_json::{Value, json};

use super::{Bench, Place};
use crate::Result;
use crate::echo_server::EchoServer;
use crate::hub::{Config, Hub};
use crate::kube::{Appeared, NAMESPACE, Served};
use crate::load::client::{Client, Extra, PASSWORD};
use crate::load::millis;
use crate::report::Line;

const READY: f64 = 50.0;
const CREATED: f64 = 50.0;
const LOOK: f64 = 50.0;
const MEMORY: f64 = 150.0;
const BURST: f64 = 1.0;
const EVENTS: usize = 5_000;
/// Models with instances, and how many each has.
const MODELS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(60);

struct World {
    kube: Served,
    echo: EchoServer,
    hub: Hub,
    place: Place,
    client: Client,
    token: String,
}

pub async fn run(bench: &Bench) -> Result<Vec<Line>> {
    let mut lines = latencies(bench).await?;
    lines.extend(large(bench).await?);
    Ok(lines)
}

impl World {
    async fn start(bench: &Bench, name: &str, (nodes, pods): (usize, usize)) -> Result<Self> {
        let place = bench.place(name)?;
        let kube = Served::start(&bench.own, &place.folder).await?;
        kube.fill(nodes, pods).await?;
        let log = place.folder.join("echo.jsonl");
        let log = log.to_str().ok_or("a path that is no text")?;
        let flags = ["--listen", "0.0.0.0:0", "--log", log];
        let echo = EchoServer::start(&bench.own, &place.folder, &flags).await?;
        administrator(bench, &place)?;
        let kubeconfig = kube.kubeconfig.to_str().ok_or("a path that is no text")?.to_owned();
        let env = [
            ("MUSTER_KUBERNETES_KUBECONFIG", &*kubeconfig),
            ("MUSTER_KUBERNETES_NAMESPACE", NAMESPACE),
            ("MUSTER_MODEL_IMAGES", "registry.example.org/"),
        ];
        let flags = ["--cluster", "kubernetes", "--max-instances", "2000"];
        let (muster, folder, models) = (&bench.muster, &*place.folder, &*place.models);
        let config = Config { muster, folder, models, database: None, flags: &flags, env: &env };
        let hub = Hub::start(&config).await?;
        let mut client = hub.client()?;
        let token = client.log_in("root").await?;
        Ok(Self { kube, echo, hub, place, client, token })
    }

    async fn add(&mut self, id: &str, instances: usize) -> Result<()> {
        let port = self.echo.address.port();
        let model = json!({
            "id": id, "image": "registry.example.org/echo:1", "port": port, "version": "1",
            "input": {"name": "input", "description": "A text"},
            "outputs": [{"name": "echo", "kind": "string"}],
            "limits": {"batch_size": 10, "min_instances": instances, "max_instances": instances.max(1),
                "idle_seconds": 3600},
            "resources": {"cpu": 0.1, "memory_mib": 128},
            "cache": false,
        });
        let body = model.to_string().into();
        let _made: Value = self.client.post("/api/v1/catalogue", &self.token, body).await?;
        Ok(())
    }

    async fn submit(&mut self, model: &str) -> Result<()> {
        let body = json!({"model": model, "inputs": [model]}).to_string();
        let extra = Extra { token: Some(&self.token), body: body.into(), ..Extra::default() };
        let answer = self.client.send(Method::POST, "/api/v1/requests", extra).await?;
        answer.read::<Value>().map(drop)
    }

    /// When the model was sent this text, microseconds.
    async fn sent(&self, text: &str) -> Result<u64> {
        let begun = Instant::now();
        let quoted = format!("\"{text}\"");
        loop {
            let log = fs::read_to_string(self.place.folder.join("echo.jsonl"))?;
            let line =
                log.lines().find(|line| line.contains("\"begin\"") && line.contains(&quoted));
            if let Some(line) = line {
                let line: Value = serde_json::from_str(line)?;
                return line["t"].as_u64().ok_or_else(|| "a line without a time".into());
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("{text} was never sent").into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Looks so far, and the microseconds that they took.
    async fn looks(&self) -> Result<(f64, f64)> {
        let looks = self.hub.metric("muster_looks_total").await?;
        Ok((looks, self.hub.metric("muster_look_microseconds_total").await?))
    }
}

/// Whoever adds models.
fn administrator(bench: &Bench, place: &Place) -> Result<()> {
    let file = place.folder.join("password");
    fs::write(&file, format!("{PASSWORD}\n"))?;
    let made = Command::new(&bench.muster)
        .args(["admin", "create", "root", "--email", "root@example.org", "--password-file"])
        .arg(&file)
        .arg("--data-dir")
        .arg(place.folder.join("data"))
        .stdin(Stdio::null())
        .output()?;
    if made.status.success() {
        return Ok(());
    }
    Err(format!("no administrator: {}", String::from_utf8_lossy(&made.stderr)).into())
}

async fn next(pods: &mut tokio::sync::mpsc::UnboundedReceiver<Appeared>) -> Result<Appeared> {
    let pod = tokio::time::timeout(PATIENCE, pods.recv()).await;
    pod.map_err(|_| "no pod came")?.ok_or_else(|| "the watch of pods ended".into())
}

/// One request after the other, each for a model without instances.
async fn latencies(bench: &Bench) -> Result<Vec<Line>> {
    let mut world = World::start(bench, "kubernetes", (1, 0)).await?;
    let mut created = Histogram::<u64>::new_with_max(60_000_000, 3)?;
    let mut ready = Histogram::<u64>::new_with_max(60_000_000, 3)?;
    let starts = bench.pick(200, 20);
    for n in 0..starts {
        world.add(&format!("cold-{n:03}"), 0).await?;
    }
    let mut pods = world.kube.appearing().await?;
    for n in 0..starts {
        let model = format!("cold-{n:03}");
        let begun = Instant::now();
        world.submit(&model).await?;
        let pod = next(&mut pods).await?;
        if pod.model != model {
            return Err(format!("a pod of {} came, and {model} was wanted", pod.model).into());
        }
        created.record(pod.at.duration_since(begun).as_micros() as u64)?;
        let said = world.kube.run_one(&pod.name, n).await?;
        ready.record(world.sent(&model).await?.saturating_sub(said))?;
    }
    world.hub.stop().await?;
    let line = |what: &str, took: &Histogram<u64>, target: f64| {
        let (p50, p99) = (millis(took, 0.5), millis(took, 0.99));
        Line {
            case: format!("Kubernetes: {what}"),
            figure: format!("p50 {p50:.1} ms, p99 {p99:.1} ms ({starts} starts)"),
            target: format!("p99 <= {target} ms"),
            reached: Some(p99 <= target),
            raw: json!({"starts": starts, "p50_ms": p50, "p99_ms": p99, "max_ms": took.max() as f64 / 1000.0}),
        }
    };
    Ok(vec![
        line("submit to pod made, as a watch shows it", &created, CREATED),
        line("pod ready, as it is written, to job in the model", &ready, READY),
    ])
}

/// Many instances, nodes and pods of others.
async fn large(bench: &Bench) -> Result<Vec<Line>> {
    let (nodes, others) = bench.pick((200, 10_000), (20, 1_000));
    let each = bench.pick(50, 5);
    let mut world = World::start(bench, "kubernetes-large", (nodes, others)).await?;
    let mut pods = world.kube.appearing().await?;
    world.add("last", 0).await?;
    for n in 0..MODELS {
        world.add(&format!("many-{n:02}"), each).await?;
    }
    let mut names = Vec::new();
    while names.len() < MODELS * each {
        names.push(next(&mut pods).await?.name);
    }
    world.kube.run(&names, 0, nodes).await?;
    for n in 0..MODELS {
        world.hub.ready(&format!("many-{n:02}"), each as u64).await?;
    }
    // What belongs to the starts comes to its end.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (looks, calls, begun) = (world.looks().await?, world.kube.calls().await?, Instant::now());
    tokio::time::sleep(Duration::from_secs(bench.pick(60, 10))).await;
    let (later, seconds) = (world.looks().await?, begun.elapsed().as_secs_f64());
    let calls = world.kube.calls().await? - calls;
    let look = (later.1 - looks.1) / (later.0 - looks.0).max(1.0) / 1000.0;
    let memory = world.hub.memory_mib("VmRSS")?;
    // The burst, and behind it a pod that becomes ready and has work.
    world.submit("last").await?;
    let pod = next(&mut pods).await?;
    world.kube.stir(EVENTS, others).await?;
    let said = world.kube.run_one(&pod.name, names.len()).await?;
    let followed = world.sent("last").await?.saturating_sub(said) as f64 / 1e6;
    let peak = world.hub.memory_mib("VmHWM")?;
    world.hub.stop().await?;
    let instances = names.len();
    let size = format!("{instances} instances, {nodes} nodes, {others} pods of others");
    let line = |what: &str, figure: String, target: String, reached, raw| Line {
        case: format!("Kubernetes, {size}: {what}"),
        figure,
        target,
        reached: Some(reached),
        raw,
    };
    Ok(vec![
        line(
            "a look",
            format!("{look:.1} ms on average ({:.0} looks)", later.0 - looks.0),
            format!("<= {LOOK} ms"),
            look <= LOOK,
            json!({"mean_ms": look, "looks": later.0 - looks.0}),
        ),
        line(
            "memory of the hub",
            format!("RSS {memory:.0} MiB, {peak:.0} at most"),
            format!("<= {MEMORY} MiB"),
            memory <= MEMORY,
            json!({"rss_mib": memory, "peak_mib": peak}),
        ),
        line(
            "calls of the API while nothing changes",
            // The cluster does not measure what pods use; that would be a list each 15 seconds.
            format!("{calls} in {seconds:.0} s"),
            "0, but for watches that are opened anew".to_owned(),
            calls == 0,
            json!({"calls": calls, "seconds": seconds}),
        ),
        line(
            &format!("{EVENTS} changes, then a pod is ready, to its job"),
            format!("{:.0} ms", followed * 1000.0),
            format!("<= {BURST} s"),
            followed <= BURST,
            json!({"events": EVENTS, "seconds": followed}),
        ),
    ])
}
