"""docs/install.md, without Docker: its commands set up PostgreSQL and Redis, and what its units run counts a hit.

systemd itself is not here: what it does with a unit (environment, credentials, sockets, ExecStart) the test does.
Accounts, packages and the folders of a whole machine are others too: paths stand in a folder of the test's own.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from services.settings import CATALOGUE
from tests.conftest import start_server
from tests.docs.guide import ROOT, Guide
from tests.system.stack import BROWSER, free_ports, wait_until
from tools.servers import (
    Postgres,
    Redis,
    choose,
    find_postgres,
    find_redis,
    free_port,
    readable_by_servers,
    servers_user,
    spawn,
)
from tools.units import METRICS_PORTS

UNITS = ROOT / "tools/systemd"
SERVICES = ("pixel", "enricher", "rollup")
INSTALL = Guide("install.md")
OURS = "<!-- run by tests/docs/test_install.py -->"


class Unit:
    """A unit file: its lines by name, in their order."""

    def __init__(self, name: str) -> None:
        self.text = (UNITS / name).read_text()
        self._lines = re.findall(r"^(\w+)=(.*)$", self.text, re.MULTILINE)

    def all(self, name: str) -> list[str]:
        return [value for found, value in self._lines if found == name]

    def one(self, name: str) -> str:
        (value,) = self.all(name)
        return value


def units() -> list[str]:
    return sorted(path.name for path in UNITS.iterdir() if path.suffix in (".service", ".socket"))


def our_blocks() -> list[str]:
    """The commands of the page that are run here."""
    return re.findall(rf"^{OURS}\n```sh\n(.*?)^```$", INSTALL.text, re.MULTILINE | re.DOTALL)


def psql() -> str | None:
    """PostgreSQL's client; Debian has it in the server's folder too."""
    beside = sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"))
    return shutil.which("psql") or (str(beside[-1]) if beside else None)


@dataclass
class Machine:
    """Paths, ports and processes in place of a machine's."""

    folder: Path
    postgres: Postgres
    redis: Redis
    ports: dict[str, int]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    sockets: list[socket.socket] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.folder / "var/lib/footfall"

    def here(self, text: str) -> str:
        """A text of page or units, with what this machine has in place of that one's."""
        user = servers_user()
        for old, new in (
            ("/opt/footfall/.venv/bin/python", sys.executable), (" .venv/bin/python", f" {sys.executable}"),
            ("/opt/footfall", str(ROOT)), ("/var/lib/footfall", str(self.state)),
            ("/etc/footfall", str(self.folder / "etc/footfall")),
            ("/etc/redis/redis.conf", str(self.redis.folder / "redis.conf")),
            ("/etc/redis/", f"{self.redis.folder}/"),
            ("chown redis:redis", f"chown {user.pw_name}" if user else "true"),
            ("--owner=footfall ", ""), ("--group=footfall ", ""), ("runuser -u footfall -- ", ""),
            ("runuser -u postgres -- psql", psql() or "psql"),
            ("127.0.0.1:5432", f"127.0.0.1:{self.postgres.port}"), ("=5432", f"={self.postgres.port}"),
            ("127.0.0.1:6379", f"127.0.0.1:{self.redis.port}"), ("=6379", f"={self.redis.port}"),
            ("127.0.0.1:8000", f"127.0.0.1:{self.ports['door']}"), ("=8000", f"={self.ports['door']}"),
            *((f"METRICS_PORT={port}", f"METRICS_PORT={self.ports[name]}") for name, port in METRICS_PORTS.items()),
        ):  # fmt: skip
            text = text.replace(old, new)
        return text

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """By a shell, as the page's reader does."""
        environ = {
            "PATH": os.environ["PATH"], "PGHOST": "127.0.0.1", "PGPORT": str(self.postgres.port),
            "PGUSER": "postgres", "PGPASSWORD": "of-debian", "PGDATABASE": "postgres",
        }  # fmt: skip
        return subprocess.run(
            ["sh", "-euc", self.here(script)], env=environ, capture_output=True, text=True, check=False
        )

    def environment(self, service: str) -> dict[str, str]:
        """What systemd gives a unit's process: a file beats what stands in the unit, credentials are copied."""
        unit = Unit(f"footfall-{service}.service")
        credentials = self.folder / "credentials" / service
        credentials.mkdir(parents=True, exist_ok=True)
        for credential in unit.all("LoadCredential"):
            name, _, path = credential.partition(":")
            (credentials / name).write_bytes(Path(self.here(path)).read_bytes())
        words = [word for line in unit.all("Environment") for word in shlex.split(line)]
        file = Path(self.here(unit.one("EnvironmentFile"))).read_text()
        given = dict(self.here(word).replace("%d", str(credentials)).split("=", 1) for word in words)
        # The installed file has this machine's values already.
        given |= dict(
            shlex.split(line)[0].split("=", 1) for line in file.splitlines() if line and line[0] != "#"
        )
        return {"PATH": os.environ["PATH"], "CREDENTIALS_DIRECTORY": str(credentials), **given}

    def command(self, service: str) -> list[str]:
        return shlex.split(self.here(Unit(f"footfall-{service}.service").one("ExecStart")))

    def start(self, service: str) -> None:
        handing: list[str | Path] = []
        if service == "pixel":
            numbers = ",".join(str(item.fileno()) for item in self.sockets)
            handing = [sys.executable, "-I", "-S", ROOT / "tools/hand_over.py", numbers]
        self.processes[service] = spawn(
            [*handing, *self.command(service)],
            environ={**self.environment(service), "PYTHONPATH": str(ROOT)},
            log=self.folder / f"{service}.log",
            inherited=self.sockets,
        )

    def listen(self) -> None:
        """As the socket's unit says."""
        for address in Unit("footfall-pixel.socket").all("ListenStream"):
            if address.startswith("/"):
                self.sockets.append(socket.socket(socket.AF_UNIX))
                self.sockets[-1].bind(self.here(address))
            else:
                self.sockets.append(socket.create_server(("127.0.0.1", self.ports["door"])))
            self.sockets[-1].listen(int(Unit("footfall-pixel.socket").one("Backlog")))

    def connect(self) -> psycopg.Connection[Any]:
        password = (self.state / "keys/passwords/database").read_text()
        return psycopg.connect(
            host="127.0.0.1", port=self.postgres.port, user="footfall", dbname="footfall", password=password,
            autocommit=True,
        )  # fmt: skip

    def hit(self, path: str, client: str) -> str:
        """What the pixel says of a hit that nginx hands over."""
        url = f"http://127.0.0.1:{self.ports['door']}/a?url=https://blog.example{path}"
        request = urllib.request.Request(url, headers={"User-Agent": BROWSER, "X-Forwarded-For": client})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(answer.headers["X-Footfall"])

    def stop(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            process.wait(20)
        for item in self.sockets:
            item.close()


@pytest.fixture(scope="module")
def bare() -> Iterator[Machine]:
    """A machine with PostgreSQL and Redis as a distribution has them, and nothing of ours."""
    if psql() is None:
        pytest.skip("no psql on this machine (Debian: postgresql-client)")
    folder = Path(tempfile.mkdtemp(prefix="footfall-install-"))
    folder.chmod(0o755)
    (folder / "var/lib").mkdir(parents=True)
    programs = readable_by_servers(choose(find_postgres(), "postgres"), folder)
    postgres = Postgres(programs, folder / "postgres", free_port(), "of-debian", durable=False)
    programs = readable_by_servers(choose(find_redis(), "redis"), folder)
    cache = Redis(programs, folder / "redis", free_port(), appendfsync="everysec")
    cache.initialise()
    with contextlib.ExitStack() as stack:
        process = start_server(postgres, folder / "postgres.log")
        stack.callback(process.wait, 20)
        stack.callback(process.send_signal, signal.SIGINT)
        url = f"postgresql://footfall:of-debian@127.0.0.1:{postgres.port}/postgres"
        with psycopg.connect(url, autocommit=True) as connection:  # Debian's first role is called postgres
            connection.execute("create role other superuser login password 'other'")
        other = f"postgresql://other:other@127.0.0.1:{postgres.port}/postgres"
        with psycopg.connect(other, autocommit=True) as connection:
            connection.execute("alter role footfall rename to postgres")
            connection.execute("alter role postgres password 'of-debian'")
        names = ["door", *SERVICES]  # the pixel's own port, and those of the metrics
        machine = Machine(folder, postgres, cache, dict(zip(names, free_ports(4), strict=True)))
        yield machine
        machine.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def machine(bare: Machine) -> Iterator[Machine]:
    """With all that the page says, and its units started in their order."""
    for block in our_blocks():
        if "PIXEL_PORT=" in block:
            continue  # the file .env of Docker
        done = bare.run(block)
        assert done.returncode == 0, f"{block}\n{done.stderr}"
    settings = bare.folder / "etc/footfall/footfall.env"
    settings.write_text(bare.here(settings.read_text()).replace("COUNTRY_REFRESH=on", "COUNTRY_REFRESH=off"))
    bare.redis.password = (bare.state / "keys/passwords/redis").read_text()
    process = spawn(bare.redis.command(), as_server=True, log=bare.folder / "redis.log")
    try:
        wait_until(bare.redis.is_ready)
        migrated = subprocess.run(
            bare.command("migrate"), cwd=ROOT, env=bare.environment("migrate"), capture_output=True, text=True,
            check=False, timeout=60,
        )  # fmt: skip
        assert migrated.returncode == 0, migrated.stderr
        bare.listen()
        for service in SERVICES:
            bare.start(service)
        yield bare
        bare.stop()
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.system
def test_the_units_count_a_hit(machine: Machine) -> None:
    assert machine.hit("/first", "203.0.113.7") == "accepted"
    assert machine.hit("/second", "203.0.113.8") == "accepted"
    with machine.connect() as connection:
        wait_until(
            lambda: (
                connection.execute("select pageviews, visitors from daily_traffic").fetchall() == [(2, 2)]
            ),
            60,
        )


@pytest.mark.system
def test_a_pixel_that_is_started_anew_refuses_nobody(machine: Machine) -> None:
    assert machine.hit("/before", "203.0.113.7") == "accepted"
    machine.processes["pixel"].terminate()
    machine.processes["pixel"].wait(20)
    said: list[str] = []
    asking = threading.Thread(target=lambda: said.append(machine.hit("/between", "203.0.113.7")))
    asking.start()
    machine.start("pixel")
    asking.join(30)
    assert said == ["accepted"]


@pytest.mark.system
def test_redis_keeps_what_was_answered(machine: Machine) -> None:
    client: Any = redis.Redis(port=machine.redis.port, password=machine.redis.password)
    names = ("appendonly", "appendfsync", "maxmemory", "maxmemory-policy")
    found = {name: client.config_get(name)[name] for name in names}
    assert found == {
        "appendonly": "yes", "appendfsync": "always", "maxmemory": str(1024**3), "maxmemory-policy": "noeviction",
    }  # fmt: skip
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=machine.redis.port).ping()


