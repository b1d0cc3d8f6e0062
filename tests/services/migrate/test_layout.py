"""Migration 0004 takes an installation over whose hits were texts: every hit, every count, also what waits."""

from __future__ import annotations

import datetime
import random
import uuid
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg.types.json import Jsonb

from services.database import connect
from services.enricher.time_limits import moment_of
from services.migrate.__main__ import MIGRATIONS
from services.migrate.runner import migrate
from services.rollup.refresh import prepare, refresh
from services.settings import load_settings
from tests.conftest import Database
from tests.make import make_hit
from tests.services.rollup.definition import COLUMNS, DEFINITIONS, differences
from tests.strategies import PROPS

pytestmark = pytest.mark.servers

DAYS = [datetime.date(2026, 11, 20), datetime.date(2026, 11, 21), datetime.date(2026, 11, 22)]
GONE = datetime.date(2025, 3, 1)
FORMER = ("daily_traffic", "daily_pages", "daily_sources", "daily_source_details", "daily_referrals",
          "daily_countries", "daily_missing")  # fmt: skip
# What only the rollups still know.
OLD: dict[str, tuple[Any, ...]] = {
    "traffic": (5, 3, 0, 1, 0),
    "pages": ("old.example", "/gone", 5, 3),
    "missing": ("old.example", "/gone", "https://x.example/1", 2),
    "referrals": ("Former", "https://f.example/", "old.example", "/gone", 2, 1),
}
HITS = """
    select hit_id, session_id, received_at, day, site, host, path, query, title, event, props, status, referrer,
           source, source_detail, channel, utm_source, utm_medium, utm_campaign, utm_term, utm_content, link_tag,
           country,
           is_bot, bot_name, bot_class, subscribers, is_me, browser, os, device, language, screen, batch_id
    from hits order by day, site, hit_id
"""


def some_hits() -> list[Any]:
    """Rows in which every column has a value somewhere, and none somewhere else."""
    chance = random.Random(5)
    hits = []
    for number in range(400):
        day = chance.choice(DAYS)
        site = chance.choice(["blog.example", "shop.example"])
        event = chance.choice(["pageview", "pageview", "signup"])
        bot = chance.choice([None, None, "curl"])
        source = chance.choice([None, "Search", "x.example"])
        hits.append(
            make_hit(
                id=number,
                day=day,
                received_at=datetime.datetime.combine(day, datetime.time(chance.randrange(24)), datetime.UTC),
                site=site,
                host=chance.choice([site, f"www.{site}"]),
                path=chance.choice(["/", "/a", "/" + "ä" * 2_000]),
                query=chance.choice([None, "page=2", "page=3"]),
                title=chance.choice([None, "One", "Two", "T" * 512]),
                event=event,
                props=chance.choice(PROPS) if event == "signup" else None,
                status=chance.choice([None, 200, 404]),
                referrer=chance.choice([None, "https://x.example/1", "https://x.example/" + "y" * 2_000]),
                source=source,
                source_detail=chance.choice([None, "Google"]) if source else None,
                channel=chance.choice(["Direct", "Search", "Campaign"]),
                utm_source=chance.choice([None, "letter"]),
                utm_medium=chance.choice([None, "email"]),
                utm_campaign=chance.choice([None, "spring"]),
                utm_term=chance.choice([None, "a"]),
                utm_content=chance.choice([None, "b"]),
                link_tag=chance.choice([None, "gclid"]),
                country=chance.choice([None, "DE", "FR"]),
                session_id=chance.choice(
                    [None, *(uuid.uuid5(uuid.NAMESPACE_DNS, f"{day} {site} {n}") for n in range(20))]
                ),
                is_bot=bot is not None,
                bot_name=bot,
                bot_class=chance.choice([None, "tool"]) if bot else None,
                subscribers=chance.choice([None, 12]) if bot else None,
                is_me=chance.random() < 0.1,
                browser=chance.choice([None, "Firefox"]),
                os=chance.choice([None, "Linux"]),
                device=chance.choice([None, "desktop"]),
                language=chance.choice([None, "de-CH"]),
                screen=chance.choice([None, "390x844"]),
            )
        )
    return hits


