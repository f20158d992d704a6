use std::sync::Arc;

use muster_core::room::{Ask, Place};
use muster_core::{InstanceId, Model};
use serde_json::{Value, json};
use uuid::Uuid;

use super::make::{NOT_A_POD, any_model, ask, name, pod};
use super::{KubeConfig, Runner};
use crate::Launch;

fn config(template: Value) -> KubeConfig {
    KubeConfig {
        namespace: "models".into(),
        hub: "h1".into(),
        template,
        observe_cluster: true,
        ..KubeConfig::default()
    }
}

fn launch(model: Value) -> Launch {
    let mut all = json!(any_model().expect("a model"));
    muster_core::model::merge(&mut all, &model);
    // As it is: what is null in a template takes something away.
    all["pod"] = model["pod"].clone();
    let model: Model = serde_json::from_value(all).expect("a model");
    Launch { epoch: 7, ..Launch::anywhere(InstanceId(Uuid::from_u128(5)), Arc::new(model)) }
}

#[test]
fn a_pod_is_as_restricted_as_can_be_and_says_whose_it_is() {
    let mut launch = launch(json!({
        "id": "eos4e40", "version": "1.2.0",
        "source": {"from": "image", "image": "registry/eos4e40@sha256:1", "port": 80},
        "limits": {"memory_mib": 2048, "start_seconds": 300},
        "resources": {"cpu": 1.5, "memory_mib": 1024, "storage_mib": 512, "gpus": 1, "node": {"disk": "ssd"}},
    }));
    launch.place = Some(Place { node: "node-7".into(), devices: Vec::new() });
    let made = pod(&config(Value::Null), &launch).expect("a pod");
    let id = "00000000-0000-0000-0000-000000000005";
    assert_eq!(
        made,
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": format!("eos4e40-{id}"), "namespace": "models",
                "labels": {
                    "app.kubernetes.io/managed-by": "muster", "muster.dev/hub": "h1",
                    "muster.dev/instance": id, "muster.dev/model": "eos4e40",
                },
                "annotations": {
                    "cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
                    "muster.dev/epoch": "7", "muster.dev/model": "eos4e40", "muster.dev/version": "1.2.0",
                },
            },
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": false,
                "enableServiceLinks": false,
                "activeDeadlineSeconds": 604_800,
                "terminationGracePeriodSeconds": 30,
                "nodeSelector": {"disk": "ssd"},
                "tolerations": [
                    {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute",
                     "tolerationSeconds": 30},
                    {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute",
                     "tolerationSeconds": 30},
                ],
                "affinity": {
                    "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                        {"weight": 100, "preference": {"matchFields": [
                            {"key": "metadata.name", "operator": "In", "values": ["node-7"]}]}}]},
                    "podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                        {"weight": 50, "podAffinityTerm": {
                            "labelSelector": {"matchLabels": {"muster.dev/hub": "h1"}},
                            "topologyKey": "kubernetes.io/hostname"}}]},
                },
                "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "536870912"}}],
                "containers": [{
                    "name": "model",
                    "image": "registry/eos4e40@sha256:1",
                    "ports": [{"name": "model", "containerPort": 80, "protocol": "TCP"}],
                    "env": [{"name": "MUSTER_INSTANCE", "value": id}],
                    "resources": {
                        "requests": {"cpu": "1500m", "memory": "1073741824",
                            "ephemeral-storage": "536870912", "nvidia.com/gpu": "1"},
                        "limits": {"memory": "2147483648", "ephemeral-storage": "536870912",
                            "nvidia.com/gpu": "1"},
                    },
                    "startupProbe": {"httpGet": {"path": "/healthz", "port": 80}, "periodSeconds": 1,
                        "timeoutSeconds": 5, "failureThreshold": 330},
                    "readinessProbe": {"httpGet": {"path": "/healthz", "port": 80}, "periodSeconds": 5,
                        "timeoutSeconds": 5, "failureThreshold": 3},
                    "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                        "capabilities": {"drop": ["ALL"]}},
                }],
            },
        })
    );
}

