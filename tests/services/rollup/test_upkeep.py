"""Partitions are made ahead and dropped after RETENTION_DAYS, never before the rollups say what their hits say."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from services.database import connect, make_partitions
from services.enricher.store import Store
from services.enricher.time_limits import time_limits
from services.metrics import RollupMetrics
from services.rollup import days, upkeep
from services.rollup.feeds import Post
from services.rollup.forget import forget_unused
from services.rollup.posts import put as put_posts
from services.rollup.proof import Proof, prove
from services.rollup.rebuild import rebuild
from services.rollup.refresh import prepare, refresh
from services.rollup.sessions import count_sessions
from services.rollup.upkeep import drop_expired, first_day_to_keep, forget_old_facts, forget_old_groups
from services.rollups import REFRESH_LOCK, ROLLUPS
from services.settings import Settings
from tests.conftest import Database
from tests.make import Log, make_hit
from tests.services.rollup.definition import put
from tools.servers import poll

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the tests pass in the first hour of a day too."""
    monkeypatch.setattr(upkeep, "GRACE", datetime.timedelta(0))


@pytest.fixture
def connection(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    made = connect(settings, "rollup")
    prepare(made)
    yield made
    made.close()


def partitions(database: Database) -> list[str]:
    with database.connect() as eye:
        rows = eye.execute(
            "select relname from pg_class where relnamespace = 'hits_days'::regnamespace and relkind = 'r'"
        )
        return sorted(row[0] for row in rows)


def drop_partitions(database: Database) -> None:
    with database.connect() as eye:
        for name in partitions(database):
            eye.execute(f"drop table hits_days.{name}")


def day_ago(days: int, zone: str = "UTC") -> datetime.date:
    return datetime.datetime.now(ZoneInfo(zone)).date() - datetime.timedelta(days=days)


def name_of(day: datetime.date) -> str:
    return f"d{day:%Y%m%d}"


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_partitions_are_made_from_yesterday_to_a_week_ahead(
    database: Database, connection: psycopg.Connection[Any], zone: str
) -> None:
    drop_partitions(database)
    with database.connect() as eye:
        eye.execute("update installation set report_timezone = %s", [zone])
    assert make_partitions(connection) == 9
    assert partitions(database) == sorted(name_of(day_ago(-days, zone)) for days in range(-1, 8))
    assert make_partitions(connection) == 0


def test_days_beyond_the_retention_are_dropped_and_rollups_stay(
    database: Database, settings: Settings, connection: psycopg.Connection[Any]
) -> None:
    with connect(settings, "enricher") as writer:
        store = Store(writer)
        for days in (0, 29, 30, 31, 32, 400):
            put(store, make_hit(day=day_ago(days)))
    while refresh(connection):
        pass
    assert drop_expired(connection, 30) == sorted(name_of(day_ago(days)) for days in (31, 32, 400))
    assert drop_expired(connection, 30) == []
    with database.connect() as eye:
        days = [row[0] for row in eye.execute("select day from hits order by day desc")]
        assert days == [day_ago(0), day_ago(29), day_ago(30)]
        assert eye.execute("select count(*) from daily_traffic").fetchone() == (6,)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
@pytest.mark.parametrize("retention_days", [1, 30, 36_500])
def test_what_is_dropped_is_what_the_enricher_takes_no_more(
    database: Database, connection: psycopg.Connection[Any], zone: str, retention_days: int
) -> None:
    drop_partitions(database)
    with database.connect() as eye:
        eye.execute("update installation set report_timezone = %s", [zone])
        days = [day_ago(retention_days + more) for more in range(-3, 4)]
        for day in days:
            eye.execute("select make_hits_partition(%s)", [day])
        [(now,)] = eye.execute("select now()").fetchall()
    dropped = drop_expired(connection, retention_days)
    limits = time_limits(now, ZoneInfo(zone), retention_days)
    refused = [name_of(day) for day in days if day.isoformat() < limits.first_kept_day]
    assert 1 < len(refused) < 6
    assert dropped == sorted(refused)
    drop_partitions(database)


def test_a_day_whose_hits_are_not_counted_is_kept(
    settings: Settings, connection: psycopg.Connection[Any]
) -> None:
    with connect(settings, "enricher") as writer:
        put(Store(writer), make_hit(day=day_ago(40)), make_hit(day=day_ago(50)))
    assert drop_expired(connection, 30) == []
    assert refresh(connection) == 2
    assert drop_expired(connection, 30) == [name_of(day_ago(50)), name_of(day_ago(40))]


def test_a_dropped_day_that_got_a_late_hit_all_the_same_is_kept_and_told(
    database: Database, settings: Settings, connection: psycopg.Connection[Any]
) -> None:
    """Nothing proves its rollups any more, and a rebuild would lose what they know of the hits that are gone."""
    day = day_ago(40)
    for _ in range(2):
        with connect(settings, "enricher") as writer:
            assert put(Store(writer), make_hit(day=day)) == 1
        refresh(connection)
        kept: list[Proof] = []
        dropped = drop_expired(connection, 30, kept.append)
    assert dropped == []
    [proof] = kept
    assert proof == Proof(day, stored=2, lacks_hits=True)
    assert "do not rebuild" in proof.what_to_do
    with database.connect() as eye:
        assert eye.execute("select pageviews from daily_traffic").fetchall() == [(2,)]


def test_an_enricher_that_knew_a_dropped_day_stores_its_late_hit(
    database: Database, settings: Settings, connection: psycopg.Connection[Any]
) -> None:
    day = day_ago(40)
    with connect(settings, "enricher") as writer:
        store = Store(writer)
        put(store, make_hit(day=day))
        refresh(connection)
        drop_expired(connection, 30)
        forget_unused(connection, day_ago(30))
        with pytest.raises(psycopg.errors.CheckViolation):
            put(store, make_hit(day=day))
        assert put(store, make_hit(day=day)) == 1, "the next try makes the partition again"
        refresh(connection)
    with database.connect() as eye:
        assert eye.execute("select site, path, channel from hits").fetchall() == [
            ("blog.example", "/a", "Direct")
        ]


def test_dropping_gives_way_to_somebody_who_reads(
    database: Database,
    settings: Settings,
    connection: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(days, "LOCK_TIMEOUT_MS", 50)
    with connect(settings, "enricher") as writer:
        put(Store(writer), make_hit(day=day_ago(40)))
    refresh(connection)
    with database.connect() as reader, reader.transaction():
        reader.execute("select count(*) from hits")
        assert drop_expired(connection, 30) == []
    with database.connect() as other:
        other.execute("select pg_advisory_lock(%s)", [REFRESH_LOCK])  # a rebuild
        assert drop_expired(connection, 30) == []
    assert poll(lambda: drop_expired(connection, 30) == [name_of(day_ago(40))], 5)


def test_a_day_is_dropped_an_hour_after_its_time(
    database: Database, connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an enricher took for a hit of the last kept day just before midnight is stored by then."""
    monkeypatch.setattr(upkeep, "GRACE", datetime.timedelta(hours=1))
    for zone, now_there in (("zone_a", "00:30"), ("zone_b", "01:30")):
        # A zone in which it is that time now.
        with database.connect() as eye:
            row = eye.execute(
                "select ((%s::time - (now() at time zone 'UTC')::time))::text", [now_there]
            ).fetchone()
            assert row
            sign, offset = ("-", row[0]) if not row[0].startswith("-") else ("", row[0][1:])
            name = f"<{zone}>{sign}{offset[:8]}"
            eye.execute("update installation set report_timezone = %s", [name])
            today = eye.execute(
                "select (now() at time zone report_timezone)::date from installation"
            ).fetchone()
        assert today
        age = today[0] - first_day_to_keep(connection, 30)
        assert age.days == (31 if now_there == "00:30" else 30)


# Proven before it is dropped ----------------------------------------------------------------------------------------


def fill_day(settings: Settings, connection: psycopg.Connection[Any], day: datetime.date) -> None:
    """A hit at least for each rollup, counted, sessions too."""
    session = uuid.UUID(int=day.toordinal())
    shared = {"day": day, "received_at": noon(day), "title": "Old", "utm_campaign": "spring"}
    post = Post(make_hit().site, make_hit().host, "/b", "Post", "https://blog.example/b", noon(day))
    put_posts(connection, "feed", [post], sleep=lambda _: None)
    with connect(settings, "enricher") as writer:
        put(
            Store(writer),
            make_hit(**shared, session_id=session, status=404, source="Search", source_detail="Kagi",
                     channel="Search", referrer="https://kagi.com/", country="DE", browser="Firefox", os="Linux",
                     device="desktop", language="de", screen="1920x1080"),
            make_hit(**shared, session_id=session, path="/b"),
            make_hit(**shared, event="signup", props='{"plan":"big"}', session_id=session),
            make_hit(**shared, is_bot=True, bot_name="Crawler", bot_class="search"),
        )  # fmt: skip
    while refresh(connection):
        pass
    count_sessions(connection)


def noon(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time(12), datetime.UTC)


TABLES = [
    *(f"rollup_{rollup.name}" for rollup in ROLLUPS),
    "rollup_titles", "rollup_sessions", "rollup_entries", "rollup_exits",
]  # fmt: skip


@pytest.mark.parametrize("table", TABLES)
def test_a_day_of_which_a_cell_is_wrong_is_kept_until_it_is_rebuilt(
    database: Database, settings: Settings, connection: psycopg.Connection[Any], table: str
) -> None:
    day = day_ago(40)
    fill_day(settings, connection, day)
    with database.connect() as eye:
        before = set(eye.execute(f"select * from {table}"))
        assert before, "each rollup has a cell"
        eye.execute(f"delete from {table} where ctid = (select min(ctid) from {table})")
        kept: list[Proof] = []
        assert drop_expired(connection, 30, kept.append) == []
        [proof] = kept
        assert proof.differing == (table,)
        assert proof.what_to_do == f"make rebuild FROM={day} TO={day}"
        [rebuilt] = rebuild(connection, [day], sleep=lambda _: None)
        assert rebuilt.titles if table == "rollup_titles" else list(rebuilt.cells) == [table]
        eye.execute("insert into sessions_pending (site_id, day) select site_id, %s from sites", [day])
        assert drop_expired(connection, 30, kept.append) == [], "its sessions are to be counted first"
        count_sessions(connection)
        views = {name: set(eye.execute(f"select * from {name}")) for name in VIEWS}
        assert all(views.values())
        assert drop_expired(connection, 30, kept.append) == [name_of(day)]
        assert len(kept) == 1
        assert forget_unused(connection, day_ago(30))["titles"] == 0
        assert set(eye.execute(f"select * from {table}")) == before
        assert {name: set(eye.execute(f"select * from {name}")) for name in VIEWS} == views


VIEWS = (
    "daily_traffic", "hourly_traffic", "daily_pages", "daily_sources", "daily_source_details", "daily_referrals",
    "daily_referrers", "daily_channels", "daily_campaigns", "daily_countries", "daily_browsers", "daily_systems",
    "daily_devices", "daily_languages", "daily_screens", "daily_events", "daily_event_properties", "daily_bots",
    "daily_bot_pages", "daily_missing", "daily_sessions", "daily_entries", "daily_exits",
)  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        "delete from stored_hits where is_bot",
        "update ledger set stored = stored + 1",
        "delete from ledger",
        "update ledger set site = 'other.example'",
    ],
)
def test_a_day_whose_rows_are_not_those_of_the_ledger_is_kept(
    database: Database, settings: Settings, connection: psycopg.Connection[Any], change: str
) -> None:
    fill_day(settings, connection, day_ago(40))
    with database.connect() as eye:
        eye.execute(change)  # type: ignore[call-overload]
    proof = prove(connection, day_ago(40))
    assert (proof.lacks_hits, proof.is_proven) == (True, False)
    assert drop_expired(connection, 30) == []


def test_a_day_that_gets_a_hit_after_its_proof_is_not_dropped(
    settings: Settings, connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_day(settings, connection, day_ago(40))

    def prove_and_store(connection: Any, day: datetime.date) -> Proof:
        proof = prove(connection, day)
        with connect(settings, "enricher") as writer:
            put(Store(writer), make_hit(day=day))
        refresh(connection)
        return proof

    with monkeypatch.context() as patch:
        patch.setattr(upkeep, "prove", prove_and_store)
        assert drop_expired(connection, 30) == []
    assert drop_expired(connection, 30) == [name_of(day_ago(40))]


def test_a_day_that_stays_wrong_holds_up_no_other(
    database: Database, settings: Settings, connection: psycopg.Connection[Any]
) -> None:
    for number in (40, 41, 42):
        fill_day(settings, connection, day_ago(number))
    with database.connect() as eye:
        eye.execute("update rollup_pages set visitors = visitors + 1 where day = %s", [day_ago(41)])
    metrics, log = RollupMetrics(), Log()
    upkeep.tidy(connection, 30, metrics, log)  # type: ignore[arg-type]
    assert {name_of(day_ago(number)) for number in (40, 41, 42)} & set(partitions(database)) == {
        name_of(day_ago(41))
    }
    assert metrics.registry.get_sample_value("footfall_rollup_days_not_proven") == 1
    [line] = [line for line in map(json.loads, log.lines) if line["level"] == "error"]
    assert line == {
        "level": "error", "action": "day-not-proven", "day": str(day_ago(41)), "differing": ["rollup_pages"],
        "what_to_do": f"make rebuild FROM={day_ago(41)} TO={day_ago(41)}",
    }  # fmt: skip


def test_numbers_of_groups_are_forgotten_after_two_weeks(
    database: Database, connection: psycopg.Connection[Any]
) -> None:
    with database.connect() as eye:
        eye.execute(
            "insert into stream_groups (site, pixel_id, seq, hits, processed_at)"
            " select site, md5(run)::uuid, seq, 0, now() - make_interval(days => d)"
            " from (values ('', 'lives', 1, 100), ('', 'lives', 2, 15), ('b.example', 'lives', 3, 15),"
            " ('a.example', 'lives', 3, 15), ('', 'lives', 4, 13), ('', 'lives', 5, 0), ('', 'ended', 1, 20),"
            " ('', 'ended', 2, 19), ('', 'ended long ago', 9, 500)) g (site, run, seq, d)"
        )
        assert forget_old_groups(connection) == 4
        assert forget_old_groups(connection) == 0
        left = eye.execute(
            "select seq, count(*) from stream_groups group by pixel_id, seq order by 1"
        ).fetchall()
        assert left == [(2, 1), (3, 2), (4, 1), (5, 1)], "of each run the last old number stays"
        assert eye.execute("select count(*) from groups_missing('-infinity')").fetchone() == (0,)


def test_what_is_known_of_the_pipeline_grows_old(
    connection: psycopg.Connection[Any], database: Database
) -> None:
    with database.connect() as eye:
        eye.execute(
            "insert into ingest_minutes select date_trunc('minute', now()) - make_interval(days => d), 1, 5, 5, now()"
            " from generate_series(28, 34) as d"
        )
        eye.execute(
            "insert into late_hits select now() - make_interval(days => d), 'blog.example', 1, 90"
            " from generate_series(98, 104) as d"
        )
        eye.execute(
            "insert into pixel_runs"
            " select gen_random_uuid(), 1, now() - interval '500 days', now() - make_interval(days => d)"
            " from generate_series(98, 104) as d"
        )
        assert forget_old_facts(connection, 100) == 5 + 5 + 5
        tables = ("ingest_minutes", "late_hits", "pixel_runs")
        assert [eye.execute(f"select count(*) from {table}").fetchall() for table in tables] == [[(2,)]] * 3
        # Minutes too go with the hits where these are kept for less than 30 days; the newest stays.
        assert forget_old_facts(connection, 1) == 1 + 2 + 1
        assert eye.execute("select count(*) from pixel_runs").fetchall() == [(1,)], (
            "the last run stays: it ends the last gap"
        )
