"""What scripts/check-chart asks of the chart."""

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy/chart"
VERSIONS = ["1.33", "1.34", "1.35", "1.36", "1.37"]
MUSTER, HELM3, HELM4 = sys.argv[1:]

IMAGE = {"repository": "registry.example.org/lab/muster"}
SHARED = {
    "image": IMAGE,
    "database": {"existingSecret": "muster-database"},
    "objects": {"url": "s3://muster/hub", "existingSecret": "muster-objects"},
    "persistence": {"enabled": False},
}
ALWAYS = ["ConfigMap", "Deployment", "Service", "Service", "ServiceAccount", "ServiceAccount", "Role", "RoleBinding"]
CLUSTER = ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Role", "RoleBinding"]
POLICIES = ["NetworkPolicy"] * 4
# Values, and the kinds that come of them.
SETS = {
    "default": ({"image": IMAGE}, ALWAYS + CLUSTER + POLICIES + ["Namespace", "PersistentVolumeClaim"]),
    "one": (
        {
            "image": IMAGE,
            "persistence": {"existingClaim": "muster-data"},
            "metrics": {"enabled": False},
            "models": {"namespace": {"name": "models", "create": False}},
        },
        [kind for kind in ALWAYS if kind != "Service"] + CLUSTER + POLICIES + ["Service"],
    ),
    "several": (SHARED | {"replicas": 3}, ALWAYS + CLUSTER + POLICIES + ["Namespace", "PodDisruptionBudget"]),
    "namespace": (
        SHARED
        | {
            "replicas": 2,
            "models": {"sees": "namespace", "namespace": {"name": "muster", "create": False}},
            "networkPolicy": {"models": {"enabled": False}, "hub": {"enabled": False}},
        },
        ALWAYS + ["PodDisruptionBudget"],
    ),
    "everything": (
        SHARED
        | {
            "replicas": 2,
            "image": IMAGE | {"digest": "sha256:" + "a" * 64, "pullPolicy": "Always"},
            "imagePullSecrets": ["registry"],
            "objects": SHARED["objects"] | {"options": {"endpoint": "https://s3.example.org", "region": "eu"}},
            "mail": {"existingSecret": "muster-mail"},
            "address": "::",
            "config": {
                "public_url": "https://hub.example.org",
                "allowed_hosts": ["hub.example.org", "muster.muster.svc"],
                "model_images": ["registry.example.org/lab/"],
                "trusted_proxies": ["10.0.0.0/8"],
                "max_instances": 50,
                "limits": {"inputs": 5000000},
                "quotas": {"day_inputs": 20000000},
                "clearing": {"every": 0, "account": "30d"},
            },
            "models": {
                "namespace": {"name": "lab-models", "podSecurity": "baseline"},
                "imagePullSecrets": ["registry"],
                "podTemplate": {"spec": {"tolerations": [{"key": "gpu", "operator": "Exists"}]}},
                "priorityClass": {"name": "muster-models", "create": True},
                "runner": {"image": "registry.example.org/lab/muster-one:1", "cacheClaim": "folders", "cacheSize": "50Gi"},
            },
            "ingress": {"enabled": True, "className": "nginx", "host": "hub.example.org", "tlsSecret": "hub-tls"},
            "metrics": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
            "rbac": {
                "ownNodes": True,
                "capacityBuffers": True,
                "clusterApi": {"namespaces": ["machines"], "templates": ["openstackmachinetemplates"]},
            },
            "clean": {"enabled": True, "args": ["--older-than", "7d"]},
            "networkPolicy": {"hub": {"from": [{"namespaceSelector": {}}]}},
            "podAnnotations": {"example.org/a": "b"},
            "podLabels": {"example.org/c": "d"},
            "nodeSelector": {"pool": "hubs"},
            "tolerations": [{"key": "hubs", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "priorityClassName": "important",
            "extraEnv": [{"name": "TZ", "value": "UTC"}],
            "service": {"type": "LoadBalancer", "annotations": {"example.org/lb": "internal"}},
            "serviceAccount": {"name": "hub", "annotations": {"example.org/role": "bucket"}},
        },
        ALWAYS
        + CLUSTER
        + POLICIES
        + ["Role", "RoleBinding"]
        + ["Namespace", "PodDisruptionBudget", "PriorityClass", "Ingress", "ServiceMonitor", "CronJob", "NetworkPolicy"],
    ),
}
# Kinds that Kubernetes itself does not have.
FOREIGN = {"ServiceMonitor"}
# Values that are refused, and a word of the answer.
WRONG = [
    ({}, "repository"),
    ({"image": IMAGE, "replica": 2}, "replica"),
    ({"image": IMAGE, "config": {"max_instance": 2}}, "max_instance"),
    ({"image": IMAGE, "config": {"data_dir": "/x"}}, "data_dir"),
    ({"image": IMAGE, "replicas": 0}, "replicas"),
    ({"image": IMAGE, "objects": {"url": "/data"}}, "objects"),
    ({"image": IMAGE, "replicas": 2}, "database.existingSecret, or set replicas to 1"),
    ({"image": IMAGE, "replicas": 2, "database": SHARED["database"]}, "set objects.url to s3://bucket/prefix"),
    ({"image": IMAGE, "persistence": {"enabled": False}}, "is lost with its pod"),
    ({"image": IMAGE, "persistence": {"enabled": False}, "database": SHARED["database"]}, "results are lost"),
    ({"image": IMAGE, "clean": {"enabled": True}}, "cannot reach the data volume"),
    ({"image": IMAGE, "ingress": {"enabled": True}}, "say the name under which"),
    ({"image": IMAGE, "models": {"priorityClass": {"create": True}}}, "models.priorityClass.name"),
    ({"image": IMAGE, "models": {"namespace": {"name": "muster"}}}, "models.namespace.create to false"),
    ({"image": IMAGE, "models": {"runner": {"cacheSize": "10GB"}}}, "cacheSize"),
    ({"image": IMAGE, "rbac": {"ownNodes": True}, "models": {"sees": "namespace"}}, "set models.sees to cluster"),
    (
        {"image": IMAGE, "models": {"namespace": {"name": "muster", "create": False}}},
        "network policies would hold for the hub too",
    ),
]
NEVER = {"pods/exec", "pods/attach", "pods/portforward", "nodes/proxy", "secrets", "*"}
# What the chart says itself, and what is of machines and folders.
NOT_IN_CONFIG = re.compile(
    r"(listen|metrics|data_dir|cluster|leave_seconds|stop_seconds|models|model_walls|model_reads|model_writes|model_variables|"
    r"insecure_cookies|mail\.url|(database|objects|local)\..*|kubernetes\.(?!capacity_buffers).*)$"
)


def helm(program, *arguments, values=None):
    given = ["--values", "-"] if values is not None else []
    return subprocess.run(
        [program, *arguments, *given], input=json.dumps(values), text=True, capture_output=True
    )


def template(program, values):
    return helm(program, "template", "hub", str(CHART), "--namespace", "muster", "--kube-version", "1.33", values=values)


def render(program, values):
    ran = template(program, values)
    assert ran.returncode == 0, f"{program}: {ran.stderr}"
    objects = [it for it in yaml.safe_load_all(ran.stdout) if it]
    return sorted(objects, key=lambda it: (it["kind"], it["metadata"].get("namespace", ""), it["metadata"]["name"]))


def check_schemas(objects):
    checked = Counter()
    for version in VERSIONS:
        for it in objects:
            try:
                kubernetes_validate.validate(it, version, strict=True)
                checked[version] += 1
            except kubernetes_validate.utils.SchemaNotFoundError:
                assert it["kind"] in FOREIGN, f"{version} does not know {it['kind']}"
    known = sum(it["kind"] not in FOREIGN for it in objects)
    assert all(checked[version] == known for version in VERSIONS), (known, checked)
    return known * len(VERSIONS)


def documented():
    """The rights in docs/kubernetes.md: (where, group, resource, verb)."""
    text = (ROOT / "docs/kubernetes.md").read_text()
    table = text.split("<!-- The table of rights. -->")[1].split("<!-- End of the table of rights. -->")[0]
    rights = set()
    for row in table.strip().splitlines()[2:]:
        where, group, resource, verbs, _ = (cell.strip().strip("`") for cell in row.strip("| ").split("|"))
        rights |= {(where, "" if group == "core" else group, resource, verb) for verb in verbs.split(", ")}
    return rights


def documented_of_nodes():
    """Those that who owns nodes has as well: of the cluster, of where machines are, and of buffers."""
    text = (ROOT / "docs/kubernetes.md").read_text().split("### Rights to own nodes")[1].split("\n## ")[0]
    blocks = [yaml.safe_load(block.split("```")[0]) for block in text.split("```yaml")[1:]]
    rights = set()
    for where, rules in zip(("cluster", "machines", "models"), blocks, strict=True):
        for rule in rules:
            rights |= {(where, group, on, verb) for group in rule["apiGroups"] for on in rule["resources"] for verb in rule["verbs"]}
    return rights


def given(objects, models):
    """The rights that the hub's account is bound to."""
    roles = {(it["kind"], it["metadata"].get("namespace"), it["metadata"]["name"]): it for it in objects}
    rights = set()
    for it in objects:
        if it["kind"] not in ("RoleBinding", "ClusterRoleBinding"):
            continue
        namespace = it["metadata"].get("namespace")
        role = roles[(it["roleRef"]["kind"], namespace, it["roleRef"]["name"])]
        where = {None: "cluster", models: "models", "default": "default", "kube-system": "kube-system", "machines": "machines"}[namespace]
        for rule in role["rules"]:
            assert set(rule) - {"resourceNames"} == {"apiGroups", "resources", "verbs"}, rule
            named = [f"={name}" for name in rule.get("resourceNames", [])] or [""]
            on = [resource + name for resource in rule["resources"] for name in named]
            rights |= {(where, group, one, verb) for group in rule["apiGroups"] for one in on for verb in rule["verbs"]}
    return rights


def check_rights(name, objects):
    config = next(it for it in objects if it["kind"] == "ConfigMap")["data"]["muster.toml"]
    models = re.search(r'kubernetes.namespace = "(.*)"', config)[1]
    expected = documented()
    if name == "everything":
        expected |= documented_of_nodes()
    if name == "namespace":
        expected = {right for right in expected if right[0] == "models"}
    found = given(objects, models)
    assert found == expected, f"{name}: the chart gives {found - expected}, and not {expected - found}"
    for _, _, resource, verb in found:
        assert resource not in NEVER and verb not in ("*", "escalate", "bind", "impersonate"), (resource, verb)


def check_pods(objects):
    for it in objects:
        if it["kind"] == "Deployment":
            spec = it["spec"]["template"]["spec"]
        elif it["kind"] == "CronJob":
            spec = it["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        else:
            continue
        its = spec["securityContext"]
        assert its["runAsNonRoot"] and its["runAsUser"] == 65532 and its["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            its = container["securityContext"]
            assert its == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, its
            mounts = {mount["name"] for mount in container["volumeMounts"]}
            assert mounts == {volume["name"] for volume in spec["volumes"]} == {"config", "data", "tmp"}


def check_toml(objects, values):
    """What the hub reads of its file is what the values say."""
    data = next(it for it in objects if it["kind"] == "ConfigMap")["data"]
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(data["muster.toml"])
        file.flush()
        ran = subprocess.run([MUSTER, "config", "--json", "--config", file.name], capture_output=True, text=True)
    assert ran.stdout, f"the hub does not take its file: {ran.stderr}"
    shown = json.loads(ran.stdout)

    def settings(of, prefix=""):
        for key, value in of.items():
            if isinstance(value, dict):
                yield from settings(value, f"{prefix}{key}.")
            else:
                yield prefix + key, ",".join(value) if isinstance(value, list) else str(value)

    for key, value in settings(values.get("config", {})):
        assert shown[key]["value"] == value, f"{key} is {shown[key]}, not {value}"
    for key, value in values.get("objects", {}).get("options", {}).items():
        assert shown[f"objects.options.{key}"]["value"] == value, key
    runner = values.get("models", {}).get("runner")
    if runner:
        assert shown["kubernetes.runner_image"]["value"] == runner["image"]
        assert shown["kubernetes.folder_cache"]["value"] == runner["cacheClaim"]
        assert shown["kubernetes.folder_cache_bytes"]["value"] == "50GiB"
        service = next(it for it in objects if it["kind"] == "Service" and not it["metadata"]["name"].endswith("-metrics"))
        name, port = service["metadata"]["name"], service["spec"]["ports"][0]["port"]
        assert shown["kubernetes.hub_url"]["value"] == f"http://{name}.muster.svc:{port}"
    template = yaml.safe_load(data["pod.yaml"])
    account = next(it for it in objects if it["kind"] == "ServiceAccount" and it["metadata"].get("namespace"))
    assert template["spec"]["serviceAccountName"] == account["metadata"]["name"]
    assert account["automountServiceAccountToken"] is False


def check_values():
    """values.yaml and its schema name the same, and each value is told about."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def compare(schema, values, at):
        properties = schema.get("properties")
        if properties is None or at == "config" or (not values and "additionalProperties" not in schema):
            return
        assert schema["additionalProperties"] is False, f"{at}: misspelt values are taken"
        named = set(properties) - {"global"} if at == "" else set(properties)
        if isinstance(values, dict) and values:
            assert named == set(values), f"{at}: {named ^ set(values)}"
            for key, value in values.items():
                compare(properties[key], value, f"{at}.{key}".lstrip("."))

    compare(schema, values, "")
    shown = json.loads(subprocess.run([MUSTER, "config", "--json"], capture_output=True, text=True).stdout)
    wanted = {key for key in shown if not NOT_IN_CONFIG.match(key)} | {"nodes.group"}

    def names(of, prefix=""):
        for key, value in of.get("properties", {}).items():
            if value.get("properties"):
                yield from names(value, f"{prefix}{key}.")
            else:
                yield prefix + key

    of_schema = set(names(schema["definitions"]["config"]))
    assert of_schema == wanted, f"settings that the schema lacks: {wanted - of_schema}; that are not there: {of_schema - wanted}"


def check_version():
    workspace = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == workspace, f"appVersion is {chart['appVersion']}, the workspace is {workspace}"


def main():
    check_version()
    check_values()
    looked = 0
    for name, (values, kinds) in SETS.items():
        for program in (HELM3, HELM4):
            ran = helm(program, "lint", str(CHART), "--strict", "--kube-version", "1.33", values=values)
            assert ran.returncode == 0, f"{name}: {program}: {ran.stdout}{ran.stderr}"
        objects = render(HELM3, values)
        assert objects == render(HELM4, values), f"{name}: Helm 3 and 4 differ"
        found = Counter(it["kind"] for it in objects)
        assert found == Counter(kinds), f"{name}: {found - Counter(kinds)} too many, {Counter(kinds) - found} missing"
        looked += check_schemas(objects)
        check_rights(name, objects)
        check_pods(objects)
        check_toml(objects, values)
    for values, word in WRONG:
        for program in (HELM3, HELM4):
            ran = template(program, values)
            assert ran.returncode != 0 and word in ran.stderr, f"{values}: {word!r} is not in {ran.stderr or ran.stdout}"
    print(f"{len(SETS)} sets of values, {looked} objects held against schemas, {len(WRONG)} refusals, each with both Helms")


if __name__ == "__main__":
    try:
        main()
    except AssertionError as wrong:
        sys.exit(f"check-chart: {wrong}")
