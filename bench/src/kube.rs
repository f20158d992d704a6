//! A served Kubernetes API as a process of its own, in which the bench plays the scheduler and the kubelets.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::handshake;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::Result;
use crate::load::client::{Client, Extra};

pub const NAMESPACE: &str = "models";
const PODS: &str = "/api/v1/namespaces/models/pods";
const MERGE: &str = "application/merge-patch+json";
/// Calls that are under way at once when there is much to write.
const AT_ONCE: usize = 16;

pub struct Served {
    child: Child,
    pub address: SocketAddr,
    pub kubeconfig: PathBuf,
}

/// A pod that appeared in a watch.
pub struct Appeared {
    pub name: String,
    /// Of the model that it is an instance of.
    pub model: String,
    pub at: Instant,
}

impl Served {
    /// Nobody acts in its cluster.
    pub async fn start(own: &Path, folder: &Path) -> Result<Self> {
        let served = Self::serve(own, folder, &["--idle", "--nodes", "0"]).await?;
        let namespace = json!({"metadata": {"name": NAMESPACE}});
        served.post("/api/v1/namespaces", &namespace).await?;
        Ok(served)
    }

    /// It has two nodes, and pods run as processes of this machine.
    pub async fn acting(own: &Path, folder: &Path, actors: &Value) -> Result<Self> {
        let file = folder.join("actors.json");
        std::fs::write(&file, actors.to_string())?;
        let file = file.to_str().ok_or("a path that is no text")?;
        Self::serve(own, folder, &["--actors", file, "--nodes", "2"]).await
    }

