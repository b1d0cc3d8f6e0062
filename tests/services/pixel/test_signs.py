"""A pixel says that it could take hits, from when until now, and no more often than anybody needs."""

from __future__ import annotations

import pytest

from services.hit import Alive
from services.pixel.signs import BEAT_EVERY_S, BREAK_S, SIGN_EVERY_S, Signs

START_S = 1_800_000_000.0


class Clocks:
    """Both clocks of a machine."""

    def __init__(self) -> None:
        self.wall_s = START_S
        self.steady_s = 50.0
        self.signs = Signs(lambda: self.wall_s, lambda: self.steady_s)

    def pass_by(self, seconds: float) -> None:
        self.wall_s += seconds
        self.steady_s += seconds

    def say(self) -> Alive | None:
        """What a group says that becomes durable."""
        sign = self.signs.for_group()
        if sign:
            self.signs.became_durable(sign)
        return sign


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def us(seconds: float) -> int:
    return int((START_S + seconds) * 1_000_000)


def test_hits_carry_a_sign_now_and_then_and_then_no_beat_is_due(clocks: Clocks) -> None:
    said = []
    for _ in range(600):
        clocks.pass_by(0.1)
        said.append(clocks.say())
        assert not clocks.signs.beat_is_due
    signs = [sign for sign in said if sign]
    assert 5 <= len(signs) <= 60 / SIGN_EVERY_S
    assert {(sign.stretch, sign.since_us) for sign in signs} == {(1, us(0))}, "since it was started"
    assert signs[-1].at_us - signs[0].at_us > 39_000_000


def test_without_hits_beats_are_due(clocks: Clocks) -> None:
    clocks.pass_by(BEAT_EVERY_S - 0.1)
    assert not clocks.signs.beat_is_due
    clocks.pass_by(0.1)
    assert clocks.signs.beat_is_due
    assert clocks.say() == Alive(1, us(0), us(BEAT_EVERY_S))
    assert not clocks.signs.beat_is_due


def test_a_group_that_did_not_become_durable_said_nothing(clocks: Clocks) -> None:
    clocks.pass_by(BEAT_EVERY_S)
    assert clocks.signs.for_group()
    assert not clocks.signs.beat_is_due, "the same is not tried at once"
    clocks.pass_by(1)
    assert clocks.say() == Alive(1, us(0), us(BEAT_EVERY_S + 1)), "the next group says it"


@pytest.mark.parametrize("jump_s", [BREAK_S + 1, 8 * 3600, -3600], ids=["no disk", "asleep", "set back"])
def test_after_a_break_a_new_stretch_begins(clocks: Clocks, jump_s: float) -> None:
    clocks.pass_by(SIGN_EVERY_S)
    assert clocks.say() == Alive(1, us(0), us(SIGN_EVERY_S))
    clocks.pass_by(1)
    clocks.wall_s += jump_s  # the steady clock stands while a machine sleeps
    began = us(SIGN_EVERY_S + 1 + jump_s)
    assert clocks.say() == Alive(2, began, began), "at once, with whatever comes first"
    clocks.pass_by(BEAT_EVERY_S)
    assert clocks.say() == Alive(2, began, began + int(BEAT_EVERY_S * 1_000_000))


def test_a_short_break_is_none(clocks: Clocks) -> None:
    clocks.pass_by(BREAK_S)
    assert clocks.say() == Alive(1, us(0), us(BREAK_S))
