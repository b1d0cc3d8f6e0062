"""What one transaction of the enricher takes in: groups, their hits, and what had to be buried."""

from __future__ import annotations

import datetime
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from services.enricher.enrich import CannotEnrich, Enricher
from services.enricher.time_limits import TimeLimits, moment_of
from services.hit import Accepted, Group, Hit, RawHit, Sealer, UndecodableEntry, decode_group, open_group
from services.hit_stream import Entry, entry_time_s
from services.logs import place_of
from services.redact import redact, without_private_parts

# Names dead letters by entry and place, so that burying the same thing twice is burying it once.
_NAMESPACE = uuid.UUID("6f1c2f6e-7f0a-4b43-9d0a-0b6f0f6b7a11")
_PERSON = ("address", "user_agent", "given")
TOO_LATE = "too-late"  # the reason of hits of sealed days: no error, the retention at work


class Sign(NamedTuple):
    """A stretch of a pixel's run, as far as its group knows it."""

    stretch: int
    began_at: datetime.datetime
    last_at: datetime.datetime


class Bot(NamedTuple):
    """What a letter keeps of a bot, so that it is not taken for a person when it is replayed."""

    name: str | None
    bot_class: str | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A hit or an entry that cannot become rows, without the person in it."""

    site: str
    day: datetime.date
    dead_letter_id: uuid.UUID
    entry_id: str
    reason: str
    error: str | None
    hits: int
    size_bytes: int
    hit: str | None = None  # JSON


@dataclass(slots=True)
class Work:
    """One entry of the stream, decoded as far as it can be."""

    entry: Entry
    group: Group | None  # None: undecodable; accepts hits under the days under which they are booked
    raw_hits: list[RawHit] = field(default_factory=list)  # those that became ``hits``, in their order
    hits: list[Hit] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    ahead: int = 0  # hits whose pixel's clock was ahead
    sign: Sign | None = None  # that the pixel ran, where the group says it
    opened_days: frozenset[str] = frozenset()  # beyond the retention, and opened by the import that it is of

    def bury(self, raw: RawHit, reason: str, error: str | None, bot: Bot | None) -> None:
        """Set one hit aside."""
        number = len(self.dead_letters)
        self.dead_letters.append(_bury_hit(self.entry, raw, number, reason, error, bot))


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, dict):
        return {name.replace("\0", ""): _without_nul(item) for name, item in value.items()}
    return value


def _dead(entry: Entry, place: str, site: str, day: str, reason: str, hits: int, **rest: Any) -> DeadLetter:
    return DeadLetter(
        site=site,
        day=datetime.date.fromisoformat(day),
        dead_letter_id=uuid.uuid5(_NAMESPACE, f"{entry.entry_id} {place}"),
        entry_id=entry.entry_id,
        reason=reason,
        error=rest.get("error"),
        hits=hits,
        size_bytes=len(entry.data),
        hit=rest.get("hit"),
    )


def _bury_hit(
    entry: Entry, raw: RawHit, number: int, reason: str, error: str | None, bot: Bot | None
) -> DeadLetter:
    """The dead letter of one hit: all of it but the person, so that it can be looked at and replayed.

    User, query and fragment of addresses, e-mail addresses and tokens go as well: no rule of the settings has been
    applied to it. So does NUL, which may be why it is buried.
    """
    kept = {name: getattr(raw, name) for name in raw.__struct_fields__ if name not in _PERSON}
    for name in ("url", "referrer"):
        kept[name] = without_private_parts(kept[name])
    for name in ("url", "referrer", "title"):
        kept[name] = redact(kept[name])
    kept = {name: _without_nul(value) for name, value in kept.items()}
    kept["bot"] = bot and bot._asdict()
    kept["hit_id"] = str(uuid.UUID(bytes=raw.hit_id))
    text = msgspec.json.encode(kept).decode()
    place = f"{kept['hit_id']} {number}"  # a sender may give several hits one id
    return _dead(entry, place, raw.site, raw.day, reason, 1, error=error, hit=text)


def _bury_parts(entry: Entry, parts: list[Accepted], reason: str) -> list[DeadLetter]:
    return [_dead(entry, f"{part.site} {part.day}", part.site, part.day, reason, part.hits) for part in parts]


def bury_entry(entry: Entry, group: Group | None, reason: str) -> list[DeadLetter]:
    """The dead letters of a whole entry: one for each site and day that it says it holds hits of.

    One that says nothing is of the day on which it came.
    """
    if group is None or not group.accepted:
        arrived = datetime.datetime.fromtimestamp(entry_time_s(entry.entry_id), datetime.UTC)
        return [_dead(entry, "", "", arrived.date().isoformat(), reason, 1)]
    return _bury_parts(entry, group.accepted, reason)


def buried(entry: Entry) -> Work:
    """An entry as dead letters, without opening what is sealed in it."""
    try:
        group = decode_group(entry.data)
    except UndecodableEntry as error:
        return Work(entry, None, dead_letters=bury_entry(entry, None, error.reason))
    return Work(entry, group, dead_letters=bury_entry(entry, group, "deliveries"))


def _count(raw_hits: list[RawHit]) -> list[Accepted]:
    """How many hits of which site and day those are."""
    counts = Counter((raw.site, raw.day) for raw in raw_hits)
    return [Accepted(site, day, hits) for (site, day), hits in counts.items()]


def _in_time(work: Work, group: Group, raw_hits: list[RawHit], limits: TimeLimits) -> list[RawHit]:
    """The hits that are to be enriched: those ahead of the clock as received now, those of sealed days buried.

    What is that old may not be kept: one letter counts a site's and day's, and holds nothing of them.
    """
    in_time: list[RawHit] = []
    too_late: list[RawHit] = []
    for raw in raw_hits:
        if raw.received_at_us > limits.latest_us or raw.day > limits.latest_day:
            work.ahead += 1
            in_time.append(msgspec.structs.replace(raw, received_at_us=limits.now_us, day=limits.today))
        elif raw.day < limits.first_kept_day and raw.day not in work.opened_days:
            too_late.append(raw)
        else:
            in_time.append(raw)
    if too_late:
        work.dead_letters += _bury_parts(work.entry, _count(too_late), TOO_LATE)
    if work.ahead:
        # What the pixel accepted under a day that has not come would stay open in the ledger for ever.
        work.group = msgspec.structs.replace(group, accepted=_count(in_time + too_late))
    return in_time


def _sign_of(group: Group, limits: TimeLimits) -> Sign | None:
    """What the group says of its pixel's run; ahead of the clock as said now, of sealed days not at all."""
    if group.alive is None:
        return None
    ahead_us = group.alive.at_us - limits.now_us if group.alive.at_us > limits.latest_us else 0
    began_at = moment_of(max(0, group.alive.since_us - ahead_us))
    last_at = moment_of(group.alive.at_us - ahead_us)
    if last_at.date().isoformat() < limits.first_kept_day:  # a pixel that did not know the time
        return None
    return Sign(group.alive.stretch, min(began_at, last_at), last_at)


