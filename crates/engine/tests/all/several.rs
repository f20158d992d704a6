//! Several hubs with clocks of their own, and servers elsewhere that do not answer.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use muster_core::model::ModelLimits;
use muster_store::{Clock, Database, InstanceState};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::cluster;
use crate::hub::{Hub, Setup, echo, limits};

#[tokio::test(flavor = "multi_thread")]
async fn sixty_seconds_between_the_clocks_of_two_hubs_change_nothing() {
    let schema = format!("t{}", Clock::system().id().simple());
    let setup = |clock| Setup {
        database: Database::Postgres {
            url: cluster::shared().url("postgres"),
            schema: Some(schema.clone()),
            max_connections: 4,
        },
        limits: ModelLimits { idle_seconds: 30, start_seconds: 30, ..limits() },
        clock,
        ..Setup::default()
    };
    let ahead = Clock::system();
    ahead.advance(Duration::from_secs(60));
    // The first one plans.
    let one = Hub::on(setup(ahead), echo).await;
    one.cluster.never_ready.store(true, Ordering::SeqCst);
    let submitted = one.submit(&["a"]).await;
    let mut happened = one.cluster.happened();
    while one.cluster.live().is_empty() {
        happened.changed().await.expect("the cluster is there");
    }
    let other = Hub::on(setup(Clock::system()), echo).await;
    one.cluster.get_ready(one.cluster.live()[0]);
    let ended = submitted.ended.wait(Duration::from_secs(20)).await.expect("it ends").request;
    assert_eq!(ended.phase.name(), "completed");
    for n in 0..3 {
        assert_eq!(one.run(&[&format!("b{n}")]).await.phase.name(), "completed");
    }
    let launched = |hub: &Hub| hub.cluster.launched.load(Ordering::SeqCst);
    assert_eq!((launched(&one), launched(&other)), (1, 0), "neither too late nor idle for long");
    let record = &one.store.instances().await.expect("an answer")[0];
    let took = record.ready_at.expect("it is ready").since(record.launched_at);
    assert!(took < Duration::from_secs(20), "{took:?}");
}

/// Answers that it is healthy, and nothing else.
async fn hanging_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("an address");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut head).await {
                    if !head[..read].starts_with(b"GET /healthz ") {
                        std::future::pending::<()>().await;
                    }
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    stream.write_all(answer).await.expect("sent");
                }
            });
        }
    });
    url
}

/// Each takes five seconds to be given up; a server whose loop waits so long is taken for dead.
#[tokio::test(flavor = "multi_thread")]
async fn servers_elsewhere_that_hang_hold_up_nothing() {
    let mut elsewhere = Vec::new();
    for _ in 0..6 {
        elsewhere.push(hanging_server().await);
    }
    let begun = Instant::now();
    let hub = Hub::on(Setup { elsewhere, ..Setup::default() }, echo).await;
    let mut changes = hub.store.changes();
    let all_ready = async {
        loop {
            let instances = hub.store.instances().await.expect("an answer");
            let ready = |state: &InstanceState| matches!(state, InstanceState::Ready { .. });
            if instances.iter().filter(|it| ready(&it.state)).count() == 6 {
                return;
            }
            // Also when changes were missed.
            drop(changes.recv().await);
        }
    };
    tokio::time::timeout(Duration::from_secs(40), all_ready).await.expect("all are there");
    assert_eq!(hub.run(&["a"]).await.phase.name(), "completed");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(15), "the loop waited for them: {took:?}");
}
