"""`make import` from a clone beside the containers, as docs/import.md says: as root, for the folder of the keys."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docker.stack import Stack, docker, wait_until
from tests.docker.test_compose_file import ROOT

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"
RETENTION_DAYS = 400


@pytest.mark.skipif(os.geteuid() != 0, reason="only root reads the engine's volumes")
def test_an_access_log_goes_into_the_containers(stack: Stack, tmp_path: Path) -> None:
    today = datetime.datetime.now(datetime.UTC)
    days = [(today - datetime.timedelta(days=ago)).date() for ago in (RETENTION_DAYS + 9, 2)]
    log = tmp_path / "access.log"
    log.write_text(
        "".join(
            f'203.0.113.{number % 5} - - [{day:%d/%b/%Y}:10:00:{number:02} +0000] "GET /{number} HTTP/1.1" 200 9'
            f' "-" "{AGENT}"\n'
            for day in days
            for number in range(20)
        )
    )
    project = f"label=com.docker.compose.project={stack.environ['COMPOSE_PROJECT_NAME']}"
    keys = docker(
        "volume", "ls", "--filter", project, "--filter", "label=com.docker.compose.volume=keys", "--format",
        "{{.Mountpoint}}",
    ).strip()  # fmt: skip
    database, redis = stack.environ["POSTGRES_PORT"], stack.environ["REDIS_PORT"]
    environ = {
        "PATH": os.environ["PATH"],
        "LOG": str(log),
        "SITE": "imported.example",
        "DATABASE_URL": f"postgresql://footfall:{stack.password('database')}@127.0.0.1:{database}/footfall",
        "REDIS_URL": f"redis://:{stack.password('redis')}@127.0.0.1:{redis}/0",
        "KEY_DIR": keys,
    }
    for imported, there, skipped in ((40, 0, 0), (0, 20, 20)):
        done = subprocess.run(
            [sys.executable, "-m", "tools.importer"],
            cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=180,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        for line in (f"imported {imported}", f"already there {there}", f"skipped {skipped}"):
            assert f"{line}\n" in done.stdout
    traffic = "select day, pageviews, visitors from daily_traffic where site = 'imported.example' order by 1"
    analyst = stack.password("analyst")
    wait_until(
        lambda: stack.query("analyst", analyst, traffic) == [(day, 20, 5) for day in days],
        30,
        lambda: str(stack.query("analyst", analyst, traffic)),
    )
