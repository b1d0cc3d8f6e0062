"""The contract between processes: what is written can be read, and anything else raises one error only."""

from __future__ import annotations

import asyncio
import datetime
import traceback
import uuid
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from services.enricher.batch import Work
from services.hit import (
    MAX_EVENT,
    MAX_GROUP_BYTES,
    MAX_GROUP_HITS,
    MAX_PROP_TEXT,
    MAX_PROPS,
    MAX_TITLE,
    MAX_URL,
    MAX_USER_AGENT,
    Accepted,
    Group,
    LeftOut,
    RawHit,
    UndecodableEntry,
    decode_group,
    open_group,
    reseal_group,
    size_of,
)
from services.pixel.collect import Accepted as AcceptedRequest
from services.pixel.collect import Headers
from services.pixel.group_commit import _Gathering
from services.sealing import SealingKeys
from tests.make import (
    ADDRESS,
    DAY,
    PIXEL_ID,
    SITE,
    USER_AGENT,
    encode,
    make_entry,
    make_keys,
    make_raw_hit,
    number_to_id,
)
from tests.strategies import examples, mutated, packed_structures, raw_hits

WORDS = {"version", "not-a-group", "limits", "empty", "seal", "hits", "counts"}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> SealingKeys:
    return make_keys(tmp_path_factory.mktemp("hit"))


def group_bytes(keys: SealingKeys, **differing: object) -> bytes:
    """A valid group of two hits, some fields of its clear part exchanged."""
    group = decode_group(encode([make_raw_hit(id=1), make_raw_hit(id=2)], keys))
    return msgspec.msgpack.encode(msgspec.structs.replace(group, **differing))


def read(data: bytes, keys: SealingKeys) -> list[RawHit]:
    """Decode and open; the one error that may come out is the contract's, with a fixed word."""
    try:
        return open_group(decode_group(data), keys)
    except UndecodableEntry as error:
        assert error.reason in WORDS
        raise


def test_a_hit_without_the_newest_field_is_one_of_the_version_before() -> None:
    hit = make_raw_hit()
    assert RawHit.__struct_fields__[-1] == "given"
    assert msgspec.convert(list(msgspec.structs.astuple(hit)[:-1]), RawHit) == hit


@given(hits=st.lists(raw_hits, max_size=8))
def test_what_is_encoded_is_decoded(keys: SealingKeys, hits: list[RawHit]) -> None:
    left_out = [LeftOut("", DAY, "refused", "url", 3), LeftOut(SITE, DAY, "excluded", "prefetch", 1)]
    group = decode_group(encode(hits, keys, seq=7, left_out=left_out, abandoned=[5, 6]))
    assert (group.pixel_id, group.seq, group.left_out, group.abandoned) == (PIXEL_ID, 7, left_out, [5, 6])
    assert group.hits == len(hits)
    assert open_group(group, keys) == hits


@given(data=st.binary(max_size=200) | packed_structures)
def test_any_bytes_raise_one_error_only(keys: SealingKeys, data: bytes) -> None:
    with pytest.raises(UndecodableEntry):
        read(data, keys)


@given(data=st.data())
@hypothesis_settings(max_examples=examples(300))
def test_altered_groups_raise_one_error_only(keys: SealingKeys, data: st.DataObject) -> None:
    hits = [make_raw_hit(id=1), make_raw_hit(id=2, site="shop.example")]
    whole = encode(hits, keys, left_out=[LeftOut(SITE, DAY, "excluded", "prefetch", 1)], abandoned=[9])
    try:
        opened = read(data.draw(mutated(whole)), keys)
    except UndecodableEntry:
        return
    assert opened == hits, "an altered group is refused, or what was altered is not its hits"


@given(plain=packed_structures)
def test_any_sealed_structure_raises_one_error_only(keys: SealingKeys, plain: bytes) -> None:
    group = decode_group(group_bytes(keys))
    context = b"footfall|1|%s|1|%s" % (PIXEL_ID, group.key_name.encode())
    sealed = keys.seal(group.key_name, plain, context)
    with pytest.raises(UndecodableEntry):
        open_group(msgspec.structs.replace(group, sealed=sealed), keys)


