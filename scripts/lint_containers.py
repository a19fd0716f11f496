"""Check Dockerfile, compose.yaml and .env.example without a Docker daemon, by the rules below.

Where the docker client has its compose plugin, `docker compose config` parses the file too. Nothing is built or
started.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
SECRET_NAME = re.compile(r"(?i)password|secret|token|api_?key|access_key")
VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)([^}]*)\}")
CLEAN_INSTALL = re.compile(r"--no-install-recommends.*rm -rf /var/lib/apt/lists")
CONDITIONS = {"service_healthy", "service_completed_successfully", "service_started"}
# Read by libraries, not by our settings.
FOREIGN_VARIABLES = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """(INSTRUCTION, rest) of a Dockerfile, continued lines joined."""
    joined = re.sub(r"\\\n\s*", " ", "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#")))
    for line in filter(None, map(str.strip, joined.splitlines())):
        name, _, rest = line.partition(" ")
        yield name.upper(), rest.strip()


def pinned(image: str) -> bool:
    tag = image.rpartition("/")[2].partition(":")[2]
    return bool(tag) and tag != "latest"


def check_dockerfile(text: str, root: Path = ROOT) -> Iterator[str]:
    """What is wrong with the Dockerfile."""
    steps = list(instructions(text))
    stages: set[str] = set()
    user = "root"
    for name, rest in steps:
        words = rest.split()
        if name == "FROM":
            user = "root"
            if words[0] not in stages and not pinned(words[0]):
                yield f"FROM {words[0]}: name a version"
            stages |= {words[2]} if len(words) > 2 else set()
        elif name == "USER":
            user = words[0]
        elif name == "ADD":
            yield "ADD also unpacks and downloads: use COPY"
        elif name == "COPY":
            sources = [word for word in words if not word.startswith("--")][:-1]
            if "--from=" not in rest:
                yield from (f"COPY {source}: there is none" for source in sources if not (root / source).exists())
        elif name in ("ENV", "ARG"):
            yield from (f"{name} {word}: a secret in an image" for word in words if SECRET_NAME.search(word))
        elif name in ("CMD", "ENTRYPOINT"):
            yield from exec_form(name, rest)
        elif name == "RUN" and "apt-get install" in rest and not CLEAN_INSTALL.search(rest):
            yield "RUN apt-get install: without recommends, and remove the lists in the same step"
    if user.split(":")[0] in ("root", "0"):
        yield "the last stage runs as root: end with USER"
    if not any(name in ("CMD", "ENTRYPOINT") for name, _ in steps):
        yield "no CMD or ENTRYPOINT"


def exec_form(name: str, rest: str) -> Iterator[str]:
    try:
        json.loads(rest)
    except ValueError:
        yield f"{name} {rest}: a shell would stand between the signals and the process; use the JSON form"


def check_compose(text: str, example: str, known_variables: str) -> Iterator[str]:
    """What is wrong with compose.yaml, given .env.example and the source of the settings."""
    document: dict[str, Any] = yaml.safe_load(text)
    services: dict[str, dict[str, Any]] = document["services"]
    for name, service in services.items():
        yield from (f"{name}: {problem}" for problem in check_service(service, services, document.get("volumes") or {}))
        if "build" in service:
            names = set(service.get("environment", {})) - FOREIGN_VARIABLES
            yield from (f"{name}: the settings read no {n}" for n in sorted(names) if f'"{n}"' not in known_variables)
    offered = {line.partition("=")[0] for line in example.splitlines() if "=" in line and not line.startswith("#")}
    used = {match[0] for match in VARIABLE.findall(text)}
    yield from (f".env.example has no {missing}" for missing in sorted(used - offered))
    yield from (f".env.example: nothing uses {unused}" for unused in sorted(offered - used))
    for variable, default in VARIABLE.findall(text):
        if SECRET_NAME.search(variable) and not default.startswith(":?"):
            yield f"{variable}: a secret has no default and is required (${{{variable}:?}})"
    for line in example.splitlines():
        variable, _, value = line.partition("=")
        if SECRET_NAME.search(variable) and not line.startswith("#") and value:
            yield f".env.example: {variable} must be empty"


def check_service(
    service: dict[str, Any], services: dict[str, dict[str, Any]], volumes: dict[str, Any]
) -> Iterator[str]:
    if not pinned(service.get("image", "")):
        yield "name an image with a version"
    if service.get("privileged") or service.get("network_mode") == "host":
        yield "privileged, or on the host's network"
    if "restart" not in service:
        yield "say what happens when it ends (restart)"
    for port in service.get("ports", []):
        if not str(port).startswith("127.0.0.1:"):
            yield f"port {port} is open to the world; bind it to 127.0.0.1 behind the proxy"
    for volume in service.get("volumes", []):
        source = volume.partition(":")[0]
        if not source.startswith(("/", ".")) and source not in volumes:
            yield f"there is no volume {source}"
    for variable, value in service.get("environment", {}).items():
        if SECRET_NAME.search(variable) and not VARIABLE.search(str(value)):
            yield f"{variable} has its secret written down"
    for other, how in service.get("depends_on", {}).items():
        if other not in services:
            yield f"depends on {other}, which is not there"
        elif how["condition"] not in CONDITIONS:
            yield f"waits for {other} by {how['condition']}"
        elif how["condition"] == "service_healthy" and "healthcheck" not in services[other]:
            yield f"waits for {other} to be healthy, which has no health check"


def docker_compose_config() -> Iterator[str]:
    """What docker itself says of compose.yaml, where its plugin is installed."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True).returncode != 0:
        print("compose.yaml was not parsed by docker: its compose plugin is not installed")
        return
    variables = {name for name, _ in VARIABLE.findall((ROOT / "compose.yaml").read_text())}
    command = [docker, "compose", "--file", str(ROOT / "compose.yaml"), "config", "--quiet"]
    answer = subprocess.run(command, env=dict.fromkeys(variables, "x"), capture_output=True, text=True)
    if answer.returncode != 0:
        yield answer.stderr.strip()


def main() -> int:
    problems = [f"Dockerfile: {problem}" for problem in check_dockerfile((ROOT / "Dockerfile").read_text())]
    settings = "".join((ROOT / "automl_site" / name).read_text() for name in ("settings.py", "env.py"))
    compose, example = (ROOT / "compose.yaml").read_text(), (ROOT / ".env.example").read_text()
    problems += [f"compose.yaml: {problem}" for problem in check_compose(compose, example, settings)]
    problems += [f"compose.yaml: {problem}" for problem in docker_compose_config()]
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
