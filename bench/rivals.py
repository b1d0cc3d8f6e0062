"""What the pixel is held against: a bare aiohttp application, and nginx's own GIF, each on a port of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.load import BenchError
from bench.stack import stop
from bench.traffic import PATH
from tools.servers import free_port, poll, spawn

START_WITHIN_S = 20.0
# One worker, as the pixel has; no log; nothing written.
NGINX = """
{user}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{rest}
}}
"""
GIF = "    server {{ listen 127.0.0.1:{port}; location = {path} {{ empty_gif; }} }}"


class Rival(NamedTuple):
    """A server under load."""

    port: int
    process: subprocess.Popen[bytes]

    def lives(self) -> bool:
        return self.process.poll() is None


@contextlib.contextmanager
def serving(command: list[str | Path], port: int, environ: dict[str, str] | None = None) -> Iterator[Rival]:
    """A server of 127.0.0.1, once it takes connections. Raises ``BenchError``."""
    with tempfile.TemporaryDirectory(prefix="footfall-bench-") as folder:
        log = Path(folder) / "log"
        process = spawn(command, environ=environ, log=log)

        def answers() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        try:
            poll(lambda: answers() or process.poll() is not None, START_WITHIN_S)
            if process.poll() is not None or not answers():
                raise BenchError(f"{command[0]} did not start on port {port}: {log.read_text()[-800:]}")
            yield Rival(port, process)
        finally:
            stop(process)


@contextlib.contextmanager
def running_bare() -> Iterator[Rival]:
    """The bare aiohttp application. Raises ``BenchError``."""
    port = free_port()
    with serving([sys.executable, "-m", "bench.bare", str(port)], port) as rival:
        yield rival


@contextlib.contextmanager
def running_nginx(port: int, rest: str) -> Iterator[Rival]:
    """nginx with these blocks. Raises ``BenchError``."""
    with tempfile.TemporaryDirectory(prefix="footfall-bench-") as folder:
        config = Path(folder) / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        config.write_text(NGINX.format(user=user, folder=folder, rest=rest))
        with serving(["nginx", "-e", "stderr", "-p", folder, "-c", config], port) as rival:
            yield rival


@contextlib.contextmanager
def running_nginx_gif() -> Iterator[Rival | None]:
    """nginx with its empty GIF; None: there is no nginx. Raises ``BenchError``."""
    if shutil.which("nginx") is None:
        yield None
        return
    port = free_port()
    with running_nginx(port, GIF.format(port=port, path=PATH)) as rival:
        yield rival