def columns_of_hits(connection: psycopg.Connection[Any]) -> list[str]:
    """The columns of hits, a table once and now a view."""
    rows = connection.execute(
        "select attname::text from pg_attribute where attrelid = 'hits'::regclass and attnum > 0"
        " and not attisdropped order by attnum"
    ).fetchall()
    return [name for (name,) in rows]


def store_as_before(connection: psycopg.Connection[Any], hits: list[Any]) -> None:
    """Rows of 0001 to 0003, in batches of which the last two wait; the rollups hold the others, and a gone day."""
    there = columns_of_hits(connection)
    names = (*hits[0].__struct_fields__, "rules", "batch_id")
    kept = [place for place, name in enumerate(names) if name.removesuffix("_us") in there]
    columns = ", ".join(names[place].removesuffix("_us") for place in kept)
    places = ", ".join(["%s"] * len(kept))
    for day in DAYS:
        connection.execute("select make_hits_partition(%s)", [day])
    for place, hit in enumerate(hits):
        row = [*msgspec.structs.astuple(hit), 2, 1 + place * 4 // len(hits)]
        row[:3] = uuid.UUID(bytes=row[0]), row[1] and uuid.UUID(bytes=row[1]), moment_of(row[2])
        props = names.index("props")
        row[props] = Jsonb(msgspec.json.decode(row[props])) if row[props] else None
        connection.execute(f"insert into hits ({columns}) values ({places})", [row[place] for place in kept])
    connection.execute(
        "insert into rollup_pending (site, day, batch_id, hits)"
        " select site, day, batch_id, count(*) from hits where batch_id > 2 group by 1, 2, 3"
    )
    connection.execute("select setval('hits_batch_id_seq', 4)")
    connection.execute("alter table hits rename to all_hits")
    connection.execute("create view hits as select * from all_hits where batch_id <= 2")
    known = {
        name for (name,) in connection.execute("select viewname from pg_views where schemaname = 'public'")
    }
    for view in known.intersection(FORMER):
        columns = [name for name in COLUMNS[view].split(", ") if name not in ("title", "day_starts_at")]
        definition = DEFINITIONS[view]
        taken = ", ".join(f"d.{name}" for name in columns)
        given = ", ".join(COLUMNS[view].split(", "))
        connection.execute(
            f"insert into {view.replace('daily', 'rollup')} ({', '.join(columns)})"
            f" select {taken} from ({definition}) as d ({given})"
        )
    connection.execute(
        "insert into rollup_titles select distinct on (site, host, path) site, host, path, title, received_at, hit_id"
        " from hits where event = 'pageview' and not is_bot and not is_me and title is not null"
        " order by site, host, path, received_at desc, hit_id desc"
    )
    connection.execute("drop view hits")
    connection.execute("alter table all_hits rename to hits")
    for table, cell in OLD.items():
        connection.execute(
            f"insert into rollup_{table} values ('old.example', %s{', %s' * len(cell)})", [GONE, *cell]
        )


def test_an_installation_of_before_is_taken_over(empty: Database, tmp_path: Path) -> None:
    for path in sorted(MIGRATIONS.glob("*.sql"))[:3]:
        (tmp_path / path.name).write_text(path.read_text())
    with empty.connect() as connection:
        migrate(connection, tmp_path)
        store_as_before(connection, some_hits())
        before = connection.execute(HITS).fetchall()
        assert len(before) == 400

        migrate(connection, MIGRATIONS)

        assert connection.execute(HITS).fetchall() == before
        for table, cell in OLD.items():
            columns = COLUMNS[f"daily_{table}"].replace("day_starts_at, ", "").replace("title, ", "")
            found = connection.execute(
                f"select {columns} from daily_{table} where site = 'old.example'"
            ).fetchall()
            assert found == [("old.example", GONE, *cell)]
            connection.execute(f"delete from rollup_{table} where day = %s", [GONE])
        # The batches that waited are counted by the refresh of the new version, and everything is as defined.
        settings = load_settings({"DATABASE_URL": empty.owner_url})
        with connect(settings, "rollup") as refresher:
            prepare(refresher)
            assert refresh(refresher) == 200
        assert differences(connection) == {}
        assert connection.execute("select to_regnamespace('former'), to_regnamespace('former_days')").fetchone() == (
            None, None,
        )  # fmt: skip
