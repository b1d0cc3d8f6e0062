"""The parts of a stack on one machine: its servers, its services, their addresses and passwords."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

import psycopg

from services.key_files import read_password
from services.listening import CannotListen, listen_on_path, listen_on_port
from services.settings import Settings
from tools.servers import (
    Postgres,
    Redis,
    ServerError,
    choose,
    find_postgres,
    find_redis,
    port_is_free,
    readable_by_servers,
    spawn,
)
from tools.stack import LOCK_FILE, STACK_FILE, pixel_socket
from tools.supervisor import Child, write_atomically

ROOT = Path(__file__).resolve().parents[1]
# As whom a service works in PostgreSQL, and the name of the password; others as the owner of the server.
SERVICE_ROLES = {"enricher": ("footfall_enricher", "enricher"), "rollup": ("footfall_rollup", "rollup")}


@dataclass(frozen=True)
class Stack:
    """What is started: addresses and passwords."""

    settings: Settings
    metrics_ports: dict[str, int]
    grafana: Path | None

    def database_url(self, role: str, password: str) -> str:
        return f"postgresql://{role}:{quote(password)}@127.0.0.1:{self.settings.postgres_port}/footfall"

    def password(self, name: str) -> str:
        return read_password(self.settings.key_dir, name)

    def urls(self) -> dict[str, str]:
        """What `make urls` prints."""
        redis = f"redis://:{self.password('redis')}@127.0.0.1:{self.settings.redis_port}/0"
        urls = {
            "PIXEL_URL": f"http://127.0.0.1:{self.settings.pixel_port}",
            "DATABASE_URL": self.database_url("analyst", self.password("analyst")),
            "OWNER_DATABASE_URL": self.database_url("footfall", self.password("database")),
            "REDIS_URL": redis,
            "GRAFANA_URL": f"http://127.0.0.1:{self.settings.grafana_port}" if self.grafana else "",
        }
        for name, port in self.metrics_ports.items():
            urls[f"{name.upper().replace('-', '_')}_METRICS_URL"] = f"http://127.0.0.1:{port}/metrics"
        return urls

    def environ(self, name: str) -> dict[str, str]:
        """The environment of a service, or of one of several."""
        data_dir = self.settings.data_dir.resolve()
        role, password = SERVICE_ROLES.get(name, ("footfall", "database"))
        ours = {
            "DATA_DIR": str(data_dir),
            "KEY_DIR": str(self.settings.key_dir.resolve()),
            "COUNTRY_DATABASE": str(self.settings.country_database.resolve()),
            "REDIS_URL": f"redis://127.0.0.1:{self.settings.redis_port}/0",
            "DATABASE_URL": f"postgresql://{role}@127.0.0.1:{self.settings.postgres_port}/footfall",
            "DATABASE_PASSWORD": self.password(password),
            "REDIS_PASSWORD": self.password("redis"),
            "METRICS_PORT": str(self.metrics_ports.get(name, 0)),
            "PYTHONUNBUFFERED": "1",
        }
        return {**os.environ, **ours, "PYTHONPATH": str(ROOT)}


def take_folder(settings: Settings) -> IO[str]:
    """DATA_DIR for this supervisor alone, until the returned file is closed. Raises ``ServerError``."""
    run_folder = settings.data_dir / "run"
    try:
        run_folder.mkdir(parents=True, exist_ok=True)
        lock = (run_folder / LOCK_FILE).open("w")
    except OSError as error:
        raise ServerError(f"DATA_DIR: cannot write to {run_folder}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise ServerError(
            f"DATA_DIR: `make run` runs already in {settings.data_dir}; stop it, or set another DATA_DIR"
        ) from None
    (run_folder / STACK_FILE).unlink(missing_ok=True)  # of a supervisor that was killed
    return lock


def recorded_servers(data_dir: Path) -> dict[str, dict[str, object]]:
    """Which servers made DATA_DIR; empty for a new one."""
    with contextlib.suppress(FileNotFoundError):
        loaded: dict[str, dict[str, object]] = json.loads((data_dir / "servers.json").read_text())
        return loaded
    return {}


def check_ports(settings: Settings) -> None:
    """Raises ``ServerError`` with every port that is taken."""
    wanted = {
        "PIXEL_PORT": settings.pixel_port,
        "POSTGRES_PORT": settings.postgres_port,
        "REDIS_PORT": settings.redis_port,
    }
    problems = [
        f"{name}: port {port} is taken on 127.0.0.1; stop what listens there or set another {name}"
        for name, port in wanted.items()
        if not port_is_free(port)
    ]
    if len(set(wanted.values())) < len(wanted):
        problems.append(f"{', '.join(wanted)}: must be three different ports")
    if problems:
        raise ServerError("\n".join(problems))


def servers_of(settings: Settings) -> tuple[Postgres, Redis]:
    """The servers for DATA_DIR, made ready to start; DATA_DIR remembers which. Raises ``ServerError``."""
    data_dir = settings.data_dir.resolve()
    recorded = recorded_servers(data_dir)
    copies = data_dir / "servers"
    chosen = {}
    for kind, found in (("postgres", find_postgres()), ("redis", find_redis())):
        chosen[kind] = choose(found, kind, recorded.get(kind))
    copies.mkdir(exist_ok=True)
    binaries = {kind: readable_by_servers(item, copies) for kind, item in chosen.items()}
    postgres = Postgres(
        binaries["postgres"],
        data_dir / "postgres",
        settings.postgres_port,
        read_password(settings.key_dir, "database"),
    )
    redis = Redis(
        binaries["redis"],
        data_dir / "redis",
        settings.redis_port,
        read_password(settings.key_dir, "redis"),
        max_memory_mb=settings.redis_max_memory_mb,
    )
    postgres.initialise()
    redis.initialise()
    record = {kind: item.as_record() for kind, item in chosen.items()}
    write_atomically(data_dir / "servers.json", json.dumps(record, indent=2) + "\n")
    return postgres, redis


def server_child(
    server: Postgres | Redis, name: str, stop_signal: int, death_signal: int, log: Path
) -> Child:
    """A database server as a child; its words go to a file."""

    def start() -> subprocess.Popen[bytes]:
        return spawn(server.command(), as_server=True, death_signal=death_signal, log=log)

    return Child(name, start, stop_signal, server.is_ready)


def pixel_sockets(settings: Settings) -> list[socket.socket]:
    """What the pixel listens on, for readers and for the owner's tools. Raises ``ServerError``."""
    try:
        return [
            listen_on_port(settings.pixel_host, settings.pixel_port),
            listen_on_path(pixel_socket(settings.data_dir), "DATA_DIR"),
        ]
    except CannotListen as error:
        raise ServerError(str(error)) from error


