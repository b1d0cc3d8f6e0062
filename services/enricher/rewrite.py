"""Gives the hits of a site's day other numbers where a rule answers otherwise now, and moves them in the rollups.

A hit names its origin and its client by number. What a rule decides of such a row is a function of what else the row
says, and of the page's host. Rows that a site's day uses are read; where the answer is another, the row that says so
is found or made, and the hits are given its number. Rows are never changed: other days use them, and the enricher
remembers them.

Hits are rewritten in batches, each in one transaction with the cells of the rollups that it moves: rollups equal a
plain GROUP BY after every commit, and whoever is cut off goes on with the hits that are left.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterator
from typing import Any, LiteralString, NamedTuple

from psycopg.rows import dict_row

from services.database import Connection
from services.enricher.numbers import Table, numbers_of
from services.rollup_statements import COUNTED, move_statements
from services.rollups import REFRESH_LOCK, ROLLUPS

# Rows to find or make at once, 0.03 s: an enricher that makes one of them too waits for the commit.
MAX_ROWS = 2_000

# Of a hit, what rollups ask for besides its origin or client.
_HIT: LiteralString = "hit_id, session_id, batch_id, page_id, status, is_bot, is_me, event"

Values = tuple[str | None, ...]
Row = dict[str, Any]


class SiteDay(NamedTuple):
    """The hits of a site on a day."""

    site: str
    site_id: int
    day: datetime.date


class Rule(NamedTuple):
    """What decides what of the rows that hits name by one number."""

    tables: tuple[Table, ...]  # the one that hits name stands last, before it what its rows name
    rows: LiteralString  # these, joined
    inputs: tuple[LiteralString, ...]  # columns of these, and the page's host
    outputs: tuple[LiteralString, ...]
    answer: Callable[[str, Values], Values]  # of site and inputs

    @property
    def number(self) -> LiteralString:
        """The hits' column."""
        return self.tables[-1].number

    @property
    def columns(self) -> tuple[LiteralString, ...]:
        """Of all tables; what two of them say stands once."""
        return tuple(dict.fromkeys(name for table in self.tables for name, _ in table.columns))

    @property
    def moved(self) -> frozenset[LiteralString]:
        """The dimensions of rollups that another number may change."""
        return frozenset((*self.outputs, *(table.number for table in self.tables[:-1])))


@contextlib.contextmanager
def without_loops(connection: Connection) -> Iterator[None]:
    """A transaction in which nothing is joined by loops.

    By statistics from before the day the planner expects few hits: loops over 12,000 took 10 to 160 s.
    """
    with connection.transaction():
        connection.execute("set local enable_nestloop = off")
        yield


def rewrite(connection: Connection, rule: Rule, what: SiteDay, batch: int) -> Iterator[int]:
    """Rewrite the day's hits by a rule; how many in each batch, which is committed then. Raises ``psycopg.Error``."""
    changed = _changed(connection, rule, what)
    if not changed:
        return
    _number(connection, rule, changed, what.day)
    with connection.transaction():
        _tell(connection, rule, changed)
    hits = batch
    while hits:
        with without_loops(connection):
            hits = _rewrite(connection, rule, what, batch)
        if hits:
            yield hits


def _changed(connection: Connection, rule: Rule, what: SiteDay) -> list[tuple[Row, Row]]:
    """Of what the rule answers otherwise now: the row that hits name, and the one that they should name."""
    with without_loops(connection), connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(
            f"""-- renormalise: rows that hits name
            with used as (
                select distinct p.host, h.{rule.number}
                from stored_hits h join pages p using (page_id)
                where h.site_id = %(site_id)s and h.day = %(day)s
            )
            select host, {rule.number}, {", ".join(rule.columns)} from used join {rule.rows} using ({rule.number})
            """,
            what._asdict(),
        ).fetchall()
    changed: list[tuple[Row, Row]] = []
    for old in found:
        answer = rule.answer(what.site, tuple(old[name] for name in rule.inputs))
        new = dict(zip(rule.outputs, answer, strict=True))
        # An empty text says as much as NULL.
        if any((old[name] or None) != value for name, value in new.items()):
            changed.append((old, old | new))
    return changed


