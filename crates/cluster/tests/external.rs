//! External servers, played by a few lines of HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use muster_cluster::{Cluster, ExternalServers, Launch};
use muster_core::instance::EndCause;
use muster_core::model::{Card, InputColumn, ModelLimits, Network};
use muster_core::{Address, InstanceId, Model, ObservedState, Resources, Source, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

struct Server {
    url: String,
    healthy: Arc<AtomicBool>,
}

/// Answers every connection once: 200 while it is healthy, else a redirect to itself.
async fn server() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let healthy = Arc::new(AtomicBool::new(false));
    let state = Arc::clone(&healthy);
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut head = [0; 2048];
            if connection.read(&mut head).await.unwrap_or(0) == 0 {
                continue;
            }
            let status = if state.load(Ordering::SeqCst) { "200 OK" } else { "302 Found" };
            let rest = "location: /elsewhere\r\ncontent-length: 0\r\nconnection: close";
            let answer = format!("HTTP/1.1 {status}\r\n{rest}\r\n\r\n");
            connection.write_all(answer.as_bytes()).await.expect("it listens");
        }
    });
    Server { url, healthy }
}

fn cluster() -> Arc<ExternalServers> {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        // Another test of this process was first.
    }
    ExternalServers::new(Arc::new(Timestamp::default)).expect("a cluster")
}

fn launch(url: &str) -> Launch {
    let model = Model {
        id: "far".parse().expect("an id"),
        version: "1".to_owned(),
        source: Source::Server { url: url.to_owned() },
        card: Card::default(),
        input: InputColumn { name: "input".into(), ..InputColumn::default() },
        outputs: vec![],
        example: vec![],
        limits: ModelLimits::default(),
        resources: Resources::default(),
        cache: false,
        network: Network::None,
        pod: None,
    };
    let instance = InstanceId(uuid::Uuid::from_u128(1));
    Launch::anywhere(instance, Arc::new(model))
}

async fn until(cluster: &ExternalServers, fits: impl Fn(&ObservedState) -> bool) {
    let mut changed = cluster.changed();
    let fitting = async {
        while !cluster.observe().iter().any(|seen| fits(&seen.state)) {
            changed.changed().await.expect("the cluster is there");
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), fitting).await;
    assert!(in_time.is_ok(), "it stays in {:?}", cluster.observe());
}

#[tokio::test]
async fn a_server_is_ready_when_it_answers_and_gone_after_three_failures() {
    let (server, cluster) = (server().await, cluster());
    cluster.launch(launch(&format!("{}/", server.url)));
    until(&cluster, |state| matches!(state, ObservedState::Starting { .. })).await;
    server.healthy.store(true, Ordering::SeqCst);
    let ready = ObservedState::Ready { address: Address::Url(server.url.clone()) };
    until(&cluster, |state| *state == ready).await;
    server.healthy.store(false, Ordering::SeqCst);
    let gone = ObservedState::Ended { cause: EndCause::Unresponsive };
    until(&cluster, |state| *state == gone).await;
}

#[tokio::test]
async fn a_server_is_only_no_longer_watched_when_it_is_stopped() {
    let (server, cluster) = (server().await, cluster());
    server.healthy.store(true, Ordering::SeqCst);
    let launch = launch(&server.url);
    let instance = launch.instance;
    cluster.launch(launch);
    until(&cluster, |state| matches!(state, ObservedState::Ready { .. })).await;
    cluster.stop(instance, Duration::ZERO);
    until(&cluster, |state| matches!(state, ObservedState::Ended { .. })).await;
    cluster.forget(instance);
    assert!(cluster.observe().is_empty());
}

#[tokio::test]
async fn a_literal_address_of_metadata_is_never_called() {
    let cluster = cluster();
    let hosts = ["169.254.169.254", "0xa9fea9fe", "[fd00:ec2::254]", "[::ffff:169.254.169.254]"];
    for (n, host) in hosts.into_iter().enumerate() {
        let instance = InstanceId(uuid::Uuid::from_u128(n as u128));
        cluster.launch(Launch { instance, ..launch(&format!("http://{host}/latest")) });
        let refused = |state: &ObservedState| match state {
            ObservedState::Ended { cause: EndCause::NotStarted { reason, .. } } => {
                reason.contains("never calls")
            }
            _ => false,
        };
        assert!(cluster.observe().iter().all(|seen| refused(&seen.state)), "{host}");
    }
    assert_eq!(cluster.observe().len(), 4);
}
