"""The alerts that speak of a site: silent where little is read, where nothing was before, and when clocks turn.

Rollups are planted as numbers, and ``now()`` is a moment of the test's: clocks do not change every day.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import psycopg
import pytest

from grafana.panels import SQL
from tests.conftest import Database, cloned
from tools.servers import Postgres

pytestmark = pytest.mark.servers

ZONE = ZoneInfo("Europe/Berlin")
BLOG = "blog.example"
WEEKS = timedelta(days=35)
HOURS = """
    insert into rollup_hours (
        day, site_id, hour_starts_at, pageviews, visitors, anonymous_pageviews, bot_hits, owner_hits)
    select day, %(site)s, at, %(pageviews)s, %(pageviews)s, 0, 1, 0
    from generate_series(%(first)s::date, %(last)s::date, '1 day') as moment,
         lateral (select moment::date as day) d,
         generate_series(day::timestamp at time zone 'Europe/Berlin',
                         (day + 1)::timestamp at time zone 'Europe/Berlin' - interval '1 minute', '1 hour') as at
    where at < %(until)s and extract(hour from at at time zone 'Europe/Berlin') between %(opens)s and %(closes)s
    on conflict do nothing"""
DAYS = """
    insert into rollup_traffic (day, site_id, pageviews, visitors, anonymous_pageviews, bot_hits, owner_hits)
    select day, site_id, sum(pageviews), sum(visitors), 0, 24, 0 from rollup_hours group by 1, 2"""
AN_HOUR = """
    insert into rollup_hours values (%s, %s, %s, %s, %s, 0, 0, 0)
    on conflict (day, site_id, hour_starts_at)
    do update set pageviews = excluded.pageviews, visitors = excluded.visitors"""


def local(text: str, fold: int = 0) -> datetime:
    """A moment by Berlin's clock; ``fold`` 1: the second of the two that a clock shows on a night in October."""
    return datetime.fromisoformat(text).replace(tzinfo=ZONE, fold=fold)


NOON = local("2026-06-10 12:25")
NEW_YEAR = local("2026-01-01 00:25")
# Clocks go from 2 to 3, and from 3 to 2.
SPRING, AUTUMN = local("2026-03-29 03:25"), local("2026-10-25 02:25", fold=1)


@pytest.fixture(scope="module")
def shared(postgres: Postgres, template_database: str) -> Iterator[Database]:
    with cloned(postgres, template_database) as database:
        yield database


@pytest.fixture
def owner(shared: Database) -> Iterator[psycopg.Connection[Any]]:
    """A connection whose changes are taken back."""
    with shared.connect() as connection, connection.transaction(force_rollback=True):
        connection.execute("update installation set report_timezone = %s", [ZONE.key])
        yield connection


def add_site(owner: psycopg.Connection[Any], name: str = BLOG) -> int:
    row = owner.execute(
        "insert into sites (site, used_on) values (%s, current_date) returning site_id", [name]
    )
    [(number,)] = row.fetchall()
    return int(number)


class Rhythm(NamedTuple):
    """So many pageviews in each hour of the day between two."""

    pageviews: int
    opens: int = 0
    closes: int = 23


def plant(
    owner: psycopg.Connection[Any], now: datetime, rhythm: Rhythm, until: datetime, since: timedelta = WEEKS
) -> int:
    """A site with a rhythm, from ``since`` before now until a moment; and an enricher that works. Its number."""
    site = add_site(owner)
    values = {
        "site": site, **rhythm._asdict(), "until": until,
        "first": (now - since).date(), "last": now.date(),
    }  # fmt: skip
    owner.execute(HOURS, values)
    owner.execute(DAYS)
    owner.execute("insert into stream_look (looked_at, entries, entries_read) values (%s, 0, 0)", [now])
    return site


def found(owner: psycopg.Connection[Any], name: str, now: datetime) -> list[tuple[Any, ...]]:
    """The rows of an alert, asked by its role at a moment."""
    sql = (SQL / "alerts" / name).read_text("utf-8")
    assert "now()" in sql
    assert "clock_timestamp" not in sql
    owner.execute("set local role grafana_reader")
    return owner.execute(sql.replace("now()", f"timestamptz '{now.isoformat()}'")).fetchall()


def ago(now: datetime, **how_long: float) -> datetime:
    """Before now, counted as time passes and not by the clock."""
    return datetime.fromtimestamp(now.timestamp() - timedelta(**how_long).total_seconds(), ZONE)


