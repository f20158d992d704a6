//! A model folder made for one test, and a server for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use muster_model_server::{Limits, Listen, Machine, ServeError, ServeOptions, State, serve};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longest time that anything in these tests may take.
pub const PATIENCE: Duration = Duration::from_secs(30);
pub const INSTANCE: &str = "019ae0f2-7c1e-7d3a-9c55-0d6f1f6f2a11";

type States = tokio::sync::watch::Receiver<State>;
type Said = Arc<Mutex<Vec<State>>>;

/// A model folder and the place for its environments.
pub struct Folder {
    root: Arc<TempDir>,
}

impl Folder {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self { root: Arc::new(tempfile::tempdir().expect("a folder")) };
        fs::create_dir(folder.dir()).expect("a folder");
        files.iter().for_each(|(name, text)| folder.write(name, text));
        folder
    }

    /// A python model: `body` is its file, `settings` go to the end of its model.toml.
    pub fn python(body: &str, settings: &str) -> Self {
        let description = format!("kind = \"python\"\nexample = [\"a\", \"bb\"]\n{settings}\n");
        Self::new(&[("model.toml", &description), ("predict.py", body)])
    }

    /// A model in the eos-template layout: `run` is its run.sh, `main` its code/main.py.
    pub fn template(run: &str, main: &str) -> Self {
        Self::new(&[
            ("model/framework/run.sh", run),
            ("model/framework/code/main.py", main),
            ("model/framework/examples/run_input.csv", "smiles\nCCO\nC\n"),
        ])
    }

    pub fn dir(&self) -> PathBuf {
        self.root.path().join("a-model")
    }

    /// Beside the model folder.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.dir().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    pub async fn serve(&self) -> Server {
        self.serve_with(Limits::default()).await
    }

    pub async fn serve_with(&self, limits: Limits) -> Server {
        self.try_serve(limits).await.unwrap_or_else(|error| panic!("it does not start: {error}"))
    }

    /// Starts a server and waits until it is ready, or says why it is not.
    pub async fn try_serve(&self, limits: Limits) -> Result<Server, ServeError> {
        let (mut server, mut states) = self.begin(limits);
        let ready = async {
            loop {
                if let State::Ready(address) = states.borrow_and_update().clone() {
                    return address;
                }
                if states.changed().await.is_err() {
                    // It ended, and the other branch hears why.
                    return std::future::pending().await;
                }
            }
        };
        let address = tokio::select! {
            address = ready => address,
            ended = &mut server.running => {
                return Err(ended.expect("no panic").expect_err("nobody stopped it"));
            }
            () = tokio::time::sleep(PATIENCE) => panic!("it neither starts nor ends"),
        };
        server.url = address;
        Ok(server)
    }

    /// Starts a server; the states come as it says them.
    pub fn begin(&self, limits: Limits) -> (Server, States) {
        install_tls();
        let (options, states, said) = self.options(limits);
        let shutdown = options.shutdown.clone();
        let running = tokio::spawn(serve(options));
        let _root = Arc::clone(&self.root);
        let server = Server { url: String::new(), http: client(), shutdown, running, said, _root };
        (server, states)
    }

    /// For a server of this folder; what it says comes in both ways.
    pub fn options(&self, limits: Limits) -> (ServeOptions, States, Said) {
        let (tell, states) = tokio::sync::watch::channel(State::Starting(String::new()));
        let said = Said::default();
        let kept = Arc::clone(&said);
        let options = ServeOptions {
            dir: self.dir(),
            listen: Listen::Tcp(([127, 0, 0, 1], 0).into()),
            version: None,
            environments: self.beside("environments"),
            port_file: Some(self.beside("port")),
            instance: Some(INSTANCE.to_owned()),
            machine: machine(),
            limits,
            states: Box::new(move |state| {
                kept.lock().expect("a lock").push(state.clone());
                tell.send_replace(state);
            }),
            shutdown: CancellationToken::new(),
        };
        (options, states, said)
    }
}

/// What processes find in these tests: programs and nothing else.
pub fn machine() -> Machine {
    let path = std::env::var_os("PATH").expect("a path");
    Machine { path, home: None, child_prefix: vec![], walls: None }
}

fn client() -> Client {
    Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client")
}

fn install_tls() {
    // Each test may run in a process of its own or share one.
    drop(rustls::crypto::ring::default_provider().install_default());
}

pub struct Server {
    pub url: String,
    http: Client,
    pub shutdown: CancellationToken,
    pub running: JoinHandle<Result<(), ServeError>>,
    said: Said,
    /// The folder lives as long as its server.
    _root: Arc<TempDir>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Server {
    /// Everything that was said on the way.
    pub fn said(&self) -> Vec<State> {
        self.said.lock().expect("a lock").clone()
    }

    pub async fn get(&self, path: &str) -> Answer {
        answer(self.http.get(format!("{}{path}", self.url))).await
    }

    /// Posts JSON.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        answer(self.prepare(path).body(body.to_string())).await
    }

    /// Posts whatever `fill` says.
    pub async fn send(
        &self,
        path: &str,
        fill: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Answer {
        answer(fill(self.http.post(format!("{}{path}", self.url)))).await
    }

    fn prepare(&self, path: &str) -> RequestBuilder {
        let post = self.http.post(format!("{}{path}", self.url));
        post.header("content-type", "application/json")
    }

    /// The records for these inputs.
    pub async fn run(&self, inputs: &[&str]) -> Value {
        let answer = self.post("/run", serde_json::json!(inputs)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// The reason why these inputs have no answer.
    pub async fn fail(&self, inputs: &[&str]) -> (u16, String) {
        let answer = self.post("/run", serde_json::json!(inputs)).await;
        assert_ne!(answer.status, 200, "{}", answer.text());
        (answer.status, answer.detail())
    }
}

pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn detail(&self) -> String {
        self.json()["detail"].as_str().unwrap_or_else(|| panic!("{}", self.text())).to_owned()
    }
}

async fn answer(request: RequestBuilder) -> Answer {
    let response: Response = request.send().await.expect("an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.expect("a whole answer").to_vec();
    Answer { status, headers, body }
}

/// Looks until it is so.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "not so: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The number that a process wrote to a file, once it did.
pub async fn pid_in(file: &Path) -> u32 {
    let read = || fs::read_to_string(file).ok()?.trim().parse::<u32>().ok();
    until("a process wrote its number", || read().is_some()).await;
    read().expect("a number")
}

/// Waits until a process has ended; a zombie has.
pub async fn until_gone(pid: u32) {
    let lives = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim().chars().next());
        state.is_some_and(|state| state != 'Z')
    };
    until(&format!("process {pid} ended"), || !lives()).await;
}
