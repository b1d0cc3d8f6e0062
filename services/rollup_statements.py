"""What is done with the list of rollups, as SQL: one form of each statement for all of them.

A refresh *adds* from ``fresh``: the new hits, of which each says whether it is the first of its session on that page,
from that source, of that country on that day. That is known from ``touched``, where the earlier hits of the people
among them are too, and costs in the number of new hits, not in the size of the day. *Moving* hits between cells takes them away and adds them by the same formula. Everything else goes
by the *plain* definition over the hits that are counted: the search for cells that are
wrong, in ``services.rollup.compare``, and what puts them right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import LiteralString

from services.rollups import LONG, MEASURES, ROLLUPS, Rollup

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


def sessions_of(rollup: Rollup) -> LiteralString:
    """Which hits' sessions its cells count; empty: they count none."""
    return next((MEASURES[name].sessions_of for name in rollup.measures if MEASURES[name].sessions_of), "")


# Of these ``fresh`` says whether a hit is the first of its session in its cell: a column ``begins_<name>`` each.
# Where a hit may be in several cells one column would not do.
BEGUN = tuple(rollup for rollup in ROLLUPS if sessions_of(rollup) and not rollup.each)

MAKE_FRESH: LiteralString = f"""-- rollup: make_fresh
create temporary table if not exists fresh on commit delete rows as
select *, {", ".join(f"false as begins_{rollup.name}" for rollup in BEGUN)} from touched with no data
"""


def _same_cell(rollup: Rollup) -> LiteralString:
    """Whether ``e`` is in the cell of ``n``, of the same session. No ``where`` tells hits of a cell apart."""
    return " and ".join(f"e.{name} is not distinct from n.{name}" for name in rollup.dimensions) or "true"


def _is_later(rollup: Rollup) -> LiteralString:
    """Whether a hit of ``touched`` has one before it in its session and cell."""
    key: LiteralString = ", ".join(("day", "site_id", "session_id", "is_event", *rollup.dimensions))
    return f"n > min(n) over (partition by {key})"


def _begins(rollup: Rollup) -> LiteralString:
    return f"session_id is not null and {sessions_of(rollup)} and in_{rollup.name} is not true"


def _each_begun(form: Callable[[Rollup], LiteralString]) -> LiteralString:
    return ",\n           ".join(form(rollup) for rollup in BEGUN)


# Fills ``fresh`` with the new hits of ``touched``. ``in_<rollup>``: a hit of the same kind and session is in the cell
# before it, be it an earlier one or one of a lower number. Each new hit is compared with each hit of its session, all
# cells at once: 1.4 us a hit, where grouping by session took 3 us for each of the rollups. A crowd, a session with
# more new hits than ``crowd``, is sorted once for each rollup instead: pairs would grow with the square.
FILL_FRESH: LiteralString = f"""-- rollup: fill_fresh
insert into fresh
with crowds as materialized (
    select session_id from touched where is_new and session_id is not null
    group by session_id having count(*) > %(crowd)s
), seen as (
    select n.n, {_each_begun(lambda rollup: f"bool_or({_same_cell(rollup)}) as in_{rollup.name}")}
    from touched n
    join touched e using (session_id, day, site_id, is_event)
    where n.is_new and (n.is_pageview or n.is_event) and (e.is_pageview or e.is_event) and e.n < n.n
      and not exists (select from crowds c where c.session_id = n.session_id)
    group by n.n
    union all
    select n, {_each_begun(lambda rollup: f"in_{rollup.name}")}
    from (
        select n, is_new, {_each_begun(lambda rollup: f"{_is_later(rollup)} as in_{rollup.name}")}
        from touched
        where (is_pageview or is_event) and session_id in (select session_id from crowds)
    ) as crowd
    where is_new
)
select touched.*, {_each_begun(_begins)}
from touched left join seen using (n)
where is_new
"""


def add_statement(rollup: Rollup) -> LiteralString:
    """The statement that adds what is new to the rollup's table."""
    key = key_of(rollup)
    counted = _add_by_session(rollup) if sessions_of(rollup) and rollup.each else _add_fresh(rollup)
    return f"""-- rollup: add to rollup_{rollup.name}
insert into rollup_{rollup.name} as r ({columns(rollup)})
{counted}order by {key}
on conflict ({unique_key(rollup)}) do update set
    {", ".join(f"{name} = r.{name} + excluded.{name}" for name in rollup.measures)}
"""


def _add_fresh(rollup: Rollup) -> LiteralString:
    """What each cell is to get, from ``fresh``."""
    measures: LiteralString = ", ".join(
        f"count(*) filter (where begins_{rollup.name})"
        if MEASURES[name].sessions_of
        else MEASURES[name].plain
        for name in rollup.measures
    )
    return f"""select {key_of(rollup)}, {measures}
from fresh {rollup.each}
where {rollup.where}
group by {key_of(rollup)}
"""


def _add_by_session(rollup: Rollup) -> LiteralString:
    """What each cell is to get, from ``touched``: few hits have several cells."""
    key = key_of(rollup)
    return f"""select {key}, {", ".join(f"sum({name})" for name in rollup.measures)}
from (
    select {key}, count(*) filter (where is_new) as new_hits,
           {", ".join(f"{MEASURES[name].added} as {name}" for name in rollup.measures)}
    from touched {rollup.each}
    where {rollup.where}
    group by {key}, session_id
) as sessions
group by {key}
having sum(new_hits) > 0
"""


ADD_STATEMENTS = tuple(add_statement(rollup) for rollup in ROLLUPS)


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
