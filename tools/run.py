"""`make run`: the whole product on one machine without Docker.

A supervisor: starts PostgreSQL and Redis from packages, migrates, gets a country database, starts pixel, enricher
and rollup (and Grafana where its program is found), starts again what dies, and stops all in order.
Its children end with it, also when it is killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO
from urllib.parse import quote

import psycopg

from services.key_files import make_passwords, read_password
from services.listening import AWAY_AFTER_S, CannotListen, listen_on_path, listen_on_port, turn_away
from services.settings import Settings, SettingsError, load_settings
from tools import country_data
from tools.servers import (
    Postgres,
    Redis,
    ServerError,
    choose,
    die_with_parent,
    find_postgres,
    find_redis,
    free_port,
    own_folder,
    poll,
    port_is_free,
    readable_by_servers,
    spawn,
)
from tools.stack import LOCK_FILE, RENEWED_FILE, STACK_FILE, SUPERVISOR_FILE, pixel_socket

ROOT = Path(__file__).resolve().parents[1]
# The order of starting; the order of stopping is pixel, enricher, rollup, grafana, redis, postgres.
STOP_ORDER = ("pixel", "enricher", "rollup", "grafana", "redis", "postgres")
# Together under the 15 s in which all must have stopped; then SIGKILL.
STOP_WITHIN_S = {"pixel": 3.0, "enricher": 2.5, "rollup": 2.2, "grafana": 1.0, "redis": 1.5, "postgres": 2.5}
EXCHANGE_WITHIN_S = 10.0  # for the old one to end when a new one works already
START_WITHIN_S = 60.0
# As whom a service works in PostgreSQL, and the name of the password; others as the owner of the server.
SERVICE_ROLES = {"enricher": ("footfall_enricher", "enricher"), "rollup": ("footfall_rollup", "rollup")}
SETTLED_AFTER_S = 10.0  # a child that ran this long begins again with the shortest pause
LONGEST_PAUSE_S = 10.0


def say(text: str) -> None:
    """A line for the person at the terminal."""
    print(text, file=sys.stderr, flush=True)


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Nobody ever reads half of it."""
    scratch = path.with_name(f".{path.name}.new")
    scratch.touch(mode=mode)
    scratch.write_text(text)
    scratch.rename(path)


@dataclass
class Child:
    """A process that is kept running."""

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    stop_signal: int
    is_ready: Callable[[], bool]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    pause_s: float = 0.1
    start_again_at: float | None = None
    failing_since: float = 0.0  # its first end since it ran for a while

    def launch(self, run_folder: Path) -> None:
        """Start it and note its process id."""
        self.note(self.start(), run_folder)

    def note(self, process: subprocess.Popen[bytes], run_folder: Path) -> None:
        """This is its process now."""
        self.process = process
        self.started_at = time.monotonic()
        self.start_again_at = None
        write_atomically(run_folder / f"{self.name}.pid", f"{self.process.pid}\n")


def stop_child(child: Child, within_s: float) -> None:
    """End it, by force when it takes longer."""
    if child.process is None or child.process.poll() is not None:
        return
    child.process.send_signal(child.stop_signal)
    try:
        child.process.wait(within_s)
    except subprocess.TimeoutExpired:
        say(f"{child.name} did not stop in {within_s} s: killed")
        child.process.kill()
        child.process.wait()


