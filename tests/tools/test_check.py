"""`make check` finds whatever is changed by hand, says where, and `make rebuild` puts it right."""

from __future__ import annotations

import datetime
import random
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from services.database import connect
from services.enricher.store import Store
from services.rollup.compare import COMPARED, SESSIONS, days_known
from services.rollup.rebuild import rebuild
from tests.conftest import Database, cloned
from tests.history import SITES, count, count_sessions, make_history, settings_of, store
from tests.make import make_hit
from tests.services.rollup.definition import put
from tools.check import problems
from tools.servers import Postgres

pytestmark = pytest.mark.servers
NOW = datetime.datetime.now(datetime.UTC)
TODAY = NOW.date()
DAYS = [TODAY - datetime.timedelta(days=number) for number in (3, 2, 1)]
TABLES = (*COMPARED, *SESSIONS)


@pytest.fixture(scope="module")
def database(postgres: Postgres, template_database: str) -> Iterator[Database]:
    """A history that these tests spoil and put right, one after the other."""
    with cloned(postgres, template_database) as database:
        settings = settings_of(database.owner_url)
        hits = make_history(random.Random(6), DAYS, 120)
        random.Random(7).shuffle(hits)
        store(settings, *(hits[start : start + 50] for start in range(0, len(hits), 50)))
        with database.connect() as owner:
            count_sessions(owner)
        yield database


@pytest.fixture
def owner(database: Database) -> Iterator[psycopg.Connection[Any]]:
    with database.connect() as connection:
        assert audit(connection) == [], "the test before has left something"
        yield connection
        if audit(connection):
            put_right(database)


def audit(connection: psycopg.Connection[Any]) -> list[str]:
    """The lines of an audit."""
    with psycopg.connect(connection.info.dsn, autocommit=True) as own:
        return [line for found in problems(own, 400) for line in found.lines()]


def put_right(database: Database) -> None:
    """`make rebuild` of all days, and the count of sessions that follows it."""
    with psycopg.connect(database.owner_url) as connection:
        days = days_known(connection, datetime.date.min, datetime.date.max)
        list(rebuild(connection, days, sleep=lambda _: None))
    with database.connect() as eye:
        count_sessions(eye)


def test_all_is_well(owner: psycopg.Connection[Any]) -> None:
    for compared in TABLES:
        assert owner.execute(f"select count(*) > 1 from {compared.name}").fetchone() == (True,), compared.name


CHANGES = {
    "another number": "update {table} set {measure} = {measure} + 1 where ctid = (select ctid from {table} limit 1)",
    "a row less": "delete from {table} where ctid = (select ctid from {table} limit 1)",
    "another day": "update {table} set day = current_date + 400 where ctid = (select ctid from {table} limit 1)",
    "swapped": (
        "with two as (select ctid as place, {measure} as value, row_number() over (order by {measure}) as n,"
        "             count(*) over () as all_rows from {table}),"
        " pair as (select a.place, b.value from two a join two b on a.n + b.n = a.all_rows + 1"
        "          where a.n in (1, a.all_rows))"
        " update {table} t set {measure} = p.value from pair p where t.ctid = p.place"
    ),
}
MOST_MEASURES = max(len(compared.measures) for compared in TABLES)


@pytest.mark.parametrize(
    ("change", "number"),
    [(change, number) for change in ("another number", "swapped") for number in range(MOST_MEASURES)]
    + [("a row less", 0), ("another day", 0)],
)
def test_a_cell_that_was_changed_by_hand_is_found_and_put_right(
    database: Database, owner: psycopg.Connection[Any], change: str, number: int
) -> None:
    """In every table at once: in that measure which stands there at this place."""
    spoilt = {}
    for compared in TABLES:
        if number < len(compared.measures):
            measure, table = compared.measures[number], compared.name
            values = owner.execute(f"select count(distinct {measure}) from {table}").fetchone()
            assert change != "swapped" or values != (1,), (
                f"all {measure} of {table} are equal: swapping changes nothing"
            )
            changed = owner.execute(CHANGES[change].format(table=table, measure=measure)).rowcount
            spoilt[table] = f"{table} differs from hits: {2 if change == 'another day' else changed}"
    lines = audit(owner)
    assert sorted(line for line in lines if " differs from hits" in line) == sorted(spoilt.values())
    assert len([line for line in lines if "make rebuild FROM=" in line]) == len(spoilt)
    put_right(database)
    assert audit(owner) == []


