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
    gathered: LiteralString = ""  # the same from ``touched_clients``, where it can be had there


MEASURES: dict[LiteralString, Measure] = {
    "pageviews": Measure(
        "count(*) filter (where is_pageview)",
        "count(*) filter (where is_new and is_pageview)",
        "sum(pageviews)",
    ),
    "visitors": Measure(
        "count(distinct session_id) filter (where is_pageview)",
        # 1 where every pageview that this session has in this cell is new.
        "coalesce(session_id is not null and bool_and(is_new) filter (where is_pageview), false)::int",
        # Sessions with one client were gathered without their ids. Of a session with several each client's row says
        # whether all its pageviews are new.
        "case when session_id is null then sum(visitors)"
        " else coalesce(min(visitors) filter (where is_pageview), 0) end",
    ),
    "anonymous_pageviews": Measure(
        "count(*) filter (where is_pageview and session_id is null)",
        "count(*) filter (where is_new and is_pageview and session_id is null)",
        "sum(anonymous_pageviews)",
    ),
    "bot_hits": Measure(
        "count(*) filter (where is_bot)",
        "count(*) filter (where is_new and is_bot)",
        "sum(bot_hits)",
    ),
    "owner_hits": Measure(
        "count(*) filter (where is_me)",
        "count(*) filter (where is_new and is_me)",
        "sum(owner_hits)",
    ),
    "events": Measure(
        "count(*) filter (where is_event)",
        "count(*) filter (where is_new and is_event)",
    ),
    "sessions": Measure(
        "count(distinct session_id) filter (where is_event)",
        "coalesce(session_id is not null and bool_and(is_new) filter (where is_event), false)::int",
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
    # All dimensions are the client's (country, browser …). A session has one client but for rare cases, so that such
    # rollups are counted from the few rows of ``touched_clients`` and cost next to nothing a hit.
    of_client: bool = False
    # What makes several cells of one hit, or none, where it does.
    each: LiteralString = ""


ROLLUPS = (
    Rollup("traffic", (), "true", _TRAFFIC, of_client=True),
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
    Rollup("countries", ("country",), of_client=True),
    Rollup("browsers", ("browser",), of_client=True),
    Rollup("systems", ("os",), of_client=True),
    Rollup("devices", ("device",), of_client=True),
    Rollup("languages", ("language",), of_client=True),
    Rollup("screens", ("screen",), of_client=True),
    Rollup("events", ("event",), "is_event", ("events", "sessions")),
    Rollup(
        "event_properties",
        ("event", "property", "value"),
        "is_event and props is not null",
        ("events", "sessions"),
        each="cross join lateral jsonb_each_text(props) as p (property, value)",
    ),
    Rollup("bots", ("bot_name", "bot_class"), "is_bot", ("bot_hits",), of_client=True),
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
