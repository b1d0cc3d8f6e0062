"""The audit of a run: every hit that was answered is there exactly once, at its own time, and nothing else is."""

from __future__ import annotations

import bisect
import datetime
import subprocess
import sys
import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tools.chaos.load import Sending
from tools.chaos.stack import Ground

SHOWN = 5
CLOCK_S = 0.05  # sender and pixel read one clock, not at the same instant
LONGEST_ANSWER_S = 2.0
CHECK_WITHIN_S = 1_800  # 15 s of one core for a million hits, on a busy machine more

Key = tuple[str, uuid.UUID]  # site, hit_id


@dataclass
class Asked:
    """All that was sent with one id."""

    sendings: list[Sending] = field(default_factory=list)

    @property
    def is_accepted(self) -> bool:
        return any(sending.outcome == "accepted" for sending in self.sendings)

    @property
    def is_poison(self) -> bool:
        return any(sending.is_poison for sending in self.sendings)

    @property
    def days(self) -> int:
        """On so many days it may be one hit each."""
        times = [t for s in self.sendings for t in (s.sent_at, s.answered_at)]
        return len({datetime.datetime.fromtimestamp(time, datetime.UTC).date() for time in times})

    def covers(self, received_at: float) -> bool:
        """Whether one of the requests was under way then; one that was given up may be taken later."""
        return any(
            s.sent_at - CLOCK_S <= received_at
            and (s.outcome == "unanswered" or received_at <= s.answered_at + CLOCK_S)
            for s in self.sendings
        )


def _asked(sent: list[Sending]) -> dict[Key, Asked]:
    asked: dict[Key, Asked] = defaultdict(Asked)
    for sending in sent:
        asked[sending.site, sending.hit_id].sendings.append(sending)
    return asked


def _stored(ground: Ground) -> dict[Key, list[float]]:
    stored: dict[Key, list[float]] = defaultdict(list)
    with ground.connect() as connection, connection.cursor(name="chaos") as cursor, connection.transaction():
        cursor.itersize = 50_000
        cursor.execute("select site, hit_id, extract(epoch from received_at)::float8 from hits")
        for site, hit_id, received_at in cursor:
            stored[site, hit_id].append(received_at)
    return stored


def _buried(ground: Ground) -> set[Key]:
    with ground.connect() as connection:
        rows = connection.execute(
            "select site, hit ->> 'hit_id' from dead_letters where hit is not null"
        ).fetchall()
    return {(site, uuid.UUID(hit_id)) for site, hit_id in rows}


def differences(ground: Ground, sent: list[Sending]) -> Iterator[str]:
    """What is lost, doubled, strange or at a wrong time; nothing when all is well."""
    return compared(sent, _stored(ground), _buried(ground))


def compared(sent: list[Sending], stored: dict[Key, list[float]], buried: set[Key]) -> Iterator[str]:
    """The same, of what is stored (with its times) and of what is in dead letters."""
    asked = _asked(sent)
    found: dict[str, list[str]] = defaultdict(list)
    for (site, hit_id), what in asked.items():
        times = stored.get((site, hit_id), [])
        is_buried = (site, hit_id) in buried
        if what.is_accepted and not times and not is_buried:
            found["accepted and lost"].append(_text(hit_id, what))
        # Sent again with its id, one may be buried and the other stored.
        if len(times) > what.days or (times and is_buried and len(what.sendings) == 1):
            found["counted twice"].append(_text(hit_id, what))
        if is_buried and not what.is_poison:
            found["buried without a fault of its own"].append(_text(hit_id, what))
        if any(not what.covers(time) for time in times):
            found["stored with another time than its own"].append(f"{_text(hit_id, what)}: {times}")
    strange = [str(hit_id) for site, hit_id in stored if (site, hit_id) not in asked]
    if strange:
        found["stored and never sent"] = strange
    for what_differs, examples in found.items():
        yield f"{len(examples)} {what_differs}: {'; '.join(examples[:SHOWN])}"


def _text(hit_id: uuid.UUID, asked: Asked) -> str:
    tries = ", ".join(f"{s.outcome} {s.sent_at:.3f}–{s.answered_at:.3f}" for s in asked.sendings)
    return f"{hit_id} ({tries})"


def slow_answers(sent: list[Sending], away: list[tuple[float, float]]) -> tuple[float, list[Sending]]:
    """The longest answer in s, and those over the limit, with those that never came; not of hits that met a pixel
    that was itself stopped."""
    windows = _joined(away)
    begins = [begin for begin, _ in windows]
    longest, slow = 0.0, []
    for sending in sent:
        if sending.outcome in ("under way", "unsent"):
            continue
        place = bisect.bisect_right(begins, sending.answered_at) - 1
        if place >= 0 and windows[place][1] >= sending.sent_at:
            continue
        seconds = sending.answered_at - sending.sent_at
        longest = max(longest, seconds)
        if seconds > LONGEST_ANSWER_S:
            slow.append(sending)
    return longest, slow


def _joined(windows: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """In order, those that meet as one."""
    joined: list[tuple[float, float]] = []
    for begin, end in sorted(windows):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


def check() -> str:
    """What `make check` finds; empty when all is well."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.check"],
        capture_output=True,
        text=True,
        timeout=CHECK_WITHIN_S,
        check=False,
    )
    return "" if done.returncode == 0 else (done.stdout + done.stderr).strip()
