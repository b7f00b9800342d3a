"""UEs inside of the cluster that migrate and return until they are stopped."""

import json
import uuid

from cluster import eventually, pod


class Load:
    """A pod that runs `crossband load` in the users' primary system; a step that fails there, even once, is a failure."""

    def __init__(self, primary, users):
        self.primary = primary
        self.users = users
        self.name = f"load-{uuid.uuid4().hex[:6]}"

    def __enter__(self):
        self.primary.kubectl("apply", "-f", "-", given=json.dumps(self.manifest()))
        eventually("the UEs in service at home", lambda: self.lines("at_home"), seconds=180)
        self.wait_for_more(len(self.users))
        return self

    def __exit__(self, *_):
        self.primary.kubectl("delete", "pod", self.name, "--wait=false")

    def lines(self, kind):
        """What it has told of that kind so far."""
        told = self.primary.kubectl("logs", self.name).splitlines()
        return [line[kind] for line in map(json.loads, told) if kind in line]

    def progress(self):
        """The latest count of `migrations` and `failures`, and how long migrations take."""
        told = self.lines("progress")
        return told[-1] if told else {"migrations": 0, "failures": 0}

    def wait_for_more(self, count):
        """Until so many more users were served by the partner, or something failed."""
        wanted = self.progress()["migrations"] + count

        def reached():
            progress = self.progress()
            return progress["migrations"] >= wanted or progress["failures"] > 0

        eventually(f"{count} migrations", reached, seconds=180)

    def manifest(self):
        """The pod: an operator's, because entities take calls from pods of their release only."""
        operator = f"{self.primary.name}-certificate-operator"
        items = [("tls.crt", "operator.pem"), ("tls.key", "operator-key.pem"), ("ca.crt", "trust-bundle.pem")]
        users = [f"--user={user}" for user in self.users]
        labels = {
            "app.kubernetes.io/component": "operator",
            "app.kubernetes.io/instance": self.primary.name,
            "app.kubernetes.io/part-of": "crossband",
        }
        container = {
            "name": "load",
            "image": self.primary.image,
            "args": ["load", "--ready-file=/ready/ready.json", "--report-every=1s", *users],
            "volumeMounts": [
                {"name": "ready", "mountPath": "/ready"},
                {"name": "certificates", "mountPath": "/etc/crossband/certificates"},
            ],
        }
        volumes = [
            {"name": "ready", "secret": {"secretName": f"{self.primary.name}-demo-users", "defaultMode": 0o440}},
            {
                "name": "certificates",
                "secret": {"secretName": operator, "defaultMode": 0o440, "items": [{"key": key, "path": path} for key, path in items]},
            },
        ]
        return pod(self.name, labels, [container], volumes)
