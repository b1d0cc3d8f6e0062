"""The ledger for people closes at every moment, whatever is killed; a group that Redis lost is named."""

from __future__ import annotations

import datetime
import random
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from services import hit_stream
from services.enricher import consumer as module
from services.hit import Accepted, Alive, Group, LeftOut, decode_group, encode_group
from services.hit_stream import FIELD, STREAM
from services.pixel.spool import Spool
from services.sealing import hour_name
from tests.conftest import Database
from tests.make import DAY, SITE, make_raw_hit
from tests.services.enricher.parts import Bench, rows, state
from tests.services.enricher.test_consumer import Running
from tests.strategies import examples
from tools.check import lost_groups, pending_groups, summary
from tools.servers import poll

pytestmark = pytest.mark.servers
SITES = ("blog.example", "shop.example")
DAYS = (DAY, "2026-11-21")
VIEW = "select site, day::text, accepted, stored, duplicate, dead_lettered, pending from daily_ledger order by 1, 2"


def group(bench: Bench, hits: list[Any], seq: int, before: int | None, pixel: int = 1, **more: Any) -> bytes:
    """A group's bytes as the pixel of this version writes them."""
    return encode_group(
        hits,
        pixel_id=uuid.UUID(int=pixel).bytes,
        seq=seq,
        key_name=hour_name(time.time()),
        sealer=bench.sealing,
        hits_before=before,
        **more,
    )


def raw_hits(number: int, **differing: Any) -> list[Any]:
    return [make_raw_hit(**differing) for _ in range(number)]


def look(bench: Bench) -> None:
    """As an enricher does every 5 s."""
    consumer = bench.consumer("looking")
    consumer._open_store().notes.note_stream(consumer._stream.look())
    consumer.close()


def test_what_waits_is_pending_until_the_moment_in_which_it_is_processed(
    bench: Bench, database: Database
) -> None:
    bench.put(
        bench.group(raw_hits(3)), bench.group(raw_hits(2, day=DAYS[1]) + raw_hits(1, site=SITES[1]), seq=2)
    )
    look(bench)
    assert rows(database, VIEW) == [
        (SITE, DAYS[1], 2, 0, 0, 0, 2), (SITE, DAY, 3, 0, 0, 0, 3), (SITES[1], DAY, 1, 0, 0, 0, 1),
    ]  # fmt: skip
    assert rows(database, "select entries, entries_read from stream_look") == [(2, 2)]
    before = rows(database, "select count(*) from pending_groups")
    works = bench.works(*(fields[FIELD] for _, fields in bench.redis.xrange(STREAM)))
    bench.consumer()._open_store().write(works)  # committed; not acknowledged, and nobody has looked since
    assert rows(database, "select count(*) from pending_groups") == before
    assert rows(database, VIEW) == [
        (SITE, DAYS[1], 2, 2, 0, 0, 0), (SITE, DAY, 3, 3, 0, 0, 0), (SITES[1], DAY, 1, 1, 0, 0, 0),
    ]  # fmt: skip


def test_a_group_that_was_given_up_is_not_pending(bench: Bench, database: Database) -> None:
    bench.put(bench.group(raw_hits(1), seq=2, abandoned=[1]))
    bench.drain(bench.consumer())
    bench.put(bench.group(raw_hits(5), seq=1))
    look(bench)
    assert rows(database, VIEW) == [(SITE, DAY, 1, 1, 0, 0, 0)]


def test_a_redelivered_entry_changes_nothing(bench: Bench, database: Database) -> None:
    left_out = [LeftOut(SITE, DAY, "refused", "id", 2), LeftOut("", DAY, "excluded", "prefetch", 3)]
    groups = [bench.group([*raw_hits(2), make_raw_hit(url="nonsense")], left_out=left_out), b"nonsense"]
    ids = bench.put(*groups)
    bench.drain(bench.consumer())
    tables = ("daily_ledger", "daily_ledger_reasons", "ledger_differences", "lost_groups")
    before = [rows(database, f"select * from {table} t order by t::text") for table in tables]
    everything = state(database)
    for fields, entry_id in zip(groups, ids, strict=True):
        bench.redis.xadd(STREAM, {FIELD: fields})
        with pytest.raises(Exception, match="smaller"):
            bench.redis.xadd(STREAM, {FIELD: fields}, id=entry_id)
    bench.redis.delete(STREAM)
    bench.stream("one")
    for fields, entry_id in zip(groups, ids, strict=True):  # the same entries, as after a crash
        bench.redis.xadd(STREAM, {FIELD: fields}, id=entry_id)
    look(bench)
    bench.drain(bench.consumer())
    assert [rows(database, f"select * from {table} t order by t::text") for table in tables] == before
    assert state(database) == everything
    assert rows(database, "select sum(excluded)::int, sum(refused)::int from daily_ledger") == [(3, 2)]


