"""The part of `make check` that needs no day's hits in memory: ledger, what waits, partitions, numbers."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import LiteralString, NamedTuple

from services.database import PARTITION_DAYS_AHEAD
from services.rollup.compare import COMPARED, SESSIONS, Gone
from tools.findings import SHOWN_ROWS, Connection, Finding, finding, text_of

STUCK_AFTER_S = 60
# The schedule of the sessions' count is minutes.
SESSIONS_STUCK_AFTER_S = 3_600
# Upkeep comes once an hour.
UPKEEP_MAY_LAG_DAYS = 1

LEDGER = """
select site, day, accepted, stored + duplicate + dead_lettered + pending, stored, duplicate, dead_lettered, pending
from daily_ledger
where accepted <> stored + duplicate + dead_lettered + pending
   or least(accepted, stored, duplicate, dead_lettered, pending) < 0
order by day desc
"""

DEAD = """
select site, day, says, should_be from ledger_differences
where what = 'dead_lettered is not that of the dead letters'
order by day desc
"""

WAITING = """
select site, day, batch_id, extract(epoch from clock_timestamp() - stored_at)::int as seconds
from rollup_pending
where stored_at < clock_timestamp() - make_interval(secs => %(seconds)s)
order by stored_at
"""

# Only batches of a day that is open are looked for by an index; but late hits have opened theirs.
OTHER_HITS = """
select w.site, w.day, w.batch_id, w.hits, count(h.hit_id) as stored
from rollup_pending w
left join sites s using (site)
left join stored_hits h on h.day = w.day and h.batch_id = w.batch_id and h.site_id = s.site_id
group by w.site, w.day, w.batch_id, w.hits
having w.hits <> count(h.hit_id)
"""

SESSIONS_WAITING = """
select s.site, p.day, extract(epoch from clock_timestamp() - min(p.marked_at))::int as seconds
from sessions_pending p left join sites s using (site_id)
group by s.site, p.day
having min(p.marked_at) < clock_timestamp() - make_interval(secs => %(seconds)s)
order by seconds desc
"""

PARTITIONS = """
with days as materialized ( -- or to_date is tried on the names of other tables too
    select oid, relname from pg_class
    where relnamespace = 'hits_days'::regnamespace and relkind = 'r' and relname ~ '^d[0-9]{8}$'
),
indexes as (
    select x.indrelid, substr(i.relname, 11) as name, x.indisunique
    from days d join pg_index x on x.indrelid = d.oid join pg_class i on i.oid = x.indexrelid
    where x.indisvalid
)
select to_date(substr(d.relname, 2), 'YYYYMMDD') as day, p.inhrelid is not null as is_attached,
       (select count(*) from indexes i where i.indrelid = d.oid
            and (i.name = 'identity' and i.indisunique or i.name in ('session', 'batch'))) as indexes,
       exists (select from indexes i where i.indrelid = d.oid and i.name = 'identity' and i.indisunique) as is_guarded
from days d left join pg_inherits p on p.inhrelid = d.oid and p.inhparent = 'stored_hits'::regclass
"""
INDEXES = 3  # see the function open_hits_day


class Partition(NamedTuple):
    """A day's table."""

    is_attached: bool
    indexes: int  # of those that an open day has
    is_guarded: bool  # one of them keeps a hit from being stored twice


def partitions_of(connection: Connection) -> dict[datetime.date, Partition]:
    """The tables of the days."""
    rows = connection.execute(PARTITIONS).fetchall()
    return {day: Partition(*rest) for day, *rest in rows}


def days_stored(connection: Connection) -> set[datetime.date]:
    """The days that have hits by the ledger."""
    return {
        day for (day,) in connection.execute("select distinct day from ledger where stored > 0").fetchall()
    }


def newest_day(
    connection: Connection, days: list[datetime.date], wrong: set[datetime.date]
) -> datetime.date | None:
    """The newest of these days that has hits and is not wrong."""
    return max(days_stored(connection) & set(days) - wrong, default=None)


