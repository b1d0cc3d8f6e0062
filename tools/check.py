"""`make check`: audits the running stack, and fails with what differs.

All of it on one snapshot of the database, so that live traffic does not disturb it: rollups against a plain
GROUP BY over `hits` (but for the hits that wait to be counted), the ledger against rows, dead letters and the
numbers of the groups, and nothing that waits too long.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import redis

from services.hit import UndecodableEntry, decode_group
from services.hit_stream import FIELD, GROUP, STREAM
from tools.stack import NoStack, running_urls

SHOWN_ROWS = 5
STUCK_AFTER_S = 60
# All is seen on one snapshot but for what is on its way between stream and database: that is looked at again.
ON_ITS_WAY = "groups neither stored nor on the stream"
LOOKS = 4
LOOK_PAUSE_S = 1.0

# Hits that the rollups have counted, of the days that are still kept raw.
COUNTED = """
with kept as (
    select min(to_date(substr(c.relname, 2), 'YYYYMMDD')) as first_day
    from pg_inherits p join pg_class c on c.oid = p.inhrelid
    where p.inhparent = 'hits'::regclass
),
counted as (
    select h.*, not h.is_bot and not h.is_me and h.event = 'pageview' as is_human_pageview
    from hits h
    where not exists (
        select from rollup_pending p where p.site = h.site and p.day = h.day and p.batch_id = h.batch_id
    )
)
"""

# Each view without its title, as the contract defines it.
PLAIN: dict[str, tuple[str, str]] = {
    "daily_traffic": (
        "site, day, pageviews, visitors, anonymous_pageviews, bot_hits, owner_hits",
        """select site, day, count(*) filter (where is_human_pageview),
                  count(distinct session_id) filter (where is_human_pageview),
                  count(*) filter (where is_human_pageview and session_id is null),
                  count(*) filter (where is_bot), count(*) filter (where is_me)
           from counted group by site, day""",
    ),
    "daily_pages": (
        "site, day, host, path, pageviews, visitors",
        """select site, day, host, path, count(*), count(distinct session_id)
           from counted where is_human_pageview group by site, day, host, path""",
    ),
    "daily_sources": (
        "site, day, source, channel, pageviews, visitors",
        """select site, day, source, channel, count(*), count(distinct session_id)
           from counted where is_human_pageview group by site, day, source, channel""",
    ),
    "daily_source_details": (
        "site, day, source, source_detail, pageviews, visitors",
        """select site, day, source, source_detail, count(*), count(distinct session_id)
           from counted where is_human_pageview and source_detail is not null
           group by site, day, source, source_detail""",
    ),
    "daily_referrals": (
        "site, day, source, referrer, host, path, pageviews, visitors",
        """select site, day, source, referrer, host, path, count(*), count(distinct session_id)
           from counted where is_human_pageview and source is not null
           group by site, day, source, referrer, host, path""",
    ),
    "daily_countries": (
        "site, day, country, pageviews, visitors",
        """select site, day, country, count(*), count(distinct session_id)
           from counted where is_human_pageview group by site, day, country""",
    ),
    "daily_missing": (
        "site, day, host, path, referrer, pageviews",
        """select site, day, host, path, referrer, count(*)
           from counted where is_human_pageview and status in (404, 410)
           group by site, day, host, path, referrer""",
    ),
}

TITLES = (
    COUNTED
    + """
, newest as (
    select distinct on (site, host, path) site, host, path, title
    from counted where is_human_pageview and title <> ''
    order by site, host, path, received_at desc, hit_id desc
)
select n.site, n.host, n.path, n.title, t.title
from newest n left join rollup_titles t using (site, host, path)
where t.title is distinct from n.title
"""
)

LEDGER = """
select site, day, accepted, stored, duplicate, dead_lettered
from ledger
where accepted <> stored + duplicate + dead_lettered
"""

STORED = """
with kept as (
    select min(to_date(substr(c.relname, 2), 'YYYYMMDD')) as first_day
    from pg_inherits p join pg_class c on c.oid = p.inhrelid
    where p.inhparent = 'hits'::regclass
),
rows as (select site, day, count(*) as hits from hits group by site, day)
select coalesce(l.site, r.site), coalesce(l.day, r.day), l.stored, r.hits
from ledger l full join rows r using (site, day)
where coalesce(l.stored, 0) <> coalesce(r.hits, 0)
  and coalesce(l.day, r.day) >= (select first_day from kept)
