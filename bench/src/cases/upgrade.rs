//! Two hubs as pods, installed with the chart on one PostgreSQL and one object storage, are upgraded again and again
//! while they are asked. All of it is real but the cluster, whose kubelets run pods as processes of this machine.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};

use super::{Bench, Place};
use crate::Result;
use crate::check::{self, Evidence};
use crate::kube::Served;
use crate::ledger::Ledger;
use crate::load::Load;
use crate::load::client::{Client, Extra, PASSWORD};
use crate::load::pace::Pace;
use crate::postgres::Postgres;
use crate::report::Line;

const RATE: f64 = 100.0;
/// Connections that are there for it: more than are under way at once.
const CONNECTIONS: usize = 128;
/// While hubs are rolled the slowest percent takes so many times as long as before, at most.
const LONGER: f64 = 2.0;
const HUBS: &str = "hubs";
const IMAGE: &str = "registry.example.org/lab/muster";
const ECHO: &str = "registry.example.org/lab/echo:1";
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/chart");
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts");
const START: Duration = Duration::from_secs(60);

pub async fn run(bench: &Bench) -> Result<Vec<Line>> {
    let place = bench.place("upgrade")?;
    let site = Site::start(bench, &place).await?;
    let address = site.install(bench, &place).await?;
    let ledger = Ledger::append_to(&place.ledger)?;
    let load = |seconds| Load {
        model: "echo".to_owned(),
        ..Load::singles(address, Pace::Open { rate: RATE, seconds }, CONNECTIONS)
    };
    load(5).send(&ledger).await?;
    let before = load(bench.pick(30, 10)).send(&ledger).await?;
    let seconds = bench.pick(90, 30);
    let asking = load(seconds);
    let (during, rolls) =
        tokio::try_join!(asking.send(&ledger), site.roll(Duration::from_secs(seconds)))?;
    let gone = site.helm(&["uninstall", "muster", "--wait"]).await?;
    ledger.close()?;
    let objects = place.folder.join("objects");
    fs::create_dir_all(&objects)?;
    let evidence = Evidence {
        ledger: &place.ledger,
        database: &site.postgres.url,
        schema: "public",
        // Inputs and results of one row stand in the database.
        objects: &objects,
        model_log: None,
        may_fail: false,
    };
    let verdict = check::check(&evidence).await?;
    check::say(&verdict);
    if !verdict.is_good() {
        return Err(format!("the checker found {:?} ({gone})", verdict.found).into());
    }
    let (calm, rolled) = (before.millis(0.99), during.millis(0.99));
    let broken = during.sent - during.completed;
    Ok(vec![Line {
        case: format!("two hubs of the chart, upgraded {rolls} times under {RATE} requests/s"),
        figure: format!(
            "{} answered, {broken} not; p50 {:.1} ms and p99 {calm:.1} ms before, p50 {:.1} ms and p99 {rolled:.1} ms \
             while they are rolled",
            during.completed,
            before.millis(0.5),
            during.millis(0.5),
        ),
        target: format!("all answered, p99 <= {LONGER}x"),
        reached: Some(broken == 0 && rolled <= LONGER * calm),
        raw: json!({"before": before.to_json(), "rolled": during.to_json(), "upgrades": rolls}),
    }])
}

/// A process that ends with the case.
struct Beside(Child);

impl Drop for Beside {
    fn drop(&mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait().map(drop)) {
            eprintln!("the object storage is left running: {error}");
        }
    }
}

struct Site {
    kube: Served,
    postgres: Postgres,
    storage: SocketAddr,
    _storage: Beside,
    helm: PathBuf,
    folder: PathBuf,
}

impl Site {
    async fn start(bench: &Bench, place: &Place) -> Result<Self> {
        let folder = place.folder.clone();
        let programs = bench.cache.join("programs");
        need("need-kubectl", &programs.join("kubectl"))?;
        need("need-s3", &programs.join("s3"))?;
        let postgres = Postgres::start(&[]).await?;
        let (child, storage) = objects(&programs.join("s3"), &folder).await?;
        // Pods have no token of this cluster: its administrator is who has none.
        let kubeconfig = folder.join("kubeconfig").display().to_string();
        let hub = json!({"run": [bench.muster], "env": {
            "MUSTER_KUBERNETES_KUBECONFIG": kubeconfig, "AWS_ALLOW_HTTP": "true",
            "MUSTER_QUOTAS_ANONYMOUS_DAY_INPUTS": "1000000000", "MUSTER_QUOTAS_ANONYMOUS_BYTES": "1000000000000",
        }});
        let echo = json!({"run": [bench.own, "echo", "--listen", "{ip}:{port}"]});
        let images = json!({format!("{IMAGE}:1"): hub, ECHO: echo});
        let actors = json!({"kubelet": {"images": images}});
        let kube = Served::acting(&bench.own, &folder, &actors).await?;
        let helm = programs.join("kubectl/helm-4");
        Ok(Self { kube, postgres, storage, _storage: child, helm, folder })
    }

