"""PostgreSQL restarted in a transaction, refusing to serialize, in a deadlock, on a full disk: each hit once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.database import make_partitions
from services.migrate.__main__ import MIGRATIONS
from services.migrate.runner import migrate
from services.settings import Settings
from tests.conftest import Database, start_server
from tests.make import DAY, SITE, make_raw_hit, make_settings
from tests.services.enricher.parts import Bench, ledger
from tests.services.enricher.test_consumer import Running
from tools.servers import Postgres, free_port, poll

pytestmark = pytest.mark.servers
WITHIN_S = 60.0
DISK_MB = 300
HITS = 400


def put(bench: Bench, first_seq: int, groups: int = 4) -> int:
    """Groups on the stream; how many hits they are."""
    for seq in range(first_seq, first_seq + groups):
        bench.put(bench.group([make_raw_hit() for _ in range(HITS // groups)], seq=seq))
    return HITS


@contextlib.contextmanager
def running(bench: Bench) -> Iterator[Running]:
    enricher = Running(bench)
    try:
        yield enricher
    finally:
        enricher.stop()


def done(bench: Bench) -> bool:
    return poll(lambda: bench.waiting() == 0, WITHIN_S)


def said(bench: Bench) -> list[str]:
    """The errors after which the enricher tried again."""
    return [line for line in bench.log.lines if '"waiting"' in line]


# Refused by other transactions ----------------------------------------------------------------------------------


def is_held_up(eye: Any) -> bool:
    """Whether an enricher waits for a lock with its insert: of a row, or of a table."""
    sql = (
        "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        " and application_name = 'footfall enricher' and query like '%%book_hits%%'"
    )
    return poll(lambda: eye.execute(sql, []).fetchone() is not None, WITHIN_S)


def test_a_refused_serialization_is_tried_again(
    settings: Settings, database: Database, redis_url: str
) -> None:
    url = f"{database.owner_url}?options=-c%20default_transaction_isolation%3Dserializable"
    bench = Bench(make_settings(DATA_DIR=str(settings.data_dir), DATABASE_URL=url, REDIS_URL=redis_url))
    with database.connect() as other, database.connect() as eye, contextlib.closing(bench):
        bench.put(bench.group([make_raw_hit()], seq=1))
        bench.drain(bench.consumer())
        with running(bench), other.transaction():
            other.execute("update ledger set accepted = accepted where site = %s and day = %s", [SITE, DAY])
            number = put(bench, 2)
            assert is_held_up(eye)
        assert any("SerializationFailure" in line for line in said(bench))
        bench.drain(bench.consumer())
    assert ledger(database) == (number + 1, number + 1, 0, 0)


def test_the_victim_of_a_deadlock_tries_again(bench: Bench, database: Database) -> None:
    with database.connect() as other, database.connect() as eye, running(bench):
        with other.transaction():
            other.execute("set local deadlock_timeout = '60s'")  # so that it is the enricher that is ended
            other.execute("lock table rollup_pending in share mode")
            number = put(bench, 1)
            assert is_held_up(eye)
            other.execute("lock table ledger in access exclusive mode")  # had once the enricher is ended
        assert done(bench)
    assert any("DeadlockDetected" in line for line in said(bench))
    assert ledger(database) == (number, number, 0, 0)


# A server of its own --------------------------------------------------------------------------------------------


class OwnPostgres:
    """A durable PostgreSQL that a test may stop, kill and start again, on a disk that can be filled."""

    def __init__(self, server: Postgres, disk: Path, log: Path) -> None:
        self.server = server
        self.disk = disk
        self._log = log
        self.start()
        with Database(server.port, "postgres").connect() as connection:
            connection.execute("create database footfall")
        self.database = Database(server.port, "footfall")
        with self.database.connect() as connection:
            migrate(connection, MIGRATIONS)
            make_partitions(connection)

    def start(self) -> None:
        # After SIGKILL the backends of the former one must be gone first.
        for _ in range(20):
            with contextlib.suppress(AssertionError):
                self.process = start_server(self.server, self._log)
                return
        raise AssertionError(self._log.read_text()[-2000:])

    def stop(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.wait(30)


def is_mounted(disk: Path) -> bool:
    """Whether a small disk of its own could be had."""
    disk.mkdir()
    if os.getuid() != 0:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=755", "tmpfs", str(disk)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def own_postgres(postgres: Postgres, servers_folder: Path) -> Iterator[OwnPostgres]:
    disk = servers_folder / "small-disk"
    mounted = is_mounted(disk)
    server = Postgres(postgres.binaries, disk / "postgres", free_port())
    own = OwnPostgres(server, disk, servers_folder / "own-postgres.log")
    yield own
    own.stop(signal.SIGQUIT)
    if mounted:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.fixture
def own_bench(settings: Settings, own_postgres: OwnPostgres, redis_url: str) -> Iterator[Bench]:
    url = own_postgres.database.owner_url
    made = Bench(make_settings(DATA_DIR=str(settings.data_dir), DATABASE_URL=url, REDIS_URL=redis_url))
    with own_postgres.database.connect() as connection:
        connection.execute("truncate stored_hits, ledger, stream_groups, rollup_pending, dead_letters")
    yield made
    made.close()


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL], ids=["stopped", "crashed", "killed"]
)
def test_a_server_restarted_within_a_transaction_stores_each_hit_once(
    own_bench: Bench, own_postgres: OwnPostgres, number: int
) -> None:
    with contextlib.closing(own_postgres.database.connect()) as other, running(own_bench):
        other.execute("begin")
        other.execute("lock table rollup_pending in share mode")
        hits = put(own_bench, 1)
        with own_postgres.database.connect() as eye:
            assert is_held_up(eye)
        own_postgres.stop(number)
        own_postgres.start()
        assert done(own_bench)
    assert said(own_bench)
    assert ledger(own_postgres.database) == (hits, hits, 0, 0)


def test_a_full_disk_is_waited_for(own_bench: Bench, own_postgres: OwnPostgres) -> None:
    if not os.path.ismount(own_postgres.disk):
        pytest.skip("a small disk cannot be mounted (needs root)")
    filler = own_postgres.disk / "filler"
    with running(own_bench):
        fill(filler)
        try:
            hits = put(own_bench, 1)
            assert poll(lambda: len(said(own_bench)) >= 2, WITHIN_S), "it stores on a full disk"
            assert own_bench.waiting() == 4
        finally:
            filler.unlink()
        if own_postgres.process.poll() is not None:  # without room for its log it ends itself
            own_postgres.start()
        assert done(own_bench)
    assert ledger(own_postgres.database) == (hits, hits, 0, 0)


def fill(path: Path) -> None:
    """Until nothing more goes."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 65_536):
            pass
