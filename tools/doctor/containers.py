"""The installation in containers, as the machine sees it on which the engine runs.

Published ports are asked as they are. Metrics have none: they are read by a command within the container.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tools.compose import Project, docker, inspect, running_project

SCHEME = "docker://"  # of an address that is a container's id
SERVICES = ("pixel", "enricher", "rollup")
EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - an address to be read, not one to listen on
READ_METRICS = (
    "import os, urllib.request as u;"
    "a = 'http://127.0.0.1:' + os.environ['METRICS_PORT'] + '/metrics';"
    "print(u.urlopen(a, timeout=5).read().decode())"
)


# By the name in `make urls`: whose port it is, the address, and the password in it.
SERVERS = {
    "PIXEL_URL": ("door", "8000/tcp", "http://{at}", ""),
    "GRAFANA_URL": ("grafana", "3000/tcp", "http://{at}", ""),
    "REDIS_URL": ("redis", "6379/tcp", "redis://:{password}@{at}/0", "redis"),
    "OWNER_DATABASE_URL": (
        "postgres", "5432/tcp", "postgresql://footfall:{password}@{at}/footfall", "database",
    ),
}  # fmt: skip


class Stack(NamedTuple):
    """Addresses as `make urls` names them, and the environment of each service."""

    urls: Mapping[str, str]
    environs: Mapping[str, Mapping[str, str]]


def running_stack(folder: Path) -> Stack | None:
    """The stack that compose runs from a folder; None: none does. Raises ``DeployError``."""
    project = running_project(folder)
    if project is None:
        return None
    urls, environs = {}, {}
    for service in SERVICES:
        for number, container in enumerate(_containers(project, service), 1):
            name = service if number == 1 else f"{service}-{number}"
            environs[name] = _environ(inspect(container))
            urls[f"{name.upper().replace('-', '_')}_METRICS_URL"] = SCHEME + container
    return Stack({**urls, **dict(_servers(project))}, environs)


def _containers(project: Project, service: str) -> list[str]:
    labels = (f"com.docker.compose.project={project.name}", f"com.docker.compose.service={service}",
              "com.docker.compose.oneoff=False")  # fmt: skip
    filters = [part for label in labels for part in ("--filter", f"label={label}")]
    return docker("ps", "--quiet", "--no-trunc", *filters).split()


def _environ(known: Mapping[str, Any]) -> dict[str, str]:
    return dict(line.partition("=")[::2] for line in known["Config"]["Env"])


def _servers(project: Project) -> Iterator[tuple[str, str]]:
    """The addresses of what has a port on this machine."""
    for name, (service, port, form, password) in SERVERS.items():
        for container in _containers(project, service)[:1]:
            if at := _published(inspect(container), port):
                yield name, form.format(at=at, password=_password(project, password) if password else "")


def _published(known: Mapping[str, Any], port: str) -> str:
    """Host and port at which this machine reaches a container's port; empty: it does not."""
    places = known["NetworkSettings"]["Ports"].get(port) or []
    if not places:
        return ""
    host = places[0]["HostIp"]
    return f"{'127.0.0.1' if host in EVERYWHERE else host}:{places[0]['HostPort']}"


def _password(project: Project, name: str) -> str:
    return project.compose("run", "--rm", "-T", "passwords", "password", name).strip()


def metrics_of(container: str) -> str:
    """The text of a service's metrics. Raises ``DeployError``."""
    return docker("exec", container, "python", "-c", READ_METRICS, within_s=20)
