"""Checks a compose file without Docker: check_compose.py FILE. It parses, what it mounts exists and parses, and its services name
each other and their volumes rightly."""

import json
import pathlib
import sys
import tomllib

import yaml

PARSERS = {".toml": tomllib.loads, ".json": json.loads, ".yaml": yaml.safe_load, ".yml": yaml.safe_load}


def mount_problems(path):
    """What is wrong with a file, or with those in a folder, that a container gets to see."""
    if not path.exists():
        yield f"{path} is mounted and does not exist"
        return
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        parse = PARSERS.get(file.suffix)
        if parse is None or not file.is_file():
            continue
        try:
            parse(file.read_text())
        except (ValueError, yaml.YAMLError) as error:
            yield f"{file}: {error}"


def problems_of(path):
    try:
        compose = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        yield str(error)
        return
    services, volumes = compose["services"], compose.get("volumes", {})
    for name, service in services.items():
        if "image" not in service:
            yield f"service {name} has no image"
        for mount in service.get("volumes", []):
            source, target = mount.split(":")[:2]
            if not target.startswith("/"):
                yield f"service {name}: {mount} is not mounted at an absolute path"
            if source.startswith("."):
                yield from mount_problems(path.parent / source)
            elif source not in volumes:
                yield f"service {name}: the volume {source} is not declared"
        for other, when in service.get("depends_on", {}).items():
            if other not in services:
                yield f"service {name} waits for {other}, which there is not"
            elif when["condition"] == "service_healthy" and "healthcheck" not in services[other]:
                yield f"service {name} waits for {other} to be healthy, which never says so"


def main():
    path = pathlib.Path(sys.argv[1])
    problems = list(problems_of(path))
    for problem in problems:
        print(f"check-chart: {path}: {problem}", file=sys.stderr)
    return 1 if problems else 0


sys.exit(main())
