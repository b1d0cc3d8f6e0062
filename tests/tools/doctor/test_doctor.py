"""`make doctor` beside a stack: nothing is wrong where all is well, and what is planted is found and told."""

from __future__ import annotations

import datetime
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode

import pytest
import redis

from services.key_files import PASSWORDS, read_password
from tests.services.rollup.test_country import database as country_database
from tests.system.stack import Stack, wait_until
from tests.tools.doctor.conftest import Web, serving
from tools.arguments import BadRequest
from tools.audit_catalogue import filled
from tools.doctor.__main__ import json_of, lines, summary
from tools.doctor.book import load_book
from tools.doctor.check import Judgement, outcome_of
from tools.doctor.checks import CHECKS
from tools.doctor.document import DOCUMENT, tables
from tools.doctor.installation import USAGE, Asked, asked_of

# Of the machine that runs the tests.
MACHINES = {"overcommit", "scarce", "swaps", "full", "short"}


# The book ---------------------------------------------------------------------------------------------------------


# Nobody can plant these here: public addresses, a machine's want of memory. Their facts are judged alone.
JUDGED = {"client-address.unknown-proxy", "client-address.trusts-the-world", "memory.scarce", "memory.swaps"}


def test_each_check_is_in_the_book_and_each_fault_is_planted_by_a_test() -> None:
    book = load_book()
    assert [check.name for check in CHECKS] == list(book)
    sources = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    planted = JUDGED | set(re.findall(r'"([a-z-]+\.[a-z-]+)"', sources))
    assert {f"{entry.name}.{name}" for entry in book.values() for name in entry.faults} - planted == set()


def test_the_document_is_current() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert filled(text, tables()) == text, "run `make generated`"


def test_a_check_is_as_bad_as_the_worst_of_its_faults() -> None:
    assert outcome_of("redis", Judgement("")).state == "ok"
    assert outcome_of("redis", Judgement("", ("full",))).state == "warning"
    found = outcome_of("redis", Judgement("seen", ("full", "no-file")))
    assert found.state == "wrong"
    text = "\n".join(lines([found], is_coloured=False))
    assert text.startswith("wrong      redis           seen\n")
    assert "→ `redis-cli config set appendonly yes`" in text
    assert "\033" not in text
    assert "\033[31mwrong" in "\n".join(lines([found], is_coloured=True))
    assert summary([found]) == "doctor found something wrong: 1 wrong"
    assert json.loads(json_of([found]))["checks"][0]["faults"][1]["name"] == "no-file"


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"URL": "pixel.example.com"}, "URL: not an address"),
        ({"PAGE": "file:///etc/passwd"}, "PAGE: not an address"),
        ({"PAGE": "http://[1"}, "PAGE: not an address"),
        ({"PAGE": "https://blog.example/a b"}, "PAGE: not an address"),
        ({"HOURS": "all"}, "HOURS: a whole number"),
        ({"HOURS": "0"}, "HOURS: a whole number"),
        ({"HTTP_PORT": "70000"}, "HTTP_PORT: a whole number"),
    ],
)
def test_what_cannot_be_asked_for_is_said(environ: dict[str, str], words: str) -> None:
    with pytest.raises(BadRequest, match=words) as error:
        asked_of(environ)
    assert USAGE in str(error.value)


def test_empty_is_not_given() -> None:
    assert asked_of({"URL": "", "PAGE": "", "HOURS": "", "JSON": ""}) == Asked()
    assert asked_of({"PIXEL_PUBLIC_URL": "https://p.example/s/"}).url == "https://p.example/s"


