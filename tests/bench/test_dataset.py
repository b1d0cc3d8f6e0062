"""The data set of stored hits, small: whole, the same each time, kept and lent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from bench.dataset import shape
from bench.dataset.build import build
from bench.dataset.cache import Cache
from bench.dataset.day import shares_of
from bench.dataset.server import running_postgres
from bench.dataset.shape import World, sites_of
from bench.figures import UNITS, Figures
from bench.load import BenchError
from bench.stored.questions import RANGES, READER, Question
from bench.stored.stage import StoredStage
from bench.stored.timing import summary_of, time_questions
from services.rollup_statements import columns, plain_statement
from services.rollups import ROLLUPS, Rollup
from tools.check import problems
from tools.servers import poll

pytestmark = pytest.mark.servers

HITS = 20_000
SUMS = {
    "hits": "select count(*), sum(hashtextextended(h::text, 0)) from hits h",
    "traffic": "select sum(pageviews), sum(visitors), sum(bot_hits), sum(owner_hits) from daily_traffic",
    "referrals": "select count(*), sum(hashtextextended(r::text, 0)) from daily_referrals r",
    "ledger": "select sum(accepted), sum(stored), sum(hashtextextended(l::text, 0)) from ledger l",
}


class Kept(NamedTuple):
    """A folder of data sets, and what was said while the first was made."""

    folder: Path
    said: list[str]


def kill_half_way(folder: Path) -> None:
    """Begin to make a data set, and die at it."""
    environ = os.environ | {
        "BENCH_HITS": "0",
        "BENCH_STORED_HITS": str(HITS),
        "BENCH_CACHE": str(folder),
    }
    bench = subprocess.Popen(
        [sys.executable, "-m", "bench"], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert poll(lambda: any(folder.glob(".made-*/postgres/data/postmaster.pid")), 60)
    (left,) = folder.glob(".made-*/postgres/data/postmaster.pid")
    server = Path("/proc") / left.read_text().splitlines()[0]
    bench.send_signal(signal.SIGKILL)
    bench.wait()
    assert poll(lambda: not server.exists(), 60), "its server ends with it"


@pytest.fixture(scope="module")
def kept() -> Iterator[Kept]:
    """A data set, made where an earlier run was killed."""
    with tempfile.TemporaryDirectory(prefix="footfall-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        kill_half_way(folder)
        assert not list(folder.glob("hits-*"))
        assert list(folder.glob(".made-*"))
        said: list[str] = []
        with Cache(folder, said.append).borrowed(World(HITS)):
            assert not list(folder.glob(".made-*"))
        yield Kept(folder, said)


@pytest.fixture(scope="module")
def url(kept: Kept) -> Iterator[str]:
    """A server on a copy."""
    with (
        Cache(kept.folder, kept.said.append).borrowed(World(HITS)) as (binaries, folder),
        running_postgres(binaries, folder) as url,
    ):
        yield url


@pytest.fixture
def connection(url: str) -> Iterator[psycopg.Connection[Any]]:
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        yield connection


def files_of(folder: Path) -> dict[str, int]:
    """The files of the data sets, and when each was written last."""
    return {str(path): path.stat().st_mtime_ns for kept in folder.glob("hits-*") for path in kept.rglob("*")}


def one(connection: psycopg.Connection[Any], statement: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = connection.execute(statement.encode()).fetchone()
    assert row
    return row


def test_the_days_share_all_hits() -> None:
    for hits in (10_000, 10_000_000, 30_000_001):
        shares = shares_of(hits)
        assert sum(share.hits for share in shares) == hits
        assert [share.day for share in shares] == shape.days()
        numbers = [number for share in shares for number in share.batches]
        assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize(("sites", "pages"), [(1, 5_000), (2, 300), (3, 5_000), (40, 5_000), (3, 200_000)])
def test_sites_share_sessions_and_pages(sites: int, pages: int) -> None:
    found = sites_of(World(HITS, sites, pages))
    assert [site.name for site in found][:2] == ["blog.example", "shop.example"][:sites]
    assert len({site.name for site in found}) == sites
    assert sum(site.share for site in found) == pytest.approx(1)
    assert sum(site.pages for site in found) == pytest.approx(pages, rel=0.05)


def test_a_data_set_is_made_once(kept: Kept, url: str) -> None:
    assert len(list(kept.folder.glob("hits-*"))) == 1
    assert len([line for line in kept.said if "built" in line]) == 1


def test_it_has_what_was_ordered(connection: psycopg.Connection[Any]) -> None:
    assert one(connection, "select count(*), count(distinct day), count(distinct site) from hits") == (
        HITS,
        shape.DAYS,
        len(shape.SITES),
    )
    human = "filter (where not is_bot and event = 'pageview')"
    external = f"avg((source is not null)::int) {human}"
    internal = (
        f"avg(coalesce(source is null and referrer like 'https://' || site || '/%', false)::int) {human}"
    )
    for share, low, high in (
        ("avg(is_bot::int)", 0.04, 0.06),
        ("avg((event <> 'pageview')::int)", 0.04, 0.06),
        ("avg((session_id is null)::int)", 0.03, 0.05),
        ("avg(coalesce(status = 404, false)::int)", 0.005, 0.015),
        (external, 0.1, 0.16),
        (internal, 0.55, 0.7),
    ):
        assert low < one(connection, f"select {share} from hits")[0] < high, share
    different = (
        "select count(distinct source) > 100, count(distinct utm_campaign), count(distinct country) from hits"
    )
    assert one(connection, different) == (True, shape.CAMPAIGNS // 6, len(shape.COUNTRIES))


def test_it_is_as_the_product_would_have_left_it(connection: psycopg.Connection[Any]) -> None:
    books = "select sum(stored), sum(accepted - stored - duplicate - dead_lettered) from ledger"
    assert one(connection, books) == (HITS, 0)
    assert one(
        connection,
        "select count(*) from (select site, day, count(*) as stored from hits group by 1, 2) h"
        " full join ledger l using (site, day) where l.stored is distinct from h.stored",
    ) == (0,)
    assert one(connection, "select count(*) from rollup_pending") == (0,)
    days = (
        "select count(*) filter (where hits_day_is_open(day)) from (select distinct day from stored_hits) d"
    )
    assert one(connection, days) == (shape.OPEN_DAYS,)
    assert one(connection, "select count(*) from pg_namespace where nspname = 'bench'") == (0,)
    for table, number in (("pages", "page_id"), ("titles", "title_id"), ("clients", "client_id")):
        used = f"select {number}, max(day) as day from stored_hits group by 1"
        wrong = f"{table} left join ({used}) h using ({number}) where used_on is distinct from h.day"
        assert one(connection, f"select count(*) from {wrong}") == (0,)


def test_make_check_finds_nothing_but_that_the_days_of_now_are_missing(
    connection: psycopg.Connection[Any],
) -> None:
    found = [finding.title for finding in problems(connection, retention_days=10_000)]
    assert found == ["days without a partition"]


@pytest.mark.parametrize("rollup", ROLLUPS, ids=lambda rollup: rollup.name)
def test_its_rollups_are_a_plain_group_by(connection: psycopg.Connection[Any], rollup: Rollup) -> None:
    rolled, plain = f"select {columns(rollup)} from rollup_{rollup.name}", plain_statement(rollup, "true")
    for first, second in ((rolled, plain), (plain, rolled)):
        assert connection.execute(f"({first}) except all ({second}) limit 3".encode()).fetchall() == []
    assert one(connection, f"select count(*) > 0 from rollup_{rollup.name}") == (True,)


def test_its_sessions_are_counted(connection: psycopg.Connection[Any]) -> None:
    sessions = "count(distinct session_id) filter (where event is null and not is_bot and not is_me)"
    (expected,) = one(
        connection, f"select sum(n) from (select {sessions} as n from stored_hits group by day) d"
    )
    for table in ("rollup_sessions", "rollup_entries", "rollup_exits"):
        assert one(connection, f"select sum(sessions) from {table}") == (expected,)
    assert one(connection, "select count(*) from sessions_pending") == (0,)


def test_another_one_is_the_same(url: str, connection: psycopg.Connection[Any], tmp_path: Path) -> None:
    connection.execute("create database another")
    other = f"{url.rpartition('/')[0]}/another"
    build(other, World(HITS), tmp_path, lambda _: None)
    with closing(psycopg.connect(other, autocommit=True)) as another:
        for name, statement in SUMS.items():
            assert one(another, statement) == one(connection, statement), name


def test_what_is_done_to_a_copy_is_not_done_to_the_data_set(
    kept: Kept, connection: psycopg.Connection[Any]
) -> None:
    before = files_of(kept.folder)
    connection.execute("create table done_to_the_copy as select * from stored_hits")
    connection.execute("checkpoint")
    assert files_of(kept.folder) == before


def test_too_little_room_is_said_before_anything_is_made(tmp_path: Path) -> None:
    cache = Cache(tmp_path, lambda _: None)
    with pytest.raises(BenchError, match="BENCH_STORED_HITS"), cache.borrowed(World(10**13)):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_question_that_its_role_s_limit_ends_is_as_long_as_that(url: str) -> None:
    slow = Question("slow", READER, "select pg_sleep(60)")
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute(f"alter role {READER} set statement_timeout = '200ms'")
        (timing,) = time_questions(url, [slow], {"24 h": RANGES["24 h"]})
        connection.execute(f"alter role {READER} set statement_timeout = '10s'")
    assert timing.cancelled
    assert 200 <= timing.ms < 10_000
    assert "cancelled" in summary_of([timing]).words


def test_the_figures_of_stored_hits_are_there(url: str) -> None:
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute("create database measured template postgres")
    measured = f"{url.rpartition('/')[0]}/measured"
    figures, notes = Figures(), list[str]()
    StoredStage(figures, lambda _: None, notes.append).measure(measured)
    found = {line.split()[0] for line in figures.lines()}
    wanted = {name.replace("_at_10M", "_at_0.02M") for name in UNITS if "_at_10M" in name}
    assert wanted | {"stored_hits", "bytes_per_hit", "rollup_bytes_per_hit"} <= found
    assert figures.value("stored_hits") == HITS
    assert any(note.startswith("panels: ") for note in notes)
    with closing(psycopg.connect(measured, autocommit=True)) as connection:
        assert one(connection, f"select count(*) > {HITS}, max(day) from hits") == (True, shape.LAST_DAY)
        assert one(connection, "select count(*) from rollup_pending") == (0,)