@dataclass
class Supervisor:
    """Keeps children running until told to stop."""

    run_folder: Path
    children: list[Child] = field(default_factory=list)
    # On which the pixel accepts: they stay open while it is started again, and connections wait in them.
    sockets: list[socket.socket] = field(default_factory=list)
    # Set by a signal handler: a plain flag, because an Event's lock may be held by the very code it interrupts.
    stopping: bool = False
    renewal_asked: bool = False

    def add(self, *children: Child) -> None:
        """Start children together and wait until all are ready. Raises ``ServerError``."""
        for child in children:
            self.children.append(child)
            child.launch(self.run_folder)
        for child in children:
            self._await(child)

    def drop(self, child: Child) -> None:
        """Stop a child and keep it running no longer."""
        stop_child(child, STOP_WITHIN_S[child.name])
        self.children.remove(child)
        (self.run_folder / f"{child.name}.pid").unlink(missing_ok=True)

    def _await(self, child: Child) -> None:
        def settled() -> bool:
            ended = child.process is None or child.process.poll() is not None
            return ended or self.stopping or child.is_ready()

        poll(settled, START_WITHIN_S, 0.03)
        if self.stopping:
            raise KeyboardInterrupt
        if child.process is None or child.process.poll() is not None or not child.is_ready():
            raise ServerError(f"{child.name} did not start; its last words stand above, or in DATA_DIR/log")

    def request_stop(self, *_: object) -> None:
        """A signal's handler."""
        self.stopping = True

    def request_renewal(self, *_: object) -> None:
        """A signal's handler."""
        self.renewal_asked = True

    def watch(self, renew: Callable[[], None]) -> None:
        """Until ``stopping``: start again what ended, at once the first time, then with a longer pause.

        Calls ``renew`` when that was asked for.
        """
        while not self.stopping:
            time.sleep(0.05)
            self._look_after_all()
            if self.renewal_asked:
                self.renewal_asked = False
                renew()

    def _look_after_all(self) -> None:
        for child in self.children:
            self._look_after(child)

    def exchange(self, successor: Child) -> None:
        """Start it beside the child of its name, and when it is ready stop that one, which goes on otherwise.

        Raises ``ServerError`` when it does not get ready.
        """
        started = successor.start()

        def settled() -> bool:
            self._look_after_all()  # the others may need it meanwhile
            return started.poll() is not None or self.stopping or successor.is_ready()

        poll(settled, START_WITHIN_S)
        if started.poll() is not None or not successor.is_ready():
            started.kill()
            started.wait()
            raise ServerError(f"the new {successor.name} did not get ready; the old one goes on")
        [place] = [place for place, child in enumerate(self.children) if child.name == successor.name]
        former = self.children[place]
        successor.note(started, self.run_folder)
        self.children[place] = successor
        stop_child(former, EXCHANGE_WITHIN_S)

    def _look_after(self, child: Child) -> None:
        now = time.monotonic()
        if child.start_again_at is not None:
            if now >= child.start_again_at:
                child.launch(self.run_folder)
            elif child.name == "pixel" and now - child.failing_since > AWAY_AFTER_S:
                self._turn_readers_away()
            return
        if child.process is None or child.process.poll() is None:
            return
        if now - child.started_at > SETTLED_AFTER_S:
            child.pause_s = 0.1
        if child.pause_s == 0.1:
            child.failing_since = now
        code = child.process.returncode
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        say(f"{child.name} ended ({how}); starting it again in {child.pause_s:.1f} s")
        child.start_again_at = now + child.pause_s
        child.pause_s = min(child.pause_s * 3, LONGEST_PAUSE_S)

    def _turn_readers_away(self) -> None:
        number = sum(turn_away(item) for item in self.sockets)
        if number:
            say(f"no pixel accepts: {number} connections answered 503")

    def stop(self) -> None:
        """Stop all children in order."""
        for item in self.sockets:
            item.close()  # the pixel's own copies go with it: nobody is left waiting for what does not come
        by_name = {child.name: child for child in self.children}
        for name in STOP_ORDER:
            if child := by_name.get(name):
                stop_child(child, STOP_WITHIN_S[name])
        for name in by_name:
            (self.run_folder / f"{name}.pid").unlink(missing_ok=True)


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
            urls[f"{name.upper()}_METRICS_URL"] = f"http://127.0.0.1:{port}/metrics"
        return urls

    def environ(self, name: str) -> dict[str, str]:
        """The environment of a service."""
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


def service_child(stack: Stack, name: str, sockets: list[socket.socket]) -> Child:
    """One of our services as a child; its words go where the supervisor's go."""

    def start() -> subprocess.Popen[bytes]:
        # With the supervisor gone there is nobody to stop them in order, and nothing that a kill could lose.
        return spawn(
            [*handing_over(sockets), sys.executable, "-m", f"services.{name}"],
            death_signal=signal.SIGKILL,
            environ=stack.environ(name),
            inherited=sockets,
        )

    def is_ready() -> bool:
        return not port_is_free(stack.metrics_ports[name])

    return Child(name, start, signal.SIGTERM, is_ready)


GRAFANA_PACKAGE = Path("/usr/share/grafana")
GRAFANA_NAMES = ("grafana", "grafana-server")


def find_grafana() -> Path | None:
    """Grafana's program on this machine.

    Rather the program of a package than what it puts on PATH: a script, which adds a configuration that only the
    package's user may read, and which Grafana outlives.
    """
    packaged = (GRAFANA_PACKAGE / "bin" / name for name in GRAFANA_NAMES)
    on_path = (shutil.which(name) for name in GRAFANA_NAMES)
    found = (*(path for path in packaged if path.exists()), *(Path(path) for path in on_path if path))
    return found[0] if found else None