@pytest.mark.parametrize(
    "differing",
    [{"seq": 2}, {"pixel_id": bytes(16)}, {"key_name": "2026112217"}, {"key_name": "2026112219"}],
    ids=lambda differing: next(iter(differing)),
)
def test_a_seal_holds_for_its_own_group_only(keys: SealingKeys, differing: dict[str, object]) -> None:
    for hour in ("2026112217", "2026112219"):  # the other hours' keys exist
        keys.seal(hour, b"", b"")
    with pytest.raises(UndecodableEntry, match=r"^seal$"):
        read(group_bytes(keys, **differing), keys)


@pytest.mark.parametrize(
    ("reason", "differing"),
    [
        ("version", {"version": 2}),
        ("version", {"version": 0}),
        ("limits", {"accepted": [Accepted(SITE, DAY, MAX_GROUP_HITS + 1)]}),
        ("limits", {"accepted": [Accepted(SITE, DAY, 300), Accepted("b.example", DAY, 300)]}),
        ("limits", {"accepted": [Accepted(SITE, "2026-02-30", 2)]}),
        ("limits", {"accepted": [Accepted("a\0b", DAY, 2)]}),
        ("limits", {"left_out": [LeftOut(SITE, "2026-13-01", "refused", "url", 1)]}),
        ("limits", {"left_out": [LeftOut("\0", DAY, "refused", "url", 1)]}),
        ("counts", {"accepted": [Accepted(SITE, DAY, 1)]}),
        ("counts", {"accepted": [Accepted(SITE, DAY, 3)]}),
        ("counts", {"accepted": [Accepted("b.example", DAY, 2)]}),
        ("counts", {"accepted": [Accepted(SITE, "2026-11-23", 2)]}),
        ("counts", {"accepted": [Accepted(SITE, DAY, 2), Accepted("b.example", DAY, 1)]}),
        ("counts", {"accepted": []}),
        ("empty", {"sealed": b""}),
        ("seal", {"sealed": b"short"}),
        ("seal", {"sealed": bytes(100)}),
        ("not-a-group", {"seq": 0}),
        ("not-a-group", {"pixel_id": b"short"}),
        ("not-a-group", {"key_name": "../../etc"}),
        ("not-a-group", {"key_name": "20261122180"}),
        ("not-a-group", {"accepted": [Accepted("", DAY, 2)]}),
        ("not-a-group", {"accepted": [Accepted(SITE, DAY, 0)]}),
        ("not-a-group", {"left_out": [LeftOut(SITE, DAY, "lost", "url", 1)]}),
        ("not-a-group", {"left_out": [LeftOut(SITE, DAY, "refused", "It's", 1)]}),
        ("not-a-group", {"abandoned": [0]}),
    ],
)
def test_a_group_is_refused_by_a_fixed_word(
    keys: SealingKeys, reason: str, differing: dict[str, object]
) -> None:
    with pytest.raises(UndecodableEntry, match=f"^{reason}$"):
        read(group_bytes(keys, **differing), keys)


def test_a_future_version_says_so_whatever_its_shape(keys: SealingKeys) -> None:
    for fields in ([2, {"new": "shape"}], [99], [2, b"", 1, "", [], [], [], b"", "more"]):
        with pytest.raises(UndecodableEntry, match=r"^version$"):
            read(msgspec.msgpack.encode(fields), keys)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x90", b"null", b"\x91" * 100_000], ids=repr)
def test_what_is_no_group_says_so(keys: SealingKeys, data: bytes) -> None:
    with pytest.raises(UndecodableEntry, match=r"^not-a-group$"):
        read(data, keys)


