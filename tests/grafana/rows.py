"""Rows for the dashboards: hits over a week that changes to summer time, and what is counted from them.

The rollups are filled by a plain GROUP BY over the hits, which is what they are defined to equal.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

import psycopg

ZONE = ZoneInfo("America/New_York")
# Touches the days 8 to 12; on the 10th the clocks go forward.
BEGIN = datetime(2024, 3, 8, 23, 30, tzinfo=ZONE)
END = datetime(2024, 3, 12, 0, 30, tzinfo=ZONE)
FIRST_DAY, LAST_DAY = "2024-03-08", "2024-03-12"

BLOG, SHOP = "blog.example", "o'shop.example"
SPACE = UUID("9d3f4d5e-6c1b-4a6e-8f0a-5d2c7b1e9a30")

HIT: dict[str, Any] = {
    "site": BLOG, "host": BLOG, "path": "/", "query": None, "title": None, "event": "pageview", "props": None,
    "status": 200, "referrer": None, "source": None, "source_detail": None, "channel": "Direct", "country": None,
    "is_bot": False, "is_me": False, "bot_name": None, "browser": "Firefox", "os": "Linux",
    "device": "desktop", "language": "en", "screen": "1920x1080",
}  # fmt: skip
SEARCH = {
    "referrer": "https://search.example/",
    "source": "Search",
    "source_detail": "Kagi",
    "channel": "Search",
}
NEWS = {"referrer": "https://news.example/item?id=…", "source": "Hacker News", "channel": "News"}
# Told by utm_source alone, and by an app: no web address to open.
LETTER = {"source": "letter", "channel": "Email"}
APP = {"referrer": "android-app://com.reader", "source": "com.reader", "channel": "Referral"}

# Day, who, and what differs from HIT. Nothing on the 11th; the 7th and the 13th are outside of the range.
HITS: list[tuple[int, str | None, dict[str, Any]]] = [
    (7, "a", {"country": "DE", "title": "Old home"}),
    (8, "a", {"country": "DE", "title": "Home", **SEARCH}),
    (8, "a", {"country": "DE", "path": "/notes", "title": "Notes"}),
    (8, "b", {"country": "FR", "path": "/notes", **NEWS}),
    (8, "b", {"country": "FR", "path": "/notes", "event": "signup"}),
    (8, "owner", {"country": "DE", "is_me": True}),
    (9, "a", {"country": "DE", "path": "/notes", **NEWS}),
    (9, None, {"country": "SG", "path": "/notes", **LETTER}),
    (9, "bot", {"country": "US", "is_bot": True, "bot_name": "crawler"}),
    (10, "c", {"country": "XX", "path": "/100% sure?#1", "title": "Sure", **APP}),
    (10, "d", {"path": "/lost", "status": 404, "title": "Not found", **SEARCH}),
    (12, "e", {"country": "DE", "path": "/gone", "status": 410}),
    (12, "f", {"site": SHOP, "host": "www." + SHOP, "country": "US", "path": "/cart", **SEARCH}),
    (12, "g", {"site": SHOP, "host": "www." + SHOP, "country": "US", "path": "/cart"}),
    (13, "a", {"country": "DE"}),
]

HUMAN = "event = 'pageview' and not is_bot and not is_me"


def _grouped(table: str, keys: str, where: str) -> str:
    """Count the human pageviews by ``keys`` into a rollup."""
    return f"""
        insert into {table} ({keys}, pageviews, visitors)
        select {keys}, count(*), count(distinct session_id)
        from hits where {HUMAN} and {where} group by {keys}"""


ROLLUPS = [
    f"""insert into rollup_traffic
            (site, day, pageviews, visitors, anonymous_pageviews, bot_hits, owner_hits)
        select site, day, count(*) filter (where {HUMAN}),
               count(distinct session_id) filter (where {HUMAN}),
               count(*) filter (where {HUMAN} and session_id is null),
               count(*) filter (where is_bot), count(*) filter (where is_me)
        from hits group by site, day""",
    _grouped("rollup_pages", "site, day, host, path", "true"),
    _grouped("rollup_sources", "site, day, source, channel", "true"),
    _grouped("rollup_source_details", "site, day, source, source_detail", "source_detail is not null"),
    _grouped("rollup_referrals", "site, day, source, referrer, host, path", "source is not null"),
    _grouped("rollup_countries", "site, day, country", "true"),
    f"""insert into rollup_missing (site, day, host, path, referrer, pageviews)
        select site, day, host, path, referrer, count(*)
        from hits where {HUMAN} and status in (404, 410) group by site, day, host, path, referrer""",
    f"""insert into rollup_titles (site, host, path, title, received_at, hit_id)
        select distinct on (site, host, path) site, host, path, title, received_at, hit_id
        from hits where {HUMAN} and title is not null
        order by site, host, path, received_at desc, hit_id desc""",
    """insert into ledger (site, day, accepted, stored, duplicate, dead_lettered)
       select site, day, count(*) + 1, count(*), 1, 0 from hits group by site, day
       union all select '', '2024-03-09', 2, 0, 0, 2""",
    """insert into ledger_left_out (site, day, outcome, reason, hits)
       values ('', '2024-03-09', 'excluded', 'local-host', 7),
              ('blog.example', '2024-03-10', 'refused', 'rate-limit', 3)""",
    """insert into rollup_pending (site, day, batch_id, hits, stored_at)
       values ('blog.example', '2024-03-12', 1, 4, clock_timestamp() - interval '90 s')""",
    """insert into jobs (name, last_done_at, last_failed_at, failures_in_a_row, last_error, next_try_at)
       values ('refresh', clock_timestamp() - interval '7 s', null, 0, null, clock_timestamp()),
              ('upkeep', null, clock_timestamp() - interval '65 s', 3, 'LockNotAvailable',
               clock_timestamp() + interval '3 s')""",
]


def make_hit(number: int, day: int, who: str | None, **differing: Any) -> dict[str, Any]:
    """A row of hits at noon of a day of March 2024; ``who`` tells sessions apart, None: no session."""
    at = datetime(2024, 3, day, 12, number, tzinfo=ZONE)
    session = uuid5(SPACE, f"{day} {who} {differing.get('site')}") if who else None
    return HIT | {
        "hit_id": uuid5(SPACE, str(number)),
        "session_id": session,
        "received_at": at,
        "batch_id": 1,
        "day": at.date(),
    } | differing  # fmt: skip


def fill(connection: psycopg.Connection[Any]) -> None:
    """Set the reporting time zone, insert ``HITS``, and count them into the rollups and the ledger."""
    connection.execute("update installation set report_timezone = %s", [ZONE.key])
    for number, (day, who, differing) in enumerate(HITS):
        row = make_hit(number, day, who, **differing)
        connection.execute("select make_hits_partition(%s)", [row["day"]])
        names, places = ", ".join(row), ", ".join(f"%({name})s" for name in row)
        connection.execute(f"insert into hits ({names}) values ({places})", row)
    for statement in ROLLUPS:
        connection.execute(statement)
