"""A product in containers, as an owner sees it from outside. Imports nothing of the product."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

SERVICES = ("redis", "postgres", "door", "pixel", "enricher", "rollup")
ONE_SHOTS = ("passwords", "migrate")
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"
# A first build fetches some 150 MB of wheels; afterwards the engine's cache has them.
UP_WITHIN_S = 900
HEALTHY_WITHIN_S = 120
ROLLED_UP_WITHIN_S = 30


@dataclass
class Stack:
    """A running product of the test's own."""

    command: list[str]
    folder: Path
    environ: dict[str, str]
    _passwords: dict[str, str] = field(default_factory=dict)

    def compose(self, *arguments: str, timeout_s: float = 180) -> str:
        """What a compose command says. Fails the test with both its outputs."""
        answer = subprocess.run(
            [*self.command, *arguments],
            cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False,
            timeout=timeout_s,
        )  # fmt: skip
        assert answer.returncode == 0, f"{arguments}: {answer.stdout[-2000:]}{answer.stderr[-4000:]}"
        return answer.stdout

    def up(self) -> None:
        """Start all but Grafana and wait until all services are healthy."""
        self.compose("up", "--build", "--detach", *ONE_SHOTS, *SERVICES, timeout_s=UP_WITHIN_S)
        wait_until(
            lambda: all(self.state(name).get("Health", {}).get("Status") == "healthy" for name in SERVICES),
            HEALTHY_WITHIN_S,
            lambda: "\n".join(f"{name}: {self.state(name)}" for name in SERVICES),
        )

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine knows of a service's container, running or not."""
        label = f"label=com.docker.compose.project={self.environ['COMPOSE_PROJECT_NAME']}"
        wanted = f"label=com.docker.compose.service={service}"
        container = docker("ps", "-aq", "--filter", label, "--filter", wanted).split()
        assert len(container) == 1, f"{service} has {len(container)} containers"
        answer: dict[str, Any] = json.loads(docker("inspect", container[0]))[0]
        return answer

    def state(self, service: str) -> dict[str, Any]:
        """Status, exit code, health."""
        answer: dict[str, Any] = self.inspect(service)["State"]
        return answer

    def execute(self, service: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a service's container."""
        return subprocess.run(
            ["docker", "exec", self.inspect(service)["Id"], *command],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def password(self, name: str) -> str:
        """One of the passwords that the stack made up."""
        if name not in self._passwords:
            shown = self.compose("run", "--rm", "-T", "passwords", "password", name)
            self._passwords[name] = shown.strip()
        return self._passwords[name]

    def keys(self) -> set[str]:
        """The files of sealing and session keys."""
        found = self.execute(
            "pixel", "find", "/keys", "-name", "passwords", "-prune", "-o", "-type", "f", "-print"
        )
        return set(found.stdout.split())

    def query(self, role: str, password: str, statement: str) -> list[tuple[Any, ...]]:
        """Ask SQL over the published port, as an owner would."""
        with psycopg.connect(
            host="127.0.0.1", port=self.environ["POSTGRES_PORT"], dbname="footfall",
            user=role, password=password, connect_timeout=5,
        ) as connection:  # fmt: skip
            return connection.execute(statement).fetchall()

    def hit(self, page: str) -> str:
        """Send a hit as a browser would; what the pixel says became of it."""
        query = urllib.parse.urlencode({"url": page})
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.environ['PIXEL_PORT']}/a.gif?{query}", headers={"User-Agent": AGENT}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert answer.status == 200
            return str(answer.headers["X-Footfall"])

    def pageviews(self, page: str) -> tuple[int, int]:
        """How often a page is in ``hits`` and, as the analyst sees them, in the rollup of pages."""
        parts = urllib.parse.urlsplit(page)
        where = f"host = '{parts.hostname}' and path = '{parts.path}'"
        [(rows, views)] = self.query(
            "analyst",
            self.password("analyst"),
            f"select (select count(*) from hits where {where}),"
            f" (select coalesce(sum(pageviews), 0)::bigint from daily_pages where {where})",
        )
        return rows, views


def docker(*arguments: str) -> str:
    """What a docker command says."""
    answer = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def wait_until(done: Callable[[], bool], within_s: float, what: Callable[[], str]) -> None:
    """Fail with ``what`` unless ``done`` comes true in time."""
    deadline = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < deadline, what()
        time.sleep(0.5)


def need_engine() -> None:
    """Skip where no engine answers."""
    if not shutil.which("docker"):
        pytest.skip("skipped: docker is not installed")
    answer = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False, timeout=60)
    if answer.returncode:
        reason = answer.stderr.strip().splitlines()[-1:] or ["no reason given"]
        pytest.skip(f"skipped: no Docker engine answers (tests/docker/stand_ins.sh starts one): {reason[0]}")