def grafana_home(program: Path) -> Path:
    """Where Grafana's own files are."""
    homes = (program.resolve().parents[1], GRAFANA_PACKAGE)
    return next((home for home in homes if (home / "public").exists()), homes[-1])


# Nothing is told to, or fetched from, anybody; as docker-compose.yml.
GRAFANA_ALONE = {
    "GF_ANALYTICS_REPORTING_ENABLED": "false",
    "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
    "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
    "GF_ANALYTICS_FEEDBACK_LINKS_ENABLED": "false",
    "GF_NEWS_NEWS_FEED_ENABLED": "false",
    "GF_PLUGINS_PREINSTALL_DISABLED": "true",
    "GF_SECURITY_DISABLE_GRAVATAR": "true",
    "GF_USERS_ALLOW_SIGN_UP": "false",
    "GF_USERS_DEFAULT_THEME": "light",
}


def grafana_environ(stack: Stack, data_dir: Path) -> dict[str, str]:
    """What Grafana, and ``grafana/contact/start.sh`` before it, are told."""
    settings = stack.settings
    ours = {
        "FOOTFALL_WORK": str(data_dir / "started"),
        "GRAFANA_PUBLIC_URL": settings.grafana_public_url,
        "ALERT_EMAIL": ",".join(settings.alert_email),
        "ALERT_EMAIL_FROM": settings.alert_email_from,
        "ALERT_SMTP_HOST": settings.alert_smtp_host,
        "ALERT_SMTP_USER": settings.alert_smtp_user,
        "ALERT_SMTP_PASSWORD": settings.alert_smtp_password,
        "ALERT_WEBHOOK_URL": settings.alert_webhook_url,
        "ALERT_WEBHOOK_TOKEN": settings.alert_webhook_token,
        "GF_SERVER_HTTP_ADDR": "127.0.0.1",
        "GF_SERVER_HTTP_PORT": str(settings.grafana_port),
        "GF_PATHS_DATA": str(data_dir),
        "GF_PATHS_LOGS": str(data_dir / "log"),
        "GF_LOG_MODE": "console",  # not into a second file
        "GF_PATHS_PLUGINS": str(data_dir / "plugins"),
        "GF_SECURITY_ADMIN_PASSWORD": stack.password("grafana_admin"),
        "GF_DATE_FORMATS_DEFAULT_TIMEZONE": settings.report_timezone.key,
        "FOOTFALL_PG_HOST": f"127.0.0.1:{settings.postgres_port}",
        "FOOTFALL_PG_DATABASE": "footfall",
        "GF_FOOTFALL_READER_PASSWORD": stack.password("grafana_reader"),
        "GF_FOOTFALL_EXPLORER_PASSWORD": stack.password("grafana_explorer"),
        "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": str(ROOT / "grafana/dashboards/overview.json"),
    }
    return {**os.environ, **GRAFANA_ALONE, **ours}


def grafana_child(stack: Stack, program: Path, log: Path) -> Child:
    """Grafana, provisioned from ``grafana/``."""
    data_dir = stack.settings.data_dir.resolve() / "grafana"
    (data_dir / "plugins").mkdir(parents=True, exist_ok=True)
    command = ["server"] if program.name == "grafana" else []
    arguments: list[str | Path] = ["sh", ROOT / "grafana/contact/start.sh", program, *command]
    arguments += ["--homepath", grafana_home(program)]
    return Child(
        "grafana",
        lambda: spawn(arguments, environ=grafana_environ(stack, data_dir), log=log),
        signal.SIGTERM,
        lambda: not port_is_free(stack.settings.grafana_port),
    )


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


