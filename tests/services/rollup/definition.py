"""What the reporting views must say: a plain GROUP BY over hits, written from the contract and not from the code."""

from __future__ import annotations

import itertools
import uuid
from collections import Counter
from typing import Any

from services.enricher.batch import Work
from services.enricher.store import Store
from services.hit import Accepted, Group, Hit
from services.hit_stream import Entry
from services.rollups import ROLLUPS

HUMAN = "not is_bot and not is_me"
PAGEVIEW = f"event = 'pageview' and {HUMAN}"
COUNTS = "count(*) as pageviews, count(distinct session_id) as visitors"
TITLE = f"""(
    select t.title from hits t
    where t.site = h.site and t.host = h.host and t.path = h.path and t.title is not null and {PAGEVIEW}
    order by t.received_at desc, t.hit_id desc limit 1
)"""

EVENT = f"event <> 'pageview' and {HUMAN}"
EVENTS = "count(*) as events, count(distinct session_id) as sessions"
ZONE = "(select report_timezone from installation)"
TRAFFIC = f"""count(*) filter (where {PAGEVIEW}), count(distinct session_id) filter (where {PAGEVIEW}),
    count(*) filter (where {PAGEVIEW} and session_id is null),
    count(*) filter (where is_bot), count(*) filter (where is_me)"""


def by(*dimensions: str, where: str = "true") -> str:
    """Pageviews and visitors of each site, day and these."""
    keys = ", ".join(("site", "day", *dimensions))
    return f"select {keys}, {COUNTS} from hits where {PAGEVIEW} and ({where}) group by {keys}"


DEFINITIONS = {
    "daily_traffic": f"""
        select site, day, day::timestamp at time zone {ZONE} as day_starts_at, {TRAFFIC}
        from hits group by site, day""",
    "hourly_traffic": f"""
        select site, day, begins + floor(extract(epoch from received_at - begins) / 3600) * interval '1 hour',
               {TRAFFIC}
        from (select *, day::timestamp at time zone {ZONE} as begins from hits) as h group by 1, 2, 3""",
    "daily_pages": f"""
        select site, day, host, path, {TITLE}, {COUNTS}
        from hits h where {PAGEVIEW} group by site, day, host, path""",
    "daily_sources": by("source", "channel"),
    "daily_channels": by("channel"),
    "daily_source_details": by("source", "source_detail", where="source_detail is not null"),
    "daily_referrers": by("source", "referrer", where="source is not null"),
    "daily_referrals": f"""
        select site, day, source, referrer, host, path, {TITLE}, {COUNTS}
        from hits h where {PAGEVIEW} and source is not null group by site, day, source, referrer, host, path""",
    "daily_campaigns": by(
        "utm_source", "utm_medium", "utm_campaign",
        where="utm_source is not null or utm_medium is not null or utm_campaign is not null",
    ),
    "daily_countries": by("country"),
    "daily_browsers": by("browser"),
    "daily_systems": by("os"),
    "daily_devices": by("device"),
    "daily_languages": by("language"),
    "daily_screens": by("screen"),
    "daily_events": f"select site, day, event, {EVENTS} from hits where {EVENT} group by site, day, event",
    "daily_event_properties": f"""
        select site, day, event, name, props ->> name, {EVENTS}
        from hits, jsonb_object_keys(props) as name
        where {EVENT} group by site, day, event, name, props ->> name""",
    "daily_bots": """
        select site, day, bot_name, bot_class, count(*)
        from hits where is_bot group by site, day, bot_name, bot_class""",
    "daily_bot_pages": """
        select site, day, host, path, count(*) from hits where is_bot group by site, day, host, path""",
    "daily_missing": f"""
        select site, day, host, path, referrer, count(*)
        from hits where {PAGEVIEW} and status in (404, 410) group by site, day, host, path, referrer""",
    "daily_posts": f"""
        select h.site, day, h.host, h.path, hours, count(*)
        from posts p join pages g using (page_id) join sites s using (site_id)
        join hits h on (h.site, h.host, h.path) = (s.site, g.host, g.path)
        cross join (values (24), (168)) as within (hours)
        where {PAGEVIEW} and received_at >= p.published_at
          and received_at < p.published_at + hours * interval '1 hour'
        group by h.site, day, h.host, h.path, hours""",
}  # fmt: skip

COLUMNS = {
    "daily_traffic": "site, day, day_starts_at, pageviews, visitors, anonymous_pageviews, bot_hits, owner_hits",
    "hourly_traffic": "site, day, hour_starts_at, pageviews, visitors, anonymous_pageviews, bot_hits, owner_hits",
    "daily_pages": "site, day, host, path, title, pageviews, visitors",
    "daily_sources": "site, day, source, channel, pageviews, visitors",
    "daily_channels": "site, day, channel, pageviews, visitors",
    "daily_source_details": "site, day, source, source_detail, pageviews, visitors",
    "daily_referrers": "site, day, source, referrer, pageviews, visitors",
    "daily_referrals": "site, day, source, referrer, host, path, title, pageviews, visitors",
    "daily_campaigns": "site, day, utm_source, utm_medium, utm_campaign, pageviews, visitors",
    "daily_countries": "site, day, country, pageviews, visitors",
    "daily_browsers": "site, day, browser, pageviews, visitors",
    "daily_systems": "site, day, os, pageviews, visitors",
    "daily_devices": "site, day, device, pageviews, visitors",
    "daily_languages": "site, day, language, pageviews, visitors",
    "daily_screens": "site, day, screen, pageviews, visitors",
    "daily_events": "site, day, event, events, sessions",
    "daily_event_properties": "site, day, event, property, value, events, sessions",
    "daily_bots": "site, day, bot_name, bot_class, bot_hits",
    "daily_bot_pages": "site, day, host, path, bot_hits",
    "daily_missing": "site, day, host, path, referrer, pageviews",
    "daily_posts": "site, day, host, path, span_hours, pageviews",
}


def differences(connection: Any, *views: str) -> dict[str, Any]:
    """What a view has and the definition has not, and the other way round; empty: they are equal."""
    found = {}
    for view in views or DEFINITIONS:
        definition = DEFINITIONS[view]
        counted = Counter(connection.execute(f"select {COLUMNS[view]} from {view}").fetchall())
        defined = Counter(connection.execute(definition).fetchall())
        if counted != defined:
            found[view] = {"too much": counted - defined, "missing": defined - counted}
    return found


_numbers = itertools.count(1)


def make_work(hits: list[Hit]) -> Work:
    """Rows as the enricher hands them to its store."""
    counts = Counter((hit.site, hit.day.isoformat()) for hit in hits)
    accepted = [Accepted(site, day, number) for (site, day), number in counts.items()]
    group = Group(1, uuid.uuid4().bytes, next(_numbers), "2026112218", accepted, [], [], b"")
    return Work(Entry("1-1", b"", 1), group, hits=hits)


def put(store: Store, *hits: Hit) -> int:
    """Store a batch; how many rows were new."""
    return store.write([make_work(list(hits))]).stored


EMPTY = (
    "truncate stored_hits, ledger, ledger_left_out, dead_letters, stream_groups, rollup_pending, sessions_pending,"
    " renormalised, posts, feeds, rollup_titles, rollup_sessions, rollup_entries, rollup_exits, "
    + ", ".join(f"rollup_{rollup.name}" for rollup in ROLLUPS)
)
