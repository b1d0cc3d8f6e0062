"""A compose project of this product, as `make deploy` sees it: through docker-compose 1.29 or docker compose 2."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PAUSE_S = 0.3
COMMAND_WITHIN_S = 300.0
LAST_WORDS = 8  # lines of a container's log that go with an error
# Asked of a pixel: whether it is ready with nothing amiss, so that the door has lent it its socket too.
PIXEL_IS_READY = (
    "import urllib.request as u;"
    "a = u.urlopen('http://127.0.0.1:8000/readyz', timeout=5).read().decode();"
    "assert 'door' not in a, a"
)


class DeployError(Exception):
    """A step went wrong; the text says which, and what the program said."""


def run(
    command: list[str], folder: Path, environ: Mapping[str, str], within_s: float = COMMAND_WITHIN_S
) -> str:
    """What a command says on standard output. Raises ``DeployError`` with the end of what it said else."""
    try:
        done = subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=within_s
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeployError(f"{' '.join(command[:6])}: {error}") from error
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-2 * LAST_WORDS :]
        raise DeployError("\n  ".join([f"{' '.join(command[:8])} failed:", *said]))
    return done.stdout


def docker(*arguments: str, within_s: float = COMMAND_WITHIN_S) -> str:
    """What a docker command says. Raises ``DeployError``."""
    return run(["docker", *arguments], Path.cwd(), os.environ, within_s).strip()


def inspect(container: str) -> dict[str, Any]:
    """What the engine knows of a container. Raises ``DeployError``."""
    found: dict[str, Any] = json.loads(docker("inspect", "--type", "container", container))[0]
    return found


@dataclass(frozen=True)
class Project:
    """The containers of one name, made from the compose file of a folder."""

    command: tuple[str, ...]
    name: str
    folder: Path
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def compose(self, *arguments: str, within_s: float = COMMAND_WITHIN_S) -> str:
        """What a compose command says. Raises ``DeployError``."""
        command = [*self.command, "--project-name", self.name, *arguments]
        return run(command, self.folder, self.environ, within_s)

    def image(self, service: str, tag: str = "latest") -> str:
        """The name that compose gives the image of a service which it builds."""
        between = "_" if self.command == ("docker-compose",) else "-"
        return f"{self.name}{between}{service}:{tag}"

    def container(self, service: str) -> str:
        """Id of a service's container, running or not; empty when there is none."""
        return container_of(
            f"com.docker.compose.project={self.name}", f"com.docker.compose.service={service}"
        )

    def in_container(self, service: str, *command: str) -> str:
        """What a command in a service's container says. Raises ``DeployError``."""
        return docker("exec", self.container(service) or f"{self.name} {service}", *command, within_s=60)


def container_of(*labels: str) -> str:
    """Id of the newest container with these labels that is no one-off; empty when there is none."""
    filters = [
        part
        for label in (*labels, "com.docker.compose.oneoff=False")
        for part in ("--filter", f"label={label}")
    ]
    return docker("ps", "--all", "--quiet", "--no-trunc", *filters).partition("\n")[0]


def running_project(folder: Path) -> Project | None:
    """The project that runs from a folder, by the compose that started it; None when none does.

    COMPOSE_PROJECT_NAME chooses where several do. Raises ``DeployError``.
    """
    if not shutil.which("docker"):
        return None
    labels = ["com.docker.compose.service=pixel", f"com.docker.compose.project.working_dir={folder}"]
    if name := os.environ.get("COMPOSE_PROJECT_NAME"):
        labels.append(f"com.docker.compose.project={name}")
    container = container_of(*labels)
    if not container:
        return None
    known = inspect(container)["Config"]["Labels"]
    is_old = known.get("com.docker.compose.version", "").startswith("1.")
    command = ("docker-compose",) if is_old else ("docker", "compose")
    return Project(command, known["com.docker.compose.project"], folder)


def last_words(container: str) -> str:
    """The end of a container's log."""
    done = subprocess.run(
        ["docker", "logs", "--tail", str(LAST_WORDS), container],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return "\n  ".join((done.stdout + done.stderr).strip().splitlines())


def is_well(container: str) -> bool:
    """Whether a container's own health check passes, asked now. Raises ``DeployError`` where it ended."""
    known = inspect(container)
    state = known["State"]
    if known["RestartCount"] or state["Status"] in ("exited", "dead", "restarting"):
        raise DeployError(
            f"{known['Name'].strip('/')} ended by itself; its last words:\n  {last_words(container)}"
        )
    test = known["Config"]["Healthcheck"]["Test"]
    command = ["sh", "-c", test[1]] if test[0] == "CMD-SHELL" else test[1:]
    if any("readyz" in part for part in command):
        command = ["python", "-c", PIXEL_IS_READY]
    done = subprocess.run(
        ["docker", "exec", container, *command], capture_output=True, check=False, timeout=60
    )
    return done.returncode == 0


def wait_until(done: Callable[[], bool], within_s: float, what: str) -> None:
    """Raises ``DeployError`` with ``what`` when it does not come true in time."""
    deadline = time.monotonic() + within_s
    while not done():
        if time.monotonic() > deadline:
            raise DeployError(f"{what}: not within {within_s:.0f} s")
        time.sleep(PAUSE_S)


def wait_until_well(containers: list[str], within_s: float) -> None:
    """Until all are well. Raises ``DeployError`` with the last words of one that is not."""
    for container in containers:
        try:
            wait_until(lambda container=container: is_well(container), within_s, "not well")  # type: ignore[misc]
        except DeployError as error:
            name = inspect(container)["Name"].strip("/")
            raise DeployError(f"{name}: {error}\n  {last_words(container)}") from error
