"""A namespace of one's own, and the kubectl that acts in it."""

import json
import secrets
import subprocess
import tempfile
import threading
import time
from pathlib import Path


class Said:
    """What a command printed, and how it ended."""

    def __init__(self, done: subprocess.CompletedProcess):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def __repr__(self):
        return f"exit {self.code}\n{self.out}{self.err}"

    def json(self):
        return json.loads(self.out)


class Place:
    def __init__(self, kubectl: Path, name: str):
        self.kubectl = str(kubectl)
        self.namespace = f"muster-contract-{name.replace('.', '-')}-{secrets.token_hex(3)}"
        self.cache = tempfile.TemporaryDirectory()
        self.nodes: list[str] = []

    def open(self):
        self.cluster("create", "namespace", self.namespace)

    def close(self):
        for node in self.nodes:
            self.cluster("delete", "node", node, "--ignore-not-found", "--wait=false")
        self.cluster("delete", "namespace", self.namespace, "--ignore-not-found", "--wait=false")
        self.cache.cleanup()

    def cluster(self, *args: str, given: object = None, fails: bool = False, limit: float = 60) -> Said:
        """kubectl, as it is; `given` is a manifest on its standard input."""
        text = json.dumps(given) if given is not None else None
        command = [self.kubectl, f"--cache-dir={self.cache.name}", *args]
        said = Said(subprocess.run(command, input=text, text=True, capture_output=True, timeout=limit))
        if (said.code != 0) != fails:
            raise AssertionError(f"kubectl {' '.join(args)}: {said}")
        return said

    def __call__(self, *args: str, **kwargs) -> Said:
        """In the namespace."""
        return self.cluster("-n", self.namespace, *args, **kwargs)

    def get(self, *args: str) -> dict:
        return self("get", *args, "-o", "json").json()

    def may(self, verb: str, what: str) -> bool:
        command = [self.kubectl, f"--cache-dir={self.cache.name}", "auth", "can-i", verb, what, "-n", self.namespace]
        return subprocess.run(command, capture_output=True).returncode == 0

    def start(self, *args: str) -> subprocess.Popen:
        command = [self.kubectl, f"--cache-dir={self.cache.name}", "-n", self.namespace, *args]
        return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def status(self, pod: str, status: dict):
        """What a kubelet would say of a pod."""
        self("patch", "pod", pod, "--subresource=status", "--type=strategic", "-p", json.dumps({"status": status}))

    def ready(self, pod: str):
        self.status(pod, {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})

    def node(self, name: str) -> str:
        """A node that no kubelet looks after, of this run alone. Nothing is scheduled on it."""
        name = f"{self.namespace}-{name}"
        self.nodes.append(name)
        known = {"fake-kube/no-kubelet": "true"}
        taint = {"key": "muster.dev/contract", "value": "true", "effect": "NoSchedule"}
        self.cluster("create", "-f", "-", given={
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "annotations": known},
            "spec": {"taints": [taint]},
        })
        return name


class Kubelet:
    """Where there is none: pods that are to go, go."""

    def __init__(self, place: Place):
        self.place, self.ended = place, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def run(self):
        while not self.ended.is_set():
            for pod in self.place.get("pods")["items"]:
                meta = pod["metadata"]
                if "deletionTimestamp" in meta and pod["spec"].get("nodeName"):
                    self.place("delete", "pod", meta["name"], "--force", "--grace-period=0",
                               "--wait=false", "--ignore-not-found")
            time.sleep(0.3)


def pod(name: str, **spec) -> dict:
    """Without a node of its own it stays pending: it is gated."""
    if "nodeName" not in spec:
        spec.setdefault("schedulingGates", [{"name": "muster.dev/contract"}])
    spec.setdefault("containers", [{"name": "c", "image": "example.com/none:1"}])
    spec.setdefault("tolerations", [{"operator": "Exists"}])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def deployment(name: str, replicas: int = 0) -> dict:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": pod(name)["spec"]}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}}
