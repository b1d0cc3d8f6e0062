"""A short history in a database: hits in every rollup, counted by a refresh, for the tests of check and rebuild."""

from __future__ import annotations

import datetime
import random
import uuid
from typing import Any

from services.database import Connection, connect
from services.enricher.store import Store
from services.hit import Hit
from services.rollup.feeds import Post
from services.rollup.posts import put as put_posts
from services.rollup.refresh import prepare, refresh
from services.settings import Settings
from tests.make import make_hit, make_settings
from tests.services.rollup.definition import put

SITES = ("blog.example", "shop.example")
PATHS = tuple(f"/{number}" for number in range(4))
_SPACE = uuid.UUID("1c8f0f9e-54ab-4c57-9c0e-8f6f4a3f0f11")

# Source, detail, channel, referrer.
ORIGINS: tuple[dict[str, str], ...] = (
    {},
    {
        "source": "Search",
        "source_detail": "Google",
        "channel": "Search",
        "referrer": "https://www.google.com/",
    },
    {"source": "Search", "source_detail": "Kagi", "channel": "Search", "referrer": "https://kagi.com/"},
    {"source": "x.example", "channel": "Referral", "referrer": "https://x.example/1"},
    {"source": "x.example", "channel": "Campaign", "utm_source": "x", "utm_campaign": "spring"},
)
CLIENTS: tuple[dict[str, str], ...] = (
    {},
    {
        "country": "DE",
        "browser": "Firefox",
        "os": "Linux",
        "device": "desktop",
        "language": "de",
        "screen": "1920x1080",
    },
    {
        "country": "FR",
        "browser": "Safari",
        "os": "iOS",
        "device": "mobile",
        "language": "fr",
        "screen": "390x844",
    },
)


def moment(day: datetime.date, seconds: int) -> datetime.datetime:
    """A time of a day in UTC."""
    return datetime.datetime.combine(day, datetime.time(), datetime.UTC) + datetime.timedelta(seconds=seconds)


def make_history(dice: random.Random, days: list[datetime.date], hits_a_day: int) -> list[Hit]:
    """Hits of people, bots and the owner: pageviews, events with properties, missing pages, titles that change."""
    return [_make(dice, day) for day in days for _ in range(hits_a_day)]


def _make(dice: random.Random, day: datetime.date) -> Hit:
    site, visitor = dice.choice(SITES), dice.randrange(12)
    rest: dict[str, Any] = {**dice.choice(ORIGINS), **CLIENTS[visitor % 3]}
    if dice.random() < 0.15:
        rest |= {"is_bot": True, "bot_name": dice.choice(("Googlebot", "curl")), "bot_class": "search"}
    if dice.random() < 0.2:
        rest |= {
            "event": dice.choice(("signup", "buy")),
            "props": dice.choice((None, '{"plan":"pro","n":3}')),
        }
    return make_hit(
        hit_id=uuid.UUID(int=dice.getrandbits(128)),
        site=site, host=site, day=day, received_at=moment(day, dice.randrange(86_400)),
        path=dice.choice(PATHS), title=dice.choice((None, "One", "Two", "Three")),
        status=dice.choice((None, 200, 404)), is_me=dice.random() < 0.1,
        session_id=None if visitor == 0 else uuid.uuid5(_SPACE, f"{day} {site} {visitor}"),
        **rest,
    )  # fmt: skip


def make_posts(connection: Connection, first: datetime.date) -> None:
    """A post of each page of the history, an odd while apart; one is of a day before it."""
    posts = [
        Post(
            site, site, path, f"Post {path}", f"https://{site}{path}", moment(first, (number * 7 - 5) * 4_321)
        )
        for site in SITES
        for number, path in enumerate(PATHS)
    ]
    put_posts(connection, "blog.example/feed.xml", posts, sleep=lambda _: None)


def settings_of(url: str) -> Settings:
    """Settings of a stack on this database."""
    return make_settings(DATABASE_URL=url)


def store(settings: Settings, *batches: list[Hit]) -> None:
    """Store batches and count them; the pages become posts after the first batch."""
    with connect(settings, "enricher") as connection:
        writer = Store(connection)
        for number, batch in enumerate(batches):
            put(writer, *batch)
            if number == 0:
                count(settings)
                with connect(settings, "rollup") as maker:
                    make_posts(maker, min(hit.day for hits in batches for hit in hits))
    count(settings)


def count(settings: Settings) -> None:
    """Refresh until nothing waits."""
    with connect(settings, "rollup") as connection:
        prepare(connection)
        while refresh(connection):
            pass


# By hand, one session after the other: not as the product does it.
def count_sessions(connection: Any) -> None:
    """Fill the rollups of sessions and take the marks."""
    rows = connection.execute(
        "select site_id, day, session_id, page_id from hits_to_count where is_pageview and session_id is not null"
        " order by received_at, hit_id"
    ).fetchall()
    sessions: dict[Any, list[int]] = {}
    for site_id, day, session_id, page_id in rows:
        sessions.setdefault((day, site_id, session_id), []).append(page_id)
    days: dict[Any, list[int]] = {}
    entries: dict[Any, list[int]] = {}
    exits: dict[Any, int] = {}
    for (day, site_id, _), pages in sessions.items():
        for counts in (
            days.setdefault((day, site_id), [0, 0]),
            entries.setdefault((day, site_id, pages[0]), [0, 0]),
        ):
            counts[0] += 1
            counts[1] += len(pages) == 1
        exits[day, site_id, pages[-1]] = exits.get((day, site_id, pages[-1]), 0) + 1
    with connection.transaction():
        connection.execute("truncate rollup_sessions, rollup_entries, rollup_exits, sessions_pending")
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into rollup_sessions values (%s, %s, %s, %s)", [(*k, *v) for k, v in days.items()]
            )
            cursor.executemany(
                "insert into rollup_entries values (%s, %s, %s, %s, %s)",
                [(*k, *v) for k, v in entries.items()],
            )
            cursor.executemany(
                "insert into rollup_exits values (%s, %s, %s, %s)", [(*k, v) for k, v in exits.items()]
            )