# What it is, when, its rhythm, until when there were pageviews, the minutes and usual pageviews that are told.
BUSY, BLOG_BY_DAY = Rhythm(60), Rhythm(60, 8, 22)
QUIET: list[tuple[str, datetime, Rhythm, datetime, tuple[int, int] | None]] = [
    ("this hour", NOON, BUSY, ago(NOON, minutes=25), (25, 25)),
    ("too early in the hour", ago(NOON, minutes=15), BUSY, ago(NOON, minutes=25), None),
    ("the hour before, too", ago(NOON, minutes=20), BUSY, ago(NOON, minutes=85), (65, 65)),
    ("nothing is wrong", NOON, BUSY, NOON, None),
    ("a blog at night", local("2026-06-10 03:30"), BLOG_BY_DAY, local("2026-06-09 23:00"), None),
    ("a blog when it wakes", local("2026-06-10 08:10"), BLOG_BY_DAY, local("2026-06-09 23:00"), None),
    ("a blog that does not wake", local("2026-06-10 08:25"), BLOG_BY_DAY, local("2026-06-09 23:00"), (85, 25)),
    ("a small blog", NOON, Rhythm(4), ago(NOON, hours=5), None),
    ("ended yesterday", NOON, BUSY, ago(NOON, days=1), (85, 85)),
    ("ended a week ago", NOON, BUSY, ago(NOON, days=7, hours=3), None),
    ("ended weeks ago", NOON, BUSY, ago(NOON, days=30), None),
    ("just after midnight", ago(NEW_YEAR, minutes=22), BUSY, ago(NEW_YEAR, minutes=85), (63, 63)),
    ("since midnight", NEW_YEAR, BUSY, ago(NEW_YEAR, minutes=25), (25, 25)),
    ("midnight, nothing wrong", ago(NEW_YEAR, minutes=22), BUSY, NEW_YEAR, None),
    ("clocks went forward", SPRING, BUSY, ago(SPRING, minutes=25), (25, 25)),
    ("forward, the hour before too", SPRING, BUSY, ago(SPRING, minutes=85), (85, 85)),
    ("forward, a blog at night", SPRING, BLOG_BY_DAY, local("2026-03-28 23:00"), None),
    ("clocks went back", AUTUMN, BUSY, ago(AUTUMN, minutes=25), (25, 25)),
    ("back, the hour before too", AUTUMN, BUSY, ago(AUTUMN, minutes=85), (85, 85)),
    ("back, nothing wrong", AUTUMN, BUSY, AUTUMN, None),
    ("a blog, the morning after", local("2026-03-29 08:25"), BLOG_BY_DAY, local("2026-03-28 23:00"), (85, 25)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("now", "rhythm", "until", "told"), [c[1:] for c in QUIET], ids=[c[0] for c in QUIET]
)
def test_a_site_that_should_have_pageviews_and_has_none_is_told(
    owner: psycopg.Connection[Any],
    now: datetime,
    rhythm: Rhythm,
    until: datetime,
    told: tuple[int, int] | None,
) -> None:
    plant(owner, now, rhythm, until)
    assert found(owner, "no_hits.sql", now) == ([(BLOG, *told)] if told else [])


def test_bots_are_no_readers(owner: psycopg.Connection[Any]) -> None:
    site = plant(owner, NOON, BUSY, ago(NOON, minutes=25))
    owner.execute(AN_HOUR, [NOON.date(), site, ago(NOON, minutes=25), 0, 0])
    assert found(owner, "no_hits.sql", NOON) == [(BLOG, 25, 25)]


@pytest.mark.parametrize("days", [1, 10, 14])
def test_a_new_site_is_not_missed(owner: psycopg.Connection[Any], days: int) -> None:
    plant(owner, NOON, BUSY, ago(NOON, hours=2), timedelta(days=days))
    assert found(owner, "no_hits.sql", NOON) == []


def test_one_week_without_readers_makes_the_hour_a_quiet_one(owner: psycopg.Connection[Any]) -> None:
    site = plant(owner, NOON, BUSY, ago(NOON, minutes=25))
    owner.execute("delete from rollup_hours where site_id = %s and day = %s", [site, date(2026, 6, 3)])
    assert found(owner, "no_hits.sql", NOON) == []


@pytest.mark.parametrize("statement", [
    "update stream_look set looked_at = looked_at - interval '3 minutes'",
    "insert into rollup_pending (site, day, batch_id, hits, stored_at)"
    " select 'blog.example', looked_at::date, 1, 1, looked_at - interval '2 minutes' from stream_look",
])  # fmt: skip
def test_hits_that_wait_are_not_missed_site_by_site(owner: psycopg.Connection[Any], statement: str) -> None:
    plant(owner, NOON, BUSY, ago(NOON, minutes=25))
    owner.execute(statement)
    assert found(owner, "no_hits.sql", NOON) == []


# What it is, its rhythm, when, the hour that stands out: how long ago it began, pageviews, visitors; what is usual.
SPIKES: list[tuple[str, Rhythm, datetime, float, int, int, int | None]] = [
    ("this hour", Rhythm(12), NOON, 25, 1204, 900, 12),
    ("the hour before", Rhythm(12), NOON, 85, 1204, 900, 12),
    ("two hours ago", Rhythm(12), NOON, 145, 1204, 900, None),
    ("four times", Rhythm(300), NOON, 25, 1204, 900, None),
    ("a small blog", Rhythm(0), NOON, 25, 60, 40, 0),
    ("not many", Rhythm(0), NOON, 25, 49, 40, None),
    ("one reader", Rhythm(1), NOON, 25, 200, 1, None),
    ("before midnight", Rhythm(12), NEW_YEAR, 85, 1204, 900, 12),
    ("before clocks went forward", Rhythm(12), SPRING, 85, 1204, 900, 12),
    ("while clocks went back", Rhythm(12), AUTUMN, 85, 1204, 900, 12),
]


@pytest.mark.parametrize(
    ("rhythm", "now", "minutes", "pageviews", "visitors", "usual"),
    [case[1:] for case in SPIKES],
    ids=[case[0] for case in SPIKES],
)
def test_a_spike_is_told_with_its_source(
    owner: psycopg.Connection[Any],
    rhythm: Rhythm,
    now: datetime,
    minutes: float,
    pageviews: int,
    visitors: int,
    usual: int | None,
) -> None:
    site = plant(owner, now, rhythm if rhythm.pageviews else Rhythm(1, 23, 23), now)
    at = ago(now, minutes=minutes)
    owner.execute(AN_HOUR, [at.date(), site, at, pageviews, visitors])
    plant_sources(owner, site, at.date())
    told = found(owner, "spike.sql", now)
    assert told == ([(BLOG, "Hacker News", "News", pageviews, usual)] if usual is not None else [])


def plant_sources(owner: psycopg.Connection[Any], site: int, day: date) -> None:
    """A day on which Hacker News leads here as it does not otherwise, and Search more, as always."""
    for source, channel, usual, now in [
        ("Search", "Search", 900, 950),
        (None, "Direct", 500, 520),
        ("Hacker News", "News", 5, 800),
    ]:
        owner.execute(
            "insert into rollup_sources select d::date, %s, %s, %s, case when d = %s then %s else %s end, 1"
            " from generate_series(%s::date - 14, %s, interval '1 day') as d",
            [site, source, channel, day, now, usual, day, day],
        )


def test_a_spike_without_a_referrer_is_direct(owner: psycopg.Connection[Any]) -> None:
    site = plant(owner, NOON, Rhythm(12), NOON)
    at = ago(NOON, minutes=25)
    owner.execute(AN_HOUR, [at.date(), site, at, 100, 80])
    owner.execute("insert into rollup_sources values (%s, %s, null, 'Direct', 100, 80)", [at.date(), site])
    assert found(owner, "spike.sql", NOON) == [(BLOG, "Direct", "Direct", 100, 12)]


def test_what_comes_each_week_is_no_spike(owner: psycopg.Connection[Any]) -> None:
    site = plant(owner, NOON, Rhythm(12), NOON)
    for weeks in range(4):
        at = ago(NOON, minutes=25, weeks=weeks)
        owner.execute(AN_HOUR, [at.date(), site, at, 500, 400])
    plant_sources(owner, site, NOON.date())
    assert found(owner, "spike.sql", NOON) == []


def test_a_new_site_has_no_spike(owner: psycopg.Connection[Any]) -> None:
    site = plant(owner, NOON, Rhythm(12), NOON, timedelta(days=10))
    at = ago(NOON, minutes=25)
    owner.execute(AN_HOUR, [at.date(), site, at, 1204, 900])
    plant_sources(owner, site, NOON.date())
    assert found(owner, "spike.sql", NOON) == []


def miss(
    owner: psycopg.Connection[Any], site: int, day: date, path: str, referrer: str | None, pageviews: int
) -> None:
    """Pageviews of a missing page, to which a referrer led."""
    page = owner.execute(
        "insert into pages (site_id, host, path, used_on) values (%s, %s, %s, %s)"
        " on conflict (key) do update set used_on = excluded.used_on returning page_id",
        [site, BLOG, path, day],
    ).fetchone()
    led = owner.execute(
        "insert into referrers (source, referrer, used_on) values (null, %s, %s)"
        " on conflict (key) do update set used_on = excluded.used_on returning referrer_id",
        [referrer, day],
    ).fetchone()
    assert page
    assert led
    owner.execute(
        "insert into rollup_missing values (%s, %s, %s, %s, %s)", [day, site, *page, *led, pageviews]
    )


NEWS = "https://news.example/item"
# What it is, a usual day's, today's of the page, since when the site is; what is told.
BURSTS: list[tuple[str, int, int, int, tuple[int, int] | None]] = [
    ("many", 1, 40, 35, (44, 2)),
    ("few", 1, 25, 35, None),
    ("as always", 40, 45, 35, None),
    ("a new site", 0, 400, 6, None),
    ("a site of a week", 0, 400, 7, (404, 1)),
]


@pytest.mark.parametrize(
    ("usual", "today", "days", "told"), [case[1:] for case in BURSTS], ids=[case[0] for case in BURSTS]
)
@pytest.mark.parametrize("now", [NOON, NEW_YEAR, SPRING, AUTUMN], ids=str)
def test_a_burst_of_missing_pages_is_told_with_page_and_referrer(
    owner: psycopg.Connection[Any],
    now: datetime,
    usual: int,
    today: int,
    days: int,
    told: tuple[int, int] | None,
) -> None:
    site = plant(owner, now, Rhythm(12), now, timedelta(days=days))
    for back in range(1, min(days, 14) + 1):
        day = now.date() - timedelta(days=back)
        miss(owner, site, day, "/favicon", None, 1)
        if usual:
            miss(owner, site, day, "/moved", None, usual)
    miss(owner, site, now.date(), "/favicon", None, 3)
    miss(owner, site, now.date(), "/moved", NEWS, today - 1)
    miss(owner, site, now.date(), "/moved", None, 2)
    wanted = [(BLOG, f"{BLOG}/moved", NEWS, *told)] if told else []
    assert found(owner, "missing.sql", now) == wanted


def test_a_burst_that_nobody_led_to_says_so(owner: psycopg.Connection[Any]) -> None:
    site = plant(owner, NOON, Rhythm(12), NOON)
    miss(owner, site, NOON.date(), "/moved", None, 40)
    assert found(owner, "missing.sql", NOON) == [(BLOG, f"{BLOG}/moved", "no referrer", 40, 0)]


def test_what_strangers_sent_is_cut_in_an_alert(owner: psycopg.Connection[Any]) -> None:
    site = plant(owner, NOON, Rhythm(12), NOON)
    miss(owner, site, NOON.date(), "/" + "x" * 2000, "https://news.example/" + "y" * 2000, 40)
    [(_, page, referrer, _, _)] = found(owner, "missing.sql", NOON)
    assert (len(page), len(referrer)) == (200, 200)


def test_a_site_whose_traffic_ended_misses_nothing(owner: psycopg.Connection[Any]) -> None:
    site = plant(owner, NOON, Rhythm(12), ago(NOON, days=20))
    miss(owner, site, NOON.date(), "/moved", NEWS, 40)
    assert found(owner, "missing.sql", NOON) == []


def test_sites_are_told_one_by_one(owner: psycopg.Connection[Any]) -> None:
    plant(owner, NOON, BUSY, ago(NOON, minutes=25))
    other = add_site(owner, "o'shop.example")
    for table in ("rollup_hours", "rollup_traffic"):
        owner.execute(
            f"create temp table copied on commit drop as select * from {table} where site_id <> %s", [other]
        )
        owner.execute("update copied set site_id = %s", [other])
        owner.execute(f"insert into {table} select * from copied")
        owner.execute("drop table copied")
    assert found(owner, "no_hits.sql", NOON) == [(BLOG, 25, 25), ("o'shop.example", 25, 25)]