#[test]
fn a_model_lays_its_template_over_that_of_the_configuration() {
    let config = config(json!({
        "metadata": {"labels": {"team": "a", "queue": "x"}},
        "spec": {"serviceAccountName": "models", "priorityClassName": "low",
            "tolerations": [{"key": "gpu", "operator": "Exists"}]},
    }));
    let launch = launch(json!({"pod": {"limit_cpu": true, "template": {
        "metadata": {"labels": {"team": "b", "muster.dev/hub": "another"}, "name": "mine"},
        "spec": {
            "restartPolicy": "Always", "automountServiceAccountToken": true,
            "activeDeadlineSeconds": 60, "priorityClassName": null,
            "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]}},
            "containers": [{"name": "model", "env": [{"name": "A", "value": "b"}]}],
        },
    }}}));
    let made = pod(&config, &launch).expect("a pod");
    let (metadata, spec) = (&made["metadata"], &made["spec"]);
    assert_eq!(metadata["labels"]["team"], "b");
    assert_eq!(metadata["labels"]["queue"], "x");
    assert_eq!(metadata["labels"]["muster.dev/hub"], "h1", "the hub's own labels stay");
    assert_eq!(metadata["name"], "any-00000000-0000-0000-0000-000000000005");
    assert_eq!(spec["serviceAccountName"], "models");
    assert_eq!(spec.get("priorityClassName"), None);
    assert_eq!(spec["restartPolicy"], "Never");
    assert_eq!(spec["automountServiceAccountToken"], false);
    assert_eq!(spec["activeDeadlineSeconds"], 60, "it may be shorter");
    assert_eq!(spec["tolerations"].as_array().map(Vec::len), Some(3));
    assert_eq!(spec["containers"][0]["env"].as_array().map(Vec::len), Some(2));
    let resources = &spec["containers"][0]["resources"];
    assert_eq!(resources["limits"]["cpu"], resources["requests"]["cpu"]);
    let terms =
        &spec["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(*terms, json!([{"weight": 1}]), "it has no place");
}

#[test]
fn a_template_cannot_take_the_restrictions_away_and_a_reason_can() {
    let template = json!({"spec": {
        "hostNetwork": true, "hostPID": false,
        "securityContext": {"runAsUser": 0},
        "volumes": [{"name": "disk", "hostPath": {"path": "/"}}],
        "containers": [
            {"name": "model", "securityContext": {"privileged": true, "capabilities": {"add": ["SYS_ADMIN"]}}},
            {"name": "side", "image": "x", "ports": [{"containerPort": 1, "hostPort": 1}]},
        ],
    }});
    let why = pod(&config(template.clone()), &launch(json!({}))).expect_err("it is refused");
    for part in [
        "hostNetwork",
        "a volume of the kind hostPath",
        "runAsUser: 0",
        "model: privileged",
        "model: capabilities beyond",
        "side: hostPort",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
    assert!(!why.contains("hostPID"), "{why}");
    let reason = json!({"pod": {"unrestricted": "its server listens on port 80 as root"}});
    let made = pod(&config(template), &launch(reason)).expect("a pod");
    assert_eq!(made["spec"]["hostNetwork"], true);
    assert_eq!(made["spec"]["automountServiceAccountToken"], false);
    assert_eq!(
        made["metadata"]["annotations"]["muster.dev/unrestricted"],
        "its server listens on port 80 as root"
    );
    let plain = pod(&config(Value::Null), &launch(json!({"pod": {"unrestricted": "x"}})));
    let plain = plain.expect("a pod");
    assert_eq!(plain["spec"].get("securityContext"), None);
    assert_eq!(plain["spec"]["containers"][0].get("securityContext"), None);
}

#[test]
fn a_template_with_nonsense_is_told_and_breaks_nothing() {
    for (template, why) in [
        (json!("x"), "the template of pods: it is not an object"),
        (json!({"spec": 5}), "spec is not an object"),
        (json!({"metadata": []}), "metadata is not an object"),
        (json!({"metadata": {"labels": "x"}}), "metadata.labels is not an object"),
        (json!({"spec": {"affinity": []}}), "spec.affinity is not an object"),
        (
            json!({"spec": {"containers": [{"name": "model", "$patch": "delete"}]}}),
            "spec.containers: the container `model` has to stay",
        ),
        (
            json!({"spec": {"containers": [{"image": "x"}]}}),
            "the template of pods: an element of spec.containers has no name",
        ),
    ] {
        let got = pod(&config(template.clone()), &launch(json!({})));
        assert_eq!(got, Err(why.to_owned()), "{template}");
    }
    let other = json!({"spec": {"containers": [{"name": "model", "image": "other/image"}]}});
    let made = pod(&config(other), &launch(json!({}))).expect("a pod");
    let plain = pod(&config(Value::Null), &launch(json!({}))).expect("a pod");
    let image = |pod: &Value| pod["spec"]["containers"][0]["image"].clone();
    assert_eq!(image(&made), image(&plain), "it is the model's");
    for template in [
        json!({"spec": {"securityContext": "x", "volumes": "x", "initContainers": 1}}),
        json!({"spec": {"containers": [{"name": "model", "securityContext": [], "ports": {}}]}}),
        json!({"spec": {"containers": [{"name": "model", "securityContext": {"capabilities": 1}}]}}),
    ] {
        pod(&config(template), &launch(json!({}))).expect("the cluster says what is wrong with it");
    }
}

#[test]
fn a_pushed_folder_is_a_pod_of_the_runners_image_that_fetches_it() {
    let pushed = launch(json!({
        "source": {"from": "pushed", "content": "c0de", "in_pods": true}, "network": "all",
        "limits": {"prepare_seconds": 600, "start_seconds": 60}, "resources": {"storage_mib": 1},
    }));
    assert_eq!(pod(&config(Value::Null), &pushed), Err(NOT_A_POD.to_owned()), "nobody runs it");
    let runner = |cache: Option<&str>| Runner {
        image: "registry/muster-one:1".into(),
        cache: cache.map(str::to_owned),
        cache_bytes: 1 << 30,
        walls: true,
        hub_url: "http://hub".into(),
        link: Arc::new(|content, instance| format!("/{content}/{instance}")),
    };
    let with = |cache| KubeConfig { runner: Some(runner(cache)), ..config(Value::Null) };
    let made = pod(&with(Some("folders")), &pushed).expect("a pod");
    let container = &made["spec"]["containers"][0];
    assert_eq!(container["image"], "registry/muster-one:1");
    assert_eq!(container["args"][1], "/cache/folders/c0de");
    assert!(container["args"].to_string().contains("\"--network\",\"all\""), "{container}");
    let link = format!("http://hub/c0de/{}", pushed.instance);
    let env = container["env"].as_array().expect("variables");
    assert!(env.contains(&json!({"name": "MUSTER_FOLDER_LINK", "value": link})), "{container}");
    assert!(!container["args"].to_string().contains("http"), "no argument has it");
    assert_eq!(container["volumeMounts"][1]["subPath"], "c0de");
    assert_eq!(container["startupProbe"]["failureThreshold"], 690);
    assert_eq!(container["resources"]["limits"]["ephemeral-storage"], "1048576");
    let claim = json!({"name": "cache", "persistentVolumeClaim": {"claimName": "folders"}});
    assert_eq!(made["spec"]["volumes"][1], claim);
    let its = &made["spec"]["securityContext"];
    assert_eq!((&its["fsGroup"], &its["runAsNonRoot"]), (&json!(65_532), &json!(true)));
    let labels = &made["metadata"]["labels"];
    assert_eq!(labels["muster.dev/prepares"], "true");
    assert_eq!(labels["muster.dev/network"], "all");
    let asked = ask(&with(Some("folders")), &pushed.model, Ask::default());
    assert_eq!(asked.not_understood, Vec::<String>::new(), "room for it is planned");

    let made = pod(&with(None), &pushed).expect("a pod");
    let own = json!({"name": "cache", "emptyDir": {"sizeLimit": "1073741824"}});
    assert_eq!(made["spec"]["volumes"][1], own);
    let container = &made["spec"]["containers"][0];
    assert_eq!(container["volumeMounts"][1], json!({"name": "cache", "mountPath": "/cache"}));
    let storage = &container["resources"]["limits"]["ephemeral-storage"];
    assert_eq!(storage, &json!("1074790400"), "its volume is room on its node's disk");
}

#[test]
fn names_are_those_of_hosts() {
    let id = InstanceId(Uuid::from_u128(5));
    for (model, slug) in [
        ("eos4e40", "eos4e40"),
        ("a.b_c", "a-b-c"),
        ("x--", "x"),
        ("abcdefghijklmnopqrstuvwxyz0123456789", "abcdefghijklmnopqrstuvwxyz"),
        ("abcdefghijklmnopqrstuvwxy.0123456789", "abcdefghijklmnopqrstuvwxy"),
    ] {
        let name = name(&model.parse().expect("a model"), id);
        assert_eq!(name, format!("{slug}-{id}"));
        assert!(name.len() <= 63, "{name}");
    }
}
