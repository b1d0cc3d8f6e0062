"""Canaries go every way through the whole product; then everything written is searched for them, in every form.

The product runs from a copy in which errors that quote the person are raised where none ever were. A second copy has
each step of the sealing taken out, for a canary of its own: there the same search finds each of them.
Whole pages in the write-ahead log are searched as they are: PostgreSQL runs with ``wal_compression=off``.
"""

from __future__ import annotations

import base64
import json
import os
import re
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.system import canary_paths as paths
from tests.system import canary_places as places
from tests.system.canaries import Before, Searcher, gzipped, key_needles, make_canary, needles_of
from tests.system.sabotage import SABOTAGES, Sabotage, copy_of_the_product
from tests.system.stack import Stack, wait_until

pytestmark = pytest.mark.system

Findings = set[tuple[str, str]]


class Searched(NamedTuple):
    """A stack through which the canaries have gone, and what was found."""

    stack: Stack
    while_waiting: Findings
    at_the_end: Findings
    overdue_keys: list[str]
    bytes_searched: int


def people() -> Searcher:
    """For all canaries that were sent."""
    return Searcher(needle for who in paths.CANARIES.values() for needle in needles_of(who))


def search(stack: Stack, before: Before, *, is_calm: bool) -> tuple[Findings, int]:
    """Places and what was found there, and the bytes read; while servers stand still, in files alone."""
    for_people = people()
    keys = places.live_keys(stack)
    for_keys = Searcher(needle for name, key in keys.items() for needle in key_needles(name, key))
    found: Findings = set()
    size = 0
    for place, data in places.everything_written(stack) if is_calm else places.files_of(stack):
        size += len(data)
        new = before.without(data)
        found |= {(place, label) for label in for_people.search(new)}
        if not place.startswith("keys/"):
            found |= {(place, label) for label in for_keys.search(new)}
    return found, size


def search_memory(stack: Stack, *parts: Callable[[Stack], Iterator[tuple[str, bytes]]]) -> Findings:
    """What is found in Redis or in the metrics, which a restart changes."""
    for_people = people()
    return {
        (place, label) for part in parts for place, data in part(stack) for label in for_people.search(data)
    }


def run_canaries(stack: Stack) -> Searched:
    """All ways, and the search: once while hits wait on the stream and in the spool, once when all is stored."""
    before = Before(places.files_of(stack))
    paths.plant_old_keys(stack)
    enricher = stack.kill("enricher", signal.SIGSTOP)
    paths.send_good(stack)
    paths.send_bad(stack)
    paths.send_malformed(stack)
    server = stack.kill("redis", signal.SIGSTOP)
    paths.send_spooled(stack)
    waiting, _ = search(stack, before, is_calm=False)
    os.kill(server, signal.SIGCONT)
    wait_until(lambda: paths.is_up(stack), 60)
    wait_until(lambda: not places.spool_of(stack).stat().st_size, 60)
    waiting |= search_memory(stack, places.redis_of, places.rewritten_aof_of)
    os.kill(enricher, signal.SIGCONT)
    paths.put_dead(stack)
    wait_until(lambda: paths.is_calm(stack), 60)
    paths.send_sabotaged(stack)
    paths.fail(stack)
    wait_until(lambda: paths.is_calm(stack), 60)
    waiting |= search_memory(stack, places.metrics_of)
    paths.kill_in_the_middle(stack)
    at_the_end, size = search(stack, before, is_calm=True)
    return Searched(stack, waiting, at_the_end, places.overdue_keys(stack), size)


@pytest.fixture(scope="module")
def run_copy(
    make_stack: Callable[..., Stack], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[bool], Searched]:
    """Runs the canaries through a copy of the product."""

    def run(sabotaged: bool) -> Searched:
        root = copy_of_the_product(tmp_path_factory.mktemp("copy"), sabotaged=sabotaged)
        stack = make_stack(
            start=False,
            root=root,
            TRUSTED_PROXIES="127.0.0.1",
            RATE_LIMIT=str(paths.RATE_LIMIT),
            PIXEL_HOST=paths.pixel_host(),
        )
        temporary = stack.data_dir / "tmp"
        temporary.mkdir()
        temporary.chmod(0o777)
        stack.environ["TMPDIR"] = str(temporary)  # what is written for a moment only is written too
        soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(
            resource.RLIMIT_CORE, (hard, hard)
        )  # a machine that keeps what crashes leave behind
        try:
            stack.start()
        finally:
            resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
        return run_canaries(stack)

    return run


@pytest.fixture(scope="module")
def whole(run_copy: Callable[[bool], Searched]) -> Searched:
    """The product as it is."""
    return run_copy(False)


