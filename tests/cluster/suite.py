"""Two MC systems on a real cluster: suite.py [TEST...].

Takes the cluster of KUBECONFIG. Settings, by environment:
  IMAGE            the image to test; the nodes have it or can pull it. Default localhost/crossband:0.1.0
  IMAGE_NEXT       another one to upgrade to; without it a changed setting rolls the pods
  VALUES           further values files for both systems, separated by spaces
  HELM_FLAGS       further flags of helm, such as --server-side=false for Kubernetes 1.20
  TRACES           "jaeger": the systems share alpha's Jaeger, and traces are read back from it; "otlp:HOST:PORT": they send spans to
                   the suite itself, which pods reach at that address; "none": traces are not looked at
  PARTITION        a command that is called with "cut" or "heal" and the addresses of two pods; without it NetworkPolicies cut, which
                   the network of the cluster has to enforce, and the pods that call across are made anew
  AFTER_REMOVE     a command that is run when the namespaces are gone, such as one that empties volumes
  LOAD_USERS       how many users migrate all the time under load. Default 6
  ENFORCED         1: the network of the cluster enforces NetworkPolicies, so that test 05 tries them
  KEEP             1: the namespaces stay
The tests build on each other and run in the order of this file; the first that fails ends the run.
"""

import json
import os
import re
import shlex
import sys
import time
import unittest

import traces
from cluster import HELM_FLAGS, ROOT, Failed, System, eventually, run
from load import Load

IMAGE = os.environ.get("IMAGE", "localhost/crossband:0.1.0")
IMAGE_NEXT = os.environ.get("IMAGE_NEXT")
VALUES = os.environ.get("VALUES", "").split()
LOAD_USERS = [f"load-{number:03}" for number in range(1, int(os.environ.get("LOAD_USERS", "6")) + 1)]

ALPHA = System("alpha", IMAGE, *VALUES)
BRAVO = System("bravo", IMAGE, *VALUES)
BOTH = [ALPHA, BRAVO]
TRACES = traces.from_environment(ALPHA)

# The steps of TS 23.280 10.1.6.2 that spans are named by, and where they happen.
STEPS = {"2": "bravo", "4": "bravo", "5": "alpha", "6": "alpha", "7": "alpha", "9": "bravo"}


def readme_commands():
    """The commands of README's section on Kubernetes, as they stand there."""
    section = (ROOT / "README.md").read_text().split("\n## On Kubernetes\n")[1].split("\n## ")[0]
    return re.search(r"```sh\n(.*?)```", section, re.S).group(1)


def follow_readme():
    """Runs the commands of README in its root. This cluster wants more flags of helm than they have: a function adds them."""
    flags = {system.name: shlex.join([*system.flags(), *TRACES.flags(system)]) for system in BOTH}
    cases = "\n".join(f"install,{name} | upgrade,{name}) command helm \"$@\" {more} ;;" for name, more in flags.items())
    helm = f"helm() {{\ncase $1,${{2-}} in\n{cases}\n*) command helm \"$@\" ;;\nesac\n}}"
    return run("bash", "-c", f"set -euo pipefail\ncd {shlex.quote(str(ROOT))}\n{helm}\n{readme_commands()}", timeout=1800)


