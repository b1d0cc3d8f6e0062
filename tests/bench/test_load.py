"""The load generator against a bare server: exact numbers, at a rate, over new connections."""

from __future__ import annotations

import re
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.load import BenchError, drive
from bench.rivals import Rival, running_bare
from bench.traffic import make_traffic

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(shutil.which("wrk") is None, reason="no wrk on the PATH (Debian: wrk)"),
]
TRAFFIC = make_traffic(1)


@pytest.fixture(scope="module")
def bare() -> Iterator[Rival]:
    with running_bare() as rival:
        yield rival


def test_saturated_it_sends_as_many_as_were_ordered(bare: Rival, tmp_path: Path) -> None:
    load = drive(bare.port, TRAFFIC, 1, 3_000, tmp_path, bare.lives)
    assert (load.answered, load.refused, load.broken) == (3_000, 0, 0)
    assert load.begun_at < load.answered_at
    assert 0 < load.p50_ms <= load.p99_ms <= load.max_ms
    assert load.times == ()


def test_at_a_rate_hits_come_evenly_and_each_answer_has_its_time(bare: Rival, tmp_path: Path) -> None:
    load = drive(bare.port, TRAFFIC, 2, 400, tmp_path, bare.lives, rate=400)
    assert (load.answered, len(load.times)) == (400, 400)
    assert 0.95 < load.answered_at - load.begun_at < 3
    assert load.begun_at - 0.1 < load.times[0] < load.times[-1] <= load.answered_at
    assert list(load.times) == sorted(load.times)
    halves = sum(at < load.begun_at + 0.5 for at in load.times)
    assert 100 < halves < 300, "a burst is no rate"


def requests_by_connection(hits: int, folder: Path, *, closing: bool) -> list[list[bytes]]:
    """What wrk sends to a server that answers as it is asked to; a list for each connection."""
    seen: list[list[bytes]] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            seen.append([])
            threading.Thread(target=answer, args=(connection, seen[-1]), daemon=True).start()

    def answer(connection: socket.socket, came: list[bytes]) -> None:
        with connection:
            while data := connection.recv(65_536):
                came.append(data)
                last = b"Connection: close" in data
                words = b"Connection: close\r\n" if last else b""
                connection.sendall(b"HTTP/1.1 204 No Content\r\n" + words + b"\r\n")
                if last:
                    return

    threading.Thread(target=serve, daemon=True).start()
    with server:
        load = drive(server.getsockname()[1], TRAFFIC, 3, hits, folder, lambda: True, closing=closing)
    assert (load.answered, load.broken) == (hits, 0)
    return seen


def test_connections_are_kept_unless_each_hit_is_to_have_a_new_one(tmp_path: Path) -> None:
    assert len(requests_by_connection(500, tmp_path, closing=False)) <= 64 + 1  # wrk tries the server first
    assert len(requests_by_connection(500, tmp_path, closing=True)) >= 500


def test_each_hit_has_an_identity_of_its_own_and_what_a_tracker_and_a_browser_send(tmp_path: Path) -> None:
    sent = [data for came in requests_by_connection(500, tmp_path, closing=False) for data in came]
    assert len(sent) == 500
    agents: dict[bytes, set[bytes]] = {}
    for data in sent:
        assert re.match(rb"GET /a\.gif\?id=[0-9a-f-]{36}&screen=\S+&url=\S+&title=\S+ HTTP/1\.1\r\n", data)
        assert data.count(b"\r\n\r\n") == 1
        assert data.endswith(b"\r\n\r\n")
        headers = dict(line.split(b": ", 1) for line in data.strip().split(b"\r\n")[1:])
        agents.setdefault(headers[b"X-Forwarded-For"], set()).add(headers[b"User-Agent"])
    assert len({data.partition(b"&")[0] for data in sent}) == 500
    assert len(agents) > 480, "of 100,000 visitors"
    assert all(len(found) == 1 for found in agents.values()), "a visitor has one browser"


def test_a_server_that_ends_is_said(tmp_path: Path) -> None:
    with running_bare() as rival:
        threading.Timer(0.5, rival.process.kill).start()
        with pytest.raises(BenchError, match="ended"):
            drive(rival.port, TRAFFIC, 4, 10_000_000, tmp_path, rival.lives)
