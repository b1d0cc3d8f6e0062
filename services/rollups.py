"""The rollups as data: name, grain, dimensions, which hits, measures. Adding one is one entry here and its table.

A rollup's table is ``rollup_<name>``, by day, site and dimensions. Dimensions are columns of the view
``hits_to_count``. What is done with the list: new hits are added by ``services.rollup.add``; moving hits between
cells, counting a day anew and finding cells that are wrong is in ``services.rollup_statements``.
"""

from __future__ import annotations

from typing import LiteralString, NamedTuple

# Held (an advisory lock) by whoever changes rollups: a refresh, a rebuild, or one batch of `make renormalise`.
REFRESH_LOCK = 0x666F6F74726F6C6C  # "footroll", as a number
# Raise it with each migration that adds a rollup, there in `installation.rollups` too: a refresh of the version
# before would leave the new table empty, and is refused.
ROLLUPS_VERSION = 5


class Measure(NamedTuple):
    """A number of a cell: how many of its hits, or their sessions. ``is_pageview``, ``is_event``: of a person."""

    hits: LiteralString  # which of them
    of_sessions: bool = False

    @property
    def plain(self) -> LiteralString:
        """Over all hits of the cell: the definition."""
        counted: LiteralString = "distinct session_id" if self.of_sessions else "*"
        return f"count({counted}) filter (where {self.hits})"

    @property
    def added(self) -> LiteralString:
        """What the hits of one session that are in the cell add to it, the new ones (``is_new``) and the earlier."""
        if not self.of_sessions:
            return f"count(*) filter (where is_new and {self.hits})"
        # 1 where every such hit is new.
        return f"coalesce(session_id is not null and bool_and(is_new) filter (where {self.hits}), false)::int"


MEASURES: dict[LiteralString, Measure] = {
    "pageviews": Measure("is_pageview"),
    "visitors": Measure("is_pageview", of_sessions=True),
    "anonymous_pageviews": Measure("is_pageview and session_id is null"),
    "bot_hits": Measure("is_bot"),
    "owner_hits": Measure("is_me"),
    "events": Measure("is_event"),
    "sessions": Measure("is_event", of_sessions=True),
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
