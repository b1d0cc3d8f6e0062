"""In the worst night: the backup of a stack that works goes into a new one, and `make check` agrees."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Callable
from urllib.parse import urlencode

import pytest

from tests.system.stack import Stack, wait_until

pytestmark = pytest.mark.system
FIGURES = "select * from daily_pages order by site, day, host, path"


def test_a_backup_becomes_a_new_installation(stack: Stack, make_stack: Callable[..., Stack]) -> None:
    for number in range(6):
        parameters = {"url": f"https://restored.example/{number % 2}", "title": "A post"}
        assert stack.get("/a.gif?" + urlencode(parameters))[0] == 200
    wait_until(
        lambda: stack.query("select pageviews from daily_traffic where site = 'restored.example'") == [(6,)]
    )
    figures = stack.query(FIGURES)

    key = stack.data_dir / "backup.key"
    recipient = stack.make("backup", f"NEW_KEY={key}").stdout.strip()
    limited = ["sh", "-c", "ulimit -f 8; exec make backup"]  # of 4 kB a file
    full = subprocess.run(
        limited, cwd=stack.root, env=stack.environ, capture_output=True, text=True, check=False
    )
    assert (full.returncode != 0, "File too large. No backup was written." in full.stderr) == (True, True), (
        full.stderr
    )
    assert list((stack.data_dir / "backups").iterdir()) == []
    done = stack.make("backup", recipient)
    [path] = (stack.data_dir / "backups").iterdir()
    assert done.stdout.splitlines()[0] == str(path)
    assert (path.name.endswith(".tar.gz.age"), stat.S_IMODE(path.stat().st_mode)) == (True, 0o600)
    assert (
        "the database is not empty"
        in stack.make("restore", f"FROM={path}", f"KEY_FILE={key}", check=False).stderr
    )

    new = make_stack(start=False)
    refused = new.make("restore", f"FROM={path}", check=False)
    assert (refused.returncode != 0, "name its KEY_FILE" in refused.stderr) == (True, True)
    assert list(new.data_dir.iterdir()) == []
    said = new.make("restore", f"FROM={path}", f"KEY_FILE={key}").stdout
    assert "each table has the rows that the backup says" in said
    new.start()
    assert new.query(FIGURES) == figures
    check = new.make("check", check=False)
    assert check.returncode == 0, check.stdout
    assert new.get("/a.gif?" + urlencode({"url": "https://restored.example/0"}))[0] == 200
    wait_until(
        lambda: new.query("select pageviews from daily_traffic where site = 'restored.example'") == [(7,)]
    )
