"""`make chaos`, for half a minute and with faults that were chosen; and its audit finds what it is there to find."""

from __future__ import annotations

import subprocess
import uuid

import pytest

from tests.faults.wires import ROOT
from tools.chaos.audit import compared, slow_answers
from tools.chaos.load import Outcome, Sending

# One of each kind that ends soon: what a second enricher leaves is taken over after 30 s only.
FAULTS = (
    "pixel-redis lost answer",
    "redis SIGKILL in a rewrite",
    "enricher SIGKILL",
    "enricher-postgres cut in the middle",
    "redis out of memory",
    "pixel SIGKILL",
    "postgres SIGKILL",
    "garbage entry",
    "rollup-postgres stall",
)


@pytest.mark.system
def test_a_short_run_loses_nothing_and_doubles_nothing() -> None:
    done = subprocess.run(
        ["make", "chaos", "MINUTES=0.2", "SEED=7", "RATE=150", f"FAULTS={','.join(FAULTS)}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in FAULTS:
        assert f"1  {name}" in done.stdout, done.stdout
    assert "passed; seed 7" in done.stdout


@pytest.mark.parametrize("arguments", [["OUTAGE=grafana"], ["MINUTES=soon"]])
def test_a_wrong_argument_is_named(arguments: list[str]) -> None:
    done = subprocess.run(
        ["make", "chaos", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode
    assert "make chaos: " in done.stderr


# The audit ------------------------------------------------------------------------------------------------------

SITE = "a.example"
HIT = uuid.UUID(int=7)
NOON = 1_795_435_200.0
KEY = (SITE, HIT)


def sending(
    outcome: Outcome = "accepted", at: float = NOON, took_s: float = 0.01, poison: bool = False
) -> Sending:
    made = Sending(HIT, SITE, poison)
    made.sent_at, made.answered_at, made.outcome = at, at + took_s, outcome
    return made


@pytest.mark.parametrize(
    ("sent", "stored", "buried", "expected"),
    [
        ([sending()], [NOON], False, ""),
        ([sending()], [], False, "accepted and lost"),
        ([sending()], [NOON, NOON], False, "counted twice"),
        ([sending(), sending(at=NOON + 5)], [NOON + 5], False, ""),
        ([sending(), sending(at=NOON + 86_400)], [NOON, NOON + 86_400], False, ""),  # a retry after midnight
        ([sending()], [NOON + 1], False, "another time"),
        ([sending()], [NOON - 1], False, "another time"),
        ([sending("unanswered")], [], False, ""),
        ([sending("unanswered")], [NOON + 3], False, ""),
        ([sending("unanswered")], [NOON, NOON], False, "counted twice"),
        ([sending("refused")], [], False, ""),
        ([sending("refused"), sending(at=NOON + 1)], [], False, "accepted and lost"),
        ([sending()], [], True, "buried without"),
        ([sending(poison=True)], [], True, ""),
        ([sending(poison=True)], [NOON], True, "counted twice"),
        ([sending(poison=True), sending(at=NOON + 5, poison=True)], [NOON + 5], True, ""),
        ([], [NOON], False, "never sent"),
    ],
)
def test_the_audit_finds_what_differs(
    sent: list[Sending], stored: list[float], buried: bool, expected: str
) -> None:
    found = " ".join(compared(sent, {KEY: stored} if stored else {}, {KEY} if buried else set()))
    assert expected in found
    assert bool(found) == bool(expected)


def test_a_slow_answer_is_the_pixel_s_unless_it_was_stopped_itself() -> None:
    sent = [sending(took_s=2.5), sending(at=NOON + 100, took_s=1.9), sending("unanswered", took_s=15)]
    assert slow_answers(sent, []) == (15, [sent[0], sent[2]]), "what never came is slow too"
    assert slow_answers(sent, [(NOON + 2, NOON + 3), (NOON - 5, NOON - 1)]) == (pytest.approx(1.9), [])
