"""The demo's visits of fixed days, in a database: what docs/sql.md shows results of. The same whenever it is made.

The hits go the way that hits go, but for stream and keys: enriched, stored, counted. Countries are made up, as the
country database changes every month.
"""

from __future__ import annotations

import datetime
import hashlib
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from zoneinfo import ZoneInfo

from services.database import Connection, connect
from services.enricher.agents import Agents
from services.enricher.batch import Work
from services.enricher.enrich import Enricher
from services.enricher.sources import sources_of
from services.enricher.store import Store
from services.hit import VERSION, Accepted, Group, Hit
from services.hit_stream import Entry
from services.rollup.refresh import prepare, refresh
from services.rollup.sessions import count_sessions
from services.settings import Settings
from tools.demo.history import put_posts
from tools.demo.traffic import Traffic
from tools.demo.visitors import Addresses, Visitors
from tools.demo.world import load_world

SEED = 1
LAST_DAY = datetime.date(2026, 11, 22)
# Five weeks, and the first half of a month of the year before, for what is compared with it.
DAYS = [
    *(datetime.date(2025, 11, 1) + datetime.timedelta(days=number) for number in range(15)),
    *(LAST_DAY - datetime.timedelta(days=ago) for ago in reversed(range(35))),
]


class _Sessions:
    """Session ids without keys: of the demo's visitors, who are nobody."""

    def session_id(
        self,
        day: str,
        site: str,
        address: str,
        user_agent: str,
        now: datetime.datetime,
        one_off_key: str | None = None,
    ) -> bytes | None:
        text = f"{day} {site} {address} {user_agent}"
        return hashlib.blake2b(text.encode(), digest_size=16).digest()


def make_traffic() -> tuple[Traffic, Callable[[str], str]]:
    """The visits, and who tells the country of an address."""
    world = load_world(DAYS[0], LAST_DAY)
    countries: list[str] = sorted(world.facts["countries"])

    def country_of(address: str) -> str:
        return countries[zlib.crc32(address.rpartition(".")[0].encode()) % len(countries)]

    return Traffic(
        world, Visitors(world.facts, Addresses(country_of, countries)), SEED, ZoneInfo("UTC")
    ), country_of


def fill(settings: Settings) -> Iterator[datetime.date]:
    """Store and count the visits in an empty, migrated database; each day when it is stored."""
    traffic, country_of = make_traffic()
    enricher = Enricher(settings, Agents(), sources_of(settings), country_of, _Sessions())
    now = datetime.datetime.combine(LAST_DAY, datetime.time(), datetime.UTC)
    with connect(settings, "questions") as connection:
        store = Store(connection)
        for number, day in enumerate(DAYS, 1):
            store.write([_work([enricher.enrich(raw, now) for raw in traffic.hits_of(day)], number)])
            yield day
    _count(settings, traffic)


def _work(hits: list[Hit], number: int) -> Work:
    """A day's hits as one group of a pixel's."""
    counts = Counter(hit.site for hit in hits)
    accepted = [Accepted(site, str(hits[0].day), count) for site, count in counts.items()]
    group = Group(VERSION, bytes(16), number, "2026112200", accepted, [], [], b"")
    return Work(Entry(f"{number}-0", b"", 1), group, hits=hits)


def _count(settings: Settings, traffic: Traffic) -> None:
    """Rollups, posts, and sessions; then the statistics that the planner goes by."""
    with connect(settings, "questions") as connection:
        prepare(connection)
        while refresh(connection):
            pass
    put_posts(traffic.world, settings, settings.database_url)
    with connect(settings, "questions") as connection:
        while _is_marked(connection):
            count_sessions(connection)
    with connect(settings, "questions", autocommit=True) as connection:
        connection.execute("analyze")


def _is_marked(connection: Connection) -> bool:
    with connection.transaction():
        return bool(connection.execute("select from sessions_pending limit 1").fetchall())
