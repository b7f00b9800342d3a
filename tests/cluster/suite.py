"""Two MC systems on a real cluster: suite.py [TEST...].

Takes the cluster of KUBECONFIG. Settings, by environment:
  IMAGE            the image to test; the nodes have it or can pull it. Default localhost/crossband:0.1.0
  IMAGE_NEXT       another one to upgrade to; without it a changed setting rolls the pods
  VALUES           further values files for both systems, separated by spaces
  HELM_FLAGS       further flags of helm upgrade, such as --server-side=false for Kubernetes 1.20
  TRACES           "jaeger": the systems share alpha's Jaeger, and traces are read back; "none": they are not
  PARTITION        a command that is called with "cut" or "heal" and the addresses of two pods; without it NetworkPolicies cut, which
                   the network of the cluster has to enforce
  AFTER_REMOVE     a command that is run when the namespaces are gone, such as one that empties volumes
  KEEP             1: the namespaces stay
The tests build on each other and run in the order of this file; the first that fails ends the run.
"""

import json
import os
import shlex
import sys
import time
import unittest

from cluster import ROOT, Failed, Load, System, eventually, run

IMAGE = os.environ.get("IMAGE", "localhost/crossband:0.1.0")
IMAGE_NEXT = os.environ.get("IMAGE_NEXT")
TRACES = os.environ.get("TRACES", "none")
VALUES = os.environ.get("VALUES", "").split()

ALPHA = System("alpha", IMAGE, *VALUES)
BRAVO = System("bravo", IMAGE, *VALUES)
BOTH = [ALPHA, BRAVO]

# The steps of TS 23.280 10.1.6.2 that spans are named by, and where they happen.
STEPS = {"2": "bravo", "4": "bravo", "5": "alpha", "6": "alpha", "7": "alpha", "9": "bravo"}


def extra_flags(system):
    """Flags of the installation that depend on how traces are looked at."""
    if TRACES != "jaeger":
        return []
    if system is ALPHA:
        return ["--set", "jaeger.enabled=true"]
    return ["--set", "settings.telemetry.otlp_endpoint=http://alpha-jaeger.alpha.svc.cluster.local:4317"]


