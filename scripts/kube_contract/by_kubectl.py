"""What people do with kubectl."""

import json
import os
import time
import unittest

from place import Kubelet, Place, deployment, pod


class Kubectl(unittest.TestCase):
    place: Place

    def names(self, *args: str) -> list[str]:
        return self.place("get", *args, "-o", "name").out.split()

    def test_it_finds_what_is_served(self):
        served = self.place.cluster("api-resources", "-o", "name").out.split()
        for kind in ["pods", "nodes", "deployments.apps", "poddisruptionbudgets.policy", "leases.coordination.k8s.io"]:
            self.assertIn(kind, served)
        version = self.place.cluster("version", "-o", "json").json()["serverVersion"]
        self.assertEqual(version["major"], "1")

    def test_pods_are_created_shown_and_described(self):
        one = pod("shown")
        self.assertIn("pod/shown created", self.place("create", "-f", "-", given=one).out)
        again = self.place("create", "-f", "-", given=one, fails=True)
        self.assertIn('pods "shown" already exists', again.err)
        head, row = self.place("get", "pod", "shown").out.splitlines()
        self.assertEqual(head.split(), ["NAME", "READY", "STATUS", "RESTARTS", "AGE"])
        self.assertEqual(row.split()[:4], ["shown", "0/1", "SchedulingGated", "0"])
        said = self.place("describe", "pod", "shown").out
        for part in ["Name:             shown", "Image:        example.com/none:1", "PodScheduled   False"]:
            self.assertIn(part, said)
        missing = self.place("get", "pod", "missing", fails=True)
        self.assertIn('Error from server (NotFound): pods "missing" not found', missing.err)

    def test_bad_objects_are_refused_with_their_fields(self):
        bad = pod("bad", containers=[{"name": "C", "image": "i"}])
        said = self.place("create", "-f", "-", given=bad, fails=True)
        self.assertIn('The Pod "bad" is invalid: spec.containers[0].name: Invalid value: "C"', said.err)
        more = pod("bad", containers=[{"name": "c", "image": "i", "imagee": "i"}])
        said = self.place("create", "-f", "-", given=more, fails=True)
        self.assertIn('strict decoding error: unknown field "spec.containers[0].imagee"', said.err)
        said = self.place("create", "configmap", "Bad", fails=True)
        self.assertIn("metadata.name: Invalid value", said.err)

    def test_apply_changes_what_it_changed_before(self):
        wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied", "labels": {"a": "1"}},
                  "data": {"x": "1", "y": "1"}}
        self.assertIn("created", self.place("apply", "-f", "-", given=wanted).out)
        self.assertIn("unchanged", self.place("apply", "-f", "-", given=wanted).out)
        self.place("annotate", "configmap", "applied", "mine=kept")
        del wanted["data"]["y"]
        wanted["data"]["x"] = "2"
        self.assertIn("configured", self.place("apply", "-f", "-", given=wanted).out)
        found = self.place.get("configmap", "applied")
        self.assertEqual(found["data"], {"x": "2"})
        self.assertEqual(found["metadata"]["annotations"]["mine"], "kept")
        dry = self.place("apply", "--dry-run=server", "-f", "-", given={**wanted, "data": {"x": "3"}}).out
        self.assertIn("server dry run", dry)
        self.assertEqual(self.place.get("configmap", "applied")["data"], {"x": "2"})

    def test_an_applied_deployment_keeps_what_others_added_to_its_lists(self):
        wanted = deployment("lists")
        self.place("apply", "-f", "-", given=wanted)
        other = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "example.com/side:1"}]}}}}
        self.place("patch", "deployment", "lists", "-p", json.dumps(other))
        wanted["spec"]["template"]["spec"]["containers"][0]["image"] = "example.com/none:2"
        self.place("apply", "-f", "-", given=wanted)
        containers = self.place.get("deployment", "lists")["spec"]["template"]["spec"]["containers"]
        self.assertEqual({c["name"]: c["image"] for c in containers},
                         {"c": "example.com/none:2", "side": "example.com/side:1"})

    def test_server_side_apply_knows_whose_a_field_is(self):
        wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owned"}, "data": {"x": "1", "y": "1"}}
        apply = ["apply", "--server-side", "-f", "-"]
        self.assertIn("serverside-applied", self.place(*apply, "--field-manager=one", given=wanted).out)
        wanted["data"] = {"x": "2"}
        said = self.place(*apply, "--field-manager=two", given=wanted, fails=True)
        self.assertIn('conflict with "one"', said.err)
        self.assertIn(".data.x", said.err)
        self.place(*apply, "--field-manager=two", "--force-conflicts", given=wanted)
        wanted["data"] = {"z": "3"}
        self.place(*apply, "--field-manager=one", given=wanted)
        self.assertEqual(self.place.get("configmap", "owned")["data"], {"x": "2", "z": "3"})

    def test_apply_on_the_server_takes_over_from_apply_by_the_client(self):
        wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "moved"}, "data": {"x": "1", "y": "1"}}
        self.place("apply", "-f", "-", given=wanted)
        wanted["data"] = {"x": "2"}
        self.place("apply", "--server-side", "-f", "-", given=wanted)
        self.assertEqual(self.place.get("configmap", "moved")["data"], {"x": "2"})

    def test_three_kinds_of_patch(self):
        self.place("create", "-f", "-", given=deployment("patched"))
        patch = ["patch", "deployment", "patched"]
        env = {"name": "c", "env": [{"name": "A", "value": "1"}]}
        more = {"spec": {"template": {"spec": {"containers": [env]}}}}
        self.place(*patch, "--type=strategic", "-p", json.dumps(more))
        env["env"] = [{"name": "B", "value": "2"}]
        self.place(*patch, "--type=strategic", "-p", json.dumps(more))
        container = self.place.get("deployment", "patched")["spec"]["template"]["spec"]["containers"][0]
        self.assertEqual(container["image"], "example.com/none:1")
        self.assertEqual({e["name"] for e in container["env"]}, {"A", "B"})
        self.place(*patch, "--type=merge", "-p", '{"metadata": {"labels": {"a": "1"}}, "spec": {"paused": true}}')
        test = '[{"op": "test", "path": "/metadata/labels/a", "value": "%s"}, {"op": "remove", "path": "/metadata/labels/a"}]'
        self.place(*patch, "--type=json", "-p", test % "2", fails=True)
        self.assertEqual(self.place.get("deployment", "patched")["metadata"]["labels"]["a"], "1")
        self.place(*patch, "--type=json", "-p", test % "1")
        self.assertNotIn("a", self.place.get("deployment", "patched")["metadata"].get("labels", {}))

    def test_labels_annotations_and_what_they_select(self):
        for name in ["red", "blue"]:
            self.place("create", "configmap", name)
        self.place("label", "configmap", "red", "colour=red")
        self.place("label", "configmap", "blue", "colour=blue")
        self.assertIn("already has a value", self.place("label", "configmap", "red", "colour=x", fails=True).err)
        self.place("annotate", "configmap", "red", "why=because")
        self.assertEqual(self.names("configmap", "-l", "colour in (red, green)"), ["configmap/red"])
        self.assertEqual(self.names("configmap", "-l", "colour,colour!=red"), ["configmap/blue"])
        self.assertEqual(self.names("configmap", "--field-selector", "metadata.name=blue"), ["configmap/blue"])
        self.place("label", "configmap", "red", "colour-")
        self.assertEqual(self.names("configmap", "-l", "!colour,why!=x", "--field-selector", "metadata.name=red"), ["configmap/red"])
        said = self.place("get", "pods", "--field-selector", "spec.none=1", fails=True)
        self.assertIn("field label not supported", said.err)

    def test_scale(self):
        self.place("create", "-f", "-", given=deployment("scaled"))
        self.place("scale", "deployment", "scaled", "--replicas=3")
        self.assertEqual(self.place.get("deployment", "scaled")["spec"]["replicas"], 3)
        said = self.place("scale", "deployment", "scaled", "--current-replicas=2", "--replicas=1", fails=True)
        self.assertIn("Expected replicas to be 2", said.err)
        self.place("scale", "deployment", "scaled", "--current-replicas=3", "--replicas=0")
        self.assertEqual(self.place.get("deployment", "scaled")["spec"]["replicas"], 0)

    def test_lists_come_in_pages(self):
        for number in range(5):
            self.place("create", "configmap", f"page-{number}")
            self.place("label", "configmap", f"page-{number}", "page=yes")
        found = self.names("configmap", "-l", "page", "--chunk-size=2")
        self.assertEqual(found, [f"configmap/page-{number}" for number in range(5)])

    def test_wait_and_watch_see_what_happens(self):
        self.place("create", "-f", "-", given=pod("awaited"))
        watch = self.place.start("get", "pod", "awaited", "--watch", "--output-watch-events", "--request-timeout=20s")
        waits = self.place.start("wait", "--for=condition=Ready", "pod/awaited", "--timeout=20s")
        phase = self.place.start("wait", "--for=jsonpath={.status.phase}=Running", "pod/awaited", "--timeout=20s")
        time.sleep(0.5)
        self.place.ready("awaited")
        self.assertEqual(waits.wait(25), 0, waits.stdout.read())
        self.assertEqual(phase.wait(25), 0, phase.stdout.read())
        gone = self.place.start("wait", "--for=delete", "pod/awaited", "--timeout=20s")
        self.place("delete", "pod", "awaited")
        self.assertEqual(gone.wait(25), 0, gone.stdout.read())
        watch.terminate()
        lines = [line.split() for line in watch.communicate()[0].splitlines()]
        self.assertEqual(lines[0][:3], ["EVENT", "NAME", "READY"])
        seen = [(line[0], line[1]) for line in lines[1:]]
        self.assertEqual(seen[0], ("ADDED", "awaited"))
        self.assertIn(("MODIFIED", "awaited"), seen)
        for process in (waits, phase, gone):
            process.stdout.close()

    def test_delete_waits_for_finalizers(self):
        self.place("create", "-f", "-", given={
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "held", "finalizers": ["muster.dev/contract"]}})
        self.assertIn("timed out", self.place("delete", "configmap", "held", "--timeout=1s", fails=True).err)
        self.assertIn("deletionTimestamp", self.place.get("configmap", "held")["metadata"])
        waits = self.place.start("delete", "configmap", "held")
        self.place("patch", "configmap", "held", "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
        waits.wait(20)
        waits.stdout.close()
        self.assertEqual(self.names("configmap", "held", "--ignore-not-found"), [])

    def test_owners_take_with_them_what_they_own(self):
        self.place("create", "configmap", "owner")
        uid = self.place.get("configmap", "owner")["metadata"]["uid"]
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
        self.place("create", "-f", "-", given={
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owned", "ownerReferences": [owner]}})
        self.place("delete", "configmap", "owner")
        self.place("wait", "--for=delete", "configmap/owned", "--timeout=40s")

    def test_quotas_refuse(self):
        if not self.place.may("create", "resourcequotas"):
            self.skipTest("may not create quotas")
        self.place("create", "quota", "none", "--hard=count/secrets=0")
        for _ in range(40):
            if self.place.get("quota", "none").get("status", {}).get("hard"):
                break
            time.sleep(0.25)
        said = self.place("create", "secret", "generic", "refused", fails=True)
        self.assertIn("exceeded quota: none, requested: count/secrets=1", said.err)
        self.place("delete", "quota", "none")

    def test_rights_are_what_roles_give(self):
        if not self.place.may("impersonate", "users") or not self.place.may("create", "roles"):
            self.skipTest("may not act as others, or give rights")
        self.place("create", "role", "viewer", "--verb=list,get", "--resource=pods,pods/log")
        self.place("create", "serviceaccount", "viewer")
        self.place("create", "rolebinding", "viewer", "--role=viewer", f"--serviceaccount={self.place.namespace}:viewer")
        viewer = f"--as=system:serviceaccount:{self.place.namespace}:viewer"
        can = ["auth", "can-i"]
        self.assertEqual(self.place(*can, "list", "pods", viewer).out.strip(), "yes")
        self.assertEqual(self.place(*can, "get", "pods/log", viewer).out.strip(), "yes")
        self.assertEqual(self.place(*can, "delete", "pods", viewer, fails=True).out.strip(), "no")
        self.assertIn("pods", self.place(*can, "--list", viewer).out)
        self.assertIn(f"system:serviceaccount:{self.place.namespace}:viewer", self.place("auth", "whoami", viewer).out)
        self.place("get", "pods", viewer)
        said = self.place("get", "configmaps", viewer, fails=True)
        self.assertIn(
            f'configmaps is forbidden: User "system:serviceaccount:{self.place.namespace}:viewer" cannot list '
            f'resource "configmaps" in API group "" in the namespace "{self.place.namespace}"', said.err)

    def test_cordon_and_drain_keep_to_budgets(self):
        if not self.place.may("create", "nodes"):
            self.skipTest("may not create a node")
        node = self.place.node("drained")
        self.place.cluster("cordon", node)
        self.assertTrue(self.place.cluster("get", "node", node, "-o", "json").json()["spec"]["unschedulable"])
        self.place.cluster("uncordon", node)
        for name in ["kept-a", "kept-b"]:
            kept = pod(name, nodeName=node)
            kept["metadata"]["labels"] = {"app": "kept"}
            self.place("create", "-f", "-", given=kept)
            self.place.ready(name)
        self.place("create", "pdb", "kept", "--selector=app=kept", "--min-available=2")
        self.place("wait", "--for=jsonpath={.status.currentHealthy}=2", "pdb/kept", "--timeout=20s")
        drain = ["drain", node, "--force", "--ignore-daemonsets", "--pod-selector=app=kept"]
        said = self.place.cluster(*drain, "--timeout=2s", fails=True)
        self.assertIn("Cannot evict pod as it would violate the pod's disruption budget", said.err)
        self.assertIn("SchedulingDisabled", self.place.cluster("get", "node", node).out)
        self.assertEqual(len(self.names("pods", "-l", "app=kept")), 2)
        self.place("delete", "pdb", "kept")
        with Kubelet(self.place):
            self.place.cluster(*drain, "--timeout=30s")
        self.assertEqual(self.names("pods", "-l", "app=kept"), [])

    def test_logs_of_a_pod_that_runs(self):
        image = os.environ.get("CONTRACT_IMAGE", "busybox:1")
        command = ["sh", "-c", "echo one; echo two; exec sleep 60"]
        talks = pod("talks", containers=[{"name": "c", "image": image, "command": command}], schedulingGates=[],
                    tolerations=[], terminationGracePeriodSeconds=1)
        self.place("create", "-f", "-", given=talks)
        self.place("wait", "--for=condition=Ready", "pod/talks", "--timeout=50s")
        for _ in range(40):
            if "two" in self.place("logs", "talks").out:
                break
            time.sleep(0.25)
        self.assertEqual(self.place("logs", "talks").out, "one\ntwo\n")
        self.assertEqual(self.place("logs", "talks", "--tail=1").out, "two\n")
        said = self.place("logs", "talks", "-c", "none", fails=True)
        self.assertIn("container none is not valid for pod talks", said.err)
        follows = self.place.start("logs", "-f", "talks")
        time.sleep(0.3)
        self.place("delete", "pod", "talks")
        self.assertEqual(follows.communicate(timeout=20)[0], "one\ntwo\n")
