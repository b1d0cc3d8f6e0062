"""`make import` beside a real stack: each hit once, on its own day, in every view."""

from __future__ import annotations

import datetime
import gzip
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.enricher.agents import Agents
from services.rollups import ROLLUPS
from tests.system.stack import ROOT, Stack, wait_until
from tools.access_log import Line, parse_line

pytestmark = pytest.mark.system
REAL_LOG = ROOT.parent / "shared/data/apache_logs"
SAMPLES = Path(__file__).with_name("import_samples")
TODAY = datetime.datetime.now(datetime.UTC)
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"
RETENTION_DAYS = 400  # the default


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack]) -> Stack:
    """One stack: each test imports a site, or days, of its own."""
    return make_stack()


def day_ago(days: int) -> datetime.date:
    return (TODAY - datetime.timedelta(days=days)).date()


def line(day: datetime.date, number: int, *, people: int = 7, path: str = "") -> str:
    """Of a combined log: a page view a second."""
    return (
        f"203.0.113.{number % people} - - [{day:%d/%b/%Y}:{number // 3600 % 24:02}:{number // 60 % 60:02}:"
        f'{number % 60:02} +0000] "GET {path or f"/{number % 50}"} HTTP/1.1" 200 {number} "-" "{AGENT}"\n'
    )


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(lines))
    return path


def do_import(stack: Stack, *arguments: str) -> dict[str, int]:
    """What the report of `make import` says, by its first words."""
    output = stack.make("import", *arguments).stdout
    found = re.findall(r"^(read|imported|already there|skipped|sealed) (\d+)", output, re.MULTILINE)
    return {name: int(number) for name, number in found}


def numbers_of(stack: Stack) -> dict[str, list[Any]]:
    """Every number that the installation keeps."""
    tables = [f"rollup_{rollup.name}" for rollup in ROLLUPS]
    tables += [
        "rollup_sessions",
        "rollup_entries",
        "rollup_exits",
        "rollup_titles",
        "ledger",
        "ledger_left_out",
        "imports",
    ]
    found = {table: sorted(map(repr, stack.query(f"select * from {table}"))) for table in tables}
    found["hits"] = sorted(map(repr, stack.query("select hit_id, session_id, received_at, site from hits")))
    return found


def keys_alive(stack: Stack) -> list[str]:
    return [path.name for path in (stack.data_dir / "keys").glob("import-*.key") if path.stat().st_size]


def check(stack: Stack) -> None:
    done = stack.make("check", check=False)
    assert done.returncode == 0, done.stdout


# The real log ------------------------------------------------------------------------------------------------------


def page_views(log: Path) -> dict[datetime.date, list[Line]]:
    """By day, UTC."""
    days: dict[datetime.date, list[Line]] = defaultdict(list)
    for text in log.read_text(errors="replace").splitlines():
        found = parse_line(text)
        assert found
        assert found.at_us
        if found.is_page_view:
            days[datetime.datetime.fromtimestamp(found.at_us / 1e6, datetime.UTC).date()].append(found)
    return days


@pytest.mark.skipif(not REAL_LOG.exists(), reason="the real log is not here: ../shared/data/apache_logs")
def test_the_real_log_gives_its_own_days_in_every_view_and_is_imported_once(stack: Stack) -> None:
    """Its days, of 2015, are beyond the retention: their hits are counted, and dropped within the same run."""
    days = page_views(REAL_LOG)
    is_bot = Agents().agent_of
    people = {day: [v for v in views if not is_bot(v.user_agent).is_bot] for day, views in days.items()}
    report = do_import(stack, f"LOG={REAL_LOG}")
    assert report["read"] == 10_000
    assert report["imported"] == sum(map(len, days.values())) == 3_910
    assert report["sealed"] == 4

    of_site = "site = 'semicomplete.com'"
    traffic = stack.query(
        f"select day, pageviews, visitors, bot_hits from daily_traffic where {of_site} order by 1"
    )
    assert traffic == [
        (
            day,
            len(people[day]),
            len({(view.address, view.user_agent) for view in people[day]}),
            len(days[day]) - len(people[day]),
        )
        for day in sorted(days)
    ]
    by_day = {day: len(views) for day, views in people.items()}
    for view in ("daily_pages", "daily_sources", "daily_countries"):
        found = stack.query(f"select day, sum(pageviews)::int from {view} where {of_site} group by 1")
        assert dict(found) == by_day, view
    missing = Counter(day for day, views in people.items() for view in views if view.status == 404)
    found = stack.query(f"select day, sum(pageviews)::int from daily_missing where {of_site} group by 1")
    assert dict(found) == missing
    [(referrals,)] = stack.query(f"select count(distinct day)::int from daily_referrals where {of_site}")
    assert referrals == 4
    assert stack.query(f"select 1 from hits where {of_site} limit 1") == []

    before = numbers_of(stack)
    report = do_import(stack, f"LOG={REAL_LOG}")
    assert (report["imported"], report["skipped"]) == (0, 10_000)
    assert numbers_of(stack) == before
    assert keys_alive(stack) == []
    check(stack)


