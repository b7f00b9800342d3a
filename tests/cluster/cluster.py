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

    def kubectl(self, *arguments, **options):
        return run("kubectl", "-n", self.name, *arguments, **options)

    def get(self, *what):
        return json.loads(self.kubectl("get", *what, "-o", "json"))

    def install(self, *extra):
        """Installs or upgrades the release, and waits until it serves."""
        repository, _, tag = self.image.rpartition(":")
        values = [part for value in [ROOT / "tests/cluster/values.yaml", *self.values] for part in ("--values", value)]
        flags = os.environ.get("HELM_FLAGS", "").split()
        run(
            "helm", "upgrade", "--install", self.name, CHART, "-n", self.name, "--create-namespace", "--wait", "--timeout", "8m",
            "--set", f"mcSystemId={self.id}", "--set", f"image.repository={repository}", "--set", f"image.tag={tag}",
            *values, *flags, *extra,
        )  # fmt: skip

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


class Load:
    """Users who register at a partner again and again, from pods inside of the cluster, until it is stopped.

    Each is a pod of a Job that runs `crossband ue register` once; one that fails is a failed migration.
    """

    def __init__(self, partner, parallel=2):
        self.partner = partner
        self.name = f"load-{uuid.uuid4().hex[:6]}"
        self.parallel = parallel

    def __enter__(self):
        manifest = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": self.name},
            "spec": {
                "completions": 10_000,
                "parallelism": self.parallel,
                "backoffLimit": 10_000,
                "template": {
                    "metadata": {"labels": {"app.kubernetes.io/component": "operator", "app.kubernetes.io/instance": self.partner.name}},
                    "spec": {
                        "restartPolicy": "Never",
                        "automountServiceAccountToken": False,
                        "securityContext": {
                            "runAsNonRoot": True, "runAsUser": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}
                        },
                        "containers": [
                            {
                                "name": "ue",
                                "image": self.partner.image,
                                "args": ["ue", "register", "--user=alice", "--ready-file=/ready/ready.json", "--transport=tcp"],
                                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
                                "securityContext": {
                                    "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}
                                },
                                "volumeMounts": [{"name": "ready", "mountPath": "/ready"}],
                            }
                        ],
                        "volumes": [{"name": "ready", "secret": {"secretName": f"{self.partner.name}-demo-user", "defaultMode": 0o440}}],
                    },
                },
            },
        }
        self.partner.kubectl("apply", "-f", "-", given=json.dumps(manifest))
        self.wait_for_more(2)
        return self

    def counts(self):
        """How many have registered, and how many failed to."""
        status = self.partner.get("job", self.name)["status"]
        return status.get("succeeded", 0), status.get("failed", 0)

    def wait_for_more(self, count):
        """Until so many more have registered, or one has failed."""
        wanted = self.counts()[0] + count
        eventually(f"{count} registrations", lambda: self.counts()[0] >= wanted or self.counts()[1] > 0, seconds=180)

    def failures(self):
        """What the pods say that failed."""
        pods = self.partner.get("pods", "-l", f"job-name={self.name}", "--field-selector=status.phase=Failed")["items"]
        return [self.partner.kubectl("logs", pod["metadata"]["name"]).strip() for pod in pods]

    def __exit__(self, *_):
        self.partner.kubectl("delete", "job", self.name, "--cascade=background", "--wait=false")
