"""THE CONTRACT between processes: what a hit is on its way, and how it is written down.

``RawHit`` is an accepted request as the pixel saw it: it has the address and the User-Agent.
``Hit`` is a row of the table ``hits``: it has no field that could hold either.

Raw hits travel in *groups*: one entry of the stream holds the hits that were made durable together.
A group is a msgpack array whose first fields stand in clear and name no person (who wrote it, its number,
how many hits of which site and day, what the pixel left out and why, since when it runs), and the sealed
list of raw hits. The clear part closes the ledger even where the sealed part can no longer be read.

``decode_group`` and ``open_group`` raise ``UndecodableEntry`` on any bytes that are not such a group,
and nothing else.
"""

from __future__ import annotations

import datetime
import operator
from collections import Counter
from typing import Annotated, Any, Protocol

import msgspec

VERSION = 1

# Limits of contract section 2 ("url is cut at 2,048 characters, title at 512").
MAX_URL = 2_048
MAX_TITLE = 512
MAX_USER_AGENT = 1_024  # longest in a year of a public log: 680; the rest is noise or an attack
MAX_EVENT = 64
MAX_PROPS = 30
MAX_PROP_TEXT = 300
# A group is cut here, so that one entry stays below 1 MiB even when each hit is at its limits.
MAX_GROUP_HITS = 500
MAX_GROUP_BYTES = 900_000
# No pixel writes a longer entry: beside its hits it has 10,000 numbers of given-up groups and 1,000 counters at most.
MAX_ENTRY_BYTES = 4 << 20

# Of msgpack around the texts of a hit: at most 312 with 30 properties, the longest address, language and screen.
HIT_OVERHEAD_BYTES = 320

PAGEVIEW = "pageview"

Site = Annotated[str, msgspec.Meta(max_length=253)]
Day = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
Id = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
UnixTime = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_000_000)]  # microseconds, UTC


class UndecodableEntry(Exception):
    """An entry that cannot become hits; ``reason`` is a short fixed word, never a piece of the entry."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Given(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Of a hit of the past: what is known of whoever sent it where no User-Agent was kept."""

    is_bot: bool
    # Where no address was kept either; ``RawHit.address`` then has what else told one person from another.
    country: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2}$")] | None = None