# Once --------------------------------------------------------------------------------------------------------------


def test_logs_are_imported_once_and_sessions_go_through_them(stack: Stack, tmp_path: Path) -> None:
    """One of each server and format. nginx wrote the same requests twice, in two formats."""
    yesterday = day_ago(1)
    noon = datetime.datetime.combine(yesterday, datetime.time(12), datetime.UTC)
    paths = []
    for name in ("nginx-combined.log", "nginx-common.log", "caddy.json"):
        text = (SAMPLES / name).read_text().replace("blog.example", "samples.example")
        text = text.replace("23/Nov/2026", f"{yesterday:%d/%b/%Y}")
        text = text.replace('"ts":1795459603.', f'"ts":{int(noon.timestamp())}.')
        paths.append(write(tmp_path / name, [text]))
    logs = " ".join(map(str, paths))
    report = do_import(stack, f"LOG={logs}", "SITE=samples.example")
    assert (report["imported"], report["already there"]) == (12, 6)
    traffic = "select day, pageviews, visitors, bot_hits from daily_traffic where site = 'samples.example'"
    assert stack.query(traffic) == [(yesterday, 10, 1, 2)], (
        "the reader of one log and of the other is the same"
    )
    before = numbers_of(stack)
    packed = []
    for path in paths:
        packed.append(f"{path}.1.gz")
        with gzip.open(packed[-1], "wb") as file:
            file.write(path.read_bytes())
    report = do_import(stack, f"LOG={logs} {' '.join(packed)}", "SITE=samples.example")
    assert (report["imported"], report["already there"]) == (0, 36)
    assert numbers_of(stack) == before


def test_a_database_is_imported_once_with_what_it_knew(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "hits.db"
    with sqlite3.connect(path) as connection:
        connection.executescript((SAMPLES / "events.sql").read_text())
        shift = (day_ago(3) - datetime.date(2026, 2, 1)).days
        connection.execute(
            "update events set date = strftime('%Y-%m-%d %H:%M:%f', date, ?) where id <> 7", [f"{shift} days"]
        )
        for column in ("url", "host"):
            connection.execute(f"update events set {column} = replace({column}, 'blog.', 'events.')")
    connection.close()
    arguments = (f"DB={path}", "TIMEZONE=Europe/Madrid", "SITE=events.example")
    assert do_import(stack, *arguments)["imported"] == 6
    rows = stack.query(
        "select path, country, is_bot, is_me, session_id is null, browser, query from hits"
        " where site = 'events.example' order by received_at, hit_id"
    )
    assert rows == [
        ("/snow", "ES", False, False, False, None, None),
        ("/snow", "ES", False, False, False, None, "utm_source=letter"),
        ("/about", "DE", False, False, False, None, None),
        ("/about", "US", True, False, False, None, None),
        ("/", None, False, True, False, None, None),
        ("/", "FR", False, False, True, None, None),
    ]
    [(sessions,)] = stack.query(
        "select count(distinct session_id)::int from hits where site = 'events.example'"
    )
    assert sessions == 4
    before = numbers_of(stack)
    report = do_import(stack, *arguments)
    assert (report["imported"], report["already there"], report["skipped"]) == (0, 6, 2)
    assert numbers_of(stack) == before


def test_good_and_bad_lines_are_told_apart_by_number(stack: Stack, tmp_path: Path) -> None:
    lines = [
        line(day_ago(2), 1),
        "nonsense\n",
        line(day_ago(2), 2, path="/a.png"),
        "more\n",
        line(day_ago(2), 3),
    ]
    path = write(tmp_path / "mixed.log", lines)
    output = stack.make("import", f"LOG={path}", "SITE=mixed.example").stdout
    assert f"  2 not a request in the log's format: {path}:2, 4\n" in output
    assert f"  1 no page view: a file, script or feed: {path}:3\n" in output
    assert f"days 1: {day_ago(2)} to {day_ago(2)}\n  {day_ago(2)} 2\n" in output


def test_of_a_file_that_is_wrong_nothing_is_imported(stack: Stack, tmp_path: Path) -> None:
    before = numbers_of(stack)
    good = write(tmp_path / "good.log", [line(day_ago(2), 1)])
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress("".join(line(day_ago(2), n) for n in range(5_000)).encode())[:-100])
    for wrong, said in ((cut, "cut off"), (SAMPLES / "events.sql", "no line of its first")):
        done = stack.make("import", f"LOG={good} {wrong}", "SITE=wrong.example", check=False)
        assert done.returncode == 2, done.stdout
        assert f"{wrong}: " in done.stderr
        assert said in done.stderr
    done = stack.make("import", f"DB={good}", "TIMEZONE=UTC", check=False)
    assert "no SQLite database" in done.stderr
    assert numbers_of(stack) == before
    assert keys_alive(stack) == []


