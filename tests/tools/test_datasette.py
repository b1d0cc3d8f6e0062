"""An export opens in Datasette: the figures are there, with what they mean, and its pages ask nobody else."""

from __future__ import annotations

import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.stack import ROOT, free_ports, wait_until
from tools.datasette import CannotOpen, metadata_of, port_of
from tools.export import sqlite_file
from tools.export.relations import Column, Relation

TRAFFIC = Relation(
    "daily_traffic",
    "Traffic of each <day>.",
    (
        Column("site", "text", "The site."),
        Column("day", "date", "The date."),
        Column("pageviews", "bigint", "Human hits."),
    ),
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of one view."""
    path = tmp_path_factory.mktemp("export") / "all.sqlite"
    sqlite_file.write(
        path, TRAFFIC, iter([("blog.example", "2026-11-22", "12"), ("shop.example", "2026-11-22", None)])
    )
    return path


# As `make datasette` runs it, but with the Datasette that is installed for tests.
RUN = "import sys, pathlib, tools.datasette as d; d.PYTHON = pathlib.Path(sys.executable); sys.exit(d.main())"


@pytest.fixture(scope="module")
def address(file: Path) -> Iterator[str]:
    """Where Datasette answers."""
    [port] = free_ports(1)
    log = file.parent / "log"
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "FILE": str(file), "PORT": str(port)}
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", RUN], env=environ, stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return bool(get(f"{url}/-/versions.json"))
        except urllib.error.URLError:
            return False

    wait_until(answers, 40)
    yield url
    process.terminate()
    process.wait(10)


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def test_figures_and_what_they_mean_are_shown(address: str) -> None:
    assert json.loads(get(f"{address}/all/daily_traffic.json?_shape=array"))[0]["pageviews"] == 12
    page = get(f"{address}/all/daily_traffic")
    assert "Daily traffic" in page
    assert "Traffic of each &lt;day&gt;." in page
    assert "Human hits." in page


def test_pages_load_nothing_from_elsewhere(address: str) -> None:
    for path in ("/", "/all", "/all/daily_traffic"):
        page = get(address + path)
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]*\ssrc=[\"']?([^\"'> ]+)", page)
        loaded += re.findall(r"<link[^>]*\shref=[\"']?([^\"'> ]+)", page)
        assert loaded
        outside = [url for url in loaded if re.match(r"(https?:)?//", url) and not url.startswith(address)]
        assert outside == []


def test_it_can_be_reached_from_this_machine_alone_and_changes_nothing(address: str, file: Path) -> None:
    port = int(address.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=5)
    before = file.read_bytes()
    with pytest.raises(urllib.error.HTTPError):
        get(f"{address}/all?sql=delete+from+daily_traffic")
    assert file.read_bytes() == before


def test_what_is_no_export_is_said(tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite"
    sqlite3.connect(other).close()
    for path in (other, tmp_path / "none.sqlite"):
        with pytest.raises(CannotOpen, match="is no export"):
            metadata_of(path)
    assert not (tmp_path / "none.sqlite").exists()
    with pytest.raises(CannotOpen, match="PORT"):
        port_of({"PORT": "80 80"})
