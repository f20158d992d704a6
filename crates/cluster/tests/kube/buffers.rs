//! Room that an autoscaler keeps free.

use std::sync::Arc;

use fake_kube::{Config, Kind, Resource};
use muster_cluster::Cluster;
use muster_cluster::kube::KubeConfig;
use muster_core::Model;
use serde_json::{Value, json};

use crate::world::{NAMESPACE, World, model, until, world_of};

const GROUP: &str = "autoscaling.x-k8s.io";

async fn world(versions: &[&str], buffers: bool) -> World {
    let kind = || Kind::custom(GROUP, versions, "capacitybuffers", "CapacityBuffer");
    let kinds = if versions.is_empty() { Vec::new() } else { vec![kind()] };
    let config = Config { kinds, ..Config::default() };
    world_of(config, None, |config| KubeConfig { buffers, ..config }).await.expect("a hub")
}

fn buffers(world: &World, version: &str) -> Vec<Arc<Value>> {
    world.fake.objects().list(&Resource::new(GROUP, version, "capacitybuffers")).1
}

fn templates(world: &World) -> Vec<Arc<Value>> {
    world.fake.objects().list(&Resource::pod_templates()).1
}

fn spare(world: &World, all: &[(&Arc<Model>, u32)]) {
    world.kube.spare(Some(all.iter().map(|(model, count)| (Arc::clone(model), *count)).collect()));
}

#[tokio::test]
async fn a_buffer_follows_what_a_model_wants_and_goes_with_it() {
    for version in ["v1beta1", "v1alpha1"] {
        let world = world(&[version], true).await;
        // Somebody has one of their own.
        let other = json!({
            "apiVersion": format!("{GROUP}/{version}"), "kind": "CapacityBuffer",
            "metadata": {"name": "theirs", "namespace": NAMESPACE, "labels": {"muster.dev/hub": "h2", "muster.dev/spare": "true"}},
            "spec": {"replicas": 7},
        });
        let of = Resource::new(GROUP, version, "capacitybuffers");
        world.fake.objects().create(&of, other).expect("it is created");
        let ours = || {
            let all = buffers(&world, version).into_iter();
            all.filter(|it| it["metadata"]["labels"]["muster.dev/hub"] == "h1").collect::<Vec<_>>()
        };
        let is = model();
        spare(&world, &[(&is, 2)]);
        until("it is there", || ours().len() == 1).await;
        let made = ours().remove(0);
        assert_eq!(made["spec"]["replicas"], 2);
        let template = templates(&world).remove(0);
        assert_eq!(made["spec"]["podTemplateRef"]["name"], template["metadata"]["name"]);
        let spec = &template["template"]["spec"];
        assert_eq!(spec["containers"][0]["image"], "registry/eos4e40:1");
        assert!(spec["containers"][0]["resources"]["requests"]["memory"].is_string());
        let labels = &template["template"]["metadata"]["labels"];
        assert!(labels.get("muster.dev/hub").is_none(), "it is no pod of the hub: {labels}");
        spare(&world, &[(&is, 3)]);
        until("it is larger", || ours()[0]["spec"]["replicas"] == 3).await;
        assert_eq!(templates(&world)[0]["metadata"]["uid"], template["metadata"]["uid"]);
        // Another pod: another template.
        let mut larger = (*is).clone();
        larger.limits.memory_mib *= 2;
        let larger = Arc::new(larger);
        spare(&world, &[(&larger, 3)]);
        until("the template is another", || {
            let all = templates(&world);
            all.len() == 1 && all[0]["metadata"]["uid"] != template["metadata"]["uid"]
        })
        .await;
        spare(&world, &[]);
        until("it is gone", || ours().is_empty() && templates(&world).is_empty()).await;
        assert_eq!(buffers(&world, version).len(), 1, "what others have stays");
    }
}

#[tokio::test]
async fn nothing_is_kept_free_unless_somebody_says_so_and_it_is_served() {
    let world = world(&["v1beta1"], false).await;
    spare(&world, &[(&model(), 2)]);
    until("it was looked", || world.calls("list", "podtemplates") > 0).await;
    assert!(buffers(&world, "v1beta1").is_empty() && templates(&world).is_empty());
    let none = self::world(&[], true).await;
    spare(&none, &[(&model(), 2)]);
    none.settled().await;
    assert!(templates(&none).is_empty());
}
