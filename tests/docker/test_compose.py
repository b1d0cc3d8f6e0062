"""The product as it is deployed, from a fresh clone, on a real Docker engine: all but Grafana.

Once with each compose that is installed: docker-compose 1.29 and docker compose 2.

Wants an engine that answers and the base images, which it may pull; tests/docker/stand_ins.sh sees to both
on a CI machine. Everything here is made for the test and removed after it, except for the build cache.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from services.key_files import PASSWORDS_FOR
from tests.docker.test_compose_file import COMPOSE_COMMANDS, ROOT, environ, need_compose
from tools.servers import free_port

pytestmark = pytest.mark.docker

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
        return self.compose("run", "--rm", "-T", "passwords", "password", name).strip()

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


@pytest.fixture(scope="module", params=COMPOSE_COMMANDS, ids=" ".join)
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The product from a fresh clone of what is committed, on ports of its own; removed afterwards."""
    command: list[str] = request.param
    need_engine()
    need_compose(command)
    folder = tmp_path_factory.mktemp("clone") / "footfall"
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    ports = {name: str(free_port()) for name in ("PIXEL_PORT", "POSTGRES_PORT", "REDIS_PORT")}
    project = f"footfall-test-{ports['PIXEL_PORT']}"
    # A test asks nobody outside: the country database is the image's.
    ours = {"COMPOSE_PROJECT_NAME": project, "COUNTRY_REFRESH": "off"}
    stack = Stack(command, folder, environ() | ports | ours)
    try:
        stack.up()
        yield stack
    finally:
        logs = stack.compose("logs", "--no-color", "--tail", "50")
        stack.compose("down", "--volumes", "--rmi", "local", "--remove-orphans")
        print(logs)  # pytest shows it with a failure only


def test_the_services_are_healthy_and_the_one_shots_are_done(stack: Stack) -> None:
    for name in SERVICES:
        assert stack.state(name)["Health"]["Status"] == "healthy"
        assert stack.inspect(name)["RestartCount"] == 0
    for name in ONE_SHOTS:
        assert (stack.state(name)["Status"], stack.state(name)["ExitCode"]) == ("exited", 0)


