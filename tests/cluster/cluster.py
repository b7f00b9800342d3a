"""What the suite does with a cluster: kubectl, helm, and the scripts that operators run."""

import contextlib
import json
import os
import pathlib
import subprocess
import time
import urllib.request
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "crossband"
HELM_FLAGS = os.environ.get("HELM_FLAGS", "").split()
ENVIRONMENT = {**os.environ, "PATH": f"{ROOT / '.tools' / 'bin'}:{os.environ['PATH']}"}


class Failed(AssertionError):
    """A command that should have succeeded has not."""


def run(*command, given=None, timeout=600):
    """Standard output of a command that succeeds."""
    done = subprocess.run(
        [str(part) for part in command], input=given, capture_output=True, text=True, timeout=timeout, env=ENVIRONMENT, check=False
    )
    if done.returncode:
        raise Failed(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def eventually(what, condition, seconds=120):
    """The first result of `condition` that is true; a command that fails counts as not yet."""
    deadline = time.monotonic() + seconds
    last = None
    while time.monotonic() < deadline:
        try:
            last = condition()
            if last:
                return last
        except (Failed, OSError) as error:
            last = error
        time.sleep(0.5)
    raise Failed(f"{what}: not within {seconds} s; last: {last}")


def pod(name, labels, containers, volumes=()):
    """A pod that runs to its end, as the restricted Pod Security Standard has it. Containers have name, image, args and volumeMounts."""
    security = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    resources = {"requests": {"cpu": "10m", "memory": "32Mi"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"resources": resources, "securityContext": security, **container} for container in containers],
            "volumes": list(volumes),
        },
    }


class System:
    """An MC system: a release of the chart in a namespace of its own."""

    def __init__(self, name, image, *values):
        self.name = name
        self.id = f"{name}.example"
        self.image = image
        self.values = list(values)

    @property
    def reference(self):
        """As the scripts in deploy/scripts name it."""
        return f"{self.name}/{self.name}"

    def call(self, entity, method, **request):
        """The answer of an rpc to the system's operator, by grpcurl."""
        return json.loads(run(ROOT / "deploy/scripts/call", self.reference, entity, method, json.dumps(request)))

    def kubectl(self, *arguments, **options):
        return run("kubectl", "-n", self.name, *arguments, **options)

    def get(self, *what):
        return json.loads(self.kubectl("get", *what, "-o", "json"))

    def flags(self):
        """What this cluster needs beside what README says: the image, and settings of the suite."""
        repository, _, tag = self.image.rpartition(":")
        values = [part for value in [ROOT / "tests/cluster/values.yaml", *self.values] for part in ("--values", value)]
        image = ["--set", f"image.repository={repository}", "--set", f"image.tag={tag}"]
        return [*image, *map(str, values), *HELM_FLAGS, "--timeout", "8m"]

    def upgrade(self, *extra):
        """Upgrades the release with what it has and these values, and waits until it serves."""
        run("helm", "upgrade", self.name, CHART, "-n", self.name, "--reuse-values", "--wait", *self.flags(), *extra)

    def services(self):
        """The entities that run, by their Deployments."""
        selector = f"app.kubernetes.io/instance={self.name},app.kubernetes.io/name=crossband"
        names = [item["metadata"]["labels"]["app.kubernetes.io/component"] for item in self.get("deployments", "-l", selector)["items"]]
        return [name for name in names if name != "jaeger"]

    def pods(self, entity):
        selector = f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component={entity}"
        return [pod for pod in self.get("pods", "-l", selector)["items"] if "deletionTimestamp" not in pod["metadata"]]

    def wait_until_available(self, seconds=180):
        self.kubectl("wait", "--for=condition=Available", "deployments", "--all", f"--timeout={seconds}s")

    def helm_test(self, *extra):
        return run("helm", "test", self.name, "-n", self.name, "--timeout", "5m", "--logs", *extra)

    def health_as_seen_by_a_stranger(self, addresses):
        """What `crossband healthcheck` tells a pod of this namespace, that belongs to no release, of admin ports, by name: its log, and
        whether they answered."""
        name = f"stranger-{uuid.uuid4().hex[:6]}"
        containers = [
            {"name": of, "image": self.image, "args": ["healthcheck", f"--admin={address}"]} for of, address in addresses.items()
        ]
        self.kubectl("apply", "-f", "-", given=json.dumps(pod(name, {}, containers)))
        try:
            status = eventually(f"the end of pod {name}", lambda: self.ended(name))
            answered = {one["name"]: one["state"]["terminated"]["exitCode"] == 0 for one in status["containerStatuses"]}
            return {of: (answered[of], self.kubectl("logs", name, "-c", of).strip()) for of in addresses}
        finally:
            self.kubectl("delete", "pod", name, "--wait=false")

    def ended(self, pod_name):
        """The status of a pod that has ended, whatever its outcome."""
        status = self.get("pod", pod_name)["status"]
        return status if status.get("phase") in {"Succeeded", "Failed"} else None

    @contextlib.contextmanager
    def forwarded(self, target, port):
        """The local port of a port-forward to a service or pod."""
        command = ["kubectl", "-n", self.name, "port-forward", target, f":{port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as forward:
            try:
                line = forward.stdout.readline()
                if "Forwarding from" not in line:
                    raise Failed(f"cannot forward to {target}: {line}")
                yield int(line.split(":")[1].split()[0])
            finally:
                forward.terminate()

    def http(self, target, port, path):
        with self.forwarded(target, port) as local, urllib.request.urlopen(f"http://127.0.0.1:{local}{path}", timeout=20) as answer:
            return answer.read().decode()
