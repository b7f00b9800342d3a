"""Checks the manifests that scripts/check-chart has rendered: check_rendered.py CHART FOLDER.

Every document is validated against the strict schema of the Kubernetes version that it was rendered for, scanned by checkov, and
compared with the goldens of the chart.
"""

import difflib
import functools
import json
import os
import pathlib
import re
import subprocess
import sys

import jsonschema
import kubernetes_validate
import referencing.jsonschema
import yaml

# Kinds of operators whose schemas no package carries; what they hold is reviewed as a golden only.
FOREIGN_KINDS = {"Certificate", "ClusterSPIFFEID", "ServiceMonitor", "PrometheusRule"}

NEWEST = "1.35.0"

# Random at each rendering without a cluster.
GENERATED = re.compile(
    r"(?m)^(  (?:password|url|key-encryption-keys\.toml): |    requirepass ).*$"
)


def documents(text):
    return [document for document in yaml.safe_load_all(text) if document]


def name_of(document):
    return f"{document['kind']}/{document['metadata']['name']}"


class Schemas:
    """The schemas of one Kubernetes version, which refuse fields that they do not know."""

    def __init__(self, version):
        package = pathlib.Path(kubernetes_validate.__path__[0])
        self.folder = package / "kubernetes-json-schema" / f"v{version}.0-local-strict"
        definitions = json.loads((self.folder / "_definitions.json").read_text())
        resource = referencing.jsonschema.DRAFT7.create_resource(definitions)
        self.registry = referencing.Registry().with_resource("_definitions.json", resource)

    @functools.lru_cache
    def validator(self, kind, api_version):
        """The validator of a kind; None where Kubernetes of that version has none."""
        group, _, version = api_version.rpartition("/")
        group = group.split(".")[0]
        name = "-".join(part for part in (kind.lower(), group, version) if part)
        path = self.folder / f"{name}.json"
        if not path.exists():
            return None
        return jsonschema.Draft7Validator(json.loads(path.read_text()), registry=self.registry)


def schema_problems(rendered):
    schemas = functools.lru_cache(Schemas)
    for path, text in rendered.items():
        version = re.search(r"-(\d+\.\d+)\.\d+", path.name).group(1)
        for document in documents(text):
            if document["kind"] in FOREIGN_KINDS:
                continue
            validator = schemas(version).validator(document["kind"], document["apiVersion"])
            if validator is None:
                yield f"{path.name}: {name_of(document)}: Kubernetes {version} has no {document['apiVersion']} of it"
                continue
            for error in validator.iter_errors(document):
                where = ".".join(str(part) for part in error.path)
                yield f"{path.name}: {name_of(document)}: {where}: {error.message[:200]}"


def duplicates(rendered):
    for path, text in rendered.items():
        seen = set()
        for document in documents(text):
            if name_of(document) in seen:
                yield f"{path.name}: {name_of(document)} is rendered twice"
            seen.add(name_of(document))