# Interrupted -------------------------------------------------------------------------------------------------------


def start(stack: Stack, log: Path, **more: str) -> subprocess.Popen[str]:
    """The import itself, without make: to be killed."""
    environ = {**stack.environ, "LOG": str(log), "SITE": f"{log.stem}.example", **more}
    return subprocess.Popen(
        [sys.executable, "-m", "tools.importer"],
        cwd=ROOT,
        env=environ,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_killed_in_the_middle_and_run_again_it_is_whole(stack: Stack, tmp_path: Path) -> None:
    """Days of late and days beyond the retention, with the same people before and after the kill."""
    days = [day_ago(RETENTION_DAYS + 40), day_ago(RETENTION_DAYS + 39), day_ago(9), day_ago(8)]
    # More than the stream (15,000) and a batch of the enricher (7,000) hold beside what the second kill waits for.
    each = 10_000
    path = write(tmp_path / "killed.log", [line(day, n) for day in days for n in range(each)])
    stored = "select coalesce(sum(stored), 0)::int from ledger where site = 'killed.example'"
    for least in (1, each + 1):
        process = start(stack, path)
        wait_until(lambda least=least: stack.query(stored)[0][0] >= least, 60, pause_s=0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert len(keys_alive(stack)) == 1, "the next run goes on under the same key"
    report = do_import(stack, f"LOG={path}", "SITE=killed.example")
    assert report["imported"] + report["already there"] == 4 * each
    assert each < report["already there"] < 4 * each
    traffic = stack.query(
        "select day, pageviews, visitors from daily_traffic where site = 'killed.example' order by 1"
    )
    assert traffic == [(day, each, 7) for day in days]
    assert stack.query(stored) == [(4 * each,)]
    kept = stack.query("select count(*)::int, min(day) from hits where site = 'killed.example'")
    assert kept == [(2 * each, days[2])]
    assert stack.query("select 1 from imports") == []
    assert keys_alive(stack) == []
    before = numbers_of(stack)
    report = do_import(stack, f"LOG={path}", "SITE=killed.example")
    assert (report["imported"], report["already there"], report["skipped"]) == (0, 2 * each, 2 * each)
    assert numbers_of(stack) == before
    check(stack)


def test_it_follows_what_is_appended_across_a_rotation(stack: Stack, tmp_path: Path) -> None:
    path = write(tmp_path / "followed.log", [line(day_ago(2), 1)])
    process = start(stack, path, FOLLOW="1")
    imported = "select count(*)::int from hits where site = 'followed.example'"

    def wait_for(number: int) -> None:
        wait_until(lambda: stack.query(imported) == [(number,)], 30)

    wait_for(1)
    with path.open("a") as log:
        log.write(line(day_ago(2), 2) + line(day_ago(2), 3)[:50])
        log.flush()
        wait_for(2)
        path.rename(tmp_path / "followed.log.1")
        log.write(line(day_ago(2), 3)[50:])
    write(path, [line(day_ago(1), 4)])
    wait_for(4)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert "following; Ctrl-C ends it" in output
    assert "imported 4" in output
    report = do_import(stack, f"LOG={path}.1 {path}", "SITE=followed.example")
    assert (report["imported"], report["already there"]) == (0, 4)


def test_an_import_is_not_run_twice_at_once(stack: Stack, tmp_path: Path) -> None:
    path = write(tmp_path / "twice.log", [line(day_ago(2), 1)])
    process = start(stack, path, FOLLOW="1")
    wait_until(lambda: stack.query("select 1 from hits where site = 'twice.example'"), 30)
    done = stack.make("import", f"LOG={path}", "SITE=twice.example", check=False)
    assert "another run imports" in done.stderr
    process.send_signal(signal.SIGTERM)  # as systemd does
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert "imported 1\n" in output


def test_settings_that_are_not_the_stacks_are_refused(stack: Stack, tmp_path: Path) -> None:
    path = write(tmp_path / "zone.log", [line(day_ago(2), 1)])
    done = subprocess.run(
        ["make", "import", f"LOG={path}", "SITE=zone.example"],
        cwd=ROOT,
        env={**stack.environ, "REPORT_TIMEZONE": "Asia/Tokyo"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "REPORT_TIMEZONE is Asia/Tokyo here and UTC in the stack that runs" in done.stderr
    assert os.listdir(tmp_path) == ["zone.log"]
