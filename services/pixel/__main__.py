"""``python -m services.pixel``: builds the pixel from its parts and runs it until SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import signal
import socket
import sys
import time

import uvloop

from services.hit_stream import connect_async
from services.key_files import read_password
from services.listening import BACKLOG, CannotListen, handed_sockets, listen_on_path, listen_on_port
from services.logs import Logger, make_logger
from services.memory import forbid_core_dumps
from services.metrics import PixelMetrics
from services.pixel.app import Pixel
from services.pixel.borrowed import BorrowedSocket
from services.pixel.client_address import ClientAddress
from services.pixel.clock import DayClock, HitIds
from services.pixel.collect import Collector
from services.pixel.connection import PixelServer
from services.pixel.group_commit import GroupCommit
from services.pixel.hits import HitTaker
from services.pixel.left_spools import LeftSpools, say_what_was_cut
from services.pixel.peers import PEER_KINDS, Peers
from services.pixel.rate_limit import RateLimit
from services.pixel.redis_link import SEND_WITHIN_S, is_cancelled
from services.pixel.spool import SpoolUnusable, take_slot
from services.sealing import KeyHolds, SealingKeys
from services.settings import Settings, SettingsError, handed_descriptors, load_settings

LOOK_EVERY_S = 1.0
STOP_WITHIN_S = 5.0
# For connections that are open when the pixel is told to stop: their next request is still answered, with
# `Connection: close`. Under load that is all of them; a reader's idle one is closed after it.
LAST_REQUESTS_S = 1.0


def listen(settings: Settings) -> list[socket.socket]:
    """The sockets of the pixel: those that were handed over, else its own. Raises ``CannotListen``, OSError."""
    sockets = handed_sockets(handed_descriptors())
    if not sockets:
        sockets.append(listen_on_port(settings.pixel_host, settings.pixel_port))
        if settings.pixel_socket is not None:
            # Who may open it may name the client's address.
            sockets.append(listen_on_path(settings.pixel_socket, "PIXEL_SOCKET"))
    for item in sockets:
        item.setblocking(False)
    return sockets


def allow_many_connections() -> None:
    """Raise the soft limit of open files, often 1,024, to the hard one: each reader's connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _look(
    commit: GroupCommit, left: LeftSpools, peers: Peers, rate_limit: RateLimit, metrics: PixelMetrics
) -> None:
    while not is_cancelled():
        await commit.look()
        metrics.heartbeat.set(time.time())
        metrics.groups.set(commit.groups)
        metrics.hits.set(commit.hits)
        metrics.durable.set(commit.durable)
        metrics.spool_bytes.set(commit.spooled.waiting_bytes + left.waiting_bytes)
        metrics.most_clients.set(rate_limit.most_clients)
        for kind in PEER_KINDS:
            metrics.peers.labels(kind).set(peers.counts[kind])
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
    password = settings.redis_password or read_password(settings.key_dir, "redis")
    client = connect_async(settings.redis_url, password, timeout_s=SEND_WITHIN_S)
    spool_bytes = settings.spool_max_mb * 1_000_000
    spool = take_slot(settings.spool_dir, spool_bytes)
    say_what_was_cut(spool, log)
    commit = GroupCommit(
        client,
        SealingKeys(settings.key_dir),
        spool,
        KeyHolds(settings.key_dir, spool.holder),
        log,
        settings.max_stream_entries,
    )
    days = DayClock(settings.report_timezone)
    rate_limit = RateLimit(settings.rate_limit, time.monotonic)
    taker = HitTaker(
        collector=Collector(settings, days.day_of, HitIds().make),
        commit=commit,
        client_address=ClientAddress(settings.trusted_proxies, settings.client_address_header),
        rate_limit=rate_limit,
        metrics=metrics,
        day_of=days.day_of,
    )
    pixel = Pixel(settings, taker, commit)
    committing = asyncio.create_task(commit.run())
    left = LeftSpools(settings.spool_dir, spool_bytes, settings.key_dir, commit, client, log)
    beside = [
        asyncio.create_task(work)
        for work in (
            commit.spooled.drain(),
            left.run(),
            _look(commit, left, taker.peers, rate_limit, metrics),
        )
    ]
    server = PixelServer(pixel, log)
    listeners = [await loop.create_server(server, sock=item, backlog=BACKLOG) for item in sockets]
    borrowing = None
    if settings.pixel_door is not None:
        pixel.borrowed = BorrowedSocket(settings.pixel_door, server, log)
        borrowing = asyncio.create_task(pixel.borrowed.run())
    # What is there now stays: to go through it took 35 ms now and then, in which nobody was answered.
    gc.collect()
    gc.freeze()
    # Last, as who starts pixels takes it for a sign that all else is well.
    metrics_port = metrics.serve(settings.metrics_host, settings.metrics_port)
    log.info("started", port=settings.pixel_port, metrics_port=metrics_port)
    await stopped.wait()
    pixel.stopping = True
    for listener in listeners:
        listener.close()
    if borrowing is not None:
        borrowing.cancel()
        await asyncio.wait([borrowing])
    await server.until_left(LAST_REQUESTS_S)
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
