"""What an operator sees and does when too much cannot be stored, from outside."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import redis

from tests.system.stack import ROOT, Stack, wait_until

pytestmark = pytest.mark.system
STREAM = "footfall:hits"


def send(stack: Stack, number: int) -> None:
    for _ in range(number):
        assert stack.get("/a.gif?url=https%3A%2F%2Fblog.example%2Fa")[0] == 200


def summed(stack: Stack, column: str) -> int:
    return int(stack.query(f"select coalesce(sum({column}), 0)::int from daily_ledger")[0][0])


def is_well(stack: Stack) -> bool:
    """As a container's health check asks."""
    command = ["python3", "-m", "services.health", stack.urls["ENRICHER_METRICS_URL"]]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == 0


def said(stack: Stack, *arguments: str) -> str:
    return stack.make("dead-letters", *arguments).stdout


def test_an_enricher_that_would_bury_too_much_stops_and_goes_on_when_it_is_mended(
    make_stack: Callable[..., Stack],
) -> None:
    stack = make_stack()
    stream: Any = redis.Redis.from_url(stack.urls["REDIS_URL"])
    send(stack, 3)
    wait_until(lambda: summed(stack, "stored") == 3)
    assert said(stack) == "no dead letters\n"
    assert is_well(stack)

    with stream.pipeline(transaction=True) as at_once:
        for _ in range(40):
            at_once.xadd(STREAM, {"g": "nonsense"})
        strange = at_once.execute()
    wait_until(lambda: stack.query("select letters, reasons from enricher_stops") == [(40, "not-a-group")])
    assert not is_well(stack)
    send(stack, 2)
    wait_until(lambda: summed(stack, "pending") == 2)
    assert (summed(stack, "accepted"), summed(stack, "stored"), summed(stack, "dead_lettered")) == (5, 3, 0)
    assert stack.make("check").stdout.startswith(
        "accepted 5 = stored 3 + duplicate 0 + dead-lettered 0 + pending 2\n"
    )

    stream.xdel(STREAM, *strange[1:])  # what is left is within the limit
    wait_until(lambda: summed(stack, "stored") == 5, 60)
    wait_until(lambda: stack.query("select * from enricher_stops") == [])
    assert is_well(stack)

    [heap] = json.loads(said(stack, "JSON=1"))
    assert (heap["reason"], heap["site"], heap["hits"], heap["replayable"]) == ("not-a-group", "", 1, 0)
    assert said(stack, "REPLAY=all").startswith("0 hits stored")
    assert said(stack, "DROP=all").startswith("1 hits' letters emptied")
    assert said(stack) == "no dead letters\n"
    assert stack.make("dead-letters", "DROP=nonsense", check=False).returncode != 0
    assert stack.make("check").stdout.startswith(
        "accepted 6 = stored 5 + duplicate 0 + dead-lettered 1 + pending 0\n"
    )
