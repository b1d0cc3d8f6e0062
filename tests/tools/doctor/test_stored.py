"""What the database tells: schema, pipeline, readers, roles, disk."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from services.database import connect
from services.enricher.store import Store
from services.hit import Hit
from services.metrics import RollupMetrics
from tests.conftest import Database, cloned
from tests.history import count, settings_of
from tests.make import make_hit
from tests.services.rollup.definition import put
from tests.tools.doctor.conftest import faults, outcome
from tools.doctor.installation import Asked, Installation
from tools.doctor.machine import Disk, Disks, judge_disks, judge_memory, memory_in
from tools.doctor.passwords import is_password, weak_roles
from tools.doctor.readers import Readers, judge
from tools.servers import Postgres, free_port

pytestmark = pytest.mark.servers
NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture(scope="module")
def own(postgres: Postgres, template_database: str) -> Iterator[Database]:
    """A database that the tests of this module share; each leaves it as it was."""
    with cloned(postgres, template_database) as database:
        yield database


@pytest.fixture
def owner(own: Database) -> Iterator[psycopg.Connection[Any]]:
    with own.connect() as connection:
        yield connection


@pytest.fixture
def installation(own: Database) -> Installation:
    return Installation(Asked(), {"OWNER_DATABASE_URL": own.owner_url}, {"pixel": {}})


def seen(name: str, installation: Installation, **asked: Any) -> set[str]:
    return faults(name, Installation(Asked(**asked), installation.urls, installation.environs))


# Schema and pipeline ----------------------------------------------------------------------------------------------


def test_migrations_that_wait_or_are_not_known_are_found(
    owner: psycopg.Connection[Any], installation: Installation
) -> None:
    assert faults("schema", installation) == set()
    owner.execute("insert into schema_migrations (number, name, sha256) values (9999, '9999_x.sql', '')")
    assert faults("schema", installation) == {"schema.newer"}
    owner.execute("update schema_migrations set number = 10001 where number = 1")
    owner.execute("delete from schema_migrations where number = 9999")
    owner.execute("update schema_migrations set number = 1 where number = 10001")
    last = owner.execute(
        "delete from schema_migrations where number = (select max(number) from schema_migrations) returning *"
    ).fetchone()
    assert faults("schema", installation) == {"schema.pending"}
    owner.execute("insert into schema_migrations values (%s, %s, %s, %s)", last)


PLANTED = {
    "pipeline.stuck": (
        "insert into rollup_pending (batch_id, site, day, hits, stored_at)"
        " values (1, 'blog.example', current_date, 1, now() - interval '10 minutes')",
        "truncate rollup_pending",
    ),
    "pipeline.behind": (
        "insert into rollup_pending (batch_id, site, day, hits, stored_at)"
        " values (1, 'blog.example', current_date, 1, now() - interval '1 minute')",
        "truncate rollup_pending",
    ),
    "pipeline.no-look": (
        "insert into stream_look (looked_at, entries, entries_read) values (now() - interval '1 hour', 0, 0)",
        "delete from stream_look",
    ),
    "pipeline.ledger": (
        "insert into ledger (site, day, accepted, stored) values ('blog.example', current_date, 5, 4)",
        "delete from ledger",
    ),
    "pipeline.gap": (
        "with run as (insert into pixel_runs values (gen_random_uuid(), 1, now() - interval '1 day',"
        " now() - interval '1 hour'))"
        " insert into stream_look (looked_at, entries, entries_read) values (now(), 0, 0)",
        "with run as (delete from pixel_runs) delete from stream_look",
    ),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_what_waits_too_long_or_does_not_add_up_is_found(
    owner: psycopg.Connection[Any], installation: Installation, fault: str
) -> None:
    assert faults("pipeline", installation) == set()
    plant, mend = PLANTED[fault]
    owner.execute(plant)  # type: ignore[call-overload]
    try:
        assert faults("pipeline", installation) == {fault}
    finally:
        owner.execute(mend)  # type: ignore[call-overload]


def test_open_letters_and_old_ones_are_found(
    owner: psycopg.Connection[Any], installation: Installation
) -> None:
    owner.execute(
        "insert into dead_letters (site, day, entry_id, reason, hits, size_bytes, buried_at, hit)"
        " values ('blog.example', current_date, '1-0', 'enrich', 1, 99, now() - interval '500 days', '{}')"
    )
    try:
        # The ledger does not know of a letter that nobody has buried.
        found = {"pipeline.letters", "pipeline.retention", "pipeline.ledger"}
        assert faults("pipeline", installation) == found
    finally:
        owner.execute("delete from dead_letters")


def test_lost_groups_are_found(owner: psycopg.Connection[Any], installation: Installation) -> None:
    owner.execute(
        "insert into stream_groups (site, pixel_id, seq, hits, hits_before, processed_at)"
        " select 'blog.example', %s, seq, 1, seq - 1, now() from unnest(array[1, 3]) as seq",
        [uuid.uuid4()],
    )
    try:
        assert faults("pipeline", installation) == {"pipeline.lost"}
    finally:
        owner.execute("delete from stream_groups")


def test_days_that_are_kept_too_long_are_found(installation: Installation) -> None:
    rollup = RollupMetrics()
    rollup.days_not_proven.set(2)
    port = rollup.serve("127.0.0.1", free_port())
    urls = {**installation.urls, "ROLLUP_METRICS_URL": f"http://127.0.0.1:{port}/metrics"}
    assert faults("pipeline", Installation(Asked(), urls, installation.environs)) == {"pipeline.not-proven"}


# Readers ----------------------------------------------------------------------------------------------------------


def put_hits(database: Database, hits: list[Hit]) -> None:
    settings = settings_of(database.owner_url)
    with connect(settings, "enricher") as connection:
        put(Store(connection), *hits)
    count(settings)


def people(number: int, hours_ago: float = 1, **rest: Any) -> list[Hit]:
    """Pageviews of as many people, each once."""
    at = NOW - datetime.timedelta(hours=hours_ago)
    values = {"country": "DE", "browser": "Firefox", "received_at": at, "day": at.date(), **rest}
    return [make_hit(hit_id=uuid.uuid4(), **{"session_id": uuid.uuid4(), **values}) for _ in range(number)]


CROWDS = {
    "readers.one-session": lambda: (
        people(50, session_id=uuid.uuid4()) + people(1, country="FR", session_id=None)
    ),
    "readers.no-country": lambda: people(20, country=None),
    "readers.one-country": lambda: people(200),
    "readers.anonymous": lambda: people(20, session_id=None),
    "readers.bots": lambda: people(20, is_bot=True, bot_name="curl", bot_class="tool"),
    "readers.silent": lambda: people(150, hours_ago=60),
}


@pytest.mark.parametrize("fault", CROWDS)
def test_who_does_not_look_like_people_is_found(database: Database, fault: str) -> None:
    put_hits(database, CROWDS[fault]())
    installation = Installation(Asked(), {"OWNER_DATABASE_URL": database.owner_url})
    assert faults("readers", installation) == {fault}


def test_people_are_well_and_what_is_left_out_is_looked_at(database: Database) -> None:
    installation = Installation(Asked(), {"OWNER_DATABASE_URL": database.owner_url})
    assert faults("readers", installation) == set()
    assert seen("readers", installation, page="https://blog.example/") == {"readers.none-yet"}
    put_hits(database, people(30) + people(30, country="FR"))
    assert faults("readers", installation) == set()
    with database.connect() as owner:
        owner.execute(
            "insert into ledger_left_out (site, day, outcome, reason, hits) values"
            " ('', current_date, 'excluded', 'unknown-site', 61), ('', current_date, 'refused', 'rate-limit', 20),"
            " ('', current_date, 'refused', 'not-durable', 1)"
        )
    assert faults("readers", installation) == {
        "readers.unknown-site", "readers.rate-limited", "readers.not-durable",
    }  # fmt: skip


def test_a_quiet_day_of_a_quiet_site_says_nothing(database: Database) -> None:
    put_hits(database, people(20, hours_ago=60))
    assert faults("readers", Installation(Asked(), {"OWNER_DATABASE_URL": database.owner_url})) == set()


def test_few_hits_say_nothing() -> None:
    facts = Readers(24, 19, 19, 19, 19, 1, 19, 0, 0, {"unknown-site": 19, "rate-limit": 19}, has_page=True)
    assert judge(facts).faults == ()


# Roles ------------------------------------------------------------------------------------------------------------


def test_well_known_passwords_and_lines_that_want_none_are_found(
    owner: psycopg.Connection[Any], installation: Installation
) -> None:
    # The tests' own server lets everybody on this machine in.
    assert faults("roles", installation) == {"roles.none-asked"}
    owner.execute("create role weak_reader login password 'weak_reader'")
    owner.execute("create role strong_reader login password 'e2b1c9f04d7788'")
    try:
        assert faults("roles", installation) == {"roles.none-asked", "roles.weak"}
        assert "weak_reader;" in outcome("roles", installation).says
        assert "strong_reader" not in outcome("roles", installation).says
        rows: list[tuple[str, str]] = owner.execute(
            "select rolname, rolpassword from pg_authid where rolname like '%\\_reader' and rolpassword is not null"
        ).fetchall()
        kept = dict(rows)
        assert list(weak_roles({"strong_reader": kept["strong_reader"], "none": None})) == []
        assert is_password(kept["strong_reader"], "e2b1c9f04d7788")
    finally:
        owner.execute("drop role weak_reader, strong_reader")


def test_only_a_superuser_can_be_asked_for_passwords(own: Database) -> None:
    found = outcome("roles", Installation(Asked(), {"OWNER_DATABASE_URL": own.role_url("analyst")}))
    assert (found.state, "superuser" in found.says) == ("not asked", True)


# Disk and memory --------------------------------------------------------------------------------------------------


def test_a_disk_that_lasts_for_days_only_is_found(
    owner: psycopg.Connection[Any],
    installation: Installation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    here = Installation(Asked(), installation.urls, {"pixel": {"DATA_DIR": str(tmp_path)}})
    for days, gigabytes in ((0, 100), (1, 90), (3, 70)):
        owner.execute(
            "insert into disk_looks values (now() - make_interval(days => %s), 1000, %s, 200000000000)",
            [3 - days, gigabytes * 10**9],
        )
    try:
        assert faults("disk", here) == {"disk.full"}
        owner.execute("update disk_looks set disk_free_bytes = disk_free_bytes + 400000000000")
        assert faults("disk", here) == {"disk.short"}
    finally:
        owner.execute("delete from disk_looks")
    assert "free" in outcome("disk", here).says


def test_a_disk_that_is_nearly_full_is_found() -> None:
    assert judge_disks(Disks([Disk("data", 400_000_000, 10**12)], None)).faults == ("full",)
    assert judge_disks(Disks([Disk("data", 4 * 10**10, 10**12)], None)).faults == ("short",)
    assert judge_disks(Disks([Disk("data", 6 * 10**10, 10**12)], 61.0)).faults == ()


def test_little_memory_is_found() -> None:
    """No test may take a machine's memory: `memory.scarce` and `memory.swaps` by what the kernel would write."""
    text = "MemTotal: 1000000 kB\nMemAvailable: {0} kB\nSwapTotal: 900000 kB\nSwapFree: {1} kB\n"
    assert judge_memory(memory_in(text.format(500_000, 900_000))).faults == ()
    assert judge_memory(memory_in(text.format(70_000, 700_000))).faults == ("scarce", "swaps")
    assert judge_memory(memory_in(Path("/proc/meminfo").read_text())).says
