"""Which days an import may write to, by what the database knows of them."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.conftest import Database
from tests.make import make_settings
from tools.importer.stored import ImportRow, WrongSettings, are_there, check_settings, countries

pytestmark = pytest.mark.servers
FIRST_KEPT = datetime.date(2026, 1, 1)
OLD, OTHER_OLD, KEPT = "2019-05-17", "2019-05-18", "2026-02-03"


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """The importer's."""
    with database.connect() as made:
        yield made


def begin(connection: psycopg.Connection[Any], number: int) -> ImportRow:
    """An import that is under way; another number is another one."""
    row = ImportRow(connection, uuid.UUID(int=number), FIRST_KEPT)
    row.begin(f"2026112217-{number:016x}")
    return row


def book(connection: psycopg.Connection[Any], day: str) -> None:
    """A hit of a day was stored, says the ledger."""
    connection.execute(
        "insert into ledger (site, day, accepted, stored) values ('a.example', %s, 1, 1)", [day]
    )


def test_a_day_beyond_the_retention_is_opened_until_it_is_sealed(connection: psycopg.Connection[Any]) -> None:
    row = begin(connection, 1)
    assert not row.is_sealed(OLD)
    book(connection, OLD)  # its own hits
    assert row.opened_days() == [datetime.date.fromisoformat(OLD)]
    again = begin(connection, 1)
    assert not again.is_sealed(OLD), "a run that was killed goes on"
    assert not begin(connection, 2).is_sealed(OLD), "another import may share it while it is open"
    connection.execute("update imports set days = '{}'")
    for number in (1, 3):
        assert begin(connection, number).is_sealed(OLD)
    assert not begin(connection, 1).is_sealed(OTHER_OLD)


def test_a_day_that_had_live_hits_is_not_opened(connection: psycopg.Connection[Any]) -> None:
    book(connection, OLD)
    row = begin(connection, 1)
    assert row.is_sealed(OLD)
    assert row.opened_days() == []


def test_a_day_that_was_sealed_before_the_retention_was_raised_takes_no_more(
    connection: psycopg.Connection[Any],
) -> None:
    book(connection, KEPT)
    assert begin(connection, 1).is_sealed(KEPT)
    connection.execute("select open_hits_day(%s)", [KEPT])
    assert not begin(connection, 1).is_sealed(KEPT)


def test_a_run_is_alone_and_knows_the_key_of_the_one_before(
    connection: psycopg.Connection[Any], database: Database
) -> None:
    row = begin(connection, 1)
    assert row.is_alone()
    with database.connect() as other:
        assert not ImportRow(other, uuid.UUID(int=1), FIRST_KEPT).is_alone()
        assert ImportRow(other, uuid.UUID(int=1 << 64), FIRST_KEPT).is_alone()
    assert row.key_name() == f"2026112217-{1:016x}"
    row.end()
    assert row.key_name() == ""


def test_days_and_sites_are_the_installations(connection: psycopg.Connection[Any]) -> None:
    connection.execute(
        "update installation set report_timezone = 'Asia/Tokyo', sites = 'blog.example=blog.example'"
    )
    with pytest.raises(WrongSettings, match="REPORT_TIMEZONE is UTC here and Asia/Tokyo in the stack"):
        check_settings(connection, make_settings(SITES="blog.example"), FIRST_KEPT)
    with pytest.raises(WrongSettings, match=r"SITES is \* here and blog\.example"):
        check_settings(connection, make_settings(REPORT_TIMEZONE="Asia/Tokyo"), FIRST_KEPT)
    check_settings(connection, make_settings(SITES="blog.example", REPORT_TIMEZONE="Asia/Tokyo"), FIRST_KEPT)
    assert are_there(connection, []) == set()


def test_hits_that_the_stack_keeps_are_not_beyond_the_retention(connection: psycopg.Connection[Any]) -> None:
    book(connection, OLD)  # sealed
    check_settings(connection, make_settings(), FIRST_KEPT)
    connection.execute("select open_hits_day(%s)", [OLD])
    with pytest.raises(WrongSettings, match=f"RETENTION_DAYS is 400 here, .* keeps hits of {OLD}"):
        check_settings(connection, make_settings(), FIRST_KEPT)
    connection.execute("insert into imports values (gen_random_uuid(), 'a key', now(), %s::date[])", [[OLD]])
    check_settings(connection, make_settings(), FIRST_KEPT)


def test_countries_are_known_by_code_and_name(connection: psycopg.Connection[Any]) -> None:
    known = countries(connection)
    assert [known.get(text) for text in ("es", "esp", "spain", "atlantis")] == ["ES", "ES", "ES", None]