def ledger(connection: Connection) -> Iterator[Finding]:
    """The ledger, and what waits."""
    yield from finding(
        connection,
        "the ledger does not close (site, day, accepted, sum, stored, duplicate, dead-lettered, pending)",
        LEDGER,
    )
    yield from finding(
        connection, "ledger.dead_lettered is not that of dead letters (site, day, ledger, letters)", DEAD
    )
    yield from finding(
        connection,
        f"batches not rolled up for {STUCK_AFTER_S} s (site, day, batch, s)",
        WAITING,
        {"seconds": STUCK_AFTER_S},
        "is the rollup running? its log says what it waits for",
    )
    yield from finding(
        connection,
        "batches that wait have other hits than they say (site, day, batch, says, has)",
        OTHER_HITS,
    )
    yield from finding(
        connection,
        f"entry and exit pages not counted for {SESSIONS_STUCK_AFTER_S} s (site, day, s)",
        SESSIONS_WAITING,
        {"seconds": SESSIONS_STUCK_AFTER_S},
        "is the rollup running? its log says what it waits for",
    )


def hits_gone(gone: list[Gone], first_kept: datetime.date) -> Iterator[Finding]:
    """Days whose raw hits should be there."""
    rows = [row for row in gone if row.day >= first_kept]
    if rows:
        yield Finding(
            "ledger.stored is not the number of hits (site, day, ledger, hits)",
            len(rows),
            [text_of(row) for row in rows[:SHOWN_ROWS]],
            "hits are gone, or came past the enricher; the rollups of these days are not compared, and are kept",
        )


def partitions(
    found: dict[datetime.date, Partition],
    stored: set[datetime.date],
    today: datetime.date,
    first_kept: datetime.date,
) -> Iterator[Finding]:
    """What is wrong with the tables of the days; ``stored``: the days that have hits by the ledger."""
    ahead = {today + datetime.timedelta(days=number) for number in range(PARTITION_DAYS_AHEAD)}
    attached = {day for day, partition in found.items() if partition.is_attached}
    missing = sorted(({day for day in stored if day >= first_kept} | ahead) - set(found))
    if missing:
        yield _days("days without a partition", missing, f"make rebuild FROM={missing[0]} TO={missing[-1]}")
    detached = sorted(set(found) - attached)
    if detached:
        yield _days(
            "partitions that are detached from stored_hits: their hits are not seen",
            detached,
            "alter table stored_hits attach partition hits_days.dYYYYMMDD for values from (day) to (day + 1)",
        )
    half = sorted(day for day in attached if 0 < found[day].indexes < INDEXES)
    closed = sorted(day for day in attached if not found[day].indexes and day >= today)
    if half + closed:
        yield _days(
            "days that are neither open nor closed: hits could get in twice, or be counted slowly",
            half + closed,
            "select close_hits_day(day), then select open_hits_day(day), as the owner",
        )
    expired = sorted(day for day in found if day < first_kept - datetime.timedelta(days=UPKEEP_MAY_LAG_DAYS))
    if expired:
        yield _days(
            "days older than RETENTION_DAYS that are still there",
            expired,
            "is the rollup running? see its log for upkeep",
        )


def _days(title: str, days: list[datetime.date], what_to_do: str) -> Finding:
    return Finding(title, len(days), [str(day) for day in days[:SHOWN_ROWS]], what_to_do)


NUMBERS: tuple[tuple[LiteralString, LiteralString], ...] = (
    ("site_id", "sites"),
    ("page_id", "pages"),
    ("referrer_id", "referrers"),
)


def numbers(connection: Connection) -> Iterator[Finding]:
    """Rollups that name what is not there, so that no view can say what it is."""
    questions: list[LiteralString] = [
        f"select '{compared.name}' as rollup, r.day, '{number}', r.{number}"
        f" from {compared.name} r where not exists (select from {table} t where t.{number} = r.{number})"
        for compared in (*COMPARED, *SESSIONS)
        for number, table in NUMBERS
        if number in compared.key
    ]
    questions += [
        f"select 'rollup_titles', null, '{number}', t.{number}"
        f" from rollup_titles t where not exists (select from {table} n where n.{number} = t.{number})"
        for number, table in (("page_id", "pages"), ("title_id", "titles"))
    ]
    for question in questions:
        yield from finding(
            connection,
            "a rollup names what is not there (rollup, day, what, number)",
            question,
            what_to_do="rows of the tables of numbers were deleted: put them back from a backup",
        )
