"""Services of the commit before the newest migration store hits on what it made, as while a deploy migrates."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from services.database import connect
from services.migrate.__main__ import MIGRATIONS
from services.rollup.refresh import prepare, refresh
from tests.conftest import Database
from tests.history import settings_of
from tests.services.rollup.definition import differences
from tools.servers import free_port, poll, spawn

pytestmark = pytest.mark.servers
ROOT = Path(__file__).resolve().parents[3]
SERVICES = ("pixel", "enricher", "rollup")


def git(*arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, check=False, timeout=60)
    if done.returncode:
        pytest.skip(f"skipped: no history here: git {arguments[0]}: {done.stderr.decode().strip()}")
    return done.stdout


def former_commits(newest: Path) -> list[str]:
    """The commits before the one that brought a migration, newest first; HEAD when that is not committed yet."""
    # Along what was deployed: before a merge a branch may lack the migrations of others.
    along = ("--first-parent", "-m", "--format=%H")
    added = git("log", "-1", "--diff-filter=A", *along, "--", str(newest)).decode().strip()
    return git("log", "-500", *along, "--no-patch", f"{added}^" if added else "HEAD").decode().split()


def may_be_deployed(commit: str) -> bool:
    """Whether its migrations stand unchanged: what was changed since was never released, and is nowhere."""
    listed = git("ls-tree", f"{commit}:migrations").decode().splitlines()
    then = {name: entry.split()[2] for entry, name in (line.split("\t") for line in listed)}
    return all(
        (MIGRATIONS / name).is_file()
        and git("hash-object", str(MIGRATIONS / name)).decode().strip() == identity
        for name, identity in then.items()
        if name.endswith(".sql")
    )


def is_whole(code: Path) -> bool:
    """Whether the services can start at all: between the merges of a day they could not at each commit."""
    modules = ", ".join(f"services.{name}.__main__" for name in SERVICES)
    command = [sys.executable, "-P", "-c", f"import {modules}"]
    environ = {**os.environ, "PYTHONPATH": str(code)}
    return subprocess.run(command, env=environ, capture_output=True, check=False, timeout=60).returncode == 0


@pytest.fixture
def former_code(tmp_path: Path) -> Path:
    """The services as they were, in the newest commit before the newest migration that may run somewhere."""
    newest = max(MIGRATIONS.glob("*.sql"))
    for commit in filter(may_be_deployed, former_commits(newest)):
        code = tmp_path / commit
        code.mkdir()
        subprocess.run(["tar", "-x", "-C", code], input=git("archive", commit, "services"), check=True)
        if is_whole(code):
            return code
    pytest.skip(f"skipped: in no commit before {newest.name} do the services start")


@pytest.fixture
def former_processes(
    former_code: Path, database: Database, redis_url: str
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """A pixel, an enricher and a rollup of then, on a database of now."""
    port = free_port()
    environ = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        "DATA_DIR": str(former_code), "DATABASE_URL": database.owner_url, "REDIS_URL": redis_url,
        "PIXEL_PORT": str(port), "PYTHONPATH": str(former_code),
    }  # fmt: skip
    processes = {
        name: spawn(
            [sys.executable, "-P", "-m", f"services.{name}"], environ=environ, log=former_code / f"{name}.log"
        )
        for name in SERVICES
    }
    (former_code / "address").write_text(f"http://127.0.0.1:{port}")
    yield processes
    for process in processes.values():
        process.kill()
        process.wait(20)


def status_of(address: str) -> int:
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return int(answer.status)
    except OSError:
        return 0


def test_former_services_go_on_in_the_new_database_and_the_new_rollup_takes_over(
    former_processes: dict[str, subprocess.Popen[bytes]], former_code: Path, database: Database
) -> None:
    """As while a deploy goes on: what the former rollup cannot count any more waits for the new one."""
    pixel = (former_code / "address").read_text()
    assert poll(lambda: status_of(f"{pixel}/livez") == 200, 30), (former_code / "pixel.log").read_text()
    hit_id = uuid.uuid4()
    assert status_of(f"{pixel}/a?id={hit_id}&url=https%3A%2F%2Fblog.example%2F") == 204
    with database.connect() as connection:
        stored = "select count(*) from hits where hit_id = %s"
        assert poll(lambda: connection.execute(stored, [hit_id]).fetchone() == (1,), 30), (
            former_code / "enricher.log"
        ).read_text()
        assert connection.execute("select count(*) from dead_letters").fetchone() == (0,)
        former = former_processes["rollup"]
        assert former.poll() is None, (former_code / "rollup.log").read_text()
        former.kill()
        former.wait(20)
        # Of the lock under which it counted, the server knows when it sees that the wire is cut.
        assert poll(lambda: is_counted(database, connection), 30)
        assert differences(connection) == {}


def is_counted(database: Database, connection: psycopg.Connection[Any]) -> bool:
    """Whether this version's rollup has counted all that is stored."""
    with connect(settings_of(database.owner_url), "rollup") as refresher:
        prepare(refresher)
        refresh(refresher)
    return connection.execute("select count(*) from rollup_pending").fetchone() == (0,)