    /// The program lies beside this one.
    async fn serve(own: &Path, folder: &Path, flags: &[&str]) -> Result<Self> {
        let program = own.with_file_name("fake-kube");
        if !program.is_file() {
            let what = "is not there: cargo build --release -p fake-kube";
            return Err(format!("{} {what}", program.display()).into());
        }
        let kubeconfig = folder.join("kubeconfig");
        let mut child = Command::new(program)
            .args(flags)
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.join("fake-kube.log"))?)
            .spawn()?;
        let said = child.stdout.take().ok_or("it says nothing")?;
        let mut url = String::new();
        BufReader::new(said).read_line(&mut url)?;
        let address = url.trim().strip_prefix("http://").ok_or("fake-kube did not start")?;
        Ok(Self { address: address.parse()?, child, kubeconfig })
    }

    fn client(&self) -> Result<Client> {
        Client::new(self.address)
    }

    pub async fn post(&self, path: &str, object: &Value) -> Result<()> {
        send(&mut self.client()?, Method::POST, path, object).await
    }

    /// Sends all of them, some at once.
    async fn all(&self, calls: Vec<(Method, String, Value)>) -> Result<()> {
        let mut tasks = tokio::task::JoinSet::new();
        let mut parts: Vec<Vec<_>> = (0..AT_ONCE).map(|_| Vec::new()).collect();
        for (n, call) in calls.into_iter().enumerate() {
            parts[n % AT_ONCE].push(call);
        }
        for part in parts {
            let mut client = self.client()?;
            tasks.spawn(async move {
                for (method, path, object) in part {
                    send(&mut client, method, &path, &object).await?;
                }
                Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(())
    }

    /// Nodes that are ready, and so many pods of others on them.
    pub async fn fill(&self, nodes: usize, pods: usize) -> Result<()> {
        let node = |n: usize| {
            let amounts = json!({"cpu": "64", "memory": "256Gi", "pods": "110"});
            json!({"metadata": {"name": format!("node-{n}"), "labels": {"zone": format!("z{}", n % 3)}},
                "status": {"allocatable": amounts, "capacity": amounts, "conditions": [
                    {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}})
        };
        let nodes_path = || "/api/v1/nodes".to_owned();
        self.all((0..nodes).map(|n| (Method::POST, nodes_path(), node(n))).collect()).await?;
        let pod = |n: usize| {
            json!({"metadata": {"name": format!("other-{n}"), "labels": {"app": format!("app-{}", n % 200)}},
                "spec": {"nodeName": format!("node-{}", n % nodes), "containers": [{"name": "c", "image": "x",
                    "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}}]}})
        };
        let others = || "/api/v1/namespaces/default/pods".to_owned();
        self.all((0..pods).map(|n| (Method::POST, others(), pod(n))).collect()).await?;
        let runs = json!({"status": {"phase": "Running"}});
        let status = |n: usize| format!("/api/v1/namespaces/default/pods/other-{n}/status");
        self.all((0..pods).map(|n| (Method::PATCH, status(n), runs.clone())).collect()).await
    }

    /// Changes so many pods of others, some of them again and again.
    pub async fn stir(&self, changes: usize, of: usize) -> Result<()> {
        let change = |n: usize| {
            let patch = json!({"metadata": {"labels": {"turn": format!("t{n}")}}});
            (Method::PATCH, format!("/api/v1/namespaces/default/pods/other-{}", n % of), patch)
        };
        self.all((0..changes).map(change).collect()).await
    }

    /// Binds them and says that they are ready at addresses of their own, from the `first` on.
    pub async fn run(&self, pods: &[String], first: usize, nodes: usize) -> Result<()> {
        let bind = |n: usize, name: &String| {
            let target = json!({"kind": "Node", "name": format!("node-{}", (first + n) % nodes)});
            let binding = json!({"metadata": {"name": name}, "target": target});
            (Method::POST, format!("{PODS}/{name}/binding"), binding)
        };
        self.all(pods.iter().enumerate().map(|(n, name)| bind(n, name)).collect()).await?;
        let ready = |n: usize, name: &String| {
            (Method::PATCH, format!("{PODS}/{name}/status"), ready_at(first + n))
        };
        self.all(pods.iter().enumerate().map(|(n, name)| ready(n, name)).collect()).await
    }

    /// Binds one, then says that it is ready; the moment before that is said, microseconds.
    pub async fn run_one(&self, name: &str, nth: usize) -> Result<u64> {
        let mut client = self.client()?;
        let binding =
            json!({"metadata": {"name": name}, "target": {"kind": "Node", "name": "node-0"}});
        send(&mut client, Method::POST, &format!("{PODS}/{name}/binding"), &binding).await?;
        let at = crate::clock::micros();
        send(&mut client, Method::PATCH, &format!("{PODS}/{name}/status"), &ready_at(nth)).await?;
        Ok(at)
    }

    /// How many calls there were so far, but for watches: each ends after five minutes, and is opened anew.
    pub async fn calls(&self) -> Result<u64> {
        let answer = self.client()?.send(Method::GET, "/calls", Extra::default()).await?;
        let calls: Vec<Value> = answer.read()?;
        let calls = calls.iter().filter(|call| call["verb"] != "watch");
        Ok(calls.filter_map(|call| call["times"].as_u64()).sum())
    }

    /// Pods of hubs as they come.
    pub async fn appearing(&self) -> Result<mpsc::UnboundedReceiver<Appeared>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move { drop(connection.await) });
        let path = format!("{PODS}?watch=true&labelSelector=muster.dev%2Fhub");
        let request = Request::get(path).header("host", self.address.to_string());
        let answer = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
        let mut body = answer.into_body();
        let (tell, told) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let _sender = sender;
            let mut rest: Vec<u8> = Vec::new();
            while let Some(Ok(frame)) = body.frame().await {
                let at = Instant::now();
                let Ok(data) = frame.into_data() else { continue };
                rest.extend_from_slice(&data);
                while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    let event: Value = serde_json::from_slice(&line).unwrap_or_default();
                    let text =
                        |at: &str| event.pointer(at).and_then(Value::as_str).map(str::to_owned);
                    let named = text("/object/metadata/name")
                        .zip(text("/object/metadata/labels/muster.dev~1model"));
                    if event["type"] == "ADDED"
                        && let Some((name, model)) = named
                        && tell.send(Appeared { name, model, at }).is_err()
                    {
                        return;
                    }
                }
            }
        });
        Ok(told)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait().map(drop)) {
            eprintln!("fake-kube is left running: {error}");
        }
    }
}

/// What a kubelet writes of the n-th pod: each has a loopback address of its own.
fn ready_at(nth: usize) -> Value {
    let ip = format!("127.1.{}.{}", nth / 250, nth % 250 + 1);
    let now = "2026-01-01T00:00:00Z";
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now});
    let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(condition);
    json!({"status": {
        "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
        "conditions": conditions,
        "containerStatuses": [{"name": "model", "image": "i", "imageID": "sha256:1", "ready": true, "restartCount": 0,
            "state": {"running": {"startedAt": now}}}],
    }})
}

async fn send(client: &mut Client, method: Method, path: &str, object: &Value) -> Result<()> {
    let content = (method == Method::PATCH).then_some(MERGE);
    let extra = Extra { body: object.to_string().into(), content, ..Extra::default() };
    let answer = client.send(method, path, extra).await?;
    if answer.status.is_success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&answer.body);
    Err(format!("{path}: the Kubernetes API answered {}: {text}", answer.status).into())
}