def test_a_look_at_a_long_backlog_is_bounded_and_says_so(
    bench: Bench, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hit_stream, "LOOK_BYTES", 20_000)
    bench.put(*(bench.group(raw_hits(1), seq=seq) for seq in range(1, 301)))
    look(bench)
    [(entries, entries_read)] = rows(database, "select entries, entries_read from stream_look")
    assert entries == 300
    assert 0 < entries_read < 150
    assert rows(database, "select pending from daily_ledger") == [entries_read]


# At every moment, whatever is killed ----------------------------------------------------------------------------


@given(seed=st.integers(0, 2**32))
@hypothesis_settings(max_examples=examples(2))
def test_the_ledger_closes_at_every_moment(bench: Bench, database: Database, seed: int) -> None:
    """Two enrichers, their connections killed again and again, entries that come twice, bad hits among them."""
    dice = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hit_stream, "CLAIM_IDLE_MS", 1)
        patch.setattr(module, "HOUSEKEEPING_EVERY_S", 0.02)
        patch.setattr(module, "BATCH_APART_S", 0.0)
        before = totals(database)
        enrichers = [Running(bench, name, max_deliveries=10_000) for name in ("one", "two")]
        sent: Counter[tuple[str, str]] = Counter()
        count = 0
        moments = set()
        for seq in range(1, 61):
            hits = [
                make_raw_hit(
                    site=dice.choice(SITES),
                    day=dice.choice(DAYS),
                    url=dice.choice(["nonsense", *["https://a/"] * 9]),
                )
                for _ in range(dice.randint(1, 9))
            ]
            data = group(bench, hits, seq, count, pixel=seed + 10)
            count += len(hits)
            sent.update((hit.site, hit.day) for hit in hits)
            bench.put(*[data] * dice.choice([1, 1, 1, 2]))
            if dice.random() < 0.3:
                kill(database)
            found = rows(database, VIEW)
            assert all(accepted == sum(fates) for _, _, accepted, *fates in found), found
            assert rows(database, "select count(*) from ledger_differences") == [0]
            moments.add(sum(row[-1] for row in found) > 0)
        assert poll(lambda: bench.waiting() == 0, 60)
        for enricher in enrichers:
            enricher.stop()
    look(bench)
    after = totals(database)
    assert {place: after[place] - before[place] for place in sent} == dict(sent)
    assert rows(database, "select sum(pending)::int from daily_ledger") == [0]
    assert rows(database, "select * from lost_groups") == []


def totals(database: Database) -> Counter[tuple[str, str]]:
    return Counter({(site, day): accepted for site, day, accepted, *_ in rows(database, VIEW)})


def kill(database: Database) -> None:
    """Every enricher's connection."""
    rows(
        database,
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name = 'footfall enricher' and datname = %s",
        database.name,
    )


# Groups that Redis lost -----------------------------------------------------------------------------------------


def lost(database: Database) -> list[Any]:
    return rows(database, "select first_seq, last_seq, groups, hits from lost_groups order by 1")