def accepted_findings(chart):
    """Lines of `CHECK VALUES/KIND/NAME reason`, with * for any part of a name."""
    accepted = []
    for line in (chart / "tests" / "accepted-findings.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            check, pattern, _reason = line.split(None, 2)
            accepted.append((check, pattern))
    return accepted


def policy_problems(chart, rendered):
    accepted = accepted_findings(chart)
    used = set()
    # The newest Kubernetes only: what is scanned for does not depend on it.
    newest = [path for path in rendered if path.name.endswith(f"-{NEWEST}.yaml")]
    checkov = pathlib.Path(sys.executable).with_name("checkov")
    command = [checkov, "--framework", "kubernetes", "--quiet", "--compact", "--output", "json", "--soft-fail"]
    for path in newest:
        command += ["--file", path]
    # Its own look for a newer release has no place in a check that works offline.
    environment = {**os.environ, "CKV_IGNORE_HIDDEN_DIRECTORIES": "false", "BC_SKIP_VERSION_CHECK": "true"}
    scanned = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    try:
        report = json.loads(scanned.stdout)
    except json.JSONDecodeError:
        yield f"checkov failed: {scanned.stderr or scanned.stdout}"
        return
    if report.get("summary", {}).get("resource_count", 0) < 100:
        yield "checkov has scanned next to nothing"
    for finding in report.get("results", {}).get("failed_checks", []):
        kind, _, name = finding["resource"].partition(".")
        file = pathlib.Path(finding["file_path"]).name
        resource = f"{file.removesuffix(f'-{NEWEST}.yaml')}/{kind}/{name.rsplit('.', 1)[-1]}"
        matching = [rule for rule in accepted if rule[0] == finding["check_id"] and matches(rule[1], resource)]
        used.update(matching)
        if not matching:
            yield f"{resource}: {finding['check_id']} {finding['check_name']}"
    for check, pattern in accepted:
        if (check, pattern) not in used:
            yield f"accepted-findings.txt: nothing is found that {check} {pattern} accepts"


def matches(pattern, resource):
    expression = "[^/]*".join(re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(expression, resource) is not None


def goldens_of(rendered):
    """What is kept to be reviewed: each rendering for the newest Kubernetes, and how the others differ from it."""
    texts = {path.name.removesuffix(".yaml"): GENERATED.sub(r"\1generated", text) for path, text in rendered.items()}
    goldens = {}
    for name, text in texts.items():
        base = re.sub(r"-\d+\.\d+\.\d+(-upgrade)?$", "", name)
        newest = f"{base}-{NEWEST}"
        if name == newest:
            goldens[f"{base}.yaml"] = text
        # What an upgrade changes does not depend on the values.
        elif not name.endswith("-upgrade") or name == f"evaluation-{NEWEST}-upgrade":
            lines = difflib.unified_diff(texts[newest].splitlines(), text.splitlines(), newest, name, lineterm="", n=1)
            goldens[f"{name}.diff"] = "\n".join(lines) + "\n"
    return goldens


def golden_problems(chart, rendered):
    folder = chart / "tests" / "goldens"
    wanted = goldens_of(rendered)
    if os.environ.get("UPDATE_GOLDENS") == "1":
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.iterdir():
            stale.unlink()
        for name, text in wanted.items():
            (folder / name).write_text(text)
        return
    present = {path.name: path.read_text() for path in folder.iterdir()}
    for name in sorted(wanted.keys() | present.keys()):
        before, after = (texts.get(name, "").splitlines() for texts in (present, wanted))
        difference = list(difflib.unified_diff(before, after, "reviewed", "rendered", lineterm="", n=2))
        if difference:
            yield "\n".join([f"{name} is not what was reviewed; UPDATE_GOLDENS=1 takes it over", *difference[:60]])


def schema_of_values_problems(chart):
    """Every key of the schema has its default written down in values.yaml, for readers."""
    schema = json.loads((chart / "values.schema.json").read_text())
    values = yaml.safe_load((chart / "values.yaml").read_text())

    def missing(schema_part, value, path):
        for key, below in schema_part.get("properties", {}).items():
            if "$ref" in below or key == "global" or path == ["services"]:
                continue
            if not isinstance(value, dict) or key not in value:
                yield ".".join([*path, key])
            else:
                yield from missing(below, value[key], [*path, key])

    for path in missing(schema, values, []):
        yield f"values.schema.json knows {path}, which values.yaml does not show"


def observability_problems(chart):
    """Alerts have a page in the runbook that says the same, and nothing looks at what no source counts."""
    rules = [rule for group in yaml.safe_load((chart / "files" / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
    dashboard = json.loads((chart / "files" / "dashboard.json").read_text())
    yield from runbook_problems(rules)
    expressions = [rule["expr"] for rule in rules]
    expressions += [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    yield from metric_problems(expressions)


def runbook_problems(rules):
    folder = pathlib.Path("docs", "runbook")
    contents = (folder / "README.md").read_text()
    pages = {rule["annotations"]["runbook_url"].rsplit("/", 1)[-1]: rule for rule in rules}
    for page, rule in pages.items():
        name, severity, summary = rule["alert"], rule["labels"]["severity"], rule["annotations"]["summary"]
        if not (folder / page).exists():
            yield f"alert {name} has no page docs/runbook/{page}"
            continue
        for said in (f"# {name}\n", f"{summary}. Severity: {severity}.\n", f"```promql\n{rule['expr']}\n```\n", f"Held for {rule['for']}.\n"):
            if said not in (folder / page).read_text():
                yield f"docs/runbook/{page} does not have, as alert {name} has: {said.strip()}"
        if f"| [{name}]({page}) | {severity} | {summary} |" not in contents:
            yield f"docs/runbook/README.md does not list alert {name} as it is"
    for page in folder.glob("*.md"):
        if page.name not in pages.keys() | {"README.md"}:
            yield f"{page} belongs to no alert"


def metric_problems(expressions):
    """Metrics, and values of their labels, have to be literals of the crate that counts them; values may be of a library crate too."""
    crates = {}
    for path in sorted([*pathlib.Path("crates").glob("*/src/**/*.rs"), *pathlib.Path("services").glob("*/src/**/*.rs")]):
        crates.setdefault(path.parts[:2], []).append(path.read_text())
    crates = {crate: "\n".join(texts) for crate, texts in crates.items()}
    libraries = "\n".join(text for (root, _), text in crates.items() if root == "crates")
    for metric, selector in sorted(set(re.findall(r"\b(mcx_[a-z_]+)(?:\{([^}]*)\})?", "\n".join(expressions)))):
        name = re.sub(r"_(bucket|count|sum)$", "", metric)
        sources = "\n".join(text for text in crates.values() if f'"{name}"' in text)
        if not sources:
            yield f"alerts or dashboard look at {metric}, which nothing counts"
            continue
        for label, values in re.findall(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"', selector):
            for value in values.split("|"):
                # Other values are of the cluster, or patterns.
                if label != "namespace" and re.fullmatch(r"\w+", value) and f'"{value}"' not in sources + libraries:
                    yield f"alerts or dashboard look at {metric} with {label} {value}, which its sources do not know"


def main():
    chart, folder = (pathlib.Path(argument) for argument in sys.argv[1:])
    rendered = {path: path.read_text() for path in sorted(folder.glob("*.yaml"))}
    problems = [
        *schema_of_values_problems(chart),
        *observability_problems(chart),
        *duplicates(rendered),
        *schema_problems(rendered),
        *policy_problems(chart, rendered),
        *golden_problems(chart, rendered),
    ]
    for problem in problems:
        print(f"check-chart: {problem}", file=sys.stderr)
    count = sum(len(documents(text)) for text in rendered.values())
    print(f"check-chart: {count} manifests in {len(rendered)} renderings, {len(problems)} problems")
    return 1 if problems else 0


sys.exit(main())