# A stack ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def healthy(make_stack: Callable[..., Stack]) -> Iterator[Stack]:
    """A stack behind a proxy, with a country database of this week, that has counted some people."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "country.mmdb"
        Path(folder).chmod(0o755)
        week = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=7)
        path.write_bytes(country_database(built=week))
        stack = make_stack(TRUSTED_PROXIES="127.0.0.1", SITES="blog.example", COUNTRY_DATABASE=str(path))
        for number in range(30):
            send(stack, f"8.8.8.{number}")
        wait_until(lambda: stack.query("select sum(pageviews) from daily_traffic") == [(30,)])
        yield stack


def send(stack: Stack, client: str) -> None:
    page = urlencode({"url": "https://blog.example/"})
    status, headers, _ = stack.get(f"/a?{page}", X_Forwarded_For=client)
    assert (status, headers["X-Footfall"]) == (204, "accepted")


def doctor(stack: Stack, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code, and what it says for programs."""
    said = stack.make("doctor", "JSON=1", *arguments, check=False)
    assert said.stdout.startswith("{"), said.stderr
    return said.returncode, json.loads(said.stdout)


def found_by(said: dict[str, Any]) -> set[str]:
    return {f"{check['check']}.{fault['name']}" for check in said["checks"] for fault in check["faults"]}


@pytest.mark.system
def test_a_healthy_stack_has_nothing_wrong(healthy: Stack) -> None:
    code, said = doctor(healthy)
    assert {fault for fault in found_by(said) if fault.partition(".")[2] not in MACHINES} == set(), said
    assert code == 0 or not said["passed"]
    states = {check["check"]: check["state"] for check in said["checks"]}
    asked = {name for name, state in states.items() if state != "not asked"}
    assert asked >= set(states) - {"grafana", "keys", "https", "cors", "proxy", "page"}


@pytest.mark.system
def test_what_is_planted_in_a_stack_is_found_told_and_ends_with_1(healthy: Stack) -> None:
    client: Any = redis.Redis.from_url(healthy.urls["REDIS_URL"])
    client.config_set("appendfsync", "everysec")
    try:
        said = healthy.make("doctor", check=False)
    finally:
        client.config_set("appendfsync", "always")
    assert said.returncode == 2, "make's own, of an exit code of 1"
    assert re.search(r"^wrong +redis .*everysec", said.stdout, re.MULTILINE)
    assert "→ `redis-cli config set appendfsync always`" in said.stdout
    assert "doctor found something wrong" in said.stdout
    for name in PASSWORDS:
        assert read_password(healthy.data_dir / "keys", name) not in said.stdout + said.stderr
    assert "8.8.8." not in said.stdout + said.stderr


@pytest.mark.system
def test_the_outside_of_a_stack_and_a_page_of_it(healthy: Stack, tmp_path: Path) -> None:
    port = int(healthy.pixel_url.rpartition(":")[2])
    with serving(Web(behind=port)) as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        proxy.page("/post", f'<script defer src="{address}/a.js"></script>')
        page = f"{address}/post?title=it's$(touch${{IFS}}{tmp_path}/ran)"
        _, said = doctor(healthy, f"URL={address}", f"PAGE={page}")
        assert page.removeprefix(address) in [unquote(path) for _, path in proxy.asked]
    assert not (tmp_path / "ran").exists()
    states = {check["check"]: check["state"] for check in said["checks"]}
    assert states["clock"] == states["proxy"] == states["cors"] == "ok"
    # A page on this machine is never counted.
    assert found_by(said) >= {"page.not-a-site", "page.local-host", "https.plain"}


@pytest.mark.system
def test_a_service_that_is_away_is_found(healthy: Stack) -> None:
    os.kill(healthy.pid("redis"), 19)  # SIGSTOP
    try:
        code, said = doctor(healthy)
    finally:
        os.kill(healthy.pid("redis"), 18)  # SIGCONT
    assert code != 0
    assert "services.away" in found_by(said)
    wait_until(lambda: healthy.get("/readyz")[2] == b"ready\n")


def test_without_a_stack_it_says_what_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from tools.doctor.__main__ import main

    for name in ("URL", "PAGE", "PIXEL_PUBLIC_URL", "REDIS_URL", "PIXEL_URL", "OWNER_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    assert main() == 1
    assert "make run" in capsys.readouterr().err
    monkeypatch.setenv("HOURS", "x")
    assert main() == 2