def test_a_hit_becomes_a_row_and_a_rollup(stack: Stack) -> None:
    page = "https://blog.example/x"
    assert stack.hit(page) == "accepted"
    wait_until(
        lambda: stack.pageviews(page) == (1, 1), ROLLED_UP_WITHIN_S, lambda: str(stack.pageviews(page))
    )
    [(site, pageviews, visitors)] = stack.query(
        "analyst", stack.password("analyst"), "select site, pageviews, visitors from daily_traffic"
    )
    assert (site, pageviews, visitors) == ("blog.example", 1, 1)


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_runs_as_root_or_with_rights(stack: Stack, name: str) -> None:
    processes = docker("top", stack.inspect(name)["Id"], "-eo", "uid,pid,args").splitlines()[1:]
    assert processes
    assert not [process for process in processes if int(process.split()[0]) == 0]
    status = dict(
        line.split(":", 1) for line in stack.execute(name, "cat", "/proc/1/status").stdout.splitlines()
    )
    assert {status[key].strip() for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"].strip() == "1"


@pytest.mark.parametrize("name", (*SERVICES, *ONE_SHOTS))
def test_root_file_systems_are_read_only(stack: Stack, name: str) -> None:
    assert stack.inspect(name)["HostConfig"]["ReadonlyRootfs"] is True
    if name in SERVICES:
        assert "Read-only file system" in stack.execute(name, "touch", "/written").stderr


@pytest.mark.parametrize("name", set(SERVICES) - {"postgres", "redis"})
def test_an_image_holds_its_own_service_only(stack: Stack, name: str) -> None:
    others = set(SERVICES) | {"migrate", "migrations", "tests", "requirements"}
    found = stack.execute(name, "find", "/app", "-maxdepth", "2", "-type", "d", "-printf", "%f\n").stdout
    assert set(found.split()) & others == {name}


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_to_this_machine_but_the_door_s(stack: Stack, name: str) -> None:
    published = stack.inspect(name)["NetworkSettings"]["Ports"]
    addresses = {binding["HostIp"] for bindings in published.values() for binding in bindings or []}
    everywhere = {"0.0.0.0", "::"}  # noqa: S104 - what the pixel's port is published on
    wanted = {"door": everywhere, "redis": {"127.0.0.1"}, "postgres": {"127.0.0.1"}}
    assert addresses <= wanted.get(name, set())
    assert bool(addresses) == (name in wanted)


def test_the_pixel_does_not_reach_postgresql(stack: Stack) -> None:
    address = next(iter(stack.inspect("postgres")["NetworkSettings"]["Networks"].values()))["IPAddress"]
    connect = "import socket, sys; socket.create_connection((sys.argv[1], 5432), timeout=2)"
    assert stack.execute("enricher", "python", "-c", connect, address).returncode == 0
    assert stack.execute("pixel", "python", "-c", connect, address).returncode != 0


def test_the_country_database_is_there_from_the_start_and_only_the_rollup_may_write_it(stack: Stack) -> None:
    found = stack.execute("enricher", "stat", "-c", "%u %a", "/country", "/country/country.mmdb").stdout
    assert found.split() == ["10001", "755", "10001", "644"]
    assert "Read-only file system" in stack.execute("enricher", "touch", "/country/x").stderr
    assert stack.execute("rollup", "touch", "/country/x").returncode == 0
    metrics = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9100/metrics').read().decode())"
    said = stack.execute("enricher", "python", "-c", metrics).stdout
    (built,) = (line for line in said.splitlines() if line.startswith("footfall_country_database_built_"))
    assert float(built.split()[1]) > 0


def test_history_is_read_again_by_new_rules(stack: Stack) -> None:
    page = "https://blog.example/renormalised"
    assert stack.hit(page) == "accepted"
    wait_until(lambda: stack.pageviews(page) == (1, 1), ROLLED_UP_WITHIN_S, lambda: "no pageview")
    owner = stack.password("database")
    wrong = (
        "with wrong as (insert into origins (referrer_id, channel, used_on)"
        " select referrer_id, 'Social', used_on from origins limit 1 returning origin_id)"
        " update stored_hits set origin_id = wrong.origin_id from wrong returning 1"
    )
    stack.query("footfall", owner, wrong)
    stack.compose("run", "--rm", "-T", "enricher", "renormalise")
    assert stack.query("footfall", owner, "select distinct channel from hits") == [("Direct",)]


def test_strangers_are_refused(stack: Stack) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        stack.query("footfall", "guessed", "select 1")
    assert "NOAUTH" in stack.execute("redis", "redis-cli", "ping").stdout


def test_passwords_are_in_their_volume_only(stack: Stack) -> None:
    passwords = {stack.password(name) for name in ("database", "redis", "analyst")}
    assert len(passwords) == 3 and all(len(password) == 48 for password in passwords)
    seen = stack.compose("logs", "--no-color")
    for name in SERVICES:
        container = stack.inspect(name)
        seen += json.dumps(container) + docker("top", container["Id"], "-eo", "pid,args")
    assert not [password for password in passwords if password in seen]


@pytest.mark.parametrize("name", sorted(PASSWORDS_FOR.keys() - {"grafana"}))
def test_a_container_sees_its_own_passwords_only(stack: Stack, name: str) -> None:
    seen = stack.execute(name, "ls", "/keys/passwords").stdout.split()
    assert sorted(seen) == sorted(PASSWORDS_FOR[name])


def test_nobody_is_in_the_logs(stack: Stack) -> None:
    logs = stack.compose("logs", "--no-color", "pixel", "enricher", "rollup", "postgres", "redis")
    gateways = {
        network["Gateway"] for network in stack.inspect("door")["NetworkSettings"]["Networks"].values()
    }
    assert logs
    assert AGENT not in logs
    assert not [address for address in gateways if address in logs]  # whom the pixel took for the visitor


def test_a_stop_is_in_time_and_the_next_start_finds_data_passwords_and_keys(stack: Stack) -> None:
    page = "https://blog.example/before"
    assert stack.hit(page) == "accepted"
    wait_until(lambda: stack.pageviews(page) == (1, 1), ROLLED_UP_WITHIN_S, lambda: "not rolled up")
    passwords = stack.password("database"), stack.password("redis")
    keys = stack.keys()
    assert keys

    stack.compose("stop")
    # By themselves, not killed (137) when their time was up.
    assert {name: stack.state(name)["ExitCode"] for name in SERVICES} == dict.fromkeys(SERVICES, 0)
    stack.up()

    assert (stack.password("database"), stack.password("redis")) == passwords
    assert keys & stack.keys()  # an hour may have ended meanwhile: not all of them
    assert stack.pageviews(page) == (1, 1)
    assert stack.hit(page) == "accepted"
    wait_until(
        lambda: stack.pageviews(page) == (2, 2), ROLLED_UP_WITHIN_S, lambda: str(stack.pageviews(page))
    )
