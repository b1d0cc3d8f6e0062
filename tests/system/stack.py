"""A `make run` of a test's own: real commands, real servers, seen from outside. Imports nothing of the product."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from services.settings import CATALOGUE

ROOT = Path(__file__).resolve().parents[2]
BROWSER = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0"
    " Safari/537.36"
)
NAMES = ("pixel", "enricher", "rollup", "redis", "postgres")


def free_ports(number: int) -> list[int]:
    """Ports below 32768 that nobody listens on."""
    ports: list[int] = []
    while len(ports) < number:
        port = 15_000 + int.from_bytes(os.urandom(2), "big") % 15_000
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return ports


def wait_until(done: Callable[[], Any], seconds: float = 20.0, pause_s: float = 0.05) -> Any:
    """What ``done`` returns once it is true; fails the test at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        result = done()
        if result:
            return result
        assert time.monotonic() < deadline, f"not within {seconds} s: {done}"
        time.sleep(pause_s)


@dataclass
class Stack:
    """A running stack."""

    data_dir: Path
    environ: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    urls: dict[str, str] = field(default_factory=dict)
    root: Path = ROOT  # where the product is

    def __post_init__(self) -> None:
        pixel, postgres, redis, grafana = free_ports(4)
        # As from a shell, but for its settings and the flags of `make test`: nothing is asked of the network.
        settings = {setting.name for setting in CATALOGUE}
        settings |= {f"{name}_FILE" for name in settings}
        shell = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("MAKE") and name not in settings
        }
        self.environ = {
            **shell,
            "DATA_DIR": str(self.data_dir),
            "PIXEL_PORT": str(pixel),
            "POSTGRES_PORT": str(postgres),
            "REDIS_PORT": str(redis),
            "GRAFANA_PORT": str(grafana),
            **self.environ,
        }
        self.log = self.data_dir / "supervisor.log"

    def start(self, within_s: float = 90.0) -> None:
        """`make run`, until it says that it is ready."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["make", "run"],
                cwd=self.root,
                env=self.environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

        def is_ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"make run ended:\n{self.log.read_text()[-3000:]}"
            return self.make("urls", check=False).returncode == 0

        wait_until(is_ready, within_s, pause_s=0.2)
        self.urls = self.make_urls()

    def make(
        self, *arguments: str, check: bool = True, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """`make …` beside the stack."""
        return subprocess.run(
            ["make", *arguments],
            cwd=self.root,
            env=self.environ,
            capture_output=True,
            text=True,
            check=check,
            timeout=timeout,
        )

    def make_urls(self) -> dict[str, str]:
        """What `make urls` prints."""
        words = shlex.split(self.make("urls").stdout)
        return dict(word.split("=", 1) for word in words)

    @property
    def pixel_url(self) -> str:
        return self.urls["PIXEL_URL"]

    def connect(self, role: str | None = None) -> psycopg.Connection[Any]:
        """A connection as the owner, or as the analyst."""
        name = "DATABASE_URL" if role == "analyst" else "OWNER_DATABASE_URL"
        return psycopg.connect(self.urls[name], autocommit=True, connect_timeout=5)

    def query(self, sql: str, *parameters: Any) -> list[Any]:
        """Rows, on a connection of its own; tried again while PostgreSQL is being restarted."""
        deadline = time.monotonic() + 20
        while True:
            try:
                with self.connect() as connection:
                    return connection.execute(sql, parameters).fetchall()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """A request as a browser sends it: status, headers, body."""
        sent = {"User-Agent": BROWSER, **{name.replace("_", "-"): value for name, value in headers.items()}}
        request = urllib.request.Request(self.pixel_url + path, headers=sent)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()

    def pid(self, name: str) -> int:
        """Process id of a part."""
        return int((self.data_dir / f"run/{name}.pid").read_text())

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Send a part a signal; its former process id. A part that is being restarted is waited for."""
        deadline = time.monotonic() + 20
        while True:
            pid = self.pid(name)
            try:
                os.kill(pid, number)
                return pid
            except ProcessLookupError:
                assert time.monotonic() < deadline, f"{name} stays away"
                time.sleep(0.05)

    def stop(self, number: int = signal.SIGTERM, within_s: float = 20.0) -> int:
        """Stop it; the exit code of `make`."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise AssertionError(
                f"not stopped within {within_s} s:\n{self.log.read_text()[-3000:]}"
            ) from None
