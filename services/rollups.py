"""The rollups as data: name, dimensions, which hits, measures. Adding one is one entry here and its table.

A refresh adds to them from ``touched``: the new hits, and the earlier human pageviews of the sessions among them,
from which it is known whether a session is new to a page, a source, a country on that day. That costs in the number
of new hits, not in the size of the day. Where stored hits are rewritten (`make renormalise`) their cells are counted
anew, by the plain definition.
"""

from __future__ import annotations

from typing import LiteralString, NamedTuple

# Held (an advisory lock) by whoever changes rollups: a refresh, or one batch of `make renormalise`.
REFRESH_LOCK = 0x666F6F74726F6C6C  # "footroll", as a number
# Raise it with each migration that adds a rollup, there in `installation.rollups` too: a refresh of the version
# before would leave the new table empty, and is refused.
ROLLUPS_VERSION = 2


class Measure(NamedTuple):
    """A number of a cell. ``is_pageview``: a human hit with event pageview."""

    plain: LiteralString  # over all hits of the cell: the definition
    added: LiteralString  # what one session's rows in ``touched`` add to the cell


MEASURES: dict[LiteralString, Measure] = {
    "pageviews": Measure(
        "count(*) filter (where is_pageview)",
        "count(*) filter (where is_new and is_pageview)",
    ),
    "visitors": Measure(
        "count(distinct session_id) filter (where is_pageview)",
        # 1 where every pageview that this session has in this cell is new.
        "coalesce(session_id is not null and bool_and(is_new) filter (where is_pageview), false)::int",
    ),
    "anonymous_pageviews": Measure(
        "count(*) filter (where is_pageview and session_id is null)",
        "count(*) filter (where is_new and is_pageview and session_id is null)",
    ),
    "bot_hits": Measure("count(*) filter (where is_bot)", "count(*) filter (where is_new and is_bot)"),
    "owner_hits": Measure("count(*) filter (where is_me)", "count(*) filter (where is_new and is_me)"),
}

# Dimensions that may be too long for an index: their keys hold the hash.
LONG: frozenset[LiteralString] = frozenset(("path", "referrer"))


class Rollup(NamedTuple):
    """A table ``rollup_<name>`` by site, day and dimensions."""

    name: LiteralString
    dimensions: tuple[LiteralString, ...]
    where: LiteralString = "is_pageview"
    measures: tuple[LiteralString, ...] = ("pageviews", "visitors")


ROLLUPS = (
    Rollup("traffic", (), "true", ("pageviews", "visitors", "anonymous_pageviews", "bot_hits", "owner_hits")),
    Rollup("pages", ("host", "path")),
    Rollup("sources", ("source", "channel")),
    Rollup("source_details", ("source", "source_detail"), "is_pageview and source_detail is not null"),
    Rollup("referrals", ("source", "referrer", "host", "path"), "is_pageview and source is not null"),
    Rollup("countries", ("country",)),
    Rollup("missing", ("host", "path", "referrer"), "is_pageview and status in (404, 410)", ("pageviews",)),
)


def add_statement(rollup: Rollup) -> LiteralString:
    """The statement that adds what is new in ``touched`` to the rollup's table."""
    key: LiteralString = ", ".join(("site", "day", *rollup.dimensions))
    unique = ("site", "day", *(f"text_key({name})" if name in LONG else name for name in rollup.dimensions))
    measures = rollup.measures
    counted = ",\n           ".join(f"{MEASURES[name].added} as {name}" for name in measures)
    return f"""-- rollup: add to rollup_{rollup.name}
insert into rollup_{rollup.name} as r ({key}, {", ".join(measures)})
select {key}, {", ".join(f"sum({name})" for name in measures)}
from (
    select {key}, count(*) filter (where is_new) as new_hits,
           {counted}
    from touched
    where {rollup.where}
    group by {key}, session_id
) as sessions
group by {key}
having sum(new_hits) > 0
order by {key}
on conflict ({", ".join(unique)}) do update set
    {", ".join(f"{name} = r.{name} + excluded.{name}" for name in measures)}
"""


ADD_STATEMENTS = tuple(add_statement(rollup) for rollup in ROLLUPS)


class Recount(NamedTuple):
    """Statements that count some cells of a site's day anew; those that are right stay untouched.

    Parameters: ``site``, ``day``. Hits that wait in ``rollup_pending`` are left to the refresh. Run on one
    connection, in this order, under the refresh's lock; ``pg_temp.moved`` has a row for each change, old_* and new_*.
    """

    find: LiteralString  # the values whose cells may differ, into pg_temp.moved_here; none: stop here
    fill: LiteralString
    take: LiteralString
    put: LiteralString
    clean: LiteralString


def recount(rollup: Rollup, moved: tuple[LiteralString, ...]) -> Recount:
    """For the cells whose dimensions ``moved`` had or have a value that changed."""
    key: LiteralString = ", ".join(("site", "day", *rollup.dimensions))
    columns: LiteralString = ", ".join(("site", "day", *rollup.dimensions, *rollup.measures))
    measures: LiteralString = ", ".join(f"{MEASURES[name].plain} as {name}" for name in rollup.measures)
    unchanged: LiteralString = " and ".join(
        (same("n", "c", rollup.dimensions), *(f"n.{name} = c.{name}" for name in rollup.measures))
    )
    changes: LiteralString = " or ".join(f"old_{name} is distinct from new_{name}" for name in moved)
    table: LiteralString = f"rollup_{rollup.name}"
    where: LiteralString = (
        "c.site = %(site)s and c.day = %(day)s"
        f" and exists (select from pg_temp.moved_here m where {same('m', 'c', moved)})"
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
select {key}, {measures}
from (
    select *, not is_bot and not is_me and event = 'pageview' as is_pageview
    from hits h
    where not exists (
        select from rollup_pending p where p.site = h.site and p.day = h.day and p.batch_id = h.batch_id
    )
) as c
where ({rollup.where}) and {where}
group by {key}
""",
        take=f"""-- rollup: take the cells that are no longer so from {table}
delete from {table} c
where {where} and not exists (select from pg_temp.recounted n where {unchanged})
""",
        put=f"""-- rollup: put the cells that are new into {table}
insert into {table} ({columns})
select {columns}
from pg_temp.recounted n
where not exists (select from {table} c where c.site = n.site and c.day = n.day and {unchanged})
""",
        clean="drop table pg_temp.recounted, pg_temp.moved_here",
    )


def same(left: LiteralString, right: LiteralString, columns: tuple[LiteralString, ...]) -> LiteralString:
    """Whether two rows have the same texts or NULLs, as an equality that PostgreSQL can hash; no text is empty."""
    return " and ".join(f"coalesce({left}.{name}, '') = coalesce({right}.{name}, '')" for name in columns)