class TwoSystems(unittest.TestCase):
    """Named so that unittest runs them in this order."""

    def assert_no_failure(self, load):
        progress = load.progress()
        self.assertEqual(progress["failures"], 0, f"after {progress['migrations']} migrations: {load.lines('failure')[:5]}")
        self.assertGreater(progress["migrations"], 0)
        print(f"  {progress['migrations']} migrations, none failed: {progress['migration']}", flush=True)

    def test_01_commands_of_readme_take_a_user_to_the_partner_and_home(self):
        self.assertIn("served by alpha.example", follow_readme())
        # helm shows the log of the last container only.
        steps = {step: ALPHA.kubectl("logs", "alpha-test-migration", "-c", step) for step in ["migrate", "status", "return"]}
        self.assertIn("served by bravo.example", steps["migrate"])
        self.assertIn("state    SERVING", steps["status"])
        self.assertIn("partner  -", steps["return"])
        for system in BOTH:
            system.wait_until_available()

    def test_02_every_entity_of_both_answers_its_operator(self):
        for system in BOTH:
            system.helm_test()

    def test_03_users_who_migrate_are_where_both_systems_say(self):
        run(ROOT / "deploy/scripts/provision-demo-users", ALPHA.reference, BRAVO.reference, len(LOAD_USERS), timeout=900)
        with Load(ALPHA, LOAD_USERS) as load:
            load.wait_for_more(len(LOAD_USERS))

            def seen():
                visitors = BRAVO.call("sip-core", "mcx.sipcore.v1.RegistrationService/ListRegistrations").get("registrations", [])
                migrated = ALPHA.call("mc-service", "mcx.mcservice.v1.MigratedUserService/ListMigratedUsers")
                is_there = any(BRAVO.id in json.dumps(user) for user in migrated.get("migratedUsers", []))
                return any(registration.get("visitor") for registration in visitors) and is_there

            eventually("a visitor at bravo whom alpha knows to be there", seen)
            self.assert_no_failure(load)

    @unittest.skipIf(isinstance(TRACES, traces.Nowhere), "TRACES is none")
    def test_04_one_trace_has_the_steps_in_order_over_both_systems(self):
        def steps():
            found = {}
            for span in TRACES.spans():
                if span.tags.get("mcx.clause") == "10.1.6.2":
                    found.setdefault(span.trace, []).append((span.begin, str(span.tags["mcx.step"]), span.system))
            complete = [sorted(spans) for spans in found.values() if STEPS.keys() <= {step for _, step, _ in spans}]
            # A registration at home takes some of the steps too, in the primary alone.
            return next((spans for spans in complete if {system for _, _, system in spans} >= {ALPHA.id, BRAVO.id}), None)

        first = {}
        for _, step, system in eventually("a trace with the steps", steps):
            first.setdefault(step, system)
        self.assertEqual({step: first[step] for step in STEPS}, {step: f"{system}.example" for step, system in STEPS.items()})
        order = [step for step in first if step in STEPS]
        self.assertEqual(order, sorted(order, key=int), "steps begin in the order of the clause")

    def test_05_network_policies_open_what_partners_and_users_need_only(self):
        for system in BOTH:
            self.assert_each_entity_has_its_policy(system)
            for policy in system.get("networkpolicies")["items"]:
                for rule in policy["spec"].get("ingress", []):
                    if "from" not in rule:
                        open_ports = {str(port["port"]) for port in rule["ports"]}
                        self.assertLessEqual(open_ports, {"peer", "client", "https", "sip-udp", "sip-tcp", "sip-tls"}, policy["metadata"])

        if os.environ.get("ENFORCED") == "1":
            for system, other in [BOTH, BOTH[::-1]]:
                self.assert_admin_ports_answer_their_namespace_only(system, other)
        else:
            print("  not tried on the wire: ENFORCED is not 1", flush=True)

    def test_06_no_migration_fails_while_every_pod_is_deleted_in_turn(self):
        self.scale(2)
        with Load(ALPHA, LOAD_USERS) as load:
            for system in BOTH:
                for entity in system.services():
                    for pod in system.pods(entity):
                        system.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")
                        load.wait_for_more(len(LOAD_USERS))
                        system.kubectl("rollout", "status", f"deployment/{system.name}-{entity}", "--timeout=180s")
                        self.assert_no_failure(load)

    def test_07_no_migration_fails_while_both_are_upgraded(self):
        with Load(ALPHA, LOAD_USERS) as load:
            for system in BOTH:
                flags = ["--set", "serviceDefaults.replicas=2"]
                if IMAGE_NEXT:
                    system.image = IMAGE_NEXT
                else:
                    flags += ["--set", "settings.telemetry.log_level=debug"]
                system.upgrade(*flags)
                load.wait_for_more(len(LOAD_USERS))
                self.assert_no_failure(load)

    def test_08_no_migration_fails_while_both_are_rolled_back(self):
        with Load(ALPHA, LOAD_USERS) as load:
            for system in BOTH:
                run("helm", "rollback", system.name, "-n", system.name, "--wait", "--timeout", "8m", *HELM_FLAGS)
                system.image = IMAGE
                load.wait_for_more(len(LOAD_USERS))
            self.assert_no_failure(load)
        ALPHA.helm_test()

    def test_09_no_migration_fails_while_services_scale_up_and_down(self):
        with Load(ALPHA, LOAD_USERS) as load:
            for replicas in (3, 1):
                self.scale(replicas)
                load.wait_for_more(len(LOAD_USERS))
                self.assert_no_failure(load)

    def test_10_services_heal_after_redis_and_postgres_restart(self):
        for store in ("redis", "postgres"):
            for system in BOTH:
                system.kubectl("delete", "pod", f"{system.name}-{store}-0")
                system.kubectl("rollout", "status", f"statefulset/{system.name}-{store}", "--timeout=180s")
            for system in BOTH:
                system.wait_until_available()
            eventually(f"a migration after {store} was away", self.migrates)

    def test_11_partition_between_the_systems_heals(self):
        self.partition("cut")
        try:
            eventually("migrations fail while the systems are apart", lambda: not self.migrates())
            for system in BOTH:
                system.wait_until_available()
        finally:
            self.partition("heal")
        eventually("a migration after the partition", self.migrates)

    def assert_each_entity_has_its_policy(self, system):
        """Nothing is open to a pod of the release but by the policy of its own entity."""
        policies = {policy["metadata"]["name"]: policy["spec"] for policy in system.get("networkpolicies")["items"]}
        release = {"app.kubernetes.io/instance": system.name, "app.kubernetes.io/part-of": "crossband"}
        closed = {"podSelector": {"matchLabels": release}, "policyTypes": ["Ingress", "Egress"]}
        self.assertEqual(policies[f"{system.name}-deny-all"], closed)
        self.assertTrue(system.services(), "no entity runs")
        for entity in system.services():
            policy = policies[f"{system.name}-{entity}"]
            selector = {"app.kubernetes.io/instance": system.name, "app.kubernetes.io/name": "crossband", "app.kubernetes.io/component": entity}
            self.assertEqual(policy["podSelector"], {"matchLabels": selector}, entity)
            self.assertEqual(policy["policyTypes"], ["Ingress", "Egress"], entity)
            pods = system.pods(entity)
            self.assertTrue(pods, f"{entity} has no pod")
            for pod in pods:
                self.assertLessEqual({**release, **selector}.items(), pod["metadata"]["labels"].items(), entity)

    def assert_admin_ports_answer_their_namespace_only(self, system, other):
        addresses = {}
        for entity in system.services():
            ip = system.pods(entity)[0]["status"]["podIP"]
            addresses[entity] = f"[{ip}]:9090" if ":" in ip else f"{ip}:9090"

        def all_answer():
            seen = system.health_as_seen_by_a_stranger(addresses)
            if not all(answered for answered, _ in seen.values()):
                raise Failed(f"{seen}")
            return True

        # First, so that the refusals that follow are not for another reason. A new pod may have to wait for the network to know it.
        eventually(f"admin ports of {system.name} answer in their namespace", all_answer)
        for entity, (answered, log) in other.health_as_seen_by_a_stranger(addresses).items():
            self.assertFalse(answered, f"{entity} of {system.name} answers a pod of {other.name}: {log}")
            self.assertRegex(log, "did not answer|cannot connect", f"{entity} of {system.name}")

    def scale(self, replicas):
        for system in BOTH:
            for entity in system.services():
                system.kubectl("scale", f"deployment/{system.name}-{entity}", f"--replicas={replicas}")
            for entity in system.services():
                system.kubectl("rollout", "status", f"deployment/{system.name}-{entity}", "--timeout=300s")

    def migrates(self):
        """Whether a user of alpha gets from the factory to service at bravo now, and home again."""
        try:
            ALPHA.helm_test()
            return True
        except Failed:
            return False

    def partition(self, action):
        """Between what asks across and what answers: each entity with a peer listener."""
        crossing = ["migration-management", "configuration-management", "group-management", "mc-service"]
        command = os.environ.get("PARTITION")
        if command:
            ends = [[pod for entity in crossing for pod in system.pods(entity)] for system in BOTH]
            for a in ends[0]:
                for b in ends[1]:
                    run(*shlex.split(command), action, a["status"]["podIP"], b["status"]["podIP"])
            return
        # Partners come in by the port peer only, so what else policies open stays.
        if action == "cut":
            self.kept = [system.get("networkpolicy", f"{system.name}-{entity}") for system in BOTH for entity in crossing]
        for policy in self.kept:
            policy["metadata"].pop("resourceVersion", None)
            rules = policy["spec"]["ingress"]
            if action == "cut":
                rules = [rule for rule in rules if all(port["port"] != "peer" for port in rule["ports"])]
                self.assertLess(len(rules), len(policy["spec"]["ingress"]), "nothing to cut")
            wanted = {**policy, "spec": {**policy["spec"], "ingress": rules}}
            run("kubectl", "replace", "-f", "-", given=json.dumps(wanted))
        if action == "cut":
            self.renew_pods(crossing)

    def renew_pods(self, entities):
        """New pods have no connection from before, which many networks let live on whatever a new policy says."""
        for system in BOTH:
            names = [pod["metadata"]["name"] for entity in entities for pod in system.pods(entity)]
            system.kubectl("delete", "pod", *names)
            for entity in entities:
                system.kubectl("rollout", "status", f"deployment/{system.name}-{entity}", "--timeout=180s")


def remove():
    for system in BOTH:
        run("kubectl", "delete", "namespace", system.name, "--ignore-not-found", "--wait=true", timeout=900)
    if os.environ.get("AFTER_REMOVE"):
        run(*shlex.split(os.environ["AFTER_REMOVE"]))


if __name__ == "__main__":
    began = time.monotonic()
    print(f"cluster suite: Kubernetes {json.loads(run('kubectl', 'version', '-o', 'json'))['serverVersion']['gitVersion']}", flush=True)
    only_some = len(sys.argv) > 1
    if not only_some:
        remove()
    outcome = unittest.main(exit=False, failfast=True, verbosity=2).result
    if outcome.wasSuccessful() and not only_some and os.environ.get("KEEP") != "1":
        remove()
    print(f"cluster suite: {time.monotonic() - began:.0f} s", flush=True)
    sys.exit(0 if outcome.wasSuccessful() else 1)
