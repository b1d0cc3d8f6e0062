"""Migrations: once, in order, whole or not at all; and what they promise of roles and comments."""

from __future__ import annotations

import datetime
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from services.database import make_partitions
from services.migrate.__main__ import MIGRATIONS
from services.migrate.runner import (
    LOCK,
    PASSWORD_ROLES,
    MigrationError,
    migrate,
    migrations_in,
    set_passwords,
    set_timezone,
)
from services.rollups import ROLLUPS
from tests.conftest import Database
from tests.services.rollup.definition import DEFINITIONS
from tools.servers import poll

pytestmark = pytest.mark.servers
ROLES = ("grafana_reader", "grafana_explorer", "analyst")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three small migrations."""
    write(tmp_path, 1, "create table one (a int); insert into one values (1)")
    write(tmp_path, 2, "alter table one add b int; update one set b = 2")
    write(tmp_path, 3, "create view three as select * from one")
    return tmp_path


def write(folder: Path, number: int, sql: str, words: str = "words") -> Path:
    path = folder / f"{number:04}_{words}.sql"
    path.write_text(sql)
    return path


def tables(database: Database) -> list[str]:
    with database.connect() as connection:
        rows = connection.execute("select relname from pg_class where relnamespace = 'public'::regnamespace"
                                  " and relkind in ('r', 'v', 'p') order by 1")  # fmt: skip
        return [row[0] for row in rows]


# Running ------------------------------------------------------------------------------------------------------


def test_twice_is_once(empty: Database, folder: Path) -> None:
    names = ["0001_words.sql", "0002_words.sql", "0003_words.sql"]
    with empty.connect() as connection:
        assert migrate(connection, folder) == names
        assert migrate(connection, folder) == []
        assert connection.execute("select * from one").fetchall() == [(1, 2)]
        assert connection.execute("select name from schema_migrations order by number").fetchall() == [
            (n,) for n in names
        ]


def test_what_is_new_is_applied_alone(empty: Database, folder: Path) -> None:
    third = folder / "0003_words.sql"
    text = third.read_text()
    third.unlink()
    with empty.connect() as connection:
        assert len(migrate(connection, folder)) == 2
        third.write_text(text)
        assert migrate(connection, folder) == ["0003_words.sql"]


def test_a_migration_waits_for_its_locks_and_lets_others_pass(empty: Database, tmp_path: Path) -> None:
    """A long question on hits, and a reader of the view that comes meanwhile, neither fail it nor wait for it."""
    paths = sorted(MIGRATIONS.glob("*.sql"))
    for path in paths[:2]:
        (tmp_path / path.name).write_text(path.read_text())
    told: list[str] = []
    with empty.connect() as owner, empty.connect() as analyst, empty.connect() as reader:
        migrate(owner, tmp_path)
        owner.execute("select make_hits_partition(current_date)")
        with analyst.transaction():
            analyst.execute("select count(*) from hits")
            thread = threading.Thread(target=migrate, args=(owner, MIGRATIONS, told.append))
            thread.start()
            assert poll(lambda: bool(told), 20), "it says that it waits"
            reader.execute("set statement_timeout = '10s'")
            reader.execute("select count(*) from explore_hits")
            time.sleep(1)
        thread.join(30)
        assert not thread.is_alive()
        assert reader.execute("select max(number) from schema_migrations").fetchone() == (len(paths),)
    assert set(told) == {"0003_enrichment.sql"}


def test_our_own_migrations_apply_to_an_empty_database_twice(empty: Database) -> None:
    with empty.connect() as connection:
        assert migrate(connection, MIGRATIONS) == [path.name for path in sorted(MIGRATIONS.glob("*.sql"))]
        make_partitions(connection)
        assert migrate(connection, MIGRATIONS) == []
        make_partitions(connection)


def test_a_file_that_was_changed_after_it_was_applied_is_refused(empty: Database, folder: Path) -> None:
    with empty.connect() as connection:
        migrate(connection, folder)
        write(folder, 2, "alter table one add c int")
        write(folder, 4, "create table four (a int)")
        with pytest.raises(MigrationError, match=r"0002_words\.sql was changed"):
            migrate(connection, folder)
    assert "four" not in tables(empty)


def test_a_database_of_a_newer_version_is_refused(empty: Database, folder: Path) -> None:
    with empty.connect() as connection:
        migrate(connection, folder)
        (folder / "0003_words.sql").unlink()
        with pytest.raises(MigrationError, match="newer"):
            migrate(connection, folder)


@pytest.mark.parametrize(
    "names",
    [
        ["0002_a.sql"],
        ["0001_a.sql", "0003_b.sql"],
        ["0001_a.sql", "0001_b.sql"],
        ["0001_a.sql", "2_b.sql"],
        ["0001_a.sql", "0002-b.sql"],
        ["0001_A.sql"],
        ["0000_a.sql", "0001_b.sql"],
    ],
    ids=" ".join,
)
def test_a_gap_a_double_or_a_name_out_of_form_is_refused(
    empty: Database, tmp_path: Path, names: list[str]
) -> None:
    for name in names:
        (tmp_path / name).write_text("create table wrong (a int)")
    with empty.connect() as connection, pytest.raises(MigrationError):
        migrate(connection, tmp_path)
    assert "wrong" not in tables(empty)


def test_our_own_files_are_in_form() -> None:
    assert [m.number for m in migrations_in(MIGRATIONS)] == list(
        range(1, len(list(MIGRATIONS.iterdir())) + 1)
    )


@pytest.mark.parametrize(
    "wrong",
    [
        "create table half (a int); select 1/0",
        "create table half (a int); create table one (a int)",
        "nonsense",
    ],
)
def test_a_migration_that_fails_is_rolled_back_whole(empty: Database, folder: Path, wrong: str) -> None:
    path = write(folder, 4, wrong)
    with empty.connect() as connection:
        with pytest.raises(MigrationError, match=r"0004_words\.sql failed and was rolled back"):
            migrate(connection, folder)
        assert tables(empty) == ["one", "schema_migrations", "three"]
        path.write_text("create table half (a int)")
        assert migrate(connection, folder) == ["0004_words.sql"], "put right, it applies"


def test_two_runners_at_once_apply_each_once(empty: Database, folder: Path) -> None:
    write(folder, 4, "select pg_sleep(0.2); create table four (a int)")
    ready = threading.Barrier(3)
    applied: list[list[str]] = []
    problems: list[BaseException] = []

    def run() -> None:
        try:
            with empty.connect() as connection:
                ready.wait(10)
                applied.append(migrate(connection, folder))
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert problems == []
    assert sorted(map(len, applied)) == [0, 0, 4]


def test_a_killed_runner_leaves_no_lock_and_nothing_half_done(empty: Database, folder: Path) -> None:
    slow = write(folder, 4, "create table four (a int); select pg_sleep(60)")
    errors: list[BaseException] = []

    def run() -> None:
        try:
            with empty.connect() as connection:
                migrate(connection, folder)
        except (MigrationError, psycopg.OperationalError) as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    with empty.connect() as eye:
        sql = "select pid from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"
        assert poll(lambda: eye.execute(sql).fetchone() is not None, 20)
        eye.execute("select pg_terminate_backend(%s, 5000)", eye.execute(sql).fetchone())
        thread.join(10)
        assert len(errors) == 1
        assert eye.execute("select pg_try_advisory_lock(%s)", [LOCK]).fetchone() == (True,)
        eye.execute("select pg_advisory_unlock(%s)", [LOCK])
        assert tables(empty) == ["one", "schema_migrations", "three"]
        slow.write_text("create table four (a int)")
        started = time.monotonic()
        assert migrate(eye, folder) == ["0004_words.sql"]
        assert time.monotonic() - started < 5


# Settings in the database -------------------------------------------------------------------------------------


def test_the_reporting_zone_is_written_and_a_change_is_told_where_hits_exist(database: Database) -> None:
    with database.connect() as connection:
        assert set_timezone(connection, "Europe/Berlin") is None
        assert connection.execute("select report_timezone from installation").fetchone() == ("Europe/Berlin",)
        connection.execute("insert into rollup_traffic values (current_date, 1, 1, 1, 0, 0, 0)")
        assert set_timezone(connection, "Europe/Berlin") is None
        assert set_timezone(connection, "UTC") == "Europe/Berlin"


def test_a_zone_that_postgresql_does_not_know_is_refused(database: Database) -> None:
    with database.connect() as connection, pytest.raises(MigrationError, match="REPORT_TIMEZONE"):
        set_timezone(connection, "Mars/Olympus_Mons")


def test_passwords_are_set_where_they_are_known(database: Database) -> None:
    sql = "select rolname from pg_authid where rolpassword is not null and rolname = any(%s) order by 1"
    odd = 'it\'s \\ "quoted" ü'
    with database.connect() as connection, connection.transaction(force_rollback=True):
        set_passwords(connection, {"analyst": odd, "rollup": "x", "footfall": "never"}.get)
        assert connection.execute(sql, [list(PASSWORD_ROLES)]).fetchall() == [
            ("analyst",),
            ("footfall_rollup",),
        ]


def test_a_database_restored_where_the_roles_are_not_is_refused(migrated: Database) -> None:
    with migrated.connect() as connection:
        connection.execute("alter role analyst rename to elsewhere")
        try:
            with pytest.raises(MigrationError, match="pg_restore --clean"):
                migrate(connection, MIGRATIONS)
        finally:
            connection.execute("alter role elsewhere rename to analyst")
        assert migrate(connection, MIGRATIONS) == []


def test_partitions_reach_a_week_ahead(database: Database) -> None:
    today = datetime.datetime.now(datetime.UTC).date()
    days = [today + datetime.timedelta(days=n) for n in range(-1, 8)]
    with database.connect() as connection:
        make_partitions(connection)  # the template may be of yesterday
        rows = connection.execute("select tablename from pg_tables where schemaname = 'hits_days'").fetchall()
    assert {f"d{day:%Y%m%d}" for day in days} <= {row[0] for row in rows}


# Comments -----------------------------------------------------------------------------------------------------


def test_every_table_view_and_column_carries_a_comment(migrated: Database) -> None:
    with migrated.connect() as connection:
        rows = connection.execute("""
            select c.oid::regclass::text, a.attname
            from pg_class c
            left join lateral (
                select attnum, attname from pg_attribute
                where attrelid = c.oid and attnum > 0 and not attisdropped
                union all select 0, '(itself)'
            ) a on true
            where c.relnamespace in ('public'::regnamespace, 'hits_days'::regnamespace)
              and c.relkind in ('r', 'p', 'v', 'm', 'f')
              and coalesce(case a.attnum when 0 then obj_description(c.oid, 'pg_class')
                           else col_description(c.oid, a.attnum) end, '') = ''
            order by 1, 2""").fetchall()
        number = connection.execute(
            "select count(*) from pg_class where relnamespace = 'public'::regnamespace"
        ).fetchone()
    assert rows == []
    assert number
    assert number[0] > 20, "there is something to look at"


def test_every_function_and_index_of_ours_carries_a_comment(migrated: Database) -> None:
    with migrated.connect() as connection:
        rows = connection.execute("""
            select p.oid::regprocedure::text from pg_proc p
            where p.pronamespace = 'public'::regnamespace and obj_description(p.oid, 'pg_proc') is null
            union all
            select c.relname from pg_class c join pg_index i on i.indexrelid = c.oid
            where c.relnamespace = 'public'::regnamespace and obj_description(c.oid, 'pg_class') is null
              and not exists (select from pg_constraint where conindid = c.oid)""").fetchall()
    assert rows == []


def test_hits_has_the_contract_s_columns_and_none_for_a_person(migrated: Database) -> None:
    promised = {
        "hit_id": "uuid", "received_at": "timestamp with time zone", "day": "date", "site": "text", "host": "text",
        "path": "text", "query": "text", "title": "text", "event": "text", "props": "jsonb", "status": "smallint",
        "referrer": "text", "source": "text", "channel": "text", "utm_source": "text", "utm_medium": "text",
        "utm_campaign": "text", "utm_term": "text", "utm_content": "text", "country": "character(2)",
        "session_id": "uuid", "is_bot": "boolean", "bot_name": "text", "is_me": "boolean", "browser": "text",
        "os": "text", "device": "text", "language": "text", "screen": "text",
    }  # fmt: skip
    with migrated.connect() as connection:
        kinds = dict(
            connection.execute(
                "select attname, format_type(atttypid, atttypmod) from pg_attribute"
                " where attrelid = 'hits'::regclass and attnum > 0 and not attisdropped"
            ).fetchall()
        )
    assert kinds | promised == kinds
    assert set(kinds) - set(promised) == {
        "batch_id",
        "source_detail",
        "link_tag",
        "bot_class",
        "subscribers",
    }


# Roles --------------------------------------------------------------------------------------------------------

WRITES = [
    "insert into installation (singleton) values (false)",
    "update installation set report_timezone = 'UTC'",
    "delete from rollup_traffic",
    "truncate rollup_traffic",
    "insert into rollup_pending (site, day, batch_id, hits) values ('', current_date, 1, 1)",
    "update stored_hits set is_me = true",
    "delete from ledger",
    "create table mine (a int)",
    "create temporary table mine (a int)",
    "create schema mine",
    "create function mine() returns int language sql as 'select 1'",
    "drop view daily_traffic",
    "comment on view hits is 'mine'",
    "select nextval('hits_batch_id_seq')",
    "select make_hits_partition('2001-01-01')",
    "select open_hits_day(current_date)",
    "select close_hits_day(current_date)",
    "select lo_create(0)",
    "select pg_advisory_lock(1)",
    "copy rollup_traffic from program 'true'",
    "set role footfall",
]  # fmt: skip


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("statement", WRITES)
def test_no_reading_role_writes_even_when_it_asks_to(migrated: Database, role: str, statement: str) -> None:
    for allow in ("set default_transaction_read_only = off", "begin read write"):
        with migrated.connect(role) as connection:
            connection.execute(allow)
            with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)):
                connection.execute(statement.encode())


@pytest.mark.parametrize(
    ("role", "limit"), [("grafana_reader", "10s"), ("grafana_explorer", "5s"), ("analyst", "1min")]
)
def test_each_role_has_a_statement_timeout_and_reads_only(migrated: Database, role: str, limit: str) -> None:
    with migrated.connect(role) as connection:
        assert connection.execute("show statement_timeout").fetchone() == (limit,)
        assert connection.execute("show default_transaction_read_only").fetchone() == ("on",)
    with migrated.connect() as connection:
        powers = "rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls"
        rights = connection.execute(f"select {powers} from pg_roles where rolname = %s", [role])
        assert rights.fetchone() == (False,) * 5
        assert connection.execute("select pg_has_role(%s, 'footfall', 'member')", [role]).fetchone() == (
            False,
        )


VIEWS = (*DEFINITIONS, "daily_sessions", "daily_entries", "daily_exits")
TABLES = (
    *(f"rollup_{rollup.name}" for rollup in ROLLUPS),
    "rollup_sessions",
    "rollup_entries",
    "rollup_exits",
)
NAMES = ("sites", "pages", "referrers", "titles", "days", "countries")
# What a role may read, of all that there is.
MAY_READ = {
    "grafana_reader": {
        *VIEWS, *TABLES, *NAMES, "rollup_titles", "rollup_pending", "ledger", "ledger_left_out", "installation",
        "jobs", "daily_ledger", "daily_ledger_reasons", "ledger_differences", "lost_groups", "stream_look",
        "enricher_stops", "gaps", "late_hits", "ingest_minutes", "disk_looks", "disk_outlook", "open_letters",
        "posts", "feeds", "post_spans", "annotations",
    },
}  # fmt: skip
MAY_READ["grafana_explorer"] = {*MAY_READ["grafana_reader"], "explore_hits"}
MAY_READ["analyst"] = {*MAY_READ["grafana_explorer"], "hits"}
PRIVATE = {
    "hits", "stored_hits", "hits_to_count", "origins", "clients", "dead_letters", "stream_groups", "lone_attempts",
    "schema_migrations", "explore_hits", "pending_groups", "pixel_runs",
}  # fmt: skip


@pytest.mark.parametrize("role", ROLES)
def test_a_role_reads_what_it_may_and_nothing_that_is_private(migrated: Database, role: str) -> None:
    readable = set()
    for table in tables(migrated):
        with migrated.connect(role) as connection:
            try:
                connection.execute(f"select * from {table} limit 0")
                readable.add(table)
            except psycopg.errors.InsufficientPrivilege:
                pass
    assert readable >= MAY_READ[role]
    assert readable & PRIVATE == MAY_READ[role] & PRIVATE


@pytest.mark.parametrize("role", ROLES)
def test_no_role_reads_a_partition_past_its_parent(migrated: Database, role: str) -> None:
    partition = f"hits_days.d{datetime.datetime.now(datetime.UTC):%Y%m%d}"
    with migrated.connect(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(f"select * from {partition}")


def test_the_explorer_s_view_shows_no_hit_id(migrated: Database) -> None:
    with migrated.connect("grafana_explorer") as connection:
        description: Any = connection.execute("select * from explore_hits limit 0").description
        names = {column.name for column in description}
        assert not {"hit_id", "batch_id"} & names
        assert {"session_id", "received_at", "path"} <= names
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select hit_id from hits limit 0")