@pytest.mark.parametrize(
    "day", [TODAY - datetime.timedelta(days=9), TODAY, TODAY + datetime.timedelta(days=30)]
)
def test_a_cell_on_a_day_without_hits_is_found_and_taken_away(
    database: Database, owner: psycopg.Connection[Any], day: datetime.date
) -> None:
    for compared in TABLES:
        rest = ", ".join((*compared.key[1:], *compared.measures))
        owner.execute(
            f"insert into {compared.name} (day, {rest}) select %s, {rest} from {compared.name} limit 1", [day]
        )
    lines = audit(owner)
    assert sorted(line for line in lines if " differs from hits" in line) == sorted(
        f"{compared.name} differs from hits: 1" for compared in TABLES
    )
    assert len([line for line in lines if f"{day} | " in line and "by hits no such row" in line]) == len(
        TABLES
    )
    assert len([line for line in lines if f"make rebuild FROM={day} TO={day}" in line]) == len(TABLES)
    put_right(database)
    assert audit(owner) == []


def test_the_names_of_a_cell_are_said_not_its_numbers(owner: psycopg.Connection[Any]) -> None:
    owner.execute(
        "update rollup_referrals set visitors = 77 where ctid = (select ctid from rollup_referrals limit 1)"
    )
    [line] = [line for line in audit(owner) if "visitors 77" in line]
    place = rf"    \d{{4}}-\d\d-\d\d \| ({'|'.join(SITES)}) \| (https://\S+|\S+) \| ({'|'.join(SITES)})/\d: "
    assert re.match(place + r"pageviews \d+, visitors 77; by hits pageviews \d+, visitors \d+$", line)


DAILY_PAGES = """create or replace view daily_pages as
select s.site, r.day, p.host, p.path, t.title, r.pageviews, r.visitors
from rollup_pages r
left join sites s using (site_id)
left join pages p using (page_id)
left join rollup_titles n using (page_id)
left join titles t using (title_id)"""
# What a rebuild cannot put right: spoilt and mended by SQL.
OTHERS = {
    "the ledger does not close": (
        "update ledger set duplicate = duplicate + 1 where day = current_date - 1",
        "update ledger set duplicate = duplicate - 1 where day = current_date - 1",
    ),
    "ledger.stored is not the number of hits": (
        "update ledger set stored = stored + 1, accepted = accepted + 1 where day = current_date - 1",
        "update ledger set stored = stored - 1, accepted = accepted - 1 where day = current_date - 1",
    ),
    "ledger.dead_lettered is not that of dead letters": (
        "update ledger set dead_lettered = 1, accepted = accepted + 1 where day = current_date - 2",
        "update ledger set dead_lettered = 0, accepted = accepted - 1 where day = current_date - 2",
    ),
    "batches not rolled up for 60 s": (
        "insert into rollup_pending (site, day, batch_id, hits, stored_at)"
        " values ('blog.example', current_date, 77, 1, now() - interval '2 min')",
        "set footfall.rollups = 5; delete from rollup_pending",
    ),
    "batches that wait have other hits than they say": (
        "insert into rollup_pending (site, day, batch_id, hits) values ('blog.example', current_date, 77, 1)",
        "set footfall.rollups = 5; delete from rollup_pending",
    ),
    "entry and exit pages not counted for 3600 s": (
        "insert into sessions_pending (site_id, day, marked_at)"
        " select site_id, current_date, now() - interval '2 h' from sites",
        "truncate sessions_pending",
    ),
    "days that are neither open nor closed": (
        "drop index hits_days.d{today}_batch",
        "create index d{today}_batch on hits_days.d{today} (batch_id)",
    ),
    "days that are neither open nor closed: hits could get in twice": (
        "select close_hits_day(current_date)",
        "select open_hits_day(current_date)",
    ),
    "days without a partition": (
        "drop table hits_days.d{tomorrow}",
        "select open_hits_day(current_date + 1)",
    ),
    "partitions that are detached from stored_hits": (
        "alter table stored_hits detach partition hits_days.d{tomorrow}",
        "drop table hits_days.d{tomorrow}; select open_hits_day(current_date + 1)",
    ),
    "days older than RETENTION_DAYS that are still there": (
        "select make_hits_partition(current_date - 402)",
        "drop table hits_days.d{long_ago}",
    ),
    "hits that are there twice": (
        "select close_hits_day(current_date - 1);"
        " insert into stored_hits select * from stored_hits where day = current_date - 1 limit 1;"
        " update ledger set stored = stored + 1, accepted = accepted + 1 where day = current_date - 1"
        " and site = (select site from hits where day = current_date - 1 group by site, hit_id having count(*) > 1)",
        "update ledger set stored = stored - 1, accepted = accepted - 1 where day = current_date - 1"
        " and site = (select site from hits where day = current_date - 1 group by site, hit_id having count(*) > 1);"
        " delete from stored_hits where day = current_date - 1 and ctid in ("
        "  select max(ctid) from stored_hits where day = current_date - 1 group by hit_id having count(*) > 1);"
        " select open_hits_day(current_date - 1)",
    ),
    "daily_countries shows other sums than rollup_countries": (
        "alter table rollup_countries rename to other; create table rollup_countries (like other);"
        " insert into rollup_countries select * from other where country is not null",
        "drop table rollup_countries; alter table other rename to rollup_countries",
    ),
    "daily_pages shows something else than hits": (
        DAILY_PAGES.replace("p.host, p.path", "p.path as host, p.host as path"),
        DAILY_PAGES,
    ),
}


