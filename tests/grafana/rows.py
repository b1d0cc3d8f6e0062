"""Rows for the dashboards: hits over a week that changes to summer time, and what is counted from them.

They go the way that hits go: the enricher's store, then a refresh of the rollups.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

import psycopg

from services.enricher.store import Store
from services.hit import Hit
from services.rollup.feeds import Post
from services.rollup.posts import put as put_posts
from services.rollup.refresh import prepare, refresh
from tests import make
from tests.services.rollup.definition import put

ZONE = ZoneInfo("America/New_York")
# Touches the days 8 to 12; on the 10th the clocks go forward.
BEGIN = datetime(2024, 3, 8, 23, 30, tzinfo=ZONE)
END = datetime(2024, 3, 12, 0, 30, tzinfo=ZONE)
FIRST_DAY, LAST_DAY = "2024-03-08", "2024-03-12"

BLOG, SHOP = "blog.example", "o'shop.example"
SPACE = UUID("9d3f4d5e-6c1b-4a6e-8f0a-5d2c7b1e9a30")

HIT: dict[str, Any] = {
    "site": BLOG, "host": BLOG, "path": "/", "status": 200, "browser": "Firefox", "os": "Linux",
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
LETTER = {"source": "letter", "channel": "Email", "utm_source": "letter", "utm_campaign": "spring"}
APP = {"referrer": "android-app://com.reader", "source": "com.reader", "channel": "Referral"}

# Day, who, and what differs from HIT. Nothing on the 11th; the 7th and the 13th are outside of the range.
HITS: list[tuple[int, str | None, dict[str, Any]]] = [
    (7, "a", {"country": "DE", "title": "Old home"}),
    (8, "a", {"country": "DE", "title": "Home", **SEARCH}),
    (8, "a", {"country": "DE", "path": "/notes", "title": "Notes"}),
    (8, "b", {"country": "FR", "path": "/notes", **NEWS}),
    (8, "b", {"country": "FR", "path": "/notes", "event": "signup", "props": '{"plan": "small"}'}),
    (8, "owner", {"country": "DE", "is_me": True}),
    (9, "a", {"country": "DE", "path": "/notes", **NEWS}),
    (9, None, {"country": "SG", "path": "/notes", **LETTER}),
    (9, "bot", {"country": "US", "is_bot": True, "bot_name": "crawler", "bot_class": "search"}),
    (10, "c", {"country": "XX", "path": "/100% sure?#1", "title": "Sure", **APP}),
    (10, "d", {"path": "/lost", "status": 404, "title": "Not found", **SEARCH}),
    (12, "e", {"country": "DE", "path": "/gone", "status": 410}),
    (12, "f", {"site": SHOP, "host": "www." + SHOP, "country": "US", "path": "/cart", **SEARCH}),
    (12, "g", {"site": SHOP, "host": "www." + SHOP, "country": "US", "path": "/cart"}),
    (13, "a", {"country": "DE"}),
    (10, "ai", {"path": "/notes", "is_bot": True, "bot_name": "GPTBot", "bot_class": "AI"}),
    (12, "bot", {"path": "/notes", "is_bot": True, "bot_name": "crawler", "bot_class": "search"}),
]

POSTS = [
    Post(BLOG, BLOG, "/notes", "Notes <new>", f"https://{BLOG}/notes?utm_source=feed",
         datetime(2024, 3, 8, 12, 2, tzinfo=ZONE)),
    Post(SHOP, "www." + SHOP, "/cart", "Cart", f"https://www.{SHOP}/cart", datetime(2024, 3, 12, tzinfo=ZONE)),
]  # fmt: skip

HUMAN = "event = 'pageview' and not is_bot and not is_me"

# Counted by a job of its own: here by what they are defined to be.
SESSIONS = f"""
    select h.day, s.site_id, h.session_id, count(*) as pageviews,
           (array_agg(p.page_id order by h.received_at, h.hit_id))[1] as entry_id,
           (array_agg(p.page_id order by h.received_at desc, h.hit_id desc))[1] as exit_id
    from hits h join sites s using (site) join pages p using (site_id, host, path)
    where {HUMAN} and session_id is not null
    group by h.day, s.site_id, h.session_id"""
# The pipeline: a gap over midnight and one that is open, a minute of hits in the range, a disk that fills.
PIPELINE = [
    """insert into pixel_runs (pixel_id, stretch, began_at, last_at)
       values (gen_random_uuid(), 1, '2024-03-01 00:00 UTC', '2024-03-09 03:00 UTC'),
              (gen_random_uuid(), 1, '2024-03-09 07:30 UTC', '2024-03-11 00:00 UTC'),
              (gen_random_uuid(), 1, '2024-03-10 00:00 UTC', clock_timestamp() - interval '10 minutes')""",
    """insert into stream_look (looked_at, entries, entries_read, oldest_at)
       values (clock_timestamp() - interval '3 s', 2, 2, clock_timestamp() - interval '8 s')""",
    """insert into ingest_minutes (minute, hits, delay_ms_sum, delay_ms_max, newest_received_at)
       values ('2024-03-09 12:00 UTC', 30, 3000, 500, '2024-03-09 12:00:59 UTC'),
              ('2024-03-09 12:01 UTC', 10, 41000, 40000, '2024-03-09 12:01:59 UTC')""",
    # The second is in no ledger.
    """insert into dead_letters (site, day, dead_letter_id, entry_id, reason, hits, size_bytes)
       values ('', '2024-03-09', gen_random_uuid(), '1-1', 'seal', 2, 99),
              ('blog.example', '2024-03-10', gen_random_uuid(), '2-1', 'url', 1, 99),
              ('blog.example', '2024-03-10', gen_random_uuid(), '3-1', 'too-late', 5, 99)""",
    """insert into disk_looks (looked_at, database_bytes, disk_free_bytes, disk_total_bytes)
       values (clock_timestamp() - interval '4 days', 1000000000, 50000000000, 100000000000),
              (clock_timestamp(), 3000000000, 46000000000, 100000000000)""",
]
STATEMENTS = [
    f"""insert into rollup_sessions (day, site_id, sessions, single_page_sessions)
        select day, site_id, count(*), count(*) filter (where pageviews = 1)
        from ({SESSIONS}) as found group by day, site_id""",
    f"""insert into rollup_entries (day, site_id, page_id, sessions, single_page_sessions)
        select day, site_id, entry_id, count(*), count(*) filter (where pageviews = 1)
        from ({SESSIONS}) as found group by day, site_id, entry_id""",
    f"""insert into rollup_exits (day, site_id, page_id, sessions)
        select day, site_id, exit_id, count(*)
        from ({SESSIONS}) as found group by day, site_id, exit_id""",
    """insert into ledger (site, day, accepted, stored, duplicate, dead_lettered)
       values ('', '2024-03-09', 2, 0, 0, 2)""",
    """insert into ledger_left_out (site, day, outcome, reason, hits)
       values ('', '2024-03-09', 'excluded', 'local-host', 7),
              ('blog.example', '2024-03-10', 'refused', 'rate-limit', 3)""",
    """insert into rollup_pending (site, day, batch_id, hits, stored_at)
       values ('blog.example', '2024-03-12', 1000000, 4, clock_timestamp() - interval '90 s')""",
    """insert into feeds (feed, tried_at, ok_at, entries, skipped, error)
       values ('https://blog.example/feed.xml', now(), now() - interval '65 s', 2, 0, null),
              ('https://blog.example/gone.xml', now(), null, 0, 0, 'answered 404')""",
    """insert into annotations (begins_at, ends_at, kind, site, text)
       values ('2024-03-09 12:00-05', null, 'deploy', null, 'Deployed 1.2'),
              ('2024-03-10 12:00-05', '2024-03-10 14:00-05', 'note', 'blog.example', 'Newsletter <42>')""",
    """insert into jobs (name, last_done_at, last_failed_at, failures_in_a_row, last_error, next_try_at)
       values ('refresh', clock_timestamp() - interval '7 s', null, 0, null, clock_timestamp()),
              ('upkeep', null, clock_timestamp() - interval '65 s', 3, 'LockNotAvailable',
               clock_timestamp() + interval '3 s')""",
    *PIPELINE,
]


def make_hit(number: int, day: int, who: str | None, **differing: Any) -> Hit:
    """A hit at noon of a day of March 2024; ``who`` tells sessions apart, None: no session."""
    return make_hit_at(number, datetime(2024, 3, day, 12, number % 60, tzinfo=ZONE), who, **differing)


def make_hit_at(number: int, at: datetime, who: str | None, **differing: Any) -> Hit:
    """A hit at a moment given in ``ZONE``; each number is another hit."""
    session = uuid5(SPACE, f"{at.date()} {who} {differing.get('site')}") if who else None
    values = HIT | {"session_id": session, "received_at": at, "day": at.date()} | differing
    return make.make_hit(hit_id=uuid5(SPACE, str(number)), **values)


def store(connection: psycopg.Connection[Any], hits: list[Hit]) -> None:
    """Hits as the enricher stores them, counted into the rollups. ``connection``: in autocommit mode."""
    put(Store(connection), *hits)
    prepare(connection)
    while refresh(connection):
        pass


def set_zone(connection: psycopg.Connection[Any]) -> None:
    """Make ``ZONE`` the reporting time zone."""
    connection.execute("update installation set report_timezone = %s", [ZONE.key])


def fill(connection: psycopg.Connection[Any]) -> None:
    """Set the zone, publish ``POSTS``, store and count ``HITS``, the first hit of a site's day twice."""
    set_zone(connection)
    put_posts(connection, "https://blog.example/feed.xml", POSTS)
    hits = [make_hit(number, day, who, **differing) for number, (day, who, differing) in enumerate(HITS)]
    store(connection, hits)
    put(Store(connection), *{(hit.site, hit.day): hit for hit in reversed(hits)}.values())
    for statement in STATEMENTS:
        connection.execute(statement)


