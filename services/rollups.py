"""The rollups as data: name, grain, dimensions, which hits, measures. Adding one is one entry here and its table.

A rollup's table is ``rollup_<name>``, by day, site and dimensions. Dimensions are columns of the view
``hits_to_count``. What is done with the list is in ``services.rollup_statements``: adding new hits, moving hits
between cells, counting a day anew, finding cells that are wrong.
"""

from __future__ import annotations

from typing import LiteralString, NamedTuple

# Held (an advisory lock) by whoever changes rollups: a refresh, a rebuild, or one batch of `make renormalise`.
REFRESH_LOCK = 0x666F6F74726F6C6C  # "footroll", as a number
# Raise it with each migration that adds a rollup, there in `installation.rollups` too: a refresh of the version
# before would leave the new table empty, and is refused.
ROLLUPS_VERSION = 5


class Measure(NamedTuple):
    """A number of a cell. ``is_pageview``, ``is_event``: of a person, not the owner."""

    plain: LiteralString  # over all hits of the cell: the definition
    added: LiteralString  # what one session's rows in ``touched`` add to the cell
    sessions_of: LiteralString = ""  # which hits' sessions it counts, where it counts sessions


MEASURES: dict[LiteralString, Measure] = {
    "pageviews": Measure(
        "count(*) filter (where is_pageview)",
        "count(*) filter (where is_new and is_pageview)",
    ),
    "visitors": Measure(
        "count(distinct session_id) filter (where is_pageview)",
        # 1 where every pageview that this session has in this cell is new.
        "coalesce(session_id is not null and bool_and(is_new) filter (where is_pageview), false)::int",
        "is_pageview",
    ),
    "anonymous_pageviews": Measure(
        "count(*) filter (where is_pageview and session_id is null)",
        "count(*) filter (where is_new and is_pageview and session_id is null)",
    ),
    "bot_hits": Measure(
        "count(*) filter (where is_bot)",
        "count(*) filter (where is_new and is_bot)",
    ),
    "owner_hits": Measure(
        "count(*) filter (where is_me)",
        "count(*) filter (where is_new and is_me)",
    ),
    "events": Measure(
        "count(*) filter (where is_event)",
        "count(*) filter (where is_new and is_event)",
    ),
    "sessions": Measure(
        "count(distinct session_id) filter (where is_event)",
        "coalesce(session_id is not null and bool_and(is_new) filter (where is_event), false)::int",
        "is_event",
    ),
}

# Dimensions that may be too long for an index: their keys hold the hash.
LONG: frozenset[LiteralString] = frozenset(("property", "value"))

_TRAFFIC: tuple[LiteralString, ...] = (
    "pageviews", "visitors", "anonymous_pageviews", "bot_hits", "owner_hits",
)  # fmt: skip


class Rollup(NamedTuple):
    """A table ``rollup_<name>`` by day, site and dimensions."""

    name: LiteralString
    dimensions: tuple[LiteralString, ...]
    where: LiteralString = "is_pageview"
    measures: tuple[LiteralString, ...] = ("pageviews", "visitors")
    # What makes several cells of one hit, or none, where it does.
    each: LiteralString = ""


ROLLUPS = (
    Rollup("traffic", (), "true", _TRAFFIC),
    Rollup("hours", ("hour_starts_at",), "true", _TRAFFIC),
    Rollup("pages", ("page_id",)),
    Rollup("sources", ("source", "channel")),
    Rollup("channels", ("channel",)),
    Rollup("source_details", ("source", "source_detail"), "is_pageview and source_detail is not null"),
    Rollup("referrers", ("referrer_id",), "is_pageview and source is not null"),
    Rollup("referrals", ("referrer_id", "page_id"), "is_pageview and source is not null"),
    Rollup(
        "campaigns",
        ("utm_source", "utm_medium", "utm_campaign"),
        "is_pageview and coalesce(utm_source, utm_medium, utm_campaign) is not null",
    ),
    Rollup("countries", ("country",)),
    Rollup("browsers", ("browser",)),
    Rollup("systems", ("os",)),
    Rollup("devices", ("device",)),
    Rollup("languages", ("language",)),
    Rollup("screens", ("screen",)),
    Rollup("events", ("event",), "is_event", ("events", "sessions")),
    Rollup(
        "event_properties",
        ("event", "property", "value"),
        "is_event and props is not null",
        ("events", "sessions"),
        each="cross join lateral jsonb_each_text(props) as p (property, value)",
    ),
    Rollup("bots", ("bot_name", "bot_class"), "is_bot", ("bot_hits",)),
    Rollup("bot_pages", ("page_id",), "is_bot", ("bot_hits",)),
    Rollup("missing", ("page_id", "referrer_id"), "is_pageview and status in (404, 410)", ("pageviews",)),
    Rollup(
        "posts",
        ("page_id", "span_hours"),
        measures=("pageviews",),
        # A post is made, and its earlier hits are counted, under REFRESH_LOCK (services.rollup.posts).
        each="join post_spans on post_page_id = page_id"
        " and received_at >= span_begins_at and received_at < span_ends_at",
    ),
)