def _number(connection: Connection, rule: Rule, changed: list[tuple[Row, Row]], day: datetime.date) -> None:
    """Find or make the rows that hits should name, and note their numbers in ``changed``."""
    for table in rule.tables:
        rows = [tuple(new[name] for name, _ in table.columns) for _, new in changed]
        distinct = list(dict.fromkeys(rows))
        numbers: dict[tuple[Any, ...], int] = {}
        for start in range(0, len(distinct), MAX_ROWS):
            part = distinct[start : start + MAX_ROWS]
            with connection.transaction():
                found = numbers_of(connection, table, part, day)
            numbers.update(zip(part, found, strict=True))
        for (_, new), row in zip(changed, rows, strict=True):
            new[table.number] = numbers[row]


def _tell(connection: Connection, rule: Rule, changed: list[tuple[Row, Row]]) -> None:
    """Write down for the batches which number becomes which under which host."""
    connection.execute("set local client_min_messages = warning")
    connection.execute("drop table if exists pg_temp.changed, pg_temp.rewritten")
    connection.execute("create temporary table changed (host text, old_number int, new_number int)")
    connection.execute(
        f"create temporary table rewritten on commit delete rows as select {_HIT}, 0 as sign, 0 as {rule.number}"
        " from stored_hits with no data"
    )
    with connection.cursor() as cursor, cursor.copy("copy pg_temp.changed from stdin") as copy:
        for old, new in changed:
            copy.write_row((old["host"], old[rule.number], new[rule.number]))
    connection.execute("analyze pg_temp.changed")


def _rewrite(connection: Connection, rule: Rule, what: SiteDay, batch: int) -> int:
    """Rewrite one batch, and move it in the rollups; how many hits."""
    about = {**what._asdict(), "batch": batch}
    # The refresh changes the same cells; it is kept out until the commit.
    connection.execute("select pg_advisory_xact_lock(%s)", [REFRESH_LOCK])
    if not _is_whole(connection, about):
        return 0
    twice = connection.execute(
        f"""-- renormalise: rewrite hits
        with picked as (
            select h.ctid as place, c.old_number, c.new_number
            from stored_hits h
            join pages p using (page_id)
            join pg_temp.changed c on c.host = p.host and c.old_number = h.{rule.number}
            where h.site_id = %(site_id)s and h.day = %(day)s
            limit %(batch)s
        ),
        written as (
            update stored_hits h set {rule.number} = new_number
            from picked
            where h.day = %(day)s and h.ctid = place
            returning {_HIT}, old_number, new_number
        )
        insert into pg_temp.rewritten ({_HIT}, sign, {rule.number})
        select {_HIT}, unnest(array[-1, 1]), unnest(array[old_number, new_number]) from written
        """,
        about,
    ).rowcount
    if twice:
        _move(connection, rule, about)
    return twice // 2


def _is_whole(connection: Connection, about: Row) -> bool:
    """Whether no hit of the day is gone (by retention, before a late one came): else rollups know more than hits."""
    row = connection.execute(
        """-- renormalise: are all hits there
        select stored = (select count(*) from stored_hits where site_id = %(site_id)s and day = %(day)s)
        from ledger where site = %(site)s and day = %(day)s
        """,
        about,
    ).fetchone()
    return bool(row and row[0])


def _move(connection: Connection, rule: Rule, about: Row) -> None:
    """Move in the rollups what was rewritten; what waits there is left to the refresh."""
    rollups = [rollup for rollup in ROLLUPS if not rule.moved.isdisjoint(rollup.dimensions)]
    dimensions = {name for rollup in rollups for name in rollup.dimensions}
    connection.execute(
        f"""-- renormalise: hits that move, and the others of their sessions
        create temporary table moving on commit drop as
        with h as (
            select true as is_new, {_HIT}, sign, {rule.number} from pg_temp.rewritten
            union all
            select false, {_HIT}, unnest(array[-1, 1]), {rule.number}
            from stored_hits o
            where site_id = %(site_id)s and day = %(day)s and event is null and not is_bot and not is_me
              and session_id in (select session_id from pg_temp.rewritten)
              and not exists (select from pg_temp.rewritten r where r.hit_id = o.hit_id)
        )
        select %(day)s::date as day, %(site_id)s::int as site_id, {_HIT}, sign, is_new,
               event is null and not is_bot and not is_me as is_pageview,
               event is not null and not is_bot and not is_me as is_event,
               {", ".join(name for name in rule.columns if name in dimensions)}
        from h join {rule.rows} using ({rule.number})
        where {COUNTED}
        """,
        about,
    )
    for rollup in rollups:
        for statement in move_statements(rollup):
            connection.execute(statement, about)