"""

DEAD = """
with letters as (select site, day, sum(hits) as hits from dead_letters group by site, day)
select coalesce(l.site, d.site), coalesce(l.day, d.day), l.dead_lettered, d.hits
from ledger l full join letters d using (site, day)
where coalesce(l.dead_lettered, 0) <> coalesce(d.hits, 0)
"""

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

WAITING = """
select site, day, batch_id, extract(epoch from clock_timestamp() - stored_at)::int
from rollup_pending
where stored_at < clock_timestamp() - make_interval(secs => %s)
"""


def differences(connection: psycopg.Connection[Any], view: str) -> list[tuple[str, Any]]:
    """Rows that only the rollup has, and rows that only `hits` gives."""
    columns, plain = PLAIN[view]
    rolled = f"select {columns} from {view} where day >= (select first_day from kept)"
    found = []
    for label, first, second in (("only in the rollup", rolled, plain), ("only in hits", plain, rolled)):
        statement = f"{COUNTED} ({first}) except all ({second})"
        rows = connection.execute(statement).fetchall()
        found += [(label, row) for row in rows]
    return found


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


def stuck_entries(client: Any) -> list[str]:
    """Entries that a consumer has held for too long."""
    try:
        held = client.xpending_range(STREAM, GROUP, "-", "+", SHOWN_ROWS, idle=STUCK_AFTER_S * 1000)
    except redis.ResponseError:
        return [f"the consumer group {GROUP} is not there: does the enricher run?"]
    return [
        f"entry {row['message_id'].decode()} held by {row['consumer'].decode()} "
        f"for {row['time_since_delivered'] // 1000} s, handed out {row['times_delivered']} times"
        for row in held
    ]


def _rows(title: str, rows: list[Any]) -> Iterator[str]:
    if rows:
        yield f"{title}: {len(rows)}"
        for row in rows[:SHOWN_ROWS]:
            yield "    " + " | ".join("∅" if value is None else str(value) for value in row)


def problems(connection: psycopg.Connection[Any], client: Any) -> Iterator[str]:
    """All that is wrong. The stream is read before the snapshot: what is processed between is in both."""
    on_stream, _ = pending_groups(client)
    yield from stuck_entries(client)
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        for view in PLAIN:
            found = differences(connection, view)
            yield from _rows(f"{view} differs from hits", [(label, *row) for label, row in found])
        yield from _rows("titles differ from hits (∅: none)", connection.execute(TITLES).fetchall())
        yield from _rows("the ledger does not close", connection.execute(LEDGER).fetchall())
        yield from _rows("ledger.stored is not the number of rows", connection.execute(STORED).fetchall())
        yield from _rows(
            "ledger.dead_lettered is not that of dead letters", connection.execute(DEAD).fetchall()
        )
        gaps = connection.execute(GAPS).fetchall()
        lost = [(pixel_id, seq) for pixel_id, seq in gaps if (pixel_id.bytes, seq) not in on_stream]
        yield from _rows(f"{ON_ITS_WAY} (pixel, number)", lost)
        waiting = connection.execute(WAITING, [STUCK_AFTER_S]).fetchall()
        yield from _rows(f"batches not rolled up for {STUCK_AFTER_S} s (site, day, batch, s)", waiting)


def summary(connection: psycopg.Connection[Any], client: Any) -> str:
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


def main() -> int:
    """0 when nothing differs; 1 else."""
    try:
        urls = running_urls()
        client = redis.Redis.from_url(urls["REDIS_URL"], socket_timeout=10)
        with psycopg.connect(urls["OWNER_DATABASE_URL"], autocommit=True, connect_timeout=5) as connection:
            connection.execute("set jit = off")
            found = list(problems(connection, client))
            for _ in range(LOOKS - 1):
                if not any(line.startswith(ON_ITS_WAY) for line in found):
                    break
                time.sleep(LOOK_PAUSE_S)
                found = list(problems(connection, client))
            print(summary(connection, client))
    except NoStack as error:
        print(error, file=sys.stderr)
        return 1
    except (psycopg.OperationalError, redis.RedisError) as error:
        print(
            f"PostgreSQL or Redis does not answer ({type(error).__name__}): is the stack well?",
            file=sys.stderr,
        )
        return 1
    for line in found:
        print(line)
    print(
        "check failed" if found else "check passed: rollups equal hits, the ledger closes, nothing is stuck"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