def test_a_site_that_is_named_twice_books_no_hit_twice(keys: SealingKeys) -> None:
    twice = [Accepted(SITE, DAY, 2), Accepted(SITE, DAY, 2)]
    with pytest.raises(UndecodableEntry, match=r"^counts$"):
        read(group_bytes(keys, accepted=twice), keys)


def test_a_group_without_hits_needs_no_key(tmp_path: Path) -> None:
    data = encode([], make_keys(tmp_path), abandoned=[3])
    group = decode_group(data)
    assert (group.accepted, group.sealed, open_group(group, make_keys(tmp_path))) == ([], b"", [])
    assert not list((tmp_path / "keys").iterdir())


def test_a_group_that_is_sealed_anew_is_the_same_group(keys: SealingKeys) -> None:
    hits = [make_raw_hit(id=1), make_raw_hit(id=2)]
    data = encode(hits, keys, seq=7, left_out=[LeftOut(SITE, DAY, "excluded", "prefetch", 1)], abandoned=[5])
    later = reseal_group(data, "2026112220", keys)
    before, after = decode_group(data), decode_group(later)
    assert after == msgspec.structs.replace(before, key_name="2026112220", sealed=after.sealed)
    assert open_group(after, keys) == hits
    assert reseal_group(later, "2026112220", keys) == later


@pytest.mark.parametrize(("data", "reason"), [(b"", "not-a-group"), (None, "seal")])
def test_what_cannot_be_opened_cannot_be_sealed_anew(
    keys: SealingKeys, data: bytes | None, reason: str
) -> None:
    data = group_bytes(keys, sealed=bytes(60)) if data is None else data
    with pytest.raises(UndecodableEntry, match=f"^{reason}$"):
        reseal_group(data, "2026112220", keys)


# Limits ---------------------------------------------------------------------------------------------------------


def largest_hit(number: int, **differing: object) -> RawHit:
    """A hit with every field at its limit, in characters of four bytes where it may have them."""
    wide = "\N{PILE OF POO}"
    values = {
        "hit_id": number_to_id(number),
        "site": "s" * 253,
        "url": wide * MAX_URL,
        "address": "2001:0db8:0000:0000:0000:ffff:203.000.113.077",
        "user_agent": wide * MAX_USER_AGENT,
        "referrer": wide * MAX_URL,
        "title": wide * MAX_TITLE,
        "event": wide * MAX_EVENT,
        "language": "l" * 35,
        "screen": "99999x99999",
        "status": 599,
        "props": {f"{n:02}" + wide * (MAX_EVENT - 2): wide * MAX_PROP_TEXT for n in range(MAX_PROPS)},
        "received_at_us": 253_402_300_799_000_000,
    }
    return make_raw_hit(**(values | differing))


def hits_in_one_group(hit: RawHit) -> int:
    """How many hits of this size the pixel puts into one group."""
    loop = asyncio.new_event_loop()
    gathering = _Gathering(loop, lambda _: None)
    loop.close()
    size = size_of(hit)
    while gathering.has_room_for(size):
        gathering.hits.append(hit)
        gathering.bytes += size
    return len(gathering.hits)


@pytest.mark.parametrize(
    "differing",
    [
        {},
        {"props": None},
        {
            "props": {str(n): True for n in range(MAX_PROPS)},
            "referrer": "",
            "url": "u" * 60,
            "user_agent": "",
        },
        {"props": None, "referrer": "", "url": "", "user_agent": "", "title": ""},
        {"props": None, "referrer": "", "url": "", "user_agent": "", "title": "\N{PILE OF POO}" * 425},
    ],
    ids=["every limit", "without props", "small props", "fixed fields alone", "the rule's own worst"],
)
def test_a_group_stays_below_1_mib(keys: SealingKeys, differing: dict[str, object]) -> None:
    number = hits_in_one_group(largest_hit(1, **differing))
    assert 0 < number <= MAX_GROUP_HITS
    data = encode([largest_hit(n, **differing) for n in range(number)], keys)
    assert len(data) < 1024 * 1024
    assert len(read(data, keys)) == number


