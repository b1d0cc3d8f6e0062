"""A whole stack of the bench's own: `make run` with the default settings in a temporary folder, on free ports."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import psycopg
import redis

from bench.cpu import own_cpu_s, rss_bytes, tree_cpu_s
from bench.load import BenchError
from services.hit_stream import STREAM
from services.settings import CATALOGUE
from tools.servers import free_port, poll, spawn

CACHE = Path(__file__).with_name("cache")
COUNTRY_DATABASE = CACHE / "country.mmdb"  # downloaded once
SERVICES = ("pixel", "enricher", "rollup")
START_WITHIN_S = 120.0
STOP_WITHIN_S = 20.0
SETTLE_WITHIN_S = 180.0
LOOK_EVERY_S = 0.02

ENRICHERS = "select count(*) from pg_stat_activity where application_name = 'footfall enricher'"

Connection = psycopg.Connection[Any]


@contextlib.contextmanager
def paused(*pids: int) -> Iterator[None]:
    """Processes stand still (SIGSTOP)."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@dataclass(frozen=True)
class Cpu:
    """CPU seconds by part. PostgreSQL is shared out: its background (WAL, checkpoints, vacuum) in proportion."""

    pixel: float
    redis: float
    enricher: float
    rollup: float
    postgres: float  # all of it, without the bench's own connections
    enricher_backends: float
    rollup_backends: float

    def __sub__(self, before: Cpu) -> Cpu:
        return Cpu(*(after - earlier for after, earlier in zip(astuple(self), astuple(before), strict=True)))

    @property
    def whole(self) -> float:
        """Of the pipeline."""
        return self.pixel + self.redis + self.enricher + self.rollup + self.postgres

    def postgres_of(self, backends: float) -> float:
        """What these backends used, with their share of PostgreSQL's background."""
        known = self.enricher_backends + self.rollup_backends
        return self.postgres * backends / known if known else 0.0


class Stack:
    """A running stack; made by ``running_stack``."""

    def __init__(self, folder: Path, supervisor: subprocess.Popen[bytes], ready_s: float) -> None:
        urls = json.loads((folder / "run/stack.json").read_text())
        self.folder = folder
        self.ready_s = ready_s  # what it took to start
        self._supervisor = supervisor
        self.port = int(urls["PIXEL_URL"].rpartition(":")[2])
        self._database_url = urls["OWNER_DATABASE_URL"]
        self._redis_url = urls["REDIS_URL"]
        self._redis = self.redis_client()
        self.connection = self.connect()

    def connect(self) -> Connection:
        """A connection as the owner of the tables."""
        return psycopg.connect(self._database_url, autocommit=True, application_name="footfall bench")

    def reconnect(self) -> None:
        """After PostgreSQL was started anew. Raises ``psycopg.OperationalError``."""
        self.connection.close()
        self.connection = self.connect()

    def close(self) -> None:
        self.connection.close()
        self._redis.close()

    def lives(self) -> bool:
        """Whether the supervisor still runs."""
        return self._supervisor.poll() is None

    def number(self, sql: str) -> float:
        """The one number that a query returns."""
        row = self.connection.execute(sql.encode()).fetchone()
        return float(row[0]) if row else 0.0

    def pid(self, name: str) -> int:
        """Process id of a part."""
        return int((self.folder / f"run/{name}.pid").read_text())

    def cpu(self) -> Cpu:
        """CPU seconds used since the start."""
        backends = self.connection.execute("select pid, application_name from pg_stat_activity").fetchall()
        of: dict[str, list[int]] = {}
        for pid, application in backends:
            of.setdefault(application, []).append(pid)
        return Cpu(
            **{name: tree_cpu_s(self.pid(name)) for name in ("pixel", "redis", "enricher", "rollup")},
            postgres=tree_cpu_s(self.pid("postgres"), without=of.get("footfall bench", ())),
            enricher_backends=sum(map(own_cpu_s, of.get("footfall enricher", ()))),
            rollup_backends=sum(
                map(own_cpu_s, of.get("footfall rollup", []) + of.get("footfall schedule", []))
            ),
        )

    def services_cpu_s(self) -> float:
        """CPU seconds of the three services, without the servers."""
        return sum(tree_cpu_s(self.pid(name)) for name in SERVICES)

    def services_rss_bytes(self) -> int:
        """Resident memory of the three services."""
        return sum(rss_bytes(self.pid(name)) for name in SERVICES)

    def all_rows(self) -> bool:
        """Whether each hit on the stream is a row: entries are deleted after their commit."""
        return int(self._redis.xlen(STREAM)) == 0

    def oldest_waiting_s(self) -> float:
        """How long the oldest hit on the stream has waited; 0: none waits."""
        oldest = self._redis.xrange(STREAM, count=1)
        return max(0.0, time.time() - int(oldest[0][0].split(b"-")[0]) / 1000) if oldest else 0.0

    def settled(self) -> bool:
        """Whether each hit is a row and counted in the rollups."""
        return self.all_rows() and not self.number("select count(*) from rollup_pending")

    def wait_for_rows(self) -> None:
        """Raises ``BenchError``."""
        if not poll(self.all_rows, SETTLE_WITHIN_S, LOOK_EVERY_S):
            raise BenchError(f"hits were not rows within {SETTLE_WITHIN_S:.0f} s")

    def settle(self) -> None:
        """Wait until nothing is under way. Raises ``BenchError``."""
        if not poll(self.settled, SETTLE_WITHIN_S, LOOK_EVERY_S):
            raise BenchError(f"hits were not rolled up within {SETTLE_WITHIN_S:.0f} s")

    @contextlib.contextmanager
    def everysec(self) -> Iterator[None]:
        """Redis answers before it has written."""
        self._redis.config_set("appendfsync", "everysec")
        try:
            yield
        finally:
            self._redis.config_set("appendfsync", "always")

    @contextlib.contextmanager
    def second_enricher(self) -> Iterator[int]:
        """Another one beside the first, with the same settings; its process id. Raises ``BenchError``."""
        text = (Path("/proc") / str(self.pid("enricher")) / "environ").read_text().rstrip("\0")
        environ = dict(line.split("=", 1) for line in text.split("\0"))
        environ |= {"CONSUMER_NAME": "second", "METRICS_PORT": "0"}
        process = spawn(
            [sys.executable, "-m", "services.enricher"], environ=environ, log=self.folder / "second.log"
        )
        try:
            if not poll(lambda: self.number(ENRICHERS) > 1, START_WITHIN_S):
                raise BenchError(
                    f"a second enricher did not start:\n{(self.folder / 'second.log').read_text()}"
                )
            yield process.pid
        finally:
            stop(process)

    def redis_client(self) -> Any:
        """A client of the stack's Redis."""
        return redis.Redis.from_url(self._redis_url)

    def versions(self) -> dict[str, str]:
        """Of the servers."""
        row = self.connection.execute("show server_version").fetchone()
        info = self._redis.info("server")
        server = info.get("server_name", "redis")
        version = info.get(f"{server}_version", info["redis_version"])
        return {"postgresql": str(row[0]) if row else "", server: str(version)}


