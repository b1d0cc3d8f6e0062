"""What is done with the list of rollups, as SQL: one form of each statement for all of them.

A refresh *adds* from ``touched``: the new hits, and the earlier ones of the people among them, from which it is known
whether a session is new to a page, a source, a country on that day. That costs in the number of new hits, not in the
size of the day. Everything else goes by the *plain* definition over the hits that are counted: a rebuild of a day, a
recount of single cells, and the search for cells that are wrong.
"""

from __future__ import annotations

from typing import LiteralString, NamedTuple

from services.rollups import LONG, MEASURES, ROLLUPS, Rollup

# Hits that a refresh has counted. A batch waits, or is counted, as a whole.
COUNTED: LiteralString = "not exists (select from rollup_pending w where w.batch_id = h.batch_id)"


def _key(rollup: Rollup) -> LiteralString:
    return ", ".join(("day", "site_id", *rollup.dimensions))


def unique_key(rollup: Rollup) -> LiteralString:
    """The columns and expressions of the unique index on the rollup's table."""
    dimensions = (f"text_key({name})" if name in LONG else name for name in rollup.dimensions)
    return ", ".join(("day", "site_id", *dimensions))


def columns(rollup: Rollup) -> LiteralString:
    """Of the rollup's table: its key, then its measures."""
    return ", ".join((_key(rollup), *rollup.measures))


def add_statement(rollup: Rollup) -> LiteralString:
    """The statement that adds what is new in ``touched`` to the rollup's table."""
    key = _key(rollup)
    measures = rollup.measures
    counted: LiteralString = ",\n           ".join(
        f"{MEASURES[name].gathered if rollup.of_client else MEASURES[name].added} as {name}" for name in measures
    )
    new_hits: LiteralString = "sum(new_hits)" if rollup.of_client else "count(*) filter (where is_new)"
    touched: LiteralString = "touched_clients left join clients using (client_id)" if rollup.of_client else "touched"
    return f"""-- rollup: add to rollup_{rollup.name}
insert into rollup_{rollup.name} as r ({key}, {", ".join(measures)})
select {key}, {", ".join(f"sum({name})" for name in measures)}
from (
    select {key}, {new_hits} as new_hits,
           {counted}
    from {touched} {rollup.each}
    where {rollup.where}
    group by {key}, session_id
) as sessions
group by {key}
having sum(new_hits) > 0
order by {key}
on conflict ({unique_key(rollup)}) do update set
    {", ".join(f"{name} = r.{name} + excluded.{name}" for name in measures)}
"""


ADD_STATEMENTS = tuple(add_statement(rollup) for rollup in ROLLUPS)


def plain_statement(
    rollup: Rollup, hits: LiteralString, source: LiteralString = "hits_to_count", counted: LiteralString = COUNTED
) -> LiteralString:
    """The rollup's rows by a plain GROUP BY over the hits that are counted; ``hits``: a condition on them.

    ``source``: what has the rows of hits_to_count; ``counted``: which of them are counted.
    """
    measures: LiteralString = ", ".join(f"{MEASURES[name].plain}::int as {name}" for name in rollup.measures)
    return f"""select {_key(rollup)}, {measures}
from {source} h {rollup.each}
where ({rollup.where}) and ({hits}) and {counted}
group by {_key(rollup)}
"""


def differences_statement(rollup: Rollup) -> LiteralString:
    """Cells of a day that are otherwise than the plain definition says. Parameter: ``day``.

    Columns: which (``rollup`` or ``hits``: who says so), then those of the table.
    """
    table: LiteralString = f"select {columns(rollup)} from rollup_{rollup.name} where day = %(day)s"
    plain = plain_statement(rollup, "h.day = %(day)s")
    return f"""-- rollup: differences of rollup_{rollup.name}
with counted as materialized ({plain}), rolled as materialized ({table})
(select 'rollup' as said_by, * from (table rolled except all table counted) as a)
union all
(select 'hits' as said_by, * from (table counted except all table rolled) as b)
"""


def rebuild_statements(rollup: Rollup) -> tuple[LiteralString, ...]:
    """Count the rollup's cells of a day anew; those that are right stay untouched. Parameter: ``day``.

    For one connection, in this order, under the refresh's lock.
    """
    table: LiteralString = f"rollup_{rollup.name}"
    equal = same("n", "c", ("site_id", *rollup.dimensions, *rollup.measures))
    return (
        f"""-- rollup: count {table} anew
create temporary table recounted on commit drop as
{plain_statement(rollup, "h.day = %(day)s")}""",
        f"""-- rollup: take wrong cells from {table}
delete from {table} c
where c.day = %(day)s and not exists (select from pg_temp.recounted n where {equal})
""",
        f"""-- rollup: put right cells into {table}
insert into {table} ({columns(rollup)})
select {columns(rollup)} from pg_temp.recounted n
where not exists (select from {table} c where c.day = %(day)s and {equal})
""",
        "drop table pg_temp.recounted",
    )


class Recount(NamedTuple):
    """Statements that count some cells of a site's day anew; those that are right stay untouched.

    Parameters: ``site_id``, ``day``. Run on one connection, in this order, under the refresh's lock;
    ``pg_temp.moved`` has a row for each change, old_* and new_*.
    """

    find: LiteralString  # the values whose cells may differ, into pg_temp.moved_here; none: stop here
    fill: LiteralString
    take: LiteralString
    put: LiteralString
    clean: LiteralString


def recount(rollup: Rollup, moved: tuple[LiteralString, ...]) -> Recount:
    """For the cells whose dimensions ``moved`` had or have a value that changed."""
    changes: LiteralString = " or ".join(f"old_{name} is distinct from new_{name}" for name in moved)
    table: LiteralString = f"rollup_{rollup.name}"
    equal = same("n", "c", (*rollup.dimensions, *rollup.measures))
    where: LiteralString = (
        "{0}.site_id = %(site_id)s and {0}.day = %(day)s"
        f" and exists (select from pg_temp.moved_here m where {same('m', '{0}', moved)})"
    )
    return Recount(
        find=f"""-- rollup: what moves in {table}
create temporary table moved_here on commit drop as
select {", ".join(f"old_{name} as {name}" for name in moved)} from pg_temp.moved where {changes}
union
select {", ".join(f"new_{name}" for name in moved)} from pg_temp.moved where {changes}
""",
        fill=f"""-- rollup: recount {table}
create temporary table recounted on commit drop as
{plain_statement(rollup, where.replace("{0}", "h"))}""",
        take=f"""-- rollup: take the cells that are no longer so from {table}
delete from {table} c
where {where.replace("{0}", "c")} and not exists (select from pg_temp.recounted n where {equal})
""",
        put=f"""-- rollup: put the cells that are new into {table}
insert into {table} ({columns(rollup)})
select {columns(rollup)}
from pg_temp.recounted n
where not exists (
    select from {table} c where c.site_id = %(site_id)s and c.day = %(day)s and {equal}
)
""",
        clean="drop table pg_temp.recounted, pg_temp.moved_here",
    )


def same(left: LiteralString, right: LiteralString, names: tuple[LiteralString, ...]) -> LiteralString:
    """Whether two rows have the same values or NULLs, as an equality that PostgreSQL can hash.

    No text is empty, so that NULL may stand for the empty one.
    """
    return " and ".join(f"coalesce({left}.{name}::text, '') = coalesce({right}.{name}::text, '')" for name in names)