def test_a_hit_at_its_limits_fits_into_a_group(keys: SealingKeys) -> None:
    assert size_of(largest_hit(1)) < MAX_GROUP_BYTES
    assert read(encode([largest_hit(1)], keys), keys) == [largest_hit(1)]


def test_the_limits_are_the_contract_s() -> None:
    assert (MAX_URL, MAX_TITLE, MAX_EVENT, MAX_PROPS) == (2_048, 512, 64, 30)


@pytest.mark.parametrize(
    "field",
    [
        {"url": "u" * (MAX_URL + 1)},
        {"title": "t" * (MAX_TITLE + 1)},
        {"event": ""},
        {"event": "e" * (MAX_EVENT + 1)},
        {"status": 99},
        {"status": 600},
        {"hit_id": b"short"},
        {"received_at_us": -1},
        {"day": "22.11.2026"},
        {"props": {"a": [1]}},
    ],
    ids=lambda field: next(iter(field)),
)
def test_a_hit_beyond_a_limit_is_refused(keys: SealingKeys, field: dict[str, object]) -> None:
    with pytest.raises(UndecodableEntry, match=r"^(hits|not-a-group)$"):
        read(encode([make_raw_hit(**field)], keys), keys)


# Nobody is shown ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "thing",
    [
        make_raw_hit(title="Canary"),
        AcceptedRequest(make_raw_hit(title="Canary"), ()),
        Headers(user_agent=USER_AGENT, cookie="Canary", referer="Canary", accept_language="Canary"),
        [make_raw_hit(title="Canary")],
        {"hit": make_raw_hit(title="Canary")},
        Work(make_entry(b""), None, raw_hits=[make_raw_hit(title="Canary")]),
        ValueError(make_raw_hit(title="Canary")),
        UndecodableEntry("seal"),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_no_print_shows_a_person(thing: object) -> None:
    for text in (repr(thing), str(thing), f"{thing}", f"{thing!r:.500}"):
        assert "Canary" not in text
        assert ADDRESS not in text
        assert USER_AGENT not in text


def test_what_is_on_its_way_prints_nobody(keys: SealingKeys) -> None:
    data = encode([make_raw_hit(title="Canary")], keys)
    for thing in (make_entry(data), decode_group(data), Work(make_entry(data), decode_group(data))):
        assert "Canary" not in repr(thing)
        assert ADDRESS not in repr(thing)


def test_no_traceback_shows_a_person(keys: SealingKeys) -> None:
    bad = make_raw_hit(title="t" * 600)
    with pytest.raises(UndecodableEntry) as caught:
        read(encode([bad], keys), keys)
    told = "".join(traceback.format_exception(caught.value))
    assert "tttt" not in told
    assert ADDRESS not in told
    assert caught.value.__suppress_context__, "the decoder's own error is not shown"


def test_a_group_s_clear_part_names_no_person(keys: SealingKeys) -> None:
    hit = make_raw_hit(url="https://blog.example/secret-page", title="secret title")
    data = encode([hit], keys)
    for secret in (ADDRESS.encode(), USER_AGENT.encode(), b"secret", hit.hit_id):
        assert secret not in data


def test_ids_and_times_survive_as_values(keys: SealingKeys) -> None:
    at_us = (
        int(datetime.datetime(2026, 11, 22, 23, 59, 59, tzinfo=datetime.UTC).timestamp()) * 1_000_000
        + 999_999
    )
    hit = make_raw_hit(hit_id=uuid.UUID(int=0).bytes, received_at_us=at_us)
    [opened] = read(encode([hit], keys), keys)
    assert (opened.hit_id, opened.received_at_us) == (bytes(16), at_us)


def test_a_group_is_a_value() -> None:
    group = Group(1, PIXEL_ID, 1, "2026112218", [], [], [], b"")
    with pytest.raises(AttributeError):
        group.seq = 2  # type: ignore[misc]