def start_all(settings: Settings, supervisor: Supervisor) -> Stack:
    """Everything up, in order. Raises ``ServerError``."""
    logs = settings.data_dir.resolve() / "log"
    logs.mkdir(exist_ok=True)
    settings.key_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_passwords(settings.key_dir)
    own_folder(settings.data_dir / "postgres")
    check_ports(settings)
    postgres, redis = servers_of(settings)
    ports = {name: free_port() for name in ("pixel", "enricher", "rollup")}
    stack = Stack(settings, ports, find_grafana())
    supervisor.add(
        server_child(postgres, "postgres", signal.SIGINT, signal.SIGQUIT, logs / "postgres.log"),
        server_child(redis, "redis", signal.SIGTERM, signal.SIGKILL, logs / "redis.log"),
    )
    make_database(stack, postgres)
    migrate(stack)
    country_data.provide(settings.country_database, say)
    supervisor.add(*(service_child(stack, name, []) for name in ("enricher", "rollup")))
    supervisor.sockets = pixel_sockets(settings)
    supervisor.add(service_child(stack, "pixel", supervisor.sockets))
    if not add_grafana(stack, supervisor, logs / "grafana.log"):
        stack = replace(stack, grafana=None)
    write_atomically(supervisor.run_folder / SUPERVISOR_FILE, f"{os.getpid()}\n")
    write_urls(stack)
    return stack


def add_grafana(stack: Stack, supervisor: Supervisor, log: Path) -> bool:
    """Whether Grafana runs. Hits are counted without it, so that it does not run ends nothing."""
    if not stack.grafana:
        say("no `grafana` program was found on this machine: install it, or use docker-compose up")
        return False
    if not port_is_free(stack.settings.grafana_port):
        say(f"GRAFANA_PORT: port {stack.settings.grafana_port} is taken on 127.0.0.1; Grafana is not started")
        return False
    child = grafana_child(stack, stack.grafana, log)
    try:
        supervisor.add(child)
    except ServerError as error:
        say(f"{error}. Everything else goes on")
        supervisor.drop(child)
        return False
    return True


def write_urls(stack: Stack) -> None:
    """For the tools that stand beside the stack."""
    path = stack.settings.data_dir / "run" / STACK_FILE
    write_atomically(path, json.dumps(stack.urls(), indent=2), mode=0o600)


def renew(stack: Stack, supervisor: Supervisor) -> Stack:
    """The services of what is in the checkout now, each started beside its former one: `make deploy`.

    Where one fails, it and those after it stay the former ones. The outcome is written for ``tools.deploy``.
    """
    problem = ""
    try:
        migrate(stack)
        for name in ("enricher", "rollup", "pixel"):
            renewed = replace(stack, metrics_ports={**stack.metrics_ports, name: free_port()})
            supervisor.exchange(service_child(renewed, name, supervisor.sockets if name == "pixel" else []))
            stack = renewed
            write_urls(stack)
            say(f"{name} renewed")
    except (ServerError, OSError) as error:
        problem = str(error)
        say(problem)
    write_atomically(supervisor.run_folder / RENEWED_FILE, problem)
    return stack


def announce(stack: Stack) -> None:
    """Where each part answers."""
    urls = stack.urls()
    say("")
    say("Footfall is ready. Ctrl-C stops it; the data stay in " + str(stack.settings.data_dir.resolve()))
    say(f"  pixel     {urls['PIXEL_URL']}/a.gif   (what it records: {urls['PIXEL_URL']}/privacy/)")
    say(f'  tag       <script defer src="{urls["PIXEL_URL"]}/{stack.settings.script_name}"></script>')
    say(f"  SQL       psql {urls['DATABASE_URL']}")
    if urls["GRAFANA_URL"]:
        say(f"  Grafana   {urls['GRAFANA_URL']}   user admin, password {stack.password('grafana_admin')}")
    else:
        say("  Grafana   does not run: the reason stands above")
    say("  all addresses: make urls")
    say("")


def main() -> int:
    """0 after a stop that was asked for, 1 with an error that says what to do."""
    if os.environ.get("MAKELEVEL") and sys.platform == "linux":
        die_with_parent(os.getppid(), signal.SIGTERM)  # `make` was killed
    try:
        settings = load_settings()
        lock = take_folder(settings)
    except SettingsError as error:
        say("Some settings are wrong:\n  " + "\n  ".join(error.problems))
        return 1
    except ServerError as error:
        say(str(error))
        return 1
    supervisor = Supervisor(settings.data_dir / "run")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, supervisor.request_stop)
    signal.signal(signal.SIGUSR1, supervisor.request_renewal)
    try:
        stack = start_all(settings, supervisor)
        announce(stack)

        def renew_stack() -> None:
            nonlocal stack
            stack = renew(stack, supervisor)

        supervisor.watch(renew_stack)
    except KeyboardInterrupt:
        pass
    except (ServerError, OSError, psycopg.Error) as error:
        say(str(error))
        return 1
    finally:
        say("stopping")
        supervisor.stop()
        (settings.data_dir / "run" / STACK_FILE).unlink(missing_ok=True)
        lock.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
