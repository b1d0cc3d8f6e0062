"""From each version to the newest: no hit is lost, all figures are as defined; and an older one refuses a newer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from services.migrate.__main__ import MIGRATIONS
from services.migrate.runner import MigrationError, migrate
from tests.conftest import Database
from tests.history import count, count_sessions, settings_of
from tests.services.migrate.test_backup import backed_up, put_back
from tests.services.migrate.test_layout import DAYS, columns_of_hits, some_hits, store_as_before
from tests.services.rollup.definition import differences
from tools.check import problems

pytestmark = pytest.mark.servers
ROOT = Path(__file__).resolve().parents[3]
NEWEST = len(list(MIGRATIONS.glob("*.sql")))
TEXTS_UNTIL = 3  # hits were texts; since then a view of numbers
COPIED = (1, 8)  # of which a backup is restored too

# Hits of the version itself, which wait to be counted: some of those that are there once more.
MORE_HITS = """
    insert into stored_hits (
        hit_id, session_id, received_at, day, batch_id, site_id, page_id, title_id, origin_id, client_id, status,
        is_bot, is_me, event, props
    )
    select gen_random_uuid(), session_id, received_at + interval '1 minute', day, 90 + %s, site_id, page_id, title_id,
           origin_id, client_id, status, is_bot, is_me, event, props
    from stored_hits where day = %s and received_at::time < '23:59'
    order by hit_id limit 12
"""
WAITING = """
    insert into rollup_pending (site, day, batch_id, hits)
    select site, day, batch_id, count(*) from hits where batch_id = 90 + %s group by 1, 2, 3
"""
LEDGER = """
    insert into ledger (site, day, accepted, stored) select site, day, count(*), count(*) from hits group by site, day
    on conflict (site, day) do update set accepted = excluded.accepted, stored = excluded.stored
"""
# What only the rollups know, of a day before all that is kept.
GONE = "insert into ledger (site, day, accepted, stored) values ('old.example', '2025-03-01', 5, 5)"
# Tables that came with a version, and a row of each.
ROWS = {
    5: "insert into jobs (name, next_try_at) values ('refresh', now())",
    6: "insert into stream_look (looked_at, entries, entries_read) values (now(), 0, 0)",
    8: "insert into annotations (begins_at, kind, text) values (now(), 'note', 'A talk')",
    9: "insert into pixel_runs values (gen_random_uuid(), 1, now() - interval '1 hour', now())",
}


def add_data(connection: psycopg.Connection[Any], level: int) -> None:
    """What an installation of this version would write."""
    if level > TEXTS_UNTIL:
        connection.execute("select open_hits_day(%s)", [DAYS[1]])
        connection.execute(MORE_HITS, [level, DAYS[1]])
        connection.execute(WAITING, [level])
    connection.execute(LEDGER)
    if level in ROWS:
        connection.execute(ROWS[level])


def hits_of(connection: psycopg.Connection[Any], columns: list[str]) -> list[Any]:
    return connection.execute(f"select {', '.join(columns)} from hits order by day, site, hit_id").fetchall()


def is_as_defined(database: Database) -> None:
    """What waits is counted by this version, and everything is what the hits say."""
    count(settings_of(database.owner_url))
    with database.connect() as owner:
        count_sessions(owner)
        # The rows of a day whose hits are gone are as they were.
        assert owner.execute("select pageviews from daily_pages where site = 'old.example'").fetchall() == [
            (5,)
        ]
        assert [line for found in problems(owner, 400) for line in found.lines()] == []
        for table in ("traffic", "pages", "missing", "referrals"):
            owner.execute(f"delete from rollup_{table} where day = '2025-03-01'")
        assert differences(owner) == {}


def migrate_further(connection: psycopg.Connection[Any], newest: int) -> None:
    """All hits are as they were."""
    columns = [name for name in columns_of_hits(connection) if name != "rules"]
    before = hits_of(connection, columns)
    assert len(before) >= 80
    assert migrate(connection, MIGRATIONS, newest=newest)
    assert hits_of(connection, columns) == before


@pytest.mark.parametrize(
    "levels", [(1,), (2,), tuple(range(TEXTS_UNTIL, NEWEST))], ids=["from 1", "from 2", "through all others"]
)
def test_an_installation_of_each_version_comes_to_the_newest(
    empty: Database, request: pytest.FixtureRequest, levels: tuple[int, ...]
) -> None:
    """Each version finds what all before it have written, and writes more."""
    copy = b""
    with empty.connect() as connection:
        migrate(connection, MIGRATIONS, newest=levels[0])
        store_as_before(connection, some_hits()[:80])
        connection.execute(GONE)
        for level, following in zip(levels, (*levels[1:], NEWEST), strict=True):
            add_data(connection, level)
            copy = backed_up(empty) if level in COPIED else copy
            migrate_further(connection, following)
    is_as_defined(empty)
    if copy:
        database: Database = request.getfixturevalue("database")
        assert put_back(database, copy).migrated
        is_as_defined(database)


def test_an_older_version_refuses_a_newer_database_and_names_both(database: Database, tmp_path: Path) -> None:
    """As after going back: `migrate` ends with 1 and says what to do, and neither `make run` nor compose starts."""
    with database.connect() as owner:
        owner.execute(
            "insert into schema_migrations (number, name, sha256) values (9999, '9999_later.sql', '')"
        )
        before = owner.execute("select * from installation").fetchall()
    done = subprocess.run(
        [sys.executable, "-m", "services.migrate"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
        env={"PATH": os.environ["PATH"], "DATABASE_URL": database.owner_url, "DATA_DIR": str(tmp_path),
             "REPORT_TIMEZONE": "Europe/Berlin"},
    )  # fmt: skip
    assert done.returncode == 1
    for words in (
        "it has migration 9999",
        f"up to {NEWEST:04}",
        "Run the version that it is of",
        "docs/backup.md",
    ):
        assert words in done.stderr
    with database.connect() as owner:
        assert owner.execute("select * from installation").fetchall() == before


def test_migrations_stop_where_they_are_told_to(empty: Database) -> None:
    with empty.connect() as connection:
        assert len(migrate(connection, MIGRATIONS, newest=2)) == 2
        with pytest.raises(MigrationError, match="it has migration 0002, this version knows them up to 0001"):
            migrate(connection, MIGRATIONS, newest=1)
