//! `muster canary`: what the pods run that `muster doctor --cluster` makes.

use std::process::ExitCode;
use std::time::Duration;

use muster_cluster::kube::canary::CAME_THROUGH;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
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
