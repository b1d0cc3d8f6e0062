"""`make check`: audits the running stack, and fails with what differs.

All of it on one snapshot of the database, so that live traffic does not disturb it: rollups, views and titles against
a plain GROUP BY over the hits (but for those that wait to be counted), the ledger against hits, dead letters and the
numbers of the groups, the tables of the days, and nothing that waits too long. It reads only, and no process waits
for it.
"""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import redis

from services.hit import UndecodableEntry, decode_group
from services.hit_stream import FIELD, GROUP, STREAM
from services.rollup import compare
from services.settings import SettingsError, load_settings
from tools import check_days, check_stored, check_views
from tools.findings import SHOWN_ROWS, Connection, Finding, text_of
from tools.stack import NoStack, running_urls

# What is on its way between stream and database is looked at again.
LOOKS = 4
LOOK_PAUSE_S = 1.0
PROGRESS_EVERY_S = 5.0  # where nobody watches

# Numbers between the first and the last of a pixel's run that were neither processed nor given up.
GAPS = """
with numbers as (
    select pixel_id, seq, lead(seq) over (partition by pixel_id order by seq) as next
    from (select distinct pixel_id, seq from stream_groups) as s
)
select pixel_id, missing
from numbers, generate_series(seq + 1, next - 1) as missing
where next > seq + 1
limit 10000
"""


def pending_groups(client: Any) -> tuple[set[tuple[bytes, int]], int]:
    """The groups that are on the stream, and how many hits they hold."""
    groups: set[tuple[bytes, int]] = set()
    hits = 0
    start = "-"
    while rows := client.xrange(STREAM, min=start, count=1_000):
        for _, fields in rows:
            try:
                group = decode_group(fields.get(FIELD, b""))
            except UndecodableEntry:
                continue
            groups.add((group.pixel_id, group.seq))
            hits += group.hits
        start = f"({rows[-1][0].decode()}"
    return groups, hits


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


def lost_groups(connection: Connection, client: Any) -> Iterator[Finding]:
    """Groups neither stored nor on the stream, at each of several looks: between both, a group is in neither."""
    for look in range(LOOKS):
        if look:
            time.sleep(LOOK_PAUSE_S)
        # The stream first: what is processed between is in both.
        on_stream, _ = pending_groups(client)
        gaps = connection.execute(GAPS).fetchall()
        lost = [(pixel_id, seq) for pixel_id, seq in gaps if (pixel_id.bytes, seq) not in on_stream]
        if not lost:
            return
    examples = [text_of(row) for row in lost[:SHOWN_ROWS]]
    yield Finding("groups neither stored nor on the stream (pixel, number)", len(lost), examples)


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


def summary(connection: Connection, client: Any) -> str:
    """The ledger's sums in a line."""
    row = connection.execute(
        "select coalesce(sum(accepted), 0), coalesce(sum(stored), 0), coalesce(sum(duplicate), 0),"
        " coalesce(sum(dead_lettered), 0) from ledger"
    ).fetchone()
    accepted, stored, duplicate, dead = row or (0, 0, 0, 0)
    _, pending = pending_groups(client)
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
            *lost_groups(connection, client),
            *problems(connection, settings.retention_days, progress),
        ]
        progress.end()
        print(summary(connection, client))
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
