//! External servers outlive the hub: they are watched, never started or ended.

use std::sync::Arc;
use std::time::Duration;

use muster_core::instance::{EndCause, host_never_called};
use muster_core::news::News;
use muster_core::{Address, InstanceId, Observed, ObservedState, Source};
use reqwest::Client;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::book::Book;
use crate::{Cluster, Launch, Now, Resolver, Written};

/// How often a server is asked before it answers, and after.
const KNOCK: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_secs(2);
/// Longest time one answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// After so many failures in a row it counts as gone.
const PATIENCE: u32 = 3;

/// The task that watches a server.
type Watcher = Option<AbortHandle>;

/// Watches model servers over HTTP.
pub struct ExternalServers {
    book: Arc<Book<Watcher>>,
    http: Client,
    runtime: Handle,
}

impl ExternalServers {
    /// Must be called inside a tokio runtime, with a rustls provider installed in the process.
    pub fn new(now: Now) -> reqwest::Result<Arc<Self>> {
        // T15: no redirects and no proxy, so that a probe goes where the catalogue says.
        let http = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(Resolver))
            .timeout(ANSWER)
            .pool_max_idle_per_host(1)
            .build()?;
        Ok(Arc::new(Self { book: Book::new(now), http, runtime: Handle::current() }))
    }
}

impl Cluster for ExternalServers {
    fn launch(&self, launch: Launch) {
        let instance = launch.instance;
        let Source::Server { url } = &launch.model.source else {
            let cause = EndCause::not_started("it is a folder, not a server");
            self.book.enter(instance, ObservedState::Ended { cause }, None);
            return;
        };
        let url = url.trim_end_matches('/').to_owned();
        // T15: a literal address never comes to the resolver.
        let host = reqwest::Url::parse(&url).ok();
        let host = host.as_ref().and_then(|url| url.host_str()).unwrap_or_default();
        if host_never_called(host) {
            let cause = EndCause::not_started(format!("the hub never calls {host}"));
            self.book.enter(instance, ObservedState::Ended { cause }, None);
            return;
        }
        let starting = ObservedState::starting(format!("waiting for {url} to answer"));
        if self.book.enter(instance, starting, None) {
            let (book, http) = (Arc::clone(&self.book), self.http.clone());
            let watcher = async move { watch_server(&book, instance, &http, url).await };
            let task = self.runtime.spawn(watcher).abort_handle();
            self.book.with(instance, |watcher| *watcher = Some(task));
        }
    }

    /// Stops watching; the server goes on.
    fn stop(&self, instance: InstanceId, _grace: Duration) {
        if self.book.with(instance, abort).is_some() {
            let why = "it is no longer watched".to_owned();
            self.book.see(instance, ObservedState::Ended { cause: EndCause::Retired { why } });
        }
    }

    fn observe(&self) -> Vec<Observed> {
        self.book.observe()
    }

    fn find(&self, instance: InstanceId) -> Option<Observed> {
        self.book.find(instance)
    }

    fn forget(&self, instance: InstanceId) {
        self.book.forget(instance);
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.book.changed()
    }

    fn log(&self, _instance: InstanceId, from: u64) -> Written {
        Written { position: from, bytes: Vec::new() }
    }

    fn news(&self, _instance: InstanceId) -> News {
        News::default()
    }
}

impl Drop for ExternalServers {
    fn drop(&mut self) {
        self.book.each(|_, watcher| abort(watcher));
    }
}

fn abort(watcher: &mut Watcher) {
    if let Some(task) = watcher {
        task.abort();
    }
}

async fn watch_server(book: &Book<Watcher>, instance: InstanceId, http: &Client, url: String) {
    let health = format!("{url}/healthz");
    while !is_healthy(http, &health).await {
        tokio::time::sleep(KNOCK).await;
    }
    book.see(instance, ObservedState::Ready { address: Address::Url(url) });
    let mut failures = 0;
    while failures < PATIENCE {
        tokio::time::sleep(LOOK).await;
        failures = if is_healthy(http, &health).await { 0 } else { failures + 1 };
    }
    book.see(instance, ObservedState::Ended { cause: EndCause::Unresponsive });
}

async fn is_healthy(http: &Client, url: &str) -> bool {
    http.get(url).send().await.is_ok_and(|answer| answer.status().is_success())
}