def test_a_group_that_redis_lost_is_named_with_its_hits(bench: Bench, database: Database) -> None:
    ids = bench.put(*(group(bench, raw_hits(seq), seq, seq * (seq - 1) // 2) for seq in range(1, 8)))
    bench.redis.xdel(STREAM, ids[2], ids[3], ids[5])  # 3, 4 and 6 hits
    bench.drain(bench.consumer())
    assert lost(database) == [(3, 4, 2, 7), (6, 6, 1, 6)]


def test_the_first_groups_of_a_run_are_missed_too(bench: Bench, database: Database) -> None:
    ids = bench.put(*(group(bench, raw_hits(2), seq, 2 * (seq - 1)) for seq in (1, 2, 3)))
    bench.redis.xdel(STREAM, *ids[:2])
    bench.drain(bench.consumer())
    assert lost(database) == [(1, 2, 2, 4)]


def test_what_still_waits_is_not_lost(bench: Bench, database: Database) -> None:
    """Another enricher holds it."""
    bench.put(group(bench, raw_hits(1), 1, 0), group(bench, raw_hits(2), 2, 1))
    assert len(bench.stream("slow").read(2, 100)) == 2
    bench.put(group(bench, raw_hits(1), 3, 3))
    consumer = bench.consumer()
    consumer.run_once()
    look(bench)
    assert lost(database) == []
    assert rows(database, "select accepted, stored, pending from daily_ledger") == [(4, 1, 3)]
    assert rows(database, "select count(*) from groups_missing('-infinity')") == [1]


def test_a_group_that_was_given_up_is_not_lost(bench: Bench, database: Database) -> None:
    bench.put(group(bench, raw_hits(2), 1, 0), group(bench, raw_hits(1), 4, 2, abandoned=[2, 3]))
    bench.drain(bench.consumer())
    assert lost(database) == []


def test_a_lost_group_of_counters_held_no_hits(bench: Bench, database: Database) -> None:
    left_out = [LeftOut("", DAY, "refused", "url", 3)]
    ids = bench.put(
        group(bench, raw_hits(2), 1, 0),
        group(bench, [], 2, 2, left_out=left_out),
        group(bench, raw_hits(1), 3, 2),
    )
    bench.redis.xdel(STREAM, ids[1])
    bench.drain(bench.consumer())
    assert lost(database) == [(2, 2, 1, 0)]


def test_of_a_pixel_of_an_earlier_version_the_hits_are_not_known(bench: Bench, database: Database) -> None:
    bench.put(bench.group(raw_hits(2), seq=1), bench.group(raw_hits(1), seq=3))
    bench.put(bench.group(raw_hits(1), seq=7, pixel=2))  # its first numbers may have been forgotten
    bench.drain(bench.consumer())
    assert lost(database) == [(2, 2, 1, None)]


class OldGroup(msgspec.Struct, frozen=True, array_like=True):
    """As the version before reads a group."""

    version: int
    pixel_id: bytes
    seq: int
    key_name: str
    accepted: list[Accepted]
    left_out: list[LeftOut]
    abandoned: list[int]
    sealed: bytes


def test_the_version_before_reads_the_groups_of_this_one_and_the_other_way_round(bench: Bench) -> None:
    alive = Alive(1, 5, 9)
    data = group(bench, raw_hits(2), 1, 77, alive=alive)
    old = msgspec.msgpack.decode(data, type=OldGroup)
    new = decode_group(data)
    assert msgspec.structs.astuple(new) == (*msgspec.structs.astuple(old), 77, alive, None)
    former = msgspec.msgpack.encode(old)
    assert decode_group(former) == msgspec.structs.replace(new, hits_before=None, alive=None)
    assert Group.__struct_fields__[-3:] == ("hits_before", "alive", "one_off_key")


# make check -------------------------------------------------------------------------------------------------------


def test_the_audit_looks_into_spools_too(bench: Bench, database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool = Spool(folder, 1_000_000)
    spool.append(group(bench, raw_hits(2), 2, 1))
    spool.append(group(bench, raw_hits(4), 9, 0, pixel=3))
    bench.put(group(bench, raw_hits(1), 1, 0), group(bench, raw_hits(1), 5, 5))
    bench.drain(bench.consumer())
    bench.put(group(bench, raw_hits(3), 6, 6))
    spool.append(group(bench, raw_hits(3), 6, 6))  # sent on, and its answer was lost
    with database.connect() as owner:
        assert summary(owner, bench.redis, folder) == (
            "accepted 11 = stored 2 + duplicate 0 + dead-lettered 0 + pending 9"
        )
        [finding] = lost_groups(owner, bench.redis, folder)
        assert finding.rows == 2, "3 and 4: 2 waits"
        assert finding.examples[0].split(" | ")[:5] == [str(uuid.UUID(int=1)), "2", "4", "2", "2"]
        assert len(pending_groups(bench.redis, folder)) == 3
    spool.close()


def test_the_alert_s_time_is_that_of_the_group_behind(bench: Bench, database: Database) -> None:
    bench.put(group(bench, raw_hits(1), 1, 0), group(bench, raw_hits(1), 3, 2))
    bench.drain(bench.consumer())
    [known_at] = rows(database, "select known_at from lost_groups")
    assert abs(known_at - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(minutes=2)