def _bot_of(enricher: Enricher, raw: RawHit) -> Bot | None:
    """The bot that sent it; None: a person, or telling that is what broke."""
    try:
        agent = enricher.agent_of(raw)
    except Exception:
        return None
    return Bot(agent.bot_name, agent.bot_class) if agent.is_bot else None


def _none_opened(one_off_key: str) -> frozenset[str]:
    return frozenset()


def prepare(
    entry: Entry,
    sealer: Sealer,
    enricher: Enricher,
    limits: TimeLimits,
    opened_days: Callable[[str], frozenset[str]] = _none_opened,
) -> Work:
    """Decode, unseal and enrich an entry; what cannot be is buried alone, and the rest goes on.

    ``opened_days``: those that the import under a one-off key has opened; asked for days beyond the retention. Raises
    what it does, and OSError when KEY_DIR cannot be used.
    """
    try:
        group = decode_group(entry.data)
    except UndecodableEntry as error:
        return Work(entry, None, dead_letters=bury_entry(entry, None, error.reason))
    work = Work(entry, group, sign=_sign_of(group, limits))
    too_old = {part.day for part in group.accepted if part.day < limits.first_kept_day}
    if too_old and group.one_off_key:
        work.opened_days = opened_days(group.one_off_key) & too_old
    try:
        raw_hits = open_group(group, sealer)
    except UndecodableEntry as error:
        work.dead_letters = bury_entry(entry, group, error.reason)
        return work
    for raw in _in_time(work, group, raw_hits, limits):
        try:
            work.hits.append(enricher.enrich(raw, limits.now, group.one_off_key))
            work.raw_hits.append(raw)
        except CannotEnrich as error:
            work.bury(raw, str(error), None, _bot_of(enricher, raw))
        except OSError:
            raise  # no key can be read or made: KEY_DIR is full or gone, which is no hit's fault
        except Exception as error:
            # Whatever one strange hit does to the look-ups must not hold up the others. Type and place only:
            # the error's text may quote the person.
            where = f"{type(error).__name__} at {place_of(error)}"
            work.bury(raw, "enrich", where, _bot_of(enricher, raw))
    return work
