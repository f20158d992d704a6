//! The folder of a model that was pushed, fetched from the hub: what the pod of an instance does first.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use muster_cluster::kube::LINK;
use muster_core::ModelId;
use muster_model_server::folder::archive::Most;
use reqwest::{Client, StatusCode};

use crate::config::Environment;
use crate::failure::{Problem, root};
use crate::pushed::{Missing, PushedFolders};

/// How often one looks whether another one has fetched it.
const LOOK: Duration = Duration::from_millis(100);
const CONNECT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(60);

/// Has the folder at `dir`, which is named by the hash of its archive: fetched unless it is there, whole or not at
/// all. Who comes meanwhile waits.
pub async fn fetch(
    dir: &Path,
    version: &str,
    environment: &Environment,
    say: impl Fn(&str),
) -> Result<(), Missing> {
    let content = dir.file_name().and_then(|name| name.to_str());
    let data = dir.parent().and_then(Path::parent);
    let (Some(content), Some(data)) = (content, data) else {
        return Err(Missing::lasting("a folder that is fetched is DATA/folders/HASH"));
    };
    let lock = File::options().create(true).append(true).open(data.join("folders.lock"))?;
    while let Err(taken) = lock.try_lock() {
        match taken {
            TryLockError::WouldBlock => say("another start fetches its folder"),
            TryLockError::Error(error) => return Err(error.into()),
        }
        tokio::time::sleep(LOOK).await;
    }
    // A hub took it: it is not larger than it may be, and its hash is looked at.
    let folders = PushedFolders::open(data, Most { files: u64::MAX, bytes: u64::MAX })?;
    let id: ModelId = "model".parse().map_err(|_| Missing::lasting("its name is not one"))?;
    let archive = async {
        say("fetching its folder");
        let link = environment.get(LINK);
        let link = link.ok_or_else(|| Missing::lasting(format!("{LINK} is not set")))?;
        let http = Client::builder().connect_timeout(CONNECT).read_timeout(SILENCE).no_proxy();
        let http = http.build().map_err(|error| Missing::lasting(error.to_string()))?;
        let answer = http.get(link).send().await.map_err(|error| unreached(&error))?;
        match answer.status() {
            StatusCode::OK => Ok(answer.bytes_stream()),
            status => Err(refused(status, &answer.text().await.unwrap_or_default())),
        }
    };
    folders.have(content, (&id, version), archive).await
}

/// Without the address: it is a secret for a while.
fn unreached(error: &reqwest::Error) -> Missing {
    let reason = root(error);
    Missing::passing(format!(
        "the hub cannot be reached for its folder: {reason} (kubernetes.hub_url, network policies)"
    ))
}

/// A link that is too old is given anew with the next start; what is not there any more is not.
fn refused(status: StatusCode, body: &str) -> Missing {
    let said = serde_json::from_str(body).map(|Problem { title, detail, .. }| (title, detail));
    let said =
        said.map_or_else(|_| status.to_string(), |(title, detail)| format!("{title}: {detail}"));
    let why = format!("its folder cannot be fetched: {said}");
    match status {
        StatusCode::NOT_FOUND => Missing::lasting(why),
        _ => Missing::passing(why),
    }
}
