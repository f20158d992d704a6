"""What the Python client lists and watches."""

import threading
import time
import unittest

from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException

from place import Place, pod


def a_map(name: str, **labels: str) -> dict:
    return {"metadata": {"name": name, "labels": labels}}


class Python(unittest.TestCase):
    place: Place

    @classmethod
    def setUpClass(cls):
        cls.api_client = config.new_client_from_config()
        cls.core = client.CoreV1Api(cls.api_client)
        cls.space = cls.place.namespace

    @classmethod
    def tearDownClass(cls):
        cls.api_client.close()

    def make(self, name: str, **labels: str):
        return self.core.create_namespaced_config_map(self.space, a_map(name, **labels))

    def refused(self, code: int, act, *args, **kwargs) -> ApiException:
        with self.assertRaises(ApiException) as caught:
            act(*args, **kwargs)
        self.assertEqual(caught.exception.status, code, caught.exception.body)
        return caught.exception

    def test_pages_of_a_list_are_of_one_moment(self):
        for number in range(5):
            self.make(f"page-{number}", kind="page")
        read = lambda **more: self.core.list_namespaced_config_map(self.space, label_selector="kind=page", limit=2, **more)
        first = read()
        self.make("page-9", kind="page")
        self.core.delete_namespaced_config_map("page-4", self.space)
        second = read(_continue=first.metadata._continue)
        third = read(_continue=second.metadata._continue)
        names = [m.metadata.name for page in (first, second, third) for m in page.items]
        self.assertEqual(names, [f"page-{number}" for number in range(5)])
        self.assertEqual(len({page.metadata.resource_version for page in (first, second, third)}), 1)
        self.assertIsNone(third.metadata._continue)
        exact = self.core.list_namespaced_config_map(
            self.space, label_selector="kind=page", resource_version=first.metadata.resource_version,
            resource_version_match="Exact")
        self.assertIn("page-4", [m.metadata.name for m in exact.items])

    def test_a_watch_of_a_selector_sees_who_enters_and_leaves(self):
        since = self.core.list_namespaced_config_map(self.space).metadata.resource_version

        def act():
            self.make("walker")
            for labels in ({"kind": "walk"}, {"kind": "walk", "more": "1"}, {"kind": "other"}):
                self.core.patch_namespaced_config_map("walker", self.space, {"metadata": {"labels": labels}})
            self.make("last", kind="walk")

        acts = threading.Thread(target=act)
        acts.start()
        seen = []
        watcher = watch.Watch()
        for event in watcher.stream(self.core.list_namespaced_config_map, self.space, label_selector="kind=walk",
                                    resource_version=since, timeout_seconds=20):
            seen.append((event["type"], event["object"].metadata.name))
            if event["object"].metadata.name == "last":
                watcher.stop()
        acts.join()
        self.assertEqual(seen, [("ADDED", "walker"), ("MODIFIED", "walker"), ("DELETED", "walker"), ("ADDED", "last")])

    def test_a_watch_that_is_too_old_begins_anew(self):
        self.make("there", kind="anew")
        listing = {"label_selector": "kind=anew", "timeout_seconds": 20}
        try:
            for event in watch.Watch().stream(self.core.list_namespaced_config_map, self.space, resource_version="1", **listing):
                self.skipTest("this cluster still knows its first version")
        except ApiException as gone:
            self.assertEqual(gone.status, 410)
            self.assertIn("too old resource version", str(gone.reason))
        found = self.core.list_namespaced_config_map(self.space, label_selector="kind=anew")
        self.assertEqual([m.metadata.name for m in found.items], ["there"])
        timer = threading.Timer(0.3, self.make, ["next"], {"kind": "anew"})
        timer.start()
        watcher = watch.Watch()
        for event in watcher.stream(self.core.list_namespaced_config_map, self.space,
                                    resource_version=found.metadata.resource_version, **listing):
            self.assertEqual((event["type"], event["object"].metadata.name), ("ADDED", "next"))
            watcher.stop()
        timer.join()

    def test_a_watch_ends_after_its_time_and_goes_on_from_there(self):
        self.make("timed", kind="timed")
        watcher = watch.Watch()
        begin = time.monotonic()
        events = list(watcher.stream(self.core.list_namespaced_config_map, self.space, label_selector="kind=timed", timeout_seconds=1))
        self.assertLess(time.monotonic() - begin, 15)
        self.assertEqual([(e["type"], e["object"].metadata.name) for e in events], [("ADDED", "timed")])

    def test_who_has_not_seen_the_last_write_is_refused(self):
        leases = client.CoordinationV1Api(self.api_client)
        lease = leases.create_namespaced_lease(self.space, {"metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}})
        lease.spec.holder_identity = "b"
        leases.replace_namespaced_lease("l", self.space, lease)
        lease.spec.holder_identity = "c"
        error = self.refused(409, leases.replace_namespaced_lease, "l", self.space, lease)
        self.assertIn("the object has been modified", error.body)
        stale = {"metadata": {"resourceVersion": lease.metadata.resource_version}, "spec": {"holderIdentity": "d"}}
        self.refused(409, leases.patch_namespaced_lease, "l", self.space, stale)
        self.assertEqual(leases.read_namespaced_lease("l", self.space).spec.holder_identity, "b")

    def test_what_goes_is_the_one_that_was_meant(self):
        made = self.make("meant")
        other = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid="other"))
        self.refused(409, self.core.delete_namespaced_config_map, "meant", self.space, body=other)
        same = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=made.metadata.uid))
        self.core.delete_namespaced_config_map("meant", self.space, body=same)
        self.refused(404, self.core.read_namespaced_config_map, "meant", self.space)

    def test_collections_go_by_their_labels(self):
        for name in ["goes-a", "goes-b"]:
            self.make(name, kind="goes")
        self.make("stays", kind="stays")
        self.core.delete_collection_namespaced_config_map(self.space, label_selector="kind=goes")
        left = self.core.list_namespaced_config_map(self.space, label_selector="kind in (goes, stays)")
        self.assertEqual([m.metadata.name for m in left.items], ["stays"])

    def test_evictions_keep_to_their_budget(self):
        if not self.place.may("create", "nodes"):
            self.skipTest("may not create a node")
        node = self.place.node("evicted")
        wanted = pod("evicted", nodeName=node)
        # However fast somebody ends it, what was said of it can be read.
        wanted["metadata"]["finalizers"] = ["muster.dev/contract"]
        made = self.core.create_namespaced_pod(self.space, wanted)
        status = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
        self.core.patch_namespaced_pod_status("evicted", self.space, status)
        policy = client.PolicyV1Api(self.api_client)
        budget = {"metadata": {"name": "one"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "evicted"}}}}
        policy.create_namespaced_pod_disruption_budget(self.space, budget)
        evict = lambda **options: self.core.create_namespaced_pod_eviction(
            "evicted", self.space, {"metadata": {"name": "evicted"}, "deleteOptions": options})
        for _ in range(80):
            found = policy.read_namespaced_pod_disruption_budget("one", self.space).status
            if found and found.current_healthy == 1:
                break
            time.sleep(0.25)
        error = self.refused(429, evict)
        self.assertIn("needs 1 healthy pods and has 1 currently", error.body)
        self.refused(409, evict, preconditions={"uid": "other"})
        policy.delete_namespaced_pod_disruption_budget("one", self.space)
        evict(preconditions={"uid": made.metadata.uid})
        going = self.core.read_namespaced_pod("evicted", self.space)
        self.assertIsNotNone(going.metadata.deletion_timestamp)
        reasons = {c.type: c.reason for c in going.status.conditions}
        self.assertEqual(reasons["DisruptionTarget"], "EvictionByEvictionAPI")
        self.core.patch_namespaced_pod("evicted", self.space, {"metadata": {"finalizers": None}})
        try:
            self.core.delete_namespaced_pod("evicted", self.space, grace_period_seconds=0)
        except ApiException as gone:
            self.assertEqual(gone.status, 404)
        self.refused(404, self.core.read_namespaced_pod, "evicted", self.space)

    def test_events_are_written_in_one_group_and_read_in_the_other(self):
        event = {"metadata": {"name": "told"}, "eventTime": "2026-01-01T00:00:00.000000Z", "reason": "Told", "action": "Tell",
                 "type": "Normal", "note": "a note", "reportingController": "muster.dev/contract", "reportingInstance": "one",
                 "regarding": {"apiVersion": "v1", "kind": "ConfigMap", "namespace": self.space, "name": "told", "uid": "u-1"}}
        client.CustomObjectsApi(self.api_client).create_namespaced_custom_object(
            "events.k8s.io", "v1", self.space, "events", event)
        found = self.core.list_namespaced_event(self.space, field_selector="involvedObject.uid=u-1,reason=Told")
        self.assertEqual([e.message for e in found.items], ["a note"])

    def test_one_asks_what_one_may(self):
        review = {"spec": {"resourceAttributes": {"namespace": self.space, "verb": "create", "resource": "configmaps"}}}
        answer = client.AuthorizationV1Api(self.api_client).create_self_subject_access_review(review)
        self.assertTrue(answer.status.allowed)

    def test_a_dry_run_writes_nothing(self):
        made = self.core.create_namespaced_config_map(self.space, a_map("dry"), dry_run="All")
        self.assertEqual(made.metadata.name, "dry")
        self.refused(404, self.core.read_namespaced_config_map, "dry", self.space)

    def test_names_are_generated(self):
        made = self.core.create_namespaced_config_map(self.space, {"metadata": {"generateName": "made-"}})
        self.assertRegex(made.metadata.name, r"^made-[a-z0-9]{5}$")
