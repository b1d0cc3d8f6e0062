"""``python -m services.pixel``: builds the pixel from its parts and runs it until SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import sys
import time
from pathlib import Path

import uvloop

from services.hit_stream import connect_async
from services.key_files import read_password
from services.logs import Logger, make_logger
from services.memory import forbid_core_dumps
from services.metrics import PixelMetrics
from services.pixel.app import Pixel
from services.pixel.client_address import ClientAddress
from services.pixel.clock import DayClock, HitIds
from services.pixel.collect import Collector
from services.pixel.connection import PixelServer
from services.pixel.group_commit import SEND_WITHIN_S, GroupCommit
from services.pixel.rate_limit import RateLimit
from services.pixel.spool import DAMAGED_NAME, Spool, SpoolUnusable
from services.sealing import KeyHolds, SealingKeys
from services.settings import Settings, SettingsError, load_settings

LOOK_EVERY_S = 1.0
STOP_WITHIN_S = 5.0
BACKLOG = 2_048


class CannotListen(Exception):
    """An address is taken or not ours; the text names the setting."""


def listen(settings: Settings) -> list[socket.socket]:
    """The sockets of the pixel. Raises ``CannotListen``."""
    family = socket.AF_INET6 if ":" in settings.pixel_host else socket.AF_INET
    server = socket.socket(family)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((settings.pixel_host, settings.pixel_port))
    except OSError as error:
        raise CannotListen(
            f"PIXEL_HOST, PIXEL_PORT: cannot listen on {settings.pixel_host} port {settings.pixel_port}: "
            f"{error.strerror}; stop what listens there or set another PIXEL_PORT"
        ) from error
    sockets = [server]
    if settings.pixel_socket is not None:
        sockets.append(_listen_on_path(settings.pixel_socket))
    for item in sockets:
        item.listen(BACKLOG)
        item.setblocking(False)
    return sockets


def _listen_on_path(path: Path) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    tools = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)  # who may open it may name the client's address: its owner only
    try:
        tools.bind(str(path))
    except OSError as error:
        raise CannotListen(f"PIXEL_SOCKET: cannot listen on {path}: {error.strerror or error}") from error
    finally:
        os.umask(mask)
    return tools


def allow_many_connections() -> None:
    """Raise the soft limit of open files, often 1,024, to the hard one: each reader's connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _look(commit: GroupCommit, metrics: PixelMetrics) -> None:
    while True:
        await commit.look()
        metrics.heartbeat.set(time.time())
        metrics.groups.set(commit.groups)
        metrics.hits.set(commit.hits)
        metrics.durable.set(commit.durable)
        metrics.spool_bytes.set(commit.spool_bytes)
        await asyncio.sleep(LOOK_EVERY_S)


async def run(settings: Settings, log: Logger) -> None:
    """Serve until SIGTERM or SIGINT. Raises ``CannotListen``, ``SpoolUnusable``, OSError."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    allow_many_connections()
    sockets = listen(settings)
    metrics = PixelMetrics()
    metrics_port = metrics.serve(settings.metrics_host, settings.metrics_port)
    password = settings.redis_password or read_password(settings.key_dir, "redis")
    client = connect_async(settings.redis_url, password, timeout_s=SEND_WITHIN_S)
    spool = Spool(settings.spool_dir, settings.spool_max_mb * 1_000_000)
    if spool.cut_bytes:
        log.error("spool-cut", bytes=spool.cut_bytes, kept_as=str(settings.spool_dir / DAMAGED_NAME))
    commit = GroupCommit(
        client,
        SealingKeys(settings.key_dir),
        spool,
        KeyHolds(settings.key_dir, spool.holder),
        log,
        settings.max_stream_entries,
    )
    days = DayClock(settings.report_timezone)
    pixel = Pixel(
        settings=settings,
        collector=Collector(settings, days.day_of, HitIds().make),
        commit=commit,
        client_address=ClientAddress(settings.trusted_proxies, settings.client_address_header),
        rate_limit=RateLimit(settings.rate_limit, time.monotonic),
        metrics=metrics,
        day_of=days.day_of,
    )
    committing = asyncio.create_task(commit.run())
    beside = [asyncio.create_task(work) for work in (commit.drain(), _look(commit, metrics))]
    server = PixelServer(pixel.answer, log)
    listeners = [await loop.create_server(server, sock=item, backlog=BACKLOG) for item in sockets]
    log.info("started", port=settings.pixel_port, metrics_port=metrics_port)
    await stopped.wait()
    pixel.stopping = True
    for listener in listeners:
        listener.close()
    server.pre_shutdown()
    commit.stop()  # requests under way are answered once their groups are durable
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_WITHIN_S):
            await committing
    await server.shutdown(1.0)
    for task in beside:
        task.cancel()
    await client.aclose()
    log.info("stopped", groups=commit.groups, hits=commit.hits)


def main() -> int:
    """0, or 1 with an error that says what to do."""
    forbid_core_dumps()
    log = make_logger("pixel")
    try:
        settings = load_settings()
        uvloop.run(run(settings, log))
    except SettingsError as error:
        log.error("bad-settings", problems=error.problems)
        return 1
    except (CannotListen, SpoolUnusable, OSError) as error:
        log.error("cannot-start", problem=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