class RawHit(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An accepted hit before enrichment. Lives in memory, and sealed on the stream; never in a log."""

    hit_id: Id
    received_at_us: UnixTime
    # Date in the reporting time zone. One of those that the clear part counts hits of, and so a date: its pattern
    # is not looked for again in each hit (0.7 µs).
    day: Annotated[str, msgspec.Meta(max_length=10)]
    site: Site
    url: Annotated[str, msgspec.Meta(max_length=MAX_URL)]
    address: Annotated[str, msgspec.Meta(max_length=45)]
    user_agent: Annotated[str, msgspec.Meta(max_length=MAX_USER_AGENT)] = ""
    referrer: Annotated[str, msgspec.Meta(max_length=MAX_URL)] = ""
    title: Annotated[str, msgspec.Meta(max_length=MAX_TITLE)] = ""
    event: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_EVENT)] = PAGEVIEW
    language: Annotated[str, msgspec.Meta(max_length=35)] = ""
    screen: Annotated[str, msgspec.Meta(max_length=11)] = ""
    status: Annotated[int, msgspec.Meta(ge=100, le=599)] | None = None
    props: dict[str, str | int | float | bool] | None = None
    is_me: bool = False
    anonymous: bool = False  # a privacy signal: counted without a session
    given: Given | None = None  # of an import alone; in its place the User-Agent is not asked

    def __repr__(self) -> str:
        return "RawHit(…)"  # a traceback or a debugger's print must not show the person

    __str__ = __repr__


def size_of(hit: RawHit) -> int:
    """At least the bytes of the hit in a group: a character has up to 4."""
    characters = (
        len(hit.url)
        + len(hit.title)
        + len(hit.referrer)
        + len(hit.user_agent)
        + len(hit.event)
        + len(hit.site)
    )
    if hit.props:
        characters += sum(len(name) + len(str(value)) for name, value in hit.props.items())
    return HIT_OVERHEAD_BYTES + 4 * characters


class Hit(msgspec.Struct, frozen=True, gc=False):
    """A row of ``hits``. What the enricher numbers together stands together: site and page, title, origin, client.

    Ids and time as they come and as they are copied: UUIDs and datetimes of them took 2.5 µs a hit, to be made and
    to be taken apart again.
    """

    hit_id: bytes  # of a UUID
    session_id: bytes | None
    received_at_us: int  # Unix time
    day: datetime.date
    site: str
    host: str
    path: str
    title: str | None
    source: str | None
    referrer: str | None
    source_detail: str | None
    channel: str
    query: str | None
    utm_source: str | None
    utm_medium: str | None
    utm_campaign: str | None
    utm_term: str | None
    utm_content: str | None
    link_tag: str | None
    country: str | None
    browser: str | None
    os: str | None
    device: str | None
    language: str | None
    screen: str | None
    bot_name: str | None
    bot_class: str | None
    subscribers: int | None
    status: int | None
    is_bot: bool
    is_me: bool
    event: str
    props: str | None  # JSON


class Accepted(msgspec.Struct, frozen=True, array_like=True):
    """How many hits of a site and day a group holds."""

    site: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    day: Day
    hits: Count


class LeftOut(msgspec.Struct, frozen=True, array_like=True):
    """How many requests the pixel excluded (on purpose) or refused (wrong, too many, not durable)."""

    site: Site  # empty where no site could be told
    day: Day
    outcome: Annotated[str, msgspec.Meta(pattern=r"^(excluded|refused)$")]
    reason: Annotated[str, msgspec.Meta(pattern=r"^[a-z-]{1,40}$")]
    hits: Count


class Alive(msgspec.Struct, frozen=True, array_like=True):
    """A pixel's sign of life: a stretch of its run in which it could take hits, up to the moment of the group."""

    stretch: Annotated[
        int, msgspec.Meta(ge=1, le=2**31 - 1)
    ]  # 1, 2, 3 … within a run: a new one after a break
    since_us: UnixTime
    at_us: UnixTime


class Group(msgspec.Struct, frozen=True, array_like=True):
    """What one entry of the stream says in clear, and the sealed hits."""

    version: int
    pixel_id: Id  # one run of one pixel process
    seq: Annotated[int, msgspec.Meta(ge=1)]  # 1, 2, 3 … within a run: with pixel_id, the group's identity
    key_name: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{10}$")]  # which sealing key
    accepted: list[Accepted]
    left_out: list[LeftOut]
    abandoned: list[Annotated[int, msgspec.Meta(ge=1)]]  # numbers of earlier groups that were answered 503
    sealed: bytes
    # Hits that this run had made durable before: tells how many a lost group held. None: of an earlier version, which
    # passes over it in turn.
    hits_before: Annotated[int, msgspec.Meta(ge=0, le=2**62)] | None = None
    # None: another group said it a moment ago, or of an earlier version.
    alive: Alive | None = None
    # Of hits of the past: under which key their sessions are derived, never under that of a live day.
    one_off_key: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{10}-[0-9a-f]{16}$")] | None = None

    @property
    def hits(self) -> int:
        """Number of hits that the group says it holds."""
        return sum(part.hits for part in self.accepted)


class Sealer(Protocol):
    """Authenticated encryption under a named key; see ``services.sealing``."""

    def seal(self, key_name: str, plain: bytes, context: bytes) -> bytes: ...

    def unseal(self, key_name: str, sealed: bytes, context: bytes) -> bytes | None:
        """The plain bytes; None when they were altered or the key is destroyed."""
        ...


_SITE_AND_DAY = operator.attrgetter("site", "day")
_encoder = msgspec.msgpack.Encoder()
_group_decoder = msgspec.msgpack.Decoder(Group)
_hits_decoder = msgspec.msgpack.Decoder(list[RawHit])
_first_decoder = msgspec.msgpack.Decoder(list[Any])


def _context(pixel_id: bytes, seq: int, key_name: str, one_off_key: str | None) -> bytes:
    """What the seal is bound to: a sealed list cannot be moved to another group, nor an import among live hits."""
    context = b"footfall|%d|%s|%d|%s" % (VERSION, pixel_id, seq, key_name.encode())
    return context if one_off_key is None else b"%s|%s" % (context, one_off_key.encode())


def _context_of(group: Group) -> bytes:
    return _context(group.pixel_id, group.seq, group.key_name, group.one_off_key)


def encode_group(
    hits: list[RawHit],
    *,
    pixel_id: bytes,
    seq: int,
    key_name: str,
    sealer: Sealer,
    left_out: list[LeftOut] | None = None,
    abandoned: list[int] | None = None,
    hits_before: int | None = None,
    alive: Alive | None = None,
    one_off_key: str | None = None,
) -> bytes:
    """The bytes of one stream entry."""
    counts = Counter(map(_SITE_AND_DAY, hits))
    group = Group(
        version=VERSION,
        pixel_id=pixel_id,
        seq=seq,
        key_name=key_name,
        accepted=[Accepted(site, day, number) for (site, day), number in counts.items()],
        left_out=left_out or [],
        abandoned=abandoned or [],
        sealed=sealer.seal(key_name, _encoder.encode(hits), _context(pixel_id, seq, key_name, one_off_key))
        if hits
        else b"",
        hits_before=hits_before,
        alive=alive,
        one_off_key=one_off_key,
    )
    return _encoder.encode(group)


def reseal_group(data: bytes, key_name: str, sealer: Sealer) -> bytes:
    """The same group, sealed under another key. Raises ``UndecodableEntry``.

    A group that has waited on the pixel's disk goes to the stream under the key of the hour in which it is
    sent: the order of the stream then tells which keys are still needed.
    """
    group = decode_group(data)
    if group.key_name == key_name or not group.sealed:
        return data
    plain = sealer.unseal(group.key_name, group.sealed, _context_of(group))
    if plain is None:
        raise UndecodableEntry("seal")
    resealed = msgspec.structs.replace(group, key_name=key_name)
    sealed = sealer.seal(key_name, plain, _context_of(resealed))
    return _encoder.encode(msgspec.structs.replace(resealed, sealed=sealed))


def _real_days(group: Group) -> bool:
    keys = [(p.site, p.day) for p in group.accepted] + [(p.site, p.day) for p in group.left_out]
    try:
        for _, day in keys:
            datetime.date.fromisoformat(day)
    except ValueError:
        return False
    return not any("\0" in site for site, _ in keys)


def decode_group(data: bytes) -> Group:
    """The clear part of an entry. Raises ``UndecodableEntry``."""
    if len(data) > MAX_ENTRY_BYTES:
        raise UndecodableEntry("limits")
    try:
        group = _group_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UndecodableEntry(_why_not(data)) from None
    if group.version != VERSION:
        raise UndecodableEntry("version")
    if group.hits > MAX_GROUP_HITS or not _real_days(group):
        raise UndecodableEntry("limits")
    return group


def _why_not(data: bytes) -> str:
    try:
        fields = _first_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "not-a-group"
    return "version" if fields and isinstance(fields[0], int) and fields[0] != VERSION else "not-a-group"


def open_group(group: Group, sealer: Sealer) -> list[RawHit]:
    """The raw hits of a group. Raises ``UndecodableEntry``."""
    if not group.sealed:
        if group.accepted:
            raise UndecodableEntry("empty")
        return []
    plain = sealer.unseal(group.key_name, group.sealed, _context_of(group))
    if plain is None:
        raise UndecodableEntry("seal")
    try:
        hits = _hits_decoder.decode(plain)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UndecodableEntry("hits") from None
    said = {(part.site, part.day): part.hits for part in group.accepted}
    if Counter((hit.site, hit.day) for hit in hits) != said or len(said) != len(group.accepted):
        raise UndecodableEntry("counts")
    return hits