@pytest.fixture(scope="module")
def broken(run_copy: Callable[[bool], Searched]) -> Searched:
    """The product with every sabotage."""
    return run_copy(True)


def test_waiting_hits_name_nobody(whole: Searched) -> None:
    assert whole.while_waiting == set()


def test_stored_hits_name_nobody(whole: Searched) -> None:
    assert whole.at_the_end == set()
    assert whole.bytes_searched > 30_000_000, "the write-ahead log alone is that large"


def test_no_key_outlives_its_hour_and_day(whole: Searched) -> None:
    assert whole.overdue_keys == []


def test_every_way_was_gone(whole: Searched) -> None:
    stack = whole.stack
    reasons = {reason for (reason,) in stack.query("select distinct reason from dead_letters")}
    assert {"not-a-group", "seal", "url", "row", "enrich", "too-late", "limits"} <= reasons
    left_out = {reason for (reason,) in stack.query("select distinct reason from ledger_left_out")}
    assert {"url", "id", "query", "body", "rate-limit", "local-host", "prefetch", "not-durable"} <= left_out
    said = stack.log.read_text()
    for action in (
        "request-failed",
        "group-failed",
        "library",
        "crashed",
        "spool-cut",
        "no-sealing-key",
        "redis-away",
    ):
        assert f'"action": "{action}"' in said, action
    assert (stack.data_dir / "spool/damaged").stat().st_size > 0
    assert len(stack.query("select distinct session_id from hits where session_id is not null")) > 20
    assert stack.make("check", check=False).returncode == 0


@pytest.mark.parametrize("name", ["pixel", "enricher"])
def test_a_crash_writes_no_memory_to_disk(whole: Searched, name: str) -> None:
    limits = Path(f"/proc/{whole.stack.pid(name)}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits)


def test_the_audit_files_what_it_finds(whole: Searched) -> None:
    done = whole.stack.make("audit", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "audit passed" in done.stdout
    assert "settings of: the running pixel" in done.stdout
    told = json.loads(whole.stack.make("audit", "JSON=1").stdout)
    assert told["passed"]
    shown = {item["name"]: item["value"] for item in told["items"]}
    assert shown["RATE_LIMIT"] == str(paths.RATE_LIMIT)
    assert shown["Redis appendfsync"] == "always"


def test_the_audit_names_keys_that_live_on(broken: Searched) -> None:
    done = broken.stack.make("audit", "JSON=1", check=False)
    problems = {item["name"] for item in json.loads(done.stdout)["items"] if item["problem"]}
    assert problems == set(broken.overdue_keys)
    assert done.returncode != 0


def test_no_log_line_holds_an_address(whole: Searched) -> None:
    for path in (whole.stack.log, *(whole.stack.data_dir / "log").glob("*.log")):
        addresses = set(re.findall(r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b", path.read_text()))
        assert addresses <= {"127.0.0.1", "0.0.0.0"}, path  # noqa: S104


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.name)
def test_each_step_that_is_taken_out_is_found(broken: Searched, sabotage: Sabotage) -> None:
    if sabotage.label == "overdue":
        assert len(broken.overdue_keys) == 2
        return
    found = broken.while_waiting | broken.at_the_end
    who = sabotage.name
    assert any(
        place.startswith(sabotage.place) and label.startswith(who) and label.endswith(sabotage.label)
        for place, label in found
    ), sorted(item for item in found if item[1].startswith(who))


def test_nothing_else_is_found_in_the_broken_product(broken: Searched) -> None:
    # A task's error is logged by asyncio, as by a library.
    names = ("task fails", *(sabotage.name for sabotage in SABOTAGES))
    assert {
        item for item in broken.while_waiting | broken.at_the_end if not item[1].startswith(names)
    } == set()


FORMS: dict[str, Callable[[str, str], bytes]] = {
    "text": lambda address, agent: address.encode(),
    "in a line": lambda address, agent: f"client {address}, agent {agent}".encode(),
    "hex": lambda address, agent: address.encode().hex().encode(),
    "base64": lambda address, agent: base64.b64encode(f"x{address}".encode()),
    "base64 of JSON": lambda address, agent: base64.b64encode(f'{{"agent": "{agent}"}}'.encode()),
    "gzip": lambda address, agent: gzipped(address.encode() * 3),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", paths.KINDS)
def test_the_search_finds_what_is_there(tmp_path: Path, form: str, kind: str) -> None:
    who, other = make_canary("planted", kind), make_canary("another", kind)
    planted = os.urandom(1_001) + FORMS[form](who.address, who.agent) + os.urandom(999)
    assert Searcher(needles_of(who)).search(planted), form
    assert not Searcher(needles_of(other)).search(planted), form
