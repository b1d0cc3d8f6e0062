"""What the owner writes, and what deploys and new rules write, stands on the curves; a wrong request says why."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from services.migrate.runner import note_rules
from tests.conftest import Database
from tests.system.stack import Stack
from tools.annotate import answer, request_of
from tools.arguments import BadRequest
from tools.deploy import note_statement, put_on_curves

pytestmark = pytest.mark.servers


@pytest.fixture
def owner(database: Database) -> Iterator[psycopg.Connection[Any]]:
    with database.connect() as connection:
        connection.execute("update installation set report_timezone = 'Europe/Berlin'")
        connection.execute("insert into sites (site, used_on) values ('blog.example', '2026-11-22')")
        yield connection


def annotate(owner: psycopg.Connection[Any], *arguments: str) -> list[str]:
    return list(answer(request_of(dict(a.split("=", 1) for a in arguments)), owner))


def rows(owner: psycopg.Connection[Any]) -> list[Any]:
    return owner.execute(
        "select begins_at, ends_at, kind, site, text from annotations order by annotation_id"
    ).fetchall()


def at(hour: int, minute: int = 0) -> datetime.datetime:
    return datetime.datetime(2026, 11, 22, hour, minute, tzinfo=datetime.UTC)


def test_a_note_is_written_listed_and_removed(owner: psycopg.Connection[Any]) -> None:
    assert annotate(owner)[0].startswith("no annotations")
    [line] = annotate(owner, "TEXT=Talk: a  'quoted' <b>", "AT=2026-11-22 18:30", "SITE=blog.example")
    assert line.endswith("  2026-11-22 18:30  note  blog.example: Talk: a 'quoted' <b>")
    annotate(owner, "TEXT=Outage", "AT=2026-11-22T10:00+00:00", "UNTIL=2026-11-22T12:15Z")
    assert rows(owner) == [
        (at(17, 30), None, "note", "blog.example", "Talk: a 'quoted' <b>"),
        (at(10), at(12, 15), "note", None, "Outage"),
    ]
    listed = annotate(owner)
    assert [line.split("  ")[-1] for line in listed] == [
        "all sites: Outage", "blog.example: Talk: a 'quoted' <b>",
    ]  # fmt: skip
    assert "2026-11-22 11:00 to 2026-11-22 13:15" in listed[0]
    assert annotate(owner, f"DROP={listed[0].split()[0]}") == [f"annotation {listed[0].split()[0]} is gone"]
    assert [row[4] for row in rows(owner)] == ["Talk: a 'quoted' <b>"]


def test_a_note_without_a_time_is_of_now(owner: psycopg.Connection[Any]) -> None:
    annotate(owner, "TEXT=Now")
    [(begins_at, *_)] = rows(owner)
    assert abs(datetime.datetime.now(datetime.UTC) - begins_at) < datetime.timedelta(minutes=1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["AT=2026-11-22"], "make annotate TEXT="),
        (["TEXT=x", "DROP=1"], "make annotate TEXT="),
        (["TEXT=\udcff"], "TEXT: it is not UTF-8"),
        (["TEXT=" + "x" * 501], "TEXT: at most 500"),
        (["TEXT= "], "make annotate TEXT="),
        (["TEXT=x", "AT=yesterday"], "AT: write a time as"),
        (["TEXT=x", "AT=2026-11-22", "UNTIL=2026-11-21"], "UNTIL: it is before AT"),
        (["TEXT=x", "SITE=blgo.example"], "SITE: there is none of that name; some are: blog.example"),
        (["DROP=1; drop table annotations"], "DROP: it wants the number"),
        (["DROP=7"], "DROP: there is no annotation 7"),
    ],
)
def test_what_cannot_be_is_said(owner: psycopg.Connection[Any], arguments: list[str], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        annotate(owner, *arguments)
    assert rows(owner) == []


def test_new_rules_are_noted_when_they_come(owner: psycopg.Connection[Any]) -> None:
    for version in (2, 2, 3, 3, 2):
        note_rules(owner, version)
    assert [row[2:] for row in rows(owner)] == [
        ("rules", None, "New rules for sources and bots: version 3, before 2"),
        ("rules", None, "New rules for sources and bots: version 2, before 3"),
    ]


def test_a_deploy_is_noted_and_goes_on_where_that_fails(owner: psycopg.Connection[Any]) -> None:
    said: list[str] = []
    put_on_curves(owner.execute, "0123abcd", said.append)  # type: ignore[arg-type]
    assert [row[2:] for row in rows(owner)] == [("deploy", None, "Deployed 0123abcd")]
    assert said == []
    owner.execute("alter table annotations rename to mislaid")
    try:
        put_on_curves(owner.execute, "0123abcd", said.append)  # type: ignore[arg-type]
    finally:
        owner.execute("alter table mislaid rename to annotations")
    assert said == ["not noted on the dashboards' curves: UndefinedTable"]
    assert "0123abcd" in note_statement("0123abcd")


TEXTS = (
    """it's "quoted" `id` ; exit 1 # é""",
    "$(shell touch {mark}) $(error no) $$ $1 ${{HOME}} $(TEXT)",
    """' ; touch {mark} ; '""",
    "`touch {mark}` \\ \\n \\",
    "first\n\ttouch {mark}\nlast",
)


@pytest.mark.system
@pytest.mark.parametrize("text", TEXTS)
def test_make_annotate_takes_any_text_beside_a_running_stack(stack: Stack, tmp_path: Path, text: str) -> None:
    mark = tmp_path / "ran"
    text = text.format(mark=mark)
    said = stack.make("annotate", f"TEXT={text}", "AT=2026-11-22").stdout
    number = said.split()[0]
    written = " ".join(text.split())
    assert said.endswith(f"all sites: {written}\n")
    assert stack.query("select text from annotations where annotation_id = %s", int(number)) == [(written,)]
    assert stack.make("annotate", f"DROP={number}").stdout == f"annotation {number} is gone\n"
    assert not mark.exists()


@pytest.mark.system
def test_make_annotate_without_a_text_lists(stack: Stack) -> None:
    assert stack.make("annotate", "TEXT=").stdout.startswith("no annotations; make annotate TEXT=")
    assert "make annotate TEXT=" in stack.make("annotate", "AT=x", check=False).stderr
