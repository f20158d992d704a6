//! What is told of an instance before it is ready.

use std::sync::atomic::Ordering;
use std::time::Duration;

use muster_core::instance::ObservedState;

use crate::hub::{Hub, echo};
use crate::stopping::until;

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_whose_environment_is_made_is_preparing() {
    let hub = Hub::start(echo).await;
    hub.cluster.never_ready.store(true, Ordering::SeqCst);
    let submitted = hub.submit(&["a"]).await;
    until(&hub, "it is launched", async || !hub.cluster.live().is_empty()).await;
    let id = hub.cluster.live()[0];
    let record =
        async || hub.store.find_instance(id).await.expect("an answer").expect("it is there");
    let is = async |state: &str| record().await.state.name() == state;
    // More than there are events of one instance.
    for line in 0..120 {
        let doing = format!("step 1 of 2, Collecting {line}");
        hub.cluster.set(id, ObservedState::Preparing { doing: doing.clone() });
        hub.until_held(|why| why.contains(&doing)).await;
    }
    assert!(is("preparing").await);
    hub.cluster.set(id, ObservedState::starting("loading the model"));
    until(&hub, "it starts", async || is("starting").await).await;
    hub.cluster.get_ready(id);
    let ended = submitted.ended.wait(Duration::from_secs(20)).await.expect("it ends");
    assert_eq!(ended.request.phase.name(), "completed");
    hub.cluster.kill(id);
    until(&hub, "it has ended", async || record().await.end.is_some()).await;
    let phases = hub.store.instance_phases(id).await.expect("an answer");
    let phases: Vec<_> = phases.iter().map(|it| (it.name.as_str(), it.cause.as_str())).collect();
    let (doing, loading) = ("step 1 of 2, Collecting 119", "loading the model");
    assert!(phases.contains(&("preparing", doing)), "{phases:?}");
    assert!(phases.contains(&("starting", loading)), "{phases:?}");
    assert_eq!(phases.iter().filter(|(name, _)| *name == "preparing").count(), 1);
}
