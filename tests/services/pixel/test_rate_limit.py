"""At most so many hits a minute from one client; nothing of a client outlives its minute."""

from __future__ import annotations

import pytest

from services.pixel import rate_limit
from services.pixel.rate_limit import RateLimit


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def allowed(limit: RateLimit, address: str, times: int) -> int:
    return sum(limit.allows(address) for _ in range(times))


def test_a_client_may_send_so_many_and_no_more() -> None:
    limit = RateLimit(3, Clock())
    assert allowed(limit, "203.0.113.7", 5) == 3
    assert allowed(limit, "203.0.113.8", 5) == 3
    assert allowed(limit, "2001:db8::7", 5) == 3


def test_after_a_minute_it_may_again() -> None:
    clock = Clock()
    limit = RateLimit(3, clock)
    assert allowed(limit, "203.0.113.7", 5) == 3
    clock.now_s += 59.9
    assert allowed(limit, "203.0.113.7", 5) == 0
    clock.now_s += 0.2
    assert allowed(limit, "203.0.113.7", 5) == 3


@pytest.mark.parametrize(("after_s", "wait_s"), [(0.0, 61), (0.5, 60), (30.0, 31), (59.99, 1), (65.0, 1)])
def test_it_says_how_long_to_wait(after_s: float, wait_s: int) -> None:
    clock = Clock()
    limit = RateLimit(1, clock)
    limit.allows("203.0.113.7")
    clock.now_s += after_s
    assert limit.retry_after_s() == wait_s


def test_0_is_no_limit_and_keeps_nothing() -> None:
    limit = RateLimit(0, Clock())
    assert allowed(limit, "203.0.113.7", 2_000) == 2_000
    assert not limit._counts


def test_addresses_are_kept_as_hashes_under_a_key_of_the_minute() -> None:
    clock = Clock()
    limit = RateLimit(10, clock)
    limit.allows("203.0.113.7")
    [first], first_key = limit._counts, limit._key
    assert b"203.0.113" not in first
    clock.now_s += 61
    limit.allows("203.0.113.7")
    [second] = limit._counts
    assert first != second
    assert first_key != limit._key


def test_very_many_clients_begin_the_minute_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "MAX_CLIENTS", 100)
    limit = RateLimit(1, Clock())
    for number in range(1_000):
        assert limit.allows(f"2001:db8::{number:x}")
    assert len(limit._counts) <= 102


def test_the_fullest_minute_is_remembered_and_nobody_of_it() -> None:
    clock = Clock()
    limit = RateLimit(10, clock)
    assert limit.most_clients == 0
    for address in ("203.0.113.1", "203.0.113.2", "203.0.113.2", "203.0.113.3"):
        limit.allows(address)
    assert limit.most_clients == 3
    clock.now_s += 61
    limit.allows("203.0.113.1")
    assert limit.most_clients == 3
