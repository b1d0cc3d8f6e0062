"""The rollups as data: name, dimensions, which hits, measures. Adding one is one entry here and its table.

Each is counted from ``touched``: the new hits, and the earlier human pageviews of the sessions among them, from
which it is known whether a session is new to a page, a source, a country on that day. That costs in the number of
new hits, not in the size of the day.
"""

from __future__ import annotations

from typing import LiteralString, NamedTuple

# What a measure adds for one session's rows in one cell. ``is_pageview``: a human hit with event pageview.
MEASURES: dict[LiteralString, LiteralString] = {
    "pageviews": "count(*) filter (where is_new and is_pageview)",
    # 1 where every pageview that this session has in this cell is new.
    "visitors": "coalesce(session_id is not null and bool_and(is_new) filter (where is_pageview), false)::int",
    "anonymous_pageviews": "count(*) filter (where is_new and is_pageview and session_id is null)",
    "bot_hits": "count(*) filter (where is_new and is_bot)",
    "owner_hits": "count(*) filter (where is_new and is_me)",
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
    Rollup("referrals", ("source", "referrer", "host", "path"), "is_pageview and source is not null"),
    Rollup("countries", ("country",)),
    Rollup("missing", ("host", "path", "referrer"), "is_pageview and status in (404, 410)", ("pageviews",)),
)


def add_statement(rollup: Rollup) -> LiteralString:
    """The statement that adds what is new in ``touched`` to the rollup's table."""
    key = ", ".join(("site", "day", *rollup.dimensions))
    unique = ("site", "day", *(f"text_key({name})" if name in LONG else name for name in rollup.dimensions))
    measures = rollup.measures
    counted = ",\n           ".join(f"{MEASURES[name]} as {name}" for name in measures)
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
