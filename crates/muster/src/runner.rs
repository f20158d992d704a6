//! Folders that were pushed, on a hub whose instances are pods: pods of an image with the hub's program and Python.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use muster_cluster::kube;
use muster_server::{FolderLinks, Secret};
use muster_store::Store;

use crate::config::kubernetes::Runner;
use crate::config::server::Serve;
use crate::failure::Failure;
use crate::store::store_failure;

/// How long a pod may take until its program runs; one that took longer is made anew.
const HOLDS: Duration = Duration::from_secs(3600);

fn configured(serve: &Serve) -> Option<&Runner> {
    serve.kubernetes.as_ref()?.runner.as_ref()
}

/// What signs links to folders, if pods fetch some. From then on they are pods for the store.
pub async fn links(serve: &Serve, store: &Store) -> Result<Option<FolderLinks>, Failure> {
    if configured(serve).is_none() {
        return Ok(None);
    }
    let random = Secret::new().map_err(|problem| Failure::failed(problem.detail))?;
    let key = store.folder_key(random.hash()).await.map_err(|error| store_failure(&error))?;
    store.run_folders_in_pods().await.map_err(|error| store_failure(&error))?;
    let links = FolderLinks::new(&key);
    links.map(Some).ok_or_else(|| Failure::failed("the database's key for links cannot be used"))
}

/// The name under which pods call this hub, where only some are answered to.
pub fn host(serve: &Serve) -> Option<String> {
    let url = reqwest::Url::parse(configured(serve)?.hub_url.as_deref()?).ok()?;
    url.host_str().filter(|_| !serve.allowed_hosts.is_empty()).map(str::to_owned)
}

/// What pods of folders are told.
pub fn runner(
    serve: &Serve,
    links: Option<FolderLinks>,
    address: SocketAddr,
    store: &Store,
) -> Result<Option<kube::Runner>, Failure> {
    let Some((runner, links)) = configured(serve).zip(links) else { return Ok(None) };
    let url = match &runner.hub_url {
        Some(url) => url.clone(),
        None if !address.ip().is_unspecified() => format!("http://{address}"),
        None => {
            let what = "kubernetes.runner_image needs kubernetes.hub_url: where pods reach the hub";
            return Err(Failure::usage(what));
        }
    };
    tracing::info!(image = runner.image, hub = url, "pushed folders run as pods of this image");
    let store = store.clone();
    let link = move |content: &str, instance| links.link(content, instance, store.now() + HOLDS);
    Ok(Some(told(runner, serve.model_walls, url, Arc::new(link))))
}

fn told(runner: &Runner, walls: bool, hub_url: String, link: kube::Link) -> kube::Runner {
    let Runner { image, cache, cache_bytes, .. } = runner.clone();
    kube::Runner { image, cache, cache_bytes, walls, hub_url, link }
}

/// The same for the doctor, which runs no folder; without an address it does not look whether the hub is reached.
pub fn tried(runner: &Runner) -> kube::Runner {
    let url = runner.hub_url.clone().unwrap_or_default();
    told(runner, true, url, Arc::new(|_, _| String::new()))
}
