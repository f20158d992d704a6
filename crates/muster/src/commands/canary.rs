//! `muster canary`: what the pods run that `muster doctor --cluster` makes.

use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use muster_cluster::kube::canary::{CAME_THROUGH, NO_HUB, NO_PYTHON, NO_VOLUME};
use reqwest::Client;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::arguments::CanaryVerb;
use crate::failure::{Failure, io_failure};

/// Until the rules of a pod that has just come hold everywhere.
const SETTLE: Duration = Duration::from_secs(2);
const REACH: Duration = Duration::from_secs(5);

pub async fn fly(verb: &CanaryVerb) -> Result<ExitCode, Failure> {
    match verb {
        CanaryVerb::Listen { address, port, word } => {
            let listener = TcpListener::bind((*address, *port)).await;
            let listener = listener.map_err(io_failure("the address"))?;
            loop {
                let Ok((mut stream, _)) = listener.accept().await else { continue };
                // Who leaves before that is a probe.
                drop(stream.write_all(word.as_bytes()).await);
            }
        }
        CanaryVerb::Folder { dir, hub } => Ok(ExitCode::from(folder(dir, hub).await)),
        CanaryVerb::Reach { address, port } => {
            sleep(SETTLE).await;
            let reached = timeout(REACH, TcpStream::connect((*address, *port))).await;
            Ok(match reached {
                Ok(Ok(_)) => ExitCode::from(CAME_THROUGH),
                Ok(Err(_)) | Err(_) => ExitCode::SUCCESS,
            })
        }
    }
}

/// What a pod of a folder would miss first.
async fn folder(dir: &Path, hub: &str) -> u8 {
    let makes = ["-c", "import venv, ensurepip"];
    let python = Command::new("python3").args(makes).stdin(Stdio::null()).status();
    if !python.await.is_ok_and(|status| status.success()) {
        return NO_PYTHON;
    }
    if let Err(error) = tempfile::NamedTempFile::new_in(dir) {
        eprintln!("{}: {error}", dir.display());
        return NO_VOLUME;
    }
    if hub.is_empty() {
        return 0;
    }
    sleep(SETTLE).await;
    let http = Client::builder().connect_timeout(REACH).timeout(REACH * 2).no_proxy().build();
    let Ok(http) = http else { return NO_HUB };
    let answered = http.get(format!("{hub}/livez")).send().await;
    match answered.and_then(reqwest::Response::error_for_status) {
        Ok(_) => 0,
        Err(error) => {
            eprintln!("{error}");
            NO_HUB
        }
    }
}