def _environ(folder: Path, grafana_port: int, settings: dict[str, str]) -> dict[str, str]:
    """The default settings, whatever this shell has, but for what a measurement needs."""
    names = {name for setting in CATALOGUE for name in (setting.name, f"{setting.name}_FILE")}
    environ = {name: value for name, value in os.environ.items() if name not in names}
    return environ | {
        "DATA_DIR": str(folder),
        "COUNTRY_DATABASE": str(COUNTRY_DATABASE),
        "PIXEL_PORT": str(free_port()),
        "POSTGRES_PORT": str(free_port()),
        "REDIS_PORT": str(free_port()),
        "GRAFANA_PORT": str(grafana_port),
        "RATE_LIMIT": "0",
        "TRUSTED_PROXIES": "127.0.0.1",  # the generator names its visitors by X-Forwarded-For
        **settings,
    }


def _start(folder: Path, grafana_port: int, settings: dict[str, str]) -> subprocess.Popen[bytes]:
    """Raises ``BenchError``."""
    log = folder / "supervisor.log"
    environ = _environ(folder, grafana_port, settings)
    process = spawn([sys.executable, "-m", "tools.run"], environ=environ, log=log)
    ready = folder / "run/stack.json"
    poll(lambda: ready.exists() or process.poll() is not None, START_WITHIN_S)
    if not ready.exists():
        process.terminate()
        raise BenchError(f"the stack did not start:\n{log.read_text()[-2000:]}")
    return process


def _troubles(log: Path) -> str:
    """What the services said that is no news of work well done."""
    # Lines with addresses are the greeting, which holds a password.
    lines = [
        line for line in log.read_text().splitlines() if '"level": "info"' not in line and "://" not in line
    ]
    return "\n".join(lines[-20:])


def stop(process: subprocess.Popen[bytes]) -> None:
    """End it, by force when it takes too long."""
    process.terminate()
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def running_stack(**settings: str) -> Iterator[Stack]:
    """A stack that lives as long as the block, with the default settings but for these. Raises ``BenchError``."""
    CACHE.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="footfall-bench-"))
    folder.chmod(0o755)  # the servers may run as another user
    with contextlib.ExitStack() as closing:
        closing.callback(shutil.rmtree, folder, ignore_errors=True)
        # Grafana is no part of the pipeline: where it is installed, a taken port keeps it from being started.
        held = closing.enter_context(socket.create_server(("127.0.0.1", 0)))
        began = time.monotonic()
        process = _start(folder, held.getsockname()[1], settings)
        ready_s = time.monotonic() - began
        closing.callback(stop, process)
        stack = Stack(folder, process, ready_s)
        closing.callback(stack.close)
        try:
            yield stack
        except BenchError as error:
            raise BenchError(f"{error}\n{_troubles(folder / 'supervisor.log')}") from error
