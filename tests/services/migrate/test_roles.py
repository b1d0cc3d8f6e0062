"""What the services' roles may do: the enricher what it uses, the rollup owns the tables, nobody more."""

from __future__ import annotations

import datetime

import psycopg
import pytest

from services.migrate.__main__ import MIGRATIONS
from services.migrate.runner import migrate
from services.rollup.days import close_days
from services.rollup.parts import connect_to_refresh, connect_to_slow
from services.rollup.refresh import refresh
from services.rollup.upkeep import drop_expired
from tests.conftest import Database
from tests.make import make_settings

pytestmark = pytest.mark.servers
ROLES = ("footfall_enricher", "footfall_rollup")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "statement",
    [
        "create role stranger",
        "alter role footfall_enricher superuser",
        "alter role analyst password 'x'",
        "set role footfall",
        "create database strange",
        "create table public.strange (a int)",
        "select pg_read_file('/etc/passwd')",
        "select pg_ls_dir('/')",
        "copy (select 1) to program 'cat'",
        "copy (select 1) to '/tmp/x'",
        "alter system set jit = on",
        "select rolpassword from pg_authid",
        "select lo_create(0)",
        "update schema_migrations set sha256 = ''",
        "delete from schema_migrations",
    ],
)
def test_no_service_may(migrated: Database, role: str, statement: str) -> None:
    with migrated.connect(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "truncate stored_hits",
        "drop table dead_letters",
        "alter table ledger add column address text",
        "create index on ledger (stored)",
        "update installation set report_timezone = 'Asia/Tokyo'",
        "create table hits_days.strange (a int)",
        "set role footfall_rollup",
        "insert into posts (feed, url) values ('', '')",
        "insert into annotations (begins_at, kind, text) values (now(), 'note', '')",
        "delete from annotations",
        "delete from feeds",
        "insert into disk_looks default values",
        "delete from jobs",
        "update days set day = day",
        "delete from stored_hits",
        "delete from ledger",
        "delete from sites",
        "update rollup_traffic set pageviews = 0",
        "delete from rollup_pending",
        "select from feeds",
        "select from hits",
        "select close_hits_day('2031-01-01')",
        "select make_hits_partition('2031-01-01')",
        "select nextval('annotations_annotation_id_seq')",
        "create function hits_day_is_open(a text) returns boolean language sql as 'select true'",
    ],
)
def test_the_enricher_may_not(migrated: Database, statement: str) -> None:
    with (
        migrated.connect("footfall_enricher") as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)


def test_the_rollup_owns_what_there_is_and_what_is_made_later(migrated: Database) -> None:
    day = datetime.date(2031, 1, 1)
    with migrated.connect("footfall_enricher") as connection:
        connection.execute("select open_hits_day(%s)", [day])
        connection.execute("select count(*) from stored_hits where day = %s", [day])
    with migrated.connect() as connection:
        others = connection.execute(
            """
            select c.oid::regclass::text, c.relowner::regrole::text from pg_class c
            where relnamespace in ('public'::regnamespace, 'hits_days'::regnamespace)
              and relowner <> 'footfall_rollup'::regrole
            union all
            select p.oid::regprocedure::text, p.proowner::regrole::text from pg_proc p
            where pronamespace = 'public'::regnamespace and proowner <> 'footfall_rollup'::regrole
            order by 1
            """
        ).fetchall()
    assert others == [("schema_migrations", "footfall"), ("schema_migrations_pkey", "footfall")]


def test_the_rollup_can_do_its_work(migrated: Database) -> None:
    settings = make_settings(DATABASE_URL=migrated.role_url("footfall_rollup"))
    with connect_to_refresh(settings) as connection:
        assert refresh(connection) == 0
    with connect_to_slow(settings) as connection:
        with connection.transaction():
            connection.execute("select make_hits_partition('2020-01-01')")
        assert drop_expired(connection, 400) == ["d20200101"]
        assert close_days(connection) == []


def test_what_the_enricher_had_beyond_that_is_taken_back(migrated: Database) -> None:
    with migrated.connect() as connection, migrated.connect("footfall_enricher") as enricher:
        connection.execute(
            "grant select, insert, update, delete on posts, sites, hits to footfall_enricher;"
            " grant usage on sequence annotations_annotation_id_seq to footfall_enricher;"
            " grant execute on function close_hits_day to footfall_enricher"
        )
        assert migrate(connection, MIGRATIONS) == []
        enricher.execute("insert into sites (site, used_on) values ('blog.example', '2031-01-01')")
        for statement in (
            "select from posts", "select from hits", "delete from sites", "select close_hits_day('2031-01-01')",
            "select nextval('annotations_annotation_id_seq')",
        ):  # fmt: skip
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                enricher.execute(statement)


def test_settling_again_changes_nothing(migrated: Database) -> None:
    with migrated.connect() as connection:
        before = connection.execute("select oid, xmin::text, relacl from pg_class order by oid").fetchall()
        assert migrate(connection, MIGRATIONS) == []
        after = connection.execute("select oid, xmin::text, relacl from pg_class order by oid").fetchall()
    assert after == before


def test_what_later_code_makes_is_the_rollup_s_and_none_of_the_enricher_s(migrated: Database) -> None:
    with migrated.connect() as connection:
        connection.execute("create table public.made_later (a int generated always as identity)")
        try:
            migrate(connection, MIGRATIONS)
            with (
                migrated.connect("footfall_enricher") as enricher,
                pytest.raises(psycopg.errors.InsufficientPrivilege),
            ):
                enricher.execute("select from made_later")
            owner = connection.execute(
                "select tableowner from pg_tables where tablename = 'made_later'"
            ).fetchall()
            assert owner == [("footfall_rollup",)]
        finally:
            connection.execute("drop table made_later")


def test_what_an_extension_made_stays_its_own(migrated: Database) -> None:
    """dblink_connect_u would let who may execute it become the superuser, where the server trusts its own machine."""
    with migrated.connect() as connection:
        connection.execute("create function dangerous() returns integer language sql return 1")
        connection.execute("create view telling as select 1 as a")
        connection.execute("revoke execute on function dangerous() from public")
        connection.execute("alter extension plpgsql add function dangerous()")
        connection.execute("alter extension plpgsql add view telling")
        try:
            migrate(connection, MIGRATIONS)
            allowed = connection.execute(
                "select r, has_function_privilege(r, 'dangerous()', 'execute'),"
                " has_table_privilege(r, 'telling', 'select')"
                " from unnest(%s::text[]) r",
                [list(ROLES)],
            ).fetchall()
            assert allowed == [(role, False, False) for role in ROLES]
        finally:
            connection.execute("alter extension plpgsql drop function dangerous()")
            connection.execute("alter extension plpgsql drop view telling")
            connection.execute("drop function dangerous()")
            connection.execute("drop view telling")