    /// Two hubs with a warm model; where they are reached.
    async fn install(&self, bench: &Bench, place: &Place) -> Result<SocketAddr> {
        self.kube.post("/api/v1/namespaces", &json!({"metadata": {"name": HUBS}})).await?;
        let secrets = format!("/api/v1/namespaces/{HUBS}/secrets");
        for (name, data) in [
            ("database", json!({"url": self.postgres.url})),
            ("objects", json!({"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"})),
        ] {
            let secret = json!({"metadata": {"name": name}, "stringData": data});
            self.kube.post(&secrets, &secret).await?;
        }
        let values = json!({
            "replicas": 2,
            "image": {"repository": IMAGE, "tag": "1"},
            "database": {"existingSecret": "database"},
            "objects": {
                "url": "s3://muster/hub", "existingSecret": "objects",
                "options": {"endpoint": format!("http://{}", self.storage), "region": "eu", "allow_http": true},
            },
            "persistence": {"enabled": false},
            // Pods share the machine here.
            "address": "$(POD_IP)",
            "metrics": {"enabled": false},
            "leaveSeconds": 3,
            "config": {"model_images": ["registry.example.org/lab/"]},
        });
        fs::write(self.folder.join("values.json"), values.to_string())?;
        self.helm(&["install", "muster", CHART, "--values", "values.json", "--wait"]).await?;
        self.administrator(bench, place)?;
        let service = format!("/api/v1/namespaces/{HUBS}/services/muster");
        let service: Value = Client::new(self.kube.address)?.get(&service, "admin").await?;
        let address =
            service["spec"]["clusterIP"].as_str().ok_or("a service without an address")?;
        let address = SocketAddr::new(address.parse()?, 80);
        let mut client = Client::new(address)?;
        let begun = Instant::now();
        // Who stands before the hubs hears a moment later that they are ready.
        let token = loop {
            match client.log_in("root").await {
                Ok(token) => break token,
                Err(error) if begun.elapsed() > START => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        };
        let model = json!({
            "id": "echo", "image": ECHO, "version": "1",
            "input": {"name": "input", "description": "A text"},
            "outputs": [{"name": "echo", "kind": "string"}],
            "limits": {"batch_size": 10, "min_instances": 2, "max_instances": 2},
            "resources": {"cpu": 0.1, "memory_mib": 128}, "cache": false,
            "pod": {"unrestricted": "Processes of this machine run as who runs the bench."},
        });
        let _made: Value =
            client.post("/api/v1/catalogue", &token, model.to_string().into()).await?;
        loop {
            let instances: Value = client.get("/api/v1/instances", &token).await?;
            let items = instances["items"].as_array().ok_or("a list without items")?;
            if items.iter().filter(|it| it["state"] == "ready").count() == 2 {
                return Ok(address);
            }
            if begun.elapsed() > START {
                return Err(format!("no two instances of the model are ready: {instances}").into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Upgrades, one after the other, as long as it shall last; how many came to their end.
    async fn roll(&self, lasts: Duration) -> Result<u32> {
        let (begun, mut rolls, mut took) = (Instant::now(), 0, Duration::ZERO);
        // None that would not be over with the load.
        while begun.elapsed() + took < lasts {
            let (turn, from) = (format!("podAnnotations.turn={rolls}"), Instant::now());
            let upgrade =
                ["upgrade", "muster", CHART, "--reuse-values", "--set-string", &turn, "--wait"];
            self.helm(&upgrade).await?;
            (rolls, took) = (rolls + 1, from.elapsed());
        }
        Ok(rolls)
    }

    async fn helm(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.helm);
        command.args(["-n", HUBS]).args(arguments);
        command.env("KUBECONFIG", &self.kube.kubeconfig).env("HOME", &self.folder);
        command.current_dir(&self.folder).stdin(Stdio::null());
        let done = tokio::task::spawn_blocking(move || command.output()).await??;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match done.status.success() {
            true => Ok(said(&done.stdout)),
            false => Err(format!("helm {arguments:?}: {}", said(&done.stderr)).into()),
        }
    }

    fn administrator(&self, bench: &Bench, place: &Place) -> Result<()> {
        let file = place.folder.join("password");
        fs::write(&file, format!("{PASSWORD}\n"))?;
        let made = Command::new(&bench.muster)
            .args(["admin", "create", "root", "--email", "root@example.org", "--password-file"])
            .arg(&file)
            .env("MUSTER_DATABASE_URL", &self.postgres.url)
            .current_dir(&place.folder)
            .stdin(Stdio::null())
            .output()?;
        match made.status.success() {
            true => Ok(()),
            false => {
                Err(format!("no administrator: {}", String::from_utf8_lossy(&made.stderr)).into())
            }
        }
    }
}

/// Programs of the tests, from PyPI.
fn need(script: &str, folder: &Path) -> Result<()> {
    let done = Command::new(Path::new(SCRIPTS).join(script)).arg(folder).status()?;
    if done.success() { Ok(()) } else { Err(format!("{script} failed").into()) }
}

/// An S3 storage with an empty bucket.
async fn objects(programs: &Path, folder: &Path) -> Result<(Beside, SocketAddr)> {
    let log = folder.join("s3.log");
    let child = Command::new(programs.join("bin/moto_server"))
        .args(["-H", "127.0.0.1", "-p", "0"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log)?)
        .spawn()?;
    let child = Beside(child);
    let begun = Instant::now();
    let address: SocketAddr = loop {
        let said = fs::read_to_string(&log)?;
        let line = said.split("Running on http://").nth(1).and_then(|rest| rest.lines().next());
        if let Some(address) = line.and_then(|line| line.trim().parse().ok()) {
            break address;
        }
        if begun.elapsed() > START {
            return Err(format!("the S3 server does not start: {said}").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let made = Client::new(address)?.send(Method::PUT, "/muster", Extra::default()).await?;
    match made.status.is_success() {
        true => Ok((child, address)),
        false => Err(format!("no bucket: {}", made.status).into()),
    }
}