class TwoSystems(unittest.TestCase):
    """Named so that unittest runs them in this order."""

    def assert_no_failure(self, load):
        succeeded, failed = load.counts()
        self.assertEqual(failed, 0, f"{failed} of {succeeded + failed} registrations failed: {load.failures()[:3]}")
        self.assertGreater(succeeded, 0)

    def test_01_same_chart_installs_two_systems(self):
        for system in BOTH:
            system.install(*extra_flags(system))
            system.wait_until_available()

    def test_02_every_entity_answers_its_operator(self):
        for system in BOTH:
            system.helm_test()

    def test_03_systems_federate_by_script(self):
        run(ROOT / "deploy/scripts/federate", ALPHA.reference, BRAVO.reference)
        ready = json.loads(run(ROOT / "deploy/scripts/provision-demo-user", ALPHA.reference, BRAVO.reference))
        self.assertEqual(set(ready["systems"]), {ALPHA.id, BRAVO.id})

    def test_04_user_of_alpha_migrates_to_bravo(self):
        BRAVO.install(*extra_flags(BRAVO), "--set", "tests.readyFileSecret=bravo-demo-user")
        self.assertIn("for 3600 s", BRAVO.helm_test())

    @unittest.skipUnless(TRACES == "jaeger", "TRACES is not jaeger")
    def test_05_one_trace_has_the_steps_in_order_over_both_systems(self):
        def steps():
            query = "/api/traces?service=migration-management&limit=20&lookback=1h"
            for trace in json.loads(ALPHA.http("service/alpha-jaeger", 16686, query))["data"]:
                found = []
                for span in trace["spans"]:
                    tags = {tag["key"]: tag["value"] for tag in span["tags"]}
                    resource = {tag["key"]: tag["value"] for tag in trace["processes"][span["processID"]]["tags"]}
                    if tags.get("mcx.clause") == "10.1.6.2":
                        found.append((span["startTime"], str(tags["mcx.step"]), resource.get("service.namespace", "")))
                if STEPS.keys() <= {step for _, step, _ in found}:
                    return sorted(found)
            return None

        found = eventually("a trace with the steps", steps)
        first = {}
        for _, step, system in found:
            first.setdefault(step, system)
        self.assertEqual({step: first[step] for step in STEPS}, {step: f"{system}.example" for step, system in STEPS.items()})
        order = [step for step in first if step in STEPS]
        self.assertEqual(order, sorted(order, key=int), "steps begin in the order of the clause")

    def test_06_network_policies_let_out_what_partners_and_users_need_only(self):
        for system in BOTH:
            for policy in system.get("networkpolicies")["items"]:
                for rule in policy["spec"].get("ingress", []):
                    if "from" not in rule:
                        open_ports = {str(port["port"]) for port in rule["ports"]}
                        self.assertLessEqual(open_ports, {"peer", "client", "https", "sip-udp", "sip-tcp", "sip-tls"}, policy["metadata"])

    def test_07_no_migration_fails_while_every_pod_is_deleted_in_turn(self):
        self.scale(2)
        with Load(BRAVO) as load:
            for system in BOTH:
                for entity in system.services():
                    for pod in system.pods(entity):
                        system.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")
                        load.wait_for_more(1)
                        system.kubectl("rollout", "status", f"deployment/{system.name}-{entity}", "--timeout=180s")
            self.assert_no_failure(load)

    def test_08_no_migration_fails_while_both_are_upgraded(self):
        with Load(BRAVO) as load:
            for system in BOTH:
                flags = ["--set", "serviceDefaults.replicas=2", *extra_flags(system)]
                if IMAGE_NEXT:
                    system.image = IMAGE_NEXT
                else:
                    flags += ["--set", "settings.telemetry.log_level=debug"]
                system.install(*flags)
                load.wait_for_more(2)
            self.assert_no_failure(load)

    def test_09_rollback_serves_again(self):
        for system in BOTH:
            run("helm", "rollback", system.name, "-n", system.name, "--wait", "--timeout", "8m", *os.environ.get("HELM_FLAGS", "").split())
            system.wait_until_available()
        BRAVO.helm_test()

    def test_10_services_heal_after_redis_and_postgres_restart(self):
        for store in ("redis", "postgres"):
            for system in BOTH:
                system.kubectl("delete", "pod", f"{system.name}-{store}-0")
                system.kubectl("rollout", "status", f"statefulset/{system.name}-{store}", "--timeout=180s")
            for system in BOTH:
                system.wait_until_available()
            eventually(f"a migration after {store} was away", self.migrates)

    def test_11_services_scale_up_and_down_under_load(self):
        with Load(BRAVO) as load:
            for replicas in (3, 1):
                self.scale(replicas)
                load.wait_for_more(2)
            self.assert_no_failure(load)

    def test_12_partition_between_the_systems_heals(self):
        self.partition("cut")
        try:
            eventually("migrations fail while the systems are apart", lambda: not self.migrates())
            for system in BOTH:
                system.wait_until_available()
        finally:
            self.partition("heal")
        eventually("a migration after the partition", self.migrates)

    def scale(self, replicas):
        for system in BOTH:
            for entity in system.services():
                system.kubectl("scale", f"deployment/{system.name}-{entity}", f"--replicas={replicas}")
            for entity in system.services():
                system.kubectl("rollout", "status", f"deployment/{system.name}-{entity}", "--timeout=300s")

    def migrates(self):
        """Whether a user of alpha can register at bravo now."""
        load = Load(BRAVO, parallel=1)
        try:
            with load:
                return load.counts()[1] == 0
        except Failed:
            return False

    def partition(self, action):
        command = os.environ.get("PARTITION")
        if command:
            pairs = [(a, b) for a in ALPHA.pods("migration-management") for b in BRAVO.pods("migration-management")]
            for a, b in pairs:
                run(*shlex.split(command), action, a["status"]["podIP"], b["status"]["podIP"])
            return
        cut = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "alpha-migration-management"},
            "spec": {
                "podSelector": {"matchLabels": {"app.kubernetes.io/component": "migration-management"}},
                "policyTypes": ["Ingress"],
                "ingress": [{"from": [{"podSelector": {}}]}],
            },
        }
        if action == "cut":
            self.kept = ALPHA.kubectl("get", "networkpolicy", "alpha-migration-management", "-o", "json")
            ALPHA.kubectl("replace", "-f", "-", given=json.dumps(cut))
        else:
            kept = json.loads(self.kept)
            kept["metadata"].pop("resourceVersion", None)
            ALPHA.kubectl("replace", "-f", "-", given=json.dumps(kept))


def remove():
    for system in BOTH:
        run("kubectl", "delete", "namespace", system.name, "--ignore-not-found", "--wait=true", timeout=900)
    if os.environ.get("AFTER_REMOVE"):
        run(*shlex.split(os.environ["AFTER_REMOVE"]))


if __name__ == "__main__":
    began = time.monotonic()
    print(f"cluster suite: Kubernetes {json.loads(run('kubectl', 'version', '-o', 'json'))['serverVersion']['gitVersion']}", flush=True)
    remove()
    outcome = unittest.main(exit=False, failfast=True, verbosity=2).result
    if outcome.wasSuccessful() and os.environ.get("KEEP") != "1":
        remove()
    print(f"cluster suite: {time.monotonic() - began:.0f} s", flush=True)
    sys.exit(0 if outcome.wasSuccessful() else 1)