# Seconds ago, who, and what differs from HIT: for what asks about now.
HITS_OF_NOW: list[tuple[int, str | None, dict[str, Any]]] = [
    (20, "a", {"country": "DE", "title": "Home", **SEARCH}),
    (30, None, {"country": "SG", "path": "/notes", **NEWS}),
    (40, "b", {"country": "FR", "path": "/notes", "title": "Notes", **NEWS}),
    (50, "bot", {"path": "/robots", "is_bot": True, "bot_name": "crawler", "bot_class": "search"}),
    (60, "owner", {"is_me": True}),
    (600, "a", {"country": "DE", "path": "/notes"}),
    (700, "c", {"path": "/notes", "device": "mobile", "event": "signup"}),
    (720, "d", {"site": SHOP, "host": SHOP, "country": "US", "path": "/cart"}),
    (2_700, "e", {"country": "DE", "path": "/old"}),
]


def fill_now(connection: psycopg.Connection[Any], now: datetime | None = None) -> None:
    """Store and count ``HITS_OF_NOW``, in the zone of ``now``."""
    now = now or datetime.now(ZONE)
    store(connection, [
        make_hit_at(10_000 + number, now - timedelta(seconds=ago), who, **differing)
        for number, (ago, who, differing) in enumerate(HITS_OF_NOW)
    ])  # fmt: skip
