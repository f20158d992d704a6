//! `muster model-server` without a hub: what the hub adds is measured against it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::Method;

use super::{Bench, Place};
use crate::Result;
use crate::load::client::{Answer, Client, Extra};

pub struct Direct {
    process: Child,
    client: Client,
}

impl Drop for Direct {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!("a model server is left running: {error}");
        }
    }
}

impl Direct {
    pub async fn start(
        bench: &Bench,
        place: &Place,
        folder: &Path,
        environments: &Path,
    ) -> Result<Self> {
        let port_file = place.folder.join("direct-port");
        if port_file.exists() {
            fs::remove_file(&port_file)?;
        }
        let mut server = Command::new(&bench.muster);
        server.arg("model-server").arg(folder).args(["--listen", "127.0.0.1:0"]);
        server.arg("--environments").arg(environments).arg("--port-file").arg(&port_file);
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = server.spawn()?;
        let begun = Instant::now();
        let client = loop {
            if begun.elapsed() > Duration::from_secs(60) {
                return Err("the model server did not get ready".into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            let Ok(text) = fs::read_to_string(&port_file) else { continue };
            let mut client = Client::new(text.trim().parse()?)?;
            let answer = client.send(Method::GET, "/healthz", Extra::default()).await;
            if answer.is_ok_and(|answer| answer.status.is_success()) {
                break client;
            }
        };
        Ok(Self { process, client })
    }

    /// The model's answer to a JSON array of inputs, as the hub asks for it.
    pub async fn call(&mut self, body: Bytes) -> Result<Answer> {
        let extra = Extra { body, ..Extra::default() };
        self.client.send(Method::POST, "/run?orient=records", extra).await
    }
}

pub fn median(all: &mut [f64]) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}
