//! Watches: a list, then what changes, for ever.
//!
//! The watcher of kube-runtime says nothing when a broken watch is open again or a bookmark comes, so whoever
//! waits for objects that do not change would hold a watch that works for a blind one.

use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::ObjectMeta;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::DefaultBackoff;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout};

use super::client::Failed;
use super::sight::Eye;

/// How many objects one answer of a list has.
const PAGE: u32 = 500;
/// How long the API keeps a watch, seconds: it ends it then, and it is opened anew.
const WATCH_SECONDS: u32 = 290;
/// How long the first answer of a call may take.
const ANSWER: Duration = Duration::from_secs(30);
/// How often it is looked whether what was forbidden still is.
const FORBIDDEN: Duration = Duration::from_secs(60);
/// A list that is older than what was seen is taken after so many tries: the cluster was restored.
const STALE_TRIES: u32 = 3;
/// A watch that ends sooner without a word is a fault.
const SHORT: Duration = Duration::from_secs(1);

/// What is told to whoever keeps what a watch sees.
pub(super) enum Told<K> {
    /// A list begins: what an earlier one told and did not end is void.
    Lists,
    /// One of the list. They are told one by one, so that nobody holds all objects of a large cluster at once.
    Listed(K),
    /// Those were all; the list was asked for at this time.
    All(Instant),
    Seen(K),
    /// It was deleted, or is none of those that are watched any more.
    Gone(K),
}

/// What is watched.
pub(super) struct Scope<K> {
    pub(super) api: Api<K>,
    pub(super) labels: Option<String>,
    pub(super) fields: Option<String>,
    /// A watch that is silent for so long is opened anew.
    pub(super) silence: Duration,
}

/// Watches for ever. Drop the future to end it.
pub(super) async fn follow<K>(scope: Scope<K>, eye: &Eye, mut tell: impl FnMut(Told<K>))
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let mut pause = DefaultBackoff::default();
    let mut newest = None;
    loop {
        let began = Instant::now();
        match list(&scope, &mut newest, &mut tell).await {
            Ok(mut version) => {
                tell(Told::All(began));
                eye.heard();
                while watch(&scope, eye, &mut version, (&mut pause, &mut tell)).await {}
                newest = number(&version).max(newest);
            }
            Err(failed) => wait(&failed, eye, &mut pause).await,
        }
    }
}

/// Tells all of them, and where a watch goes on from there.
async fn list<K>(
    scope: &Scope<K>,
    newest: &mut Option<u64>,
    tell: &mut impl FnMut(Told<K>),
) -> Result<String, Failed>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let mut parameters = ListParams::default().limit(PAGE);
    parameters.label_selector.clone_from(&scope.labels);
    parameters.field_selector.clone_from(&scope.fields);
    for tried in 0.. {
        let mut version = String::new();
        tell(Told::Lists);
        loop {
            let page = timeout(ANSWER, scope.api.list(&parameters)).await;
            let page =
                page.map_err(|_| Failed::Lost { why: "no answer to a list".to_owned() })??;
            page.items.into_iter().for_each(|object| tell(Told::Listed(trimmed(object))));
            // The first page says of which time all of them are.
            if version.is_empty() {
                version = page.metadata.resource_version.unwrap_or_default();
            }
            parameters.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if parameters.continue_token.is_none() {
                break;
            }
        }
        let is_old = matches!((number(&version), *newest), (Some(is), Some(newest)) if is < newest);
        if !is_old || tried >= STALE_TRIES {
            *newest = number(&version);
            return Ok(version);
        }
        tracing::warn!(
            version,
            "the API answered with an older state than it had; it is asked again"
        );
        sleep(Duration::from_secs(1)).await;
    }
    Err(Failed::Lost { why: "the API answers with an older state than it had".to_owned() })
}

/// One watch, until it ends. False: what is known is too old, so all has to be listed again.
async fn watch<K>(
    scope: &Scope<K>,
    eye: &Eye,
    version: &mut String,
    (pause, tell): (&mut DefaultBackoff, &mut impl FnMut(Told<K>)),
) -> bool
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let mut parameters = WatchParams::default().timeout(WATCH_SECONDS);
    parameters.label_selector.clone_from(&scope.labels);
    parameters.field_selector.clone_from(&scope.fields);
    let opened = timeout(ANSWER, scope.api.watch(&parameters, version)).await;
    let opened = opened.unwrap_or_else(|_| {
        let silent = std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer to a watch");
        Err(kube::Error::ReadEvents(silent))
    });
    let mut events = match opened.map_err(Failed::from) {
        Ok(events) => Box::pin(events),
        Err(failed) if failed.is(410) => return false,
        Err(failed) => {
            wait(&failed, eye, pause).await;
            return true;
        }
    };
    eye.heard();
    let (opened, mut words) = (Instant::now(), 0u64);
    loop {
        let event = match timeout(scope.silence, events.next()).await {
            // One that cannot be read would come again and again.
            Ok(Some(Err(kube::Error::SerdeError(error)))) => {
                tracing::warn!(what = eye.what(), %error, "an object is not understood");
                continue;
            }
            Ok(Some(event)) => event.map_err(Failed::from),
            Ok(None) => break,
            Err(_) => {
                tracing::warn!(what = eye.what(), "a watch is silent; it is opened anew");
                return true;
            }
        };
        let (object, told): (_, fn(K) -> Told<K>) = match event {
            Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => (object, Told::Seen),
            Ok(WatchEvent::Deleted(object)) => (object, Told::Gone),
            Ok(WatchEvent::Bookmark(bookmark)) => {
                *version = bookmark.metadata.resource_version;
                words += 1;
                eye.heard();
                continue;
            }
            Ok(WatchEvent::Error(status)) if status.code == 410 => return false,
            Ok(WatchEvent::Error(status)) => {
                wait(&Failed::from(kube::Error::Api(status)), eye, pause).await;
                return true;
            }
            Err(failed) if failed.is(410) => return false,
            Err(failed) => {
                wait(&failed, eye, pause).await;
                return true;
            }
        };
        words += 1;
        eye.heard();
        pause.reset();
        if let Some(its) = &object.meta().resource_version {
            version.clone_from(its);
        }
        tell(told(trimmed(object)));
    }
    if words == 0 && opened.elapsed() < SHORT {
        let why = "a watch ends as soon as it begins".to_owned();
        wait(&Failed::Lost { why }, eye, pause).await;
    }
    true
}

async fn wait(failed: &Failed, eye: &Eye, pause: &mut DefaultBackoff) {
    if failed.is(403) {
        if eye.forbidden(failed.to_string()) {
            tracing::info!(what = eye.what(), why = %failed, "the cluster does not show it");
        }
        return sleep(FORBIDDEN).await;
    }
    if eye.blind(failed.in_full()) {
        tracing::warn!(what = eye.what(), why = %failed, "it is not seen any more");
    }
    let own = pause.next().unwrap_or(FORBIDDEN);
    sleep(failed.retry_after().unwrap_or(own).max(own)).await;
}

/// Newer objects have larger numbers: <https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>.
pub(super) fn number(version: &str) -> Option<u64> {
    version.parse().ok()
}

/// Without what nobody here reads, and what takes most of the memory.
fn trimmed<K: Resource>(mut object: K) -> K {
    trim(object.meta_mut());
    object
}

fn trim(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}
