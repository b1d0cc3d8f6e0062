"""A stack for faults: as `make run` starts it, but each service reaches its servers through a proxy of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import redis

from services.hit_stream import STREAM
from services.key_files import make_passwords
from services.settings import CATALOGUE, Settings, load_settings
from tools.fault_proxy import FaultProxy
from tools.run_stack import (
    Stack,
    make_database,
    migrate,
    pixel_sockets,
    server_child,
    servers_of,
    service_child,
    take_folder,
)
from tools.servers import Postgres, Redis, free_port, own_folder, poll, spawn
from tools.stack import STACK_FILE
from tools.supervisor import Child, Supervisor, write_atomically

SERVICES = ("enricher", "rollup", "pixel")
# What a service asks of a server: (service, server).
WIRES = (
    ("pixel", "redis"),
    ("enricher", "redis"),
    ("enricher", "postgres"),
    ("rollup", "redis"),
    ("rollup", "postgres"),
)
NEVER = float("inf")
ANSWER_WITHIN_S = 30.0


def take_environment(data_dir: Path) -> Settings:
    """The default settings, whatever this shell has, but for ports of our own; written to the environment."""
    for setting in CATALOGUE:
        for name in (setting.name, f"{setting.name}_FILE"):
            os.environ.pop(name, None)
    os.environ |= {
        "DATA_DIR": str(data_dir),
        "PIXEL_PORT": str(free_port()),
        "POSTGRES_PORT": str(free_port()),
        "REDIS_PORT": str(free_port()),
        "RATE_LIMIT": "0",
        "TRUSTED_PROXIES": "127.0.0.1",
    }
    return load_settings()


def descendants(pid: int) -> list[int]:
    """A process and all below it, as they are now."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


class Ground:
    """The running stack, and the handles by which faults are done to it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.supervisor = Supervisor(settings.data_dir / "run")
        self._ports = {name: free_port() for name in SERVICES}
        self.stack = Stack(settings, self._ports, None)
        self.wires = {wire: FaultProxy(self._port_of(wire[1])) for wire in WIRES}
        self.redis: Any = None
        self._lock = take_folder(settings)
        self._extra = 0

    def _port_of(self, server: str) -> int:
        return self.settings.redis_port if server == "redis" else self.settings.postgres_port

    def start(self) -> None:
        """Everything up. From the main thread. Raises ``ServerError``."""
        logs = self.settings.data_dir / "log"
        logs.mkdir(exist_ok=True)
        self.settings.key_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_passwords(self.settings.key_dir)
        own_folder(self.settings.data_dir / "postgres")
        postgres, server = servers_of(self.settings)
        self.servers: dict[str, Postgres | Redis] = {"postgres": postgres, "redis": server}
        self.supervisor.add(
            server_child(postgres, "postgres", signal.SIGINT, signal.SIGQUIT, logs / "postgres.log"),
            server_child(server, "redis", signal.SIGTERM, signal.SIGKILL, logs / "redis.log"),
        )
        make_database(self.stack, postgres)
        migrate(self.stack)
        self.redis = redis.Redis.from_url(self.stack.urls()["REDIS_URL"], socket_timeout=5)
        self.supervisor.sockets = pixel_sockets(self.settings)
        self.supervisor.add(*(self._service(name) for name in SERVICES))
        text = json.dumps(self.stack.urls())
        write_atomically(self.settings.data_dir / "run" / STACK_FILE, text, mode=0o600)

    def _service(self, name: str) -> Child:
        sockets = self.supervisor.sockets if name == "pixel" else []
        return service_child(self.through_proxies(name), name, sockets)

    def stop(self) -> None:
        """Everything down, in order."""
        self.supervisor.stop()
        for proxy in self.wires.values():
            proxy.close()
        self._lock.close()

    def through_proxies(self, name: str) -> Stack:
        """The stack as a service sees it."""
        ports: dict[str, Any] = {
            f"{server}_port": proxy.port for (service, server), proxy in self.wires.items() if service == name
        }
        return dataclasses.replace(self.stack, settings=dataclasses.replace(self.settings, **ports))

    # Looking ----------------------------------------------------------------------------------------------------

    def child(self, name: str) -> Child:
        return next(child for child in self.supervisor.children if child.name == name)

    def connect(self) -> psycopg.Connection[Any]:
        """As the owner, past the proxies; PostgreSQL is waited for. Raises ``psycopg.OperationalError``."""
        url = self.stack.urls()["OWNER_DATABASE_URL"]
        deadline = time.monotonic() + ANSWER_WITHIN_S
        while True:
            try:
                return psycopg.connect(
                    url, autocommit=True, connect_timeout=3, application_name="footfall chaos"
                )
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def number(self, sql: str) -> int:
        """The one number that a question returns."""
        with self.connect() as connection:
            row = connection.execute(sql.encode()).fetchone()
        return int(row[0]) if row and row[0] is not None else 0

    def readiness(self) -> str:
        """What the pixel says of itself; empty when it does not answer."""
        try:
            with urllib.request.urlopen(f"{self.stack.urls()['PIXEL_URL']}/readyz", timeout=5) as answer:  # noqa: S310 - our own
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            return str(error.read().decode())
        except OSError:
            return ""

    def is_stored(self) -> bool:
        """Whether all that was taken is in PostgreSQL."""
        return self.readiness() == "ready\n" and self.redis.xlen(STREAM) == 0

    def is_settled(self) -> bool:
        """Whether it is counted in the rollups too."""
        try:
            return self.is_stored() and self.number("select count(*) from rollup_pending") == 0
        except (redis.RedisError, psycopg.OperationalError):
            return False

    # Doing ------------------------------------------------------------------------------------------------------

    def send_signal(self, name: str, number: int) -> None:
        """To the part's process."""
        process = self.child(name).process
        if process is not None and process.poll() is None:
            process.send_signal(number)

    @contextlib.contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """A part stands still, with all its children."""
        process = self.child(name).process
        pids = descendants(process.pid) if process is not None and process.poll() is None else []
        try:
            _signal(pids, signal.SIGSTOP)
            yield
        finally:
            _signal(pids, signal.SIGCONT)

    def take_away(self, name: str) -> None:
        """Stop a server and do not start it again."""
        child = self.child(name)
        child.start_again_at = NEVER
        if child.process is not None:
            child.process.send_signal(child.stop_signal)
            child.process.wait(60)

    def give_back(self, name: str) -> None:
        """Start it again; returns when it takes connections."""
        self.child(name).start_again_at = 0.0
        if not poll(self.servers[name].is_ready, 120, 0.02):
            raise TimeoutError(f"{name} did not come back")

    def one_more(self, service: str) -> subprocess.Popen[bytes]:
        """A second process of a service, which the supervisor does not know."""
        self._extra += 1
        environ = self.through_proxies(service).environ(service)
        environ |= {"CONSUMER_NAME": f"chaos-{self._extra}", "METRICS_PORT": "0"}
        return spawn([sys.executable, "-m", f"services.{service}"], environ=environ)


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
