"""`make check`: audits the running stack, and fails with what differs.

All of it on one snapshot of the database, so that live traffic does not disturb it: rollups, views and titles
against a plain GROUP BY over the hits (but for those that wait to be counted), the ledger against hits, dead
letters and the numbers of the groups, those included that wait on the stream and in the spools of this machine, the
tables of the days, and nothing that waits too long. It reads only, and no process waits for it.
"""

from __future__ import annotations

import datetime
import itertools
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import redis

from services.hit import UndecodableEntry, decode_group
from services.hit_stream import FIELD, GROUP, STREAM
from services.pixel.spool import FILE_NAME as SPOOL_FILE
from services.pixel.spool import groups_in
from services.rollup import compare
from services.settings import SettingsError, load_settings
from tools import check_days, check_stored, check_views
from tools.findings import SHOWN_ROWS, Connection, Finding, text_of
from tools.stack import NoStack, running_urls

# What is on its way between stream and database is looked at again.
LOOKS = 4
LOOK_PAUSE_S = 1.0
PROGRESS_EVERY_S = 5.0  # where nobody watches

GAPS = """
select pixel_id, first_seq, last_seq, last_seq - first_seq + 1 as groups, hits, known_at
from groups_missing('-infinity')
order by known_at desc
"""

# The ledger's sums, and what waits and is not processed all the same, at one moment.
SUMS = """
select coalesce(sum(accepted), 0), coalesce(sum(stored), 0), coalesce(sum(duplicate), 0),
       coalesce(sum(dead_lettered), 0),
       (select coalesce(sum(w.hits), 0)
        from unnest(%(pixels)s::uuid[], %(seqs)s::bigint[], %(hits)s::int[]) as w (pixel_id, seq, hits)
        where (w.pixel_id, w.seq) not in (
            select pixel_id, seq from stream_groups where pixel_id = any(%(pixels)s::uuid[])
        ))
from ledger
"""


class Waiting(NamedTuple):
    """A group that is not processed, by what it says in clear."""

    pixel_id: uuid.UUID
    seq: int


def pending_groups(client: Any, spool_dir: Path) -> dict[Waiting, int]:
    """The hits of the groups in spools and on the stream; some of them may be processed by now."""
    groups: dict[Waiting, int] = {}
    # In the order in which they travel, so that none is missed on its way.
    for data in itertools.chain(spooled(spool_dir), on_stream(client)):
        try:
            group = decode_group(data)
        except UndecodableEntry:
            continue
        groups[Waiting(uuid.UUID(bytes=group.pixel_id), group.seq)] = group.hits
    return groups


def on_stream(client: Any) -> Iterator[bytes]:
    """The groups of all entries."""
    start = "-"
    while rows := client.xrange(STREAM, min=start, count=100):
        for _, fields in rows:
            yield fields.get(FIELD, b"")
        start = f"({rows[-1][0].decode()}"


def spooled(spool_dir: Path) -> Iterator[bytes]:
    """The groups in the spools of this machine's pixels, some of which may have been sent on."""
    for path in sorted(spool_dir.parent.glob(f"{spool_dir.name}*/{SPOOL_FILE}")):
        yield from groups_in(path)


def stuck_entries(client: Any) -> Iterator[Finding]:
    """Entries that a consumer has held for too long."""
    try:
        idle_ms = check_stored.STUCK_AFTER_S * 1000
        held = client.xpending_range(STREAM, GROUP, "-", "+", SHOWN_ROWS, idle=idle_ms)
    except redis.ResponseError:
        yield Finding(f"the consumer group {GROUP} is not there", 1, [], "does the enricher run?")
        return
    if held:
        examples = [
            f"entry {row['message_id'].decode()} held by {row['consumer'].decode()} "
            f"for {row['time_since_delivered'] // 1000} s, handed out {row['times_delivered']} times"
            for row in held
        ]
        yield Finding(
            f"entries that are held for {check_stored.STUCK_AFTER_S} s (at least)", len(held), examples
        )


class Gap(NamedTuple):
    """Numbers of a pixel's run that are missing: a row of ``GAPS``."""

    pixel_id: uuid.UUID
    first_seq: int
    last_seq: int
    groups: int
    hits: int | None  # None: unknown
    known_at: datetime.datetime


def without_waiting(gap: Gap, waiting: dict[Waiting, int]) -> Gap:
    """What is left of a gap."""
    found = [
        hits
        for group, hits in waiting.items()
        if group.pixel_id == gap.pixel_id and gap.first_seq <= group.seq <= gap.last_seq
    ]
    hits = None if gap.hits is None else max(0, gap.hits - sum(found))
    return gap._replace(groups=gap.groups - len(found), hits=hits)