@pytest.mark.parametrize("title", OTHERS)
def test_what_else_is_wrong_is_found(owner: psycopg.Connection[Any], title: str) -> None:
    days = {
        "today": f"{TODAY:%Y%m%d}",
        "tomorrow": f"{TODAY + datetime.timedelta(days=1):%Y%m%d}",
        "long_ago": f"{TODAY - datetime.timedelta(days=402):%Y%m%d}",
    }
    spoil, mend = OTHERS[title]
    owner.execute(spoil.format(**days))
    try:
        assert [line for line in audit(owner) if line.startswith(title)]
    finally:
        owner.execute(mend.format(**days))
    assert audit(owner) == []


NUMBERS = {"sites": "site_id", "pages": "page_id", "titles": "title_id", "origins": "origin_id",
           "referrers": "referrer_id", "clients": "client_id"}  # fmt: skip
# Without its site a day's hits are nobody's, and are not compared.
IN_HITS = [(table, "hits name what is not there") for table in NUMBERS if table != "sites"]
IN_ROLLUPS = [
    (table, "a rollup names what is not there") for table in ("sites", "pages", "referrers", "titles")
]


@pytest.mark.parametrize(("table", "title"), IN_HITS + IN_ROLLUPS)
def test_a_number_that_is_not_there_is_found(owner: psycopg.Connection[Any], table: str, title: str) -> None:
    owner.execute(f"create table aside as select * from {table}")
    owner.execute(f"delete from {table}")
    try:
        lines = audit(owner)
        assert [line for line in lines if line.startswith(title)]
        assert [line for line in lines if "is not there" in line]
    finally:
        columns = ", ".join(
            name
            for (name,) in owner.execute(
                "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and attgenerated = ''",
                [table],
            )
        )
        owner.execute(f"insert into {table} ({columns}) overriding system value select {columns} from aside")
        owner.execute("drop table aside")
    owner.execute(f"update {table} set used_on = used_on - 30")
    assert [line for line in audit(owner) if "may be forgotten after" in line]
    owner.execute(f"update {table} set used_on = used_on + 30")
    assert audit(owner) == []


TITLES = {
    "another": (
        "update rollup_titles t set title_id = (select max(title_id) from titles where title_id <> t.title_id)"
    ),
    "none": "delete from rollup_titles",
    "an older one": "update rollup_titles set received_at = received_at - interval '10 days'",
    "one of no hit": "update rollup_titles set received_at = received_at + interval '1 s'",
}


@pytest.mark.parametrize("change", TITLES)
def test_a_title_that_was_changed_is_found_and_put_right(
    database: Database, owner: psycopg.Connection[Any], change: str
) -> None:
    owner.execute(TITLES[change])
    lines = audit(owner)
    assert [line for line in lines if line.startswith("titles differ from hits")]
    put_right(database)
    assert audit(owner) == []


def test_a_title_that_is_older_than_the_hits_is_right_and_stays(
    database: Database, owner: psycopg.Connection[Any]
) -> None:
    owner.execute(
        "insert into pages (site_id, host, path, used_on) select site_id, site, '/gone', current_date from sites"
    )
    owner.execute(
        "insert into rollup_titles select page_id, 1, now() - interval '500 days', gen_random_uuid()"
        " from pages where path = '/gone'"
    )
    assert audit(owner) == []
    put_right(database)
    assert owner.execute(
        "select count(*) from rollup_titles join pages using (page_id) where path = '/gone'"
    ).fetchone() == (2,)


def test_hits_that_come_meanwhile_are_no_difference(
    database: Database, owner: psycopg.Connection[Any]
) -> None:
    settings = settings_of(database.owner_url)
    said: list[str] = []

    def store_meanwhile(text: str) -> None:
        said.append(text)
        hit = make_hit(day=TODAY, received_at=NOW, site=SITES[0], host=SITES[0], session_id=make_hit().hit_id)
        store(settings, [hit])

    with psycopg.connect(database.owner_url, autocommit=True) as own:
        assert list(problems(own, 400, store_meanwhile)) == []
    assert f"checking {DAYS[0]} (1 of {len(said) - 2})" in said
    assert audit(owner) == []


def test_hits_that_wait_are_no_difference(database: Database, owner: psycopg.Connection[Any]) -> None:
    with connect(settings_of(database.owner_url), "enricher") as connection:
        put(
            Store(connection),
            make_hit(day=TODAY, received_at=NOW, site=SITES[0], host=SITES[0], path="/waits"),
        )
    assert audit(owner) == []
    put_right(database)
    assert owner.execute("select count(*) from daily_pages where path = '/waits'").fetchone() == (0,)
    count(settings_of(database.owner_url))
    assert owner.execute("select pageviews from daily_pages where path = '/waits'").fetchone() == (1,)
    assert audit(owner) == []
