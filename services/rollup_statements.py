"""What is done with the list of rollups, as SQL: one form of each statement for all of them.

How a refresh *adds* new hits is in ``services.rollup.add``. *Moving* hits between cells takes them away and adds
them. Everything else goes by the *plain* definition over the hits that are counted: the search for cells that are
wrong, in ``services.rollup.compare``, and what puts them right.
"""

from __future__ import annotations

from typing import LiteralString

from services.rollups import LONG, MEASURES, Rollup

# Hits that a refresh has counted. A batch waits, or is counted, as a whole.
COUNTED: LiteralString = "not exists (select from rollup_pending w where w.batch_id = h.batch_id)"


def key_of(rollup: Rollup) -> LiteralString:
    """What says which cell it is: day, site, dimensions."""
    return ", ".join(("day", "site_id", *rollup.dimensions))


def unique_key(rollup: Rollup) -> LiteralString:
    """The columns and expressions of the unique index on the rollup's table."""
    dimensions = (f"text_key({name})" if name in LONG else name for name in rollup.dimensions)
    return ", ".join(("day", "site_id", *dimensions))


def columns(rollup: Rollup) -> LiteralString:
    """Of the rollup's table: its key, then its measures."""
    return ", ".join((key_of(rollup), *rollup.measures))


def plain_statement(
    rollup: Rollup,
    hits: LiteralString,
    source: LiteralString = "hits_to_count",
    counted: LiteralString = COUNTED,
) -> LiteralString:
    """The rollup's rows by a plain GROUP BY over the hits that are counted: its definition.

    ``hits``: which rows ``h`` of the source; ``source``: hits_to_count, or what has rows of it; ``counted``: which of
    them are counted.
    """
    measures: LiteralString = ", ".join(f"{MEASURES[name].plain}::int as {name}" for name in rollup.measures)
    return f"""select {key_of(rollup)}, {measures}
from {source} h {rollup.each}
where ({rollup.where}) and ({hits}) and {counted}
group by {key_of(rollup)}
"""


def move_statements(rollup: Rollup) -> tuple[LiteralString, LiteralString]:
    """Take hits from the cells that they were counted in, and put them into those where they belong now.

    For one connection, in this order, under the refresh's lock. Parameters: ``day``, ``site_id``. ``pg_temp.moving``
    has the hits (``is_new``) and the other counted pageviews of their sessions on that day, each twice: with ``sign``
    -1 as it was, with 1 as it is. To take a session's hits from a cell is to undo what adding them last would add.
    """
    key = key_of(rollup)
    table: LiteralString = f"rollup_{rollup.name}"
    counted: LiteralString = ", ".join(f"{MEASURES[name].added} as {name}" for name in rollup.measures)
    return (
        f"""-- rollup: move in {table}
insert into {table} as r ({columns(rollup)})
select {key}, {", ".join(f"sum(sign * {name})" for name in rollup.measures)}
from (
    select {key}, sign, {counted}
    from pg_temp.moving {rollup.each}
    where {rollup.where}
    group by {key}, sign, session_id
) as sessions
group by {key}
having {" or ".join(f"sum(sign * {name}) <> 0" for name in rollup.measures)}
order by {key}
on conflict ({unique_key(rollup)}) do update set
    {", ".join(f"{name} = r.{name} + excluded.{name}" for name in rollup.measures)}
""",
        f"""-- rollup: take empty cells from {table}
delete from {table} where day = %(day)s and site_id = %(site_id)s and {rollup.measures[0]} = 0
""",
    )


def same(left: LiteralString, right: LiteralString, names: tuple[LiteralString, ...]) -> LiteralString:
    """Whether two rows have the same values or NULLs, as an equality that PostgreSQL can hash.

    No text is empty, so that NULL may stand for the empty one.
    """
    return " and ".join(
        f"coalesce({left}.{name}::text, '') = coalesce({right}.{name}::text, '')" for name in names
    )