def lost_groups(connection: Connection, client: Any, spool_dir: Path) -> Iterator[Finding]:
    """Groups neither processed nor waiting, at each of several looks: between both, a group is in neither."""
    for look in range(LOOKS):
        if look:
            time.sleep(LOOK_PAUSE_S)
        # What waits first: what is processed between is in both.
        waiting = pending_groups(client, spool_dir)
        gaps = (without_waiting(Gap(*row), waiting) for row in connection.execute(GAPS).fetchall())
        lost = [gap for gap in gaps if gap.groups]
        if not lost:
            return
    yield Finding(
        "groups of hits that were durable and are neither processed nor waiting"
        " (pixel, first number, last number, groups, hits, known since)",
        sum(gap.groups for gap in lost),
        [text_of(gap) for gap in lost[:SHOWN_ROWS]],
        "Redis lost them: see its log and its disk. Hits 0: only counters of what was left out; ∅: unknown",
    )


def problems(
    connection: Connection, retention_days: int, progress: Callable[[str], None] = lambda _: None
) -> Iterator[Finding]:
    """All that is wrong in the database, on one snapshot. The connection is in autocommit mode."""
    check_days.prepare(connection)
    with connection.transaction():
        # Not read only: the temporary tables are emptied for each day.
        connection.execute("set transaction isolation level repeatable read")
        progress("checking ledger and partitions")
        yield from check_stored.ledger(connection)
        [(today,)] = connection.execute(
            "select (now() at time zone report_timezone)::date from installation"
        ).fetchall()
        first_kept = today - datetime.timedelta(days=retention_days)
        partitions = check_stored.partitions_of(connection)
        yield from check_stored.partitions(
            partitions, check_stored.days_stored(connection), today, first_kept
        )
        gone = compare.hits_gone(connection, datetime.date.min, datetime.date.max)
        yield from check_stored.hits_gone(gone, first_kept)
        yield from check_stored.numbers(connection)
        days = compare.days_known(connection, datetime.date.min, datetime.date.max)
        whole = sorted(set(days) - {row.day for row in gone})
        by_day = check_days.Days(connection)
        yield from by_day.check(
            whole,
            {day for day, partition in partitions.items() if partition.is_guarded},
            first_kept,
            lambda day: progress(f"checking {day} ({whole.index(day) + 1} of {len(whole)})"),
        )
        progress("checking views")
        yield from check_views.views(
            connection, whole, check_stored.newest_day(connection, whole, by_day.wrong_days)
        )


class Progress:
    """A line on standard error: at a terminal the same one, else one now and then."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._next_s = time.monotonic() + PROGRESS_EVERY_S

    def __call__(self, text: str) -> None:
        if self._is_terminal:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() >= self._next_s:
            print(text, file=sys.stderr, flush=True)
            self._next_s = time.monotonic() + PROGRESS_EVERY_S

    def end(self) -> None:
        """Leave the line empty."""
        if self._is_terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def summary(connection: Connection, client: Any, spool_dir: Path) -> str:
    """The ledger's sums in a line."""
    waiting = pending_groups(client, spool_dir)
    [sums] = connection.execute(
        SUMS,
        {
            "pixels": [group.pixel_id for group in waiting],
            "seqs": [group.seq for group in waiting],
            "hits": list(waiting.values()),
        },
    ).fetchall()
    accepted, stored, duplicate, dead, pending = sums
    return (
        f"accepted {accepted + pending} = stored {stored} + duplicate {duplicate} "
        f"+ dead-lettered {dead} + pending {pending}"
    )


def audit() -> list[Finding]:
    """Everything, with progress and the summary line. Raises what ``main`` catches."""
    urls, settings, progress = running_urls(), load_settings(), Progress()
    client = redis.Redis.from_url(urls["REDIS_URL"], socket_timeout=10)
    with psycopg.connect(urls["OWNER_DATABASE_URL"], autocommit=True, connect_timeout=5) as connection:
        connection.execute("set jit = off")
        found = [
            *stuck_entries(client),
            *lost_groups(connection, client, settings.spool_dir),
            *problems(connection, settings.retention_days, progress),
        ]
        progress.end()
        print(summary(connection, client, settings.spool_dir))
    return found


def main() -> int:
    """0 when nothing differs; 1 else."""
    try:
        found = audit()
    except (NoStack, SettingsError) as error:
        print("\n".join(error.problems) if isinstance(error, SettingsError) else error, file=sys.stderr)
        return 1
    except (psycopg.OperationalError, redis.RedisError) as error:
        print(
            f"PostgreSQL or Redis does not answer ({type(error).__name__}): is the stack well?",
            file=sys.stderr,
        )
        return 1
    for finding in found:
        print("\n".join(finding.lines()))
    print(
        "check failed" if found else "check passed: rollups equal hits, the ledger closes, nothing is stuck"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