def handing_over(sockets: list[socket.socket]) -> list[str | Path]:
    """What stands before a program that is to get these sockets."""
    numbers = ",".join(str(item.fileno()) for item in sockets)
    return [sys.executable, "-I", "-S", ROOT / "tools/hand_over.py", numbers] if sockets else []


def pixel_names(settings: Settings) -> list[str]:
    """Of the pixels that share one port: `pixel`, `pixel-2` and so on."""
    return ["pixel", *(f"pixel-{number}" for number in range(2, settings.pixel_workers + 1))]


def service_child(stack: Stack, name: str, sockets: list[socket.socket]) -> Child:
    """One of our services as a child; its words go where the supervisor's go."""

    def start() -> subprocess.Popen[bytes]:
        # With the supervisor gone there is nobody to stop them in order, and nothing that a kill could lose.
        return spawn(
            [*handing_over(sockets), sys.executable, "-m", f"services.{name.partition('-')[0]}"],
            death_signal=signal.SIGKILL,
            environ=stack.environ(name),
            inherited=sockets,
        )

    def is_ready() -> bool:
        return not port_is_free(stack.metrics_ports[name])

    return Child(name, start, signal.SIGTERM, is_ready)


def make_database(stack: Stack, postgres: Postgres) -> None:
    """The database itself, unless it is there."""
    url = stack.database_url("footfall", stack.password("database")).rsplit("/", 1)[0] + "/postgres"
    with psycopg.connect(url, autocommit=True) as connection:
        if not connection.execute("select 1 from pg_database where datname = 'footfall'").fetchone():
            connection.execute("create database footfall")


def migrate(stack: Stack) -> None:
    """Bring the database to this version. Raises ``ServerError``."""
    done = subprocess.run(
        [sys.executable, "-m", "services.migrate"], env=stack.environ("migrate"), check=False, cwd=ROOT
    )
    if done.returncode:
        raise ServerError("the migration failed; its error stands above")
