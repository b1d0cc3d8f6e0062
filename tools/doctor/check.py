"""A check: facts are gathered, then judged by a pure function; what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Literal, NamedTuple, TypeVar

import psycopg
import redis

from tools.doctor.book import Fault, load_book
from tools.doctor.installation import CannotAsk, Installation

Facts = TypeVar("Facts")
State = Literal["ok", "warning", "wrong", "not asked"]


class Judgement(NamedTuple):
    """What facts say in a line, and the names of the faults that are in them."""

    says: str
    faults: tuple[str, ...] = ()


class Outcome(NamedTuple):
    """What came of a check. ``says``: what was found, or why it could not be asked."""

    check: str
    state: State
    says: str
    faults: tuple[Fault, ...] = ()


class Check(NamedTuple, Generic[Facts]):
    """``gather`` asks and raises ``CannotAsk``; ``judge`` decides."""

    name: str
    gather: Callable[[Installation], Facts]
    judge: Callable[[Facts], Judgement]

    def outcome(self, installation: Installation) -> Outcome:
        """Make the check. Servers that fail are said to, and raise nothing."""
        try:
            judgement = self.judge(self.gather(installation))
        except CannotAsk as error:
            return Outcome(self.name, "not asked", str(error))
        except psycopg.Error as error:
            # Its text may hold an address and a role.
            return Outcome(self.name, "not asked", f"PostgreSQL: {type(error).__name__}")
        except redis.RedisError as error:
            return Outcome(self.name, "not asked", f"Redis: {type(error).__name__}")
        except OSError as error:
            return Outcome(self.name, "not asked", error.strerror or type(error).__name__)
        return outcome_of(self.name, judgement)


def outcome_of(name: str, judgement: Judgement) -> Outcome:
    """As the book has it: a check is as bad as the worst of its faults."""
    known = load_book()[name].faults
    faults = tuple(known[fault] for fault in dict.fromkeys(judgement.faults))
    levels = {fault.level for fault in faults}
    state: State = "wrong" if "wrong" in levels else "warning" if levels else "ok"
    return Outcome(name, state, judgement.says, faults)
