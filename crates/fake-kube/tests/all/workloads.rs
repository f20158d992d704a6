//! Deployments become pods, and others of a new template one after the other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fake_kube::actors::kubelet::{self, Image};
use fake_kube::actors::{Actors, node};
use fake_kube::{Config, FakeKube, Resource};
use serde_json::{Value, json};

fn is_ready(pod: &Value) -> bool {
    let all = pod["status"]["conditions"].as_array();
    let ready =
        all.is_some_and(|all| all.iter().any(|it| it["type"] == "Ready" && it["status"] == "True"));
    ready && pod["metadata"].get("deletionTimestamp").is_none()
}

struct Site(FakeKube);

impl Site {
    async fn start() -> Self {
        let images = ["a:1", "a:2"].map(|name| (name.to_owned(), Image::default()));
        let kubelet =
            kubelet::Settings { images: BTreeMap::from(images), ..kubelet::Settings::default() };
        let actors = Some(Actors { kubelet, ..Actors::default() });
        let fake =
            FakeKube::start(Config { actors, ..Config::default() }).await.expect("a cluster");
        fake.objects()
            .create(&Resource::nodes(), node("n1", "4", "8Gi", &[], &[]))
            .expect("a node");
        Self(fake)
    }

    fn pods(&self) -> Vec<Arc<Value>> {
        self.0.objects().list(&Resource::pods()).1
    }

    fn ready(&self, image: &str) -> usize {
        let of =
            |pod: &&Arc<Value>| pod["spec"]["containers"][0]["image"] == image && is_ready(pod);
        self.pods().iter().filter(of).count()
    }

    /// How few were ready meanwhile, and how many there were.
    async fn until(&self, what: &str, so: impl Fn(&Self) -> bool) -> (usize, usize) {
        let (mut least, mut most) = (usize::MAX, 0);
        for _ in 0..2000 {
            least = least.min(self.ready("a:1") + self.ready("a:2"));
            let going = |pod: &&Arc<Value>| pod["metadata"].get("deletionTimestamp").is_none();
            most = most.max(self.pods().iter().filter(going).count());
            if so(self) {
                return (least, most);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{what}: {:?}", self.pods());
    }

    fn set(&self, change: impl FnOnce(&mut Value)) {
        let of = Resource::deployments();
        self.0.objects().change(&of, Some("default"), "web", change).expect("it is there");
    }
}

#[tokio::test]
async fn a_deployment_is_rolled_within_its_bounds_and_back() {
    let site = Site::start().await;
    let deployment = json!({
        "metadata": {"name": "web", "namespace": "default", "generation": 1, "annotations": {}},
        "spec": {
            "replicas": 3, "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
                "terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": "a:1"}]}},
        },
        "status": {},
    });
    site.0.objects().create(&Resource::deployments(), deployment).expect("it is created");
    site.until("three are ready", |site| site.ready("a:1") == 3).await;
    for (next, before) in [("a:2", "a:1"), ("a:1", "a:2")] {
        site.set(|it| it["spec"]["template"]["spec"]["containers"][0]["image"] = json!(next));
        let done = |site: &Site| site.ready(next) == 3 && site.pods().len() == 3;
        let (least, most) = site.until(next, done).await;
        assert!(
            least >= 3 && most <= 4,
            "{before} to {next}: {least} were ready, and there were {most}"
        );
    }
    assert_eq!(
        site.0.objects().list(&Resource::replica_sets()).1.len(),
        2,
        "the first one was used again"
    );
    site.set(|it| it["spec"]["replicas"] = json!(1));
    site.until("one is left", |site| site.pods().len() == 1).await;
    site.set(|it| it["spec"]["template"]["spec"]["containers"][0]["image"] = json!("missing:1"));
    site.until("another is tried", |site| site.pods().len() == 2).await;
    assert_eq!(site.ready("a:1"), 1, "what works stays");
    let status =
        site.0.objects().get(&Resource::deployments(), Some("default"), "web").expect("it");
    assert_eq!(status["status"]["availableReplicas"], 1, "{status}");
}
