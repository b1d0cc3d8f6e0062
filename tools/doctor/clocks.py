"""Whether the clocks of machine, PostgreSQL, Redis and the outside address agree."""

from __future__ import annotations

import contextlib
import email.utils
import time
from collections.abc import Iterator
from typing import NamedTuple

import psycopg
import redis

from tools.doctor import web
from tools.doctor.check import Judgement
from tools.doctor.installation import CannotAsk, Installation

# An entry of the log and a rate limit mind 5 s, days and keys a minute; the enricher takes 5 minutes for a mistake.
APART_S, FAR_S = 5.0, 60.0


class Clock(NamedTuple):
    """A clock beside this machine's."""

    whose: str
    ahead_s: float


def database_clock(installation: Installation) -> Clock:
    """PostgreSQL's."""
    with installation.database() as connection:
        before_s = time.time()
        [(now_s,)] = connection.execute("select extract(epoch from clock_timestamp())::float8").fetchall()
        return Clock("PostgreSQL", now_s - (before_s + time.time()) / 2)


def redis_clock(installation: Installation) -> Clock:
    """That of Redis."""
    client = installation.redis()
    before_s = time.time()
    seconds, micros = client.time()
    return Clock("Redis", seconds + micros / 1e6 - (before_s + time.time()) / 2)


def outside_clock(installation: Installation) -> Clock:
    """What the outside address says in `Date`, in whole seconds. Raises ``CannotAsk``."""
    try:
        answer = web.ask(installation.outside() + "/livez")
        at = email.utils.parsedate_to_datetime(answer.headers["date"])
    except (web.NoAnswer, KeyError, ValueError) as error:
        raise CannotAsk(f"the outside address tells no time ({error})") from None
    return Clock("outside", at.timestamp() + 0.5 - (answer.asked_at_s + answer.answered_at_s) / 2)


def gather(installation: Installation) -> list[Clock]:
    """Those that answer. Raises ``CannotAsk`` where none does."""
    found = list(_found(installation))
    if not found:
        raise CannotAsk("no other clock is known here: neither servers nor URL=")
    return found


def _found(installation: Installation) -> Iterator[Clock]:
    for ask in (database_clock, redis_clock, outside_clock):
        with contextlib.suppress(CannotAsk, psycopg.Error, redis.RedisError):
            yield ask(installation)


def judge(clocks: list[Clock]) -> Judgement:
    """By how much they differ from this machine's."""
    says = "beside this machine's: " + ", ".join(f"{c.whose} {c.ahead_s:+.1f} s" for c in clocks)
    most_s = max(abs(clock.ahead_s) for clock in clocks)
    if most_s > FAR_S:
        return Judgement(says, ("far",))
    return Judgement(says, ("apart",) if most_s > APART_S else ())
