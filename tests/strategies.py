"""What hypothesis draws: raw hits, bytes that look like entries, lists of rows for the rollups."""

from __future__ import annotations

import datetime
import os
import uuid

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from services.hit import Given, Hit, RawHit
from tests.make import make_hit

# More examples: HYPOTHESIS_PROFILE=thorough. Deadlines measure the machine, not the code.
_SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("default", deadline=None, suppress_health_check=_SLOW, max_examples=100)
settings.register_profile("thorough", deadline=None, suppress_health_check=_SLOW, max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def examples(by_default: int) -> int:
    """How many examples of a costly property: ten times as many under another profile."""
    return by_default if os.environ.get("HYPOTHESIS_PROFILE", "default") == "default" else by_default * 10


# Text as it crosses the codec: any character but halves of one.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
# What a client can put in a query or header: halves of characters and control characters as well.
wild_texts = st.text(max_size=60) | st.sampled_from(
    [
        "",
        "\0",
        "\ud83d",
        "https://blog.example/",
        "http://[::1",
        "file:///x",
        "%",
        "a" * 3_000,
        "é" * 600,
        "null",
    ]
)

days = st.dates(datetime.date(2000, 1, 1), datetime.date(2099, 12, 31)).map(datetime.date.isoformat)
sites = st.sampled_from(["blog.example", "shop.example", "a.b.c.example"])
props_values = st.booleans() | texts | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)

raw_hits = st.builds(
    RawHit,
    hit_id=st.binary(min_size=16, max_size=16),
    received_at_us=st.integers(0, 253_402_300_799_000_000),
    day=days,
    site=sites,
    url=texts,
    address=st.ip_addresses().map(str),
    user_agent=texts,
    referrer=texts,
    title=texts,
    event=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64),
    language=st.sampled_from(["", "de", "en-GB", "zh-Hant-TW"]),
    screen=st.sampled_from(["", "1920x1080", "390x844"]),
    status=st.none() | st.integers(100, 599),
    props=st.none() | st.dictionaries(texts, props_values, max_size=5),
    is_me=st.booleans(),
    anonymous=st.booleans(),
    given=st.none() | st.builds(Given, st.booleans(), st.sampled_from([None, "ES"])),
)

# Any msgpack: what a stranger could write to the stream.
_leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | texts
    | st.binary(max_size=40)
)
_keys = st.integers(-(2**63), 2**63 - 1) | texts | st.binary(max_size=10)
structures = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=30,
)
packed_structures = structures.map(msgspec.msgpack.encode)


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes with some flipped, cut off, doubled or put in."""
    altered = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(altered) - 1)))
        match draw(st.sampled_from(["flip", "cut", "insert", "double"])):
            case "flip" if altered:
                altered[place] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del altered[place:]
            case "insert":
                altered[place:place] = draw(st.binary(min_size=1, max_size=4))
            case _:
                altered += altered[place : place + 100]
    return bytes(altered)


# Rows for the rollups: few values each, so that cells, sessions and titles meet often.
_DAYS = [datetime.date(2026, 11, 21), datetime.date(2026, 11, 22)]
_SPACE = uuid.UUID("5b0c3c5e-3a55-4c1a-9d1c-6f1a2d3e4b5c")

PROPS = [None, '{"plan": "pro"}', '{"plan": "free", "seats": 3}', '{"plan": "pro", "trial": true, "": ""}']


@st.composite
def rows(draw: st.DrawFn) -> Hit:
    """A row of ``hits``; a session belongs to one site and day, as real ones do."""
    day = draw(st.sampled_from(_DAYS))
    site = draw(st.sampled_from(["blog.example", "shop.example"]))
    visitor = draw(st.sampled_from([None, "a", "b", "c"]))
    source, detail, channel = draw(
        st.sampled_from(
            [
                (None, None, "Direct"),
                ("Search", "Google", "Search"),
                ("Search", "Kagi", "Search"),
                ("x.example", None, "Referral"),
                ("x.example", None, "Campaign"),
            ]
        )
    )
    event = draw(st.sampled_from(["pageview", "pageview", "pageview", "signup", "buy"]))
    bot = draw(st.sampled_from([None, None, None, None, "curl", "Googlebot"]))
    minute = draw(st.sampled_from([(12, 0), (12, 1), (12, 2), (13, 0), (23, 59)]))
    return make_hit(
        id=draw(st.integers(1, 40)),
        day=day,
        received_at=datetime.datetime.combine(day, datetime.time(*minute), datetime.UTC),
        site=site,
        host=draw(st.sampled_from([site, "www." + site])),
        path=draw(st.sampled_from(["/", "/a", "/ä b", "/gone"])),
        title=draw(st.sampled_from([None, "One", "Two", "Three"])),
        event=event,
        props=draw(st.sampled_from(PROPS)) if event != "pageview" else None,
        status=draw(st.sampled_from([None, 200, 404, 410])),
        referrer=draw(st.sampled_from([None, "https://x.example/1", "https://x.example/2"])),
        source=source,
        source_detail=detail,
        channel=channel,
        country=draw(st.sampled_from([None, "DE", "FR"])),
        session_id=uuid.uuid5(_SPACE, f"{day} {site} {visitor}") if visitor else None,
        # Mostly of the session alone, as they are; now and then they change within it.
        language=draw(st.sampled_from(["de", "de", "de", "fr", None])),
        screen=draw(st.sampled_from(["390x844", "390x844", "390x844", "1920x1080"])),
        browser=draw(st.sampled_from(["Firefox", "Firefox", "Firefox", None])),
        os="Linux" if visitor != "a" else None,
        device=draw(st.sampled_from(["desktop", "desktop", "mobile"])),
        utm_campaign=draw(st.sampled_from([None, None, "spring"])),
        utm_source=draw(st.sampled_from([None, None, "letter"])),
        is_bot=bot is not None,
        bot_name=bot,
        bot_class="tool" if bot == "curl" else None,
        is_me=draw(st.integers(0, 5)) == 0,
    )


row_lists = st.lists(rows(), max_size=30)
