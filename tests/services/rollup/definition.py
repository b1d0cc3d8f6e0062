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

DEFINITIONS = {
    "daily_traffic": f"""
        select site, day, day::timestamp at time zone (select report_timezone from installation) as day_starts_at,
               count(*) filter (where {PAGEVIEW}), count(distinct session_id) filter (where {PAGEVIEW}),
               count(*) filter (where {PAGEVIEW} and session_id is null),
               count(*) filter (where is_bot), count(*) filter (where is_me)
        from hits group by site, day""",
    "daily_pages": f"""
        select site, day, host, path, {TITLE}, {COUNTS}
        from hits h where {PAGEVIEW} group by site, day, host, path""",
    "daily_sources": f"""
        select site, day, source, channel, {COUNTS} from hits where {PAGEVIEW} group by site, day, source, channel""",
    "daily_source_details": f"""
        select site, day, source, source_detail, {COUNTS}
        from hits where {PAGEVIEW} and source_detail is not null group by site, day, source, source_detail""",
    "daily_referrals": f"""
        select site, day, source, referrer, host, path, {TITLE}, {COUNTS}
        from hits h where {PAGEVIEW} and source is not null group by site, day, source, referrer, host, path""",
    "daily_countries": f"""
        select site, day, country, {COUNTS} from hits where {PAGEVIEW} group by site, day, country""",
    "daily_missing": f"""
        select site, day, host, path, referrer, count(*)
        from hits where {PAGEVIEW} and status in (404, 410) group by site, day, host, path, referrer""",
}

COLUMNS = {
    "daily_traffic": "site, day, day_starts_at, pageviews, visitors, anonymous_pageviews, bot_hits, owner_hits",
    "daily_pages": "site, day, host, path, title, pageviews, visitors",
    "daily_sources": "site, day, source, channel, pageviews, visitors",
    "daily_source_details": "site, day, source, source_detail, pageviews, visitors",
    "daily_referrals": "site, day, source, referrer, host, path, title, pageviews, visitors",
    "daily_countries": "site, day, country, pageviews, visitors",
    "daily_missing": "site, day, host, path, referrer, pageviews",
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
    " renormalised, rollup_titles, rollup_sessions, rollup_entries, rollup_exits, "
    + ", ".join(f"rollup_{rollup.name}" for rollup in ROLLUPS)
)