@pytest.mark.system
def test_the_commands_work_beside_the_units(machine: Machine) -> None:
    script = machine.here((UNITS / "footfall").read_text())
    environ = {"PATH": os.environ["PATH"], "HOME": str(machine.folder)}

    def footfall(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", script, "footfall", *words], env=environ, capture_output=True, text=True, check=False
        )

    urls = footfall("urls")
    assert f"PIXEL_URL=http://127.0.0.1:{machine.ports['door']}" in urls.stdout.splitlines(), urls.stderr
    checked = footfall("check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "annotations" in footfall("annotate").stdout


@pytest.mark.system
def test_each_service_has_only_the_passwords_that_it_needs(machine: Machine) -> None:
    wanted = {"pixel": {"redis"}, "enricher": {"redis", "enricher"}, "rollup": {"redis", "rollup"}}
    for service, names in wanted.items():
        unit = Unit(f"footfall-{service}.service")
        assert {line.partition(":")[0] for line in unit.all("LoadCredential")} == names
        hidden = [path.lstrip("-") for path in unit.all("InaccessiblePaths")]
        assert any("/var/lib/footfall/keys/passwords".startswith(path) for path in hidden)
    assert (machine.state / "keys").stat().st_mode & 0o077 == 0


# The files themselves -------------------------------------------------------------------------------------------


def test_the_units_name_settings_that_are_there() -> None:
    known = {setting.name for setting in CATALOGUE} | {f"{setting.name}_FILE" for setting in CATALOGUE}
    lines = [line for name in units() for line in Unit(name).all("Environment")]
    lines += re.findall(r"^[A-Z_]+=.*$", (UNITS / "footfall.env").read_text(), re.MULTILINE)
    assert {word.partition("=")[0] for line in lines for word in shlex.split(line)} - known == set()


def test_the_metrics_ports_of_the_units_are_those_that_the_tools_know() -> None:
    for service, port in METRICS_PORTS.items():
        assert f"METRICS_PORT={port}" in Unit(f"footfall-{service}.service").text
        assert str(port) in INSTALL.text


def test_each_unit_stands_in_the_page() -> None:
    rows = INSTALL.table("unit", "runs")
    assert {row[0].strip("`") for row in rows} == {name.removesuffix(".service") for name in units()}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze (Debian: systemd)")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for name in units():
        text = Unit(name).text.replace("/opt/footfall/.venv/bin/python", sys.executable)
        (tmp_path / name).write_text(text.replace("file:/opt/footfall", f"file:{ROOT}"))
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *sorted(tmp_path.iterdir())],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    newer = re.compile(r"Unknown key '(RestartSteps|RestartMaxDelaySec)'")  # of systemd 254
    problems = [line for line in said.stderr.splitlines() if str(tmp_path) in line and not newer.search(line)]
    assert said.returncode == 0, said.stderr
    assert problems == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze (Debian: systemd)")
@pytest.mark.parametrize("service", ["pixel", "enricher", "rollup", "migrate"])
def test_the_units_are_closed_in(service: str) -> None:
    said = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", UNITS / f"footfall-{service}.service"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "unrecognized option" in said.stderr:
        pytest.skip("systemd before 250")
    assert said.returncode == 0, said.stdout[-300:]
    for line in (
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "StateDirectory=footfall",
        "CapabilityBoundingSet=",
    ):
        assert line in Unit(f"footfall-{service}.service").text.splitlines()
