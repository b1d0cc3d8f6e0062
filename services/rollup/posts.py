"""The owner's posts: keeps those of the feeds that FEEDS names, and counts their first hours.

Once a post is a row, each refresh counts its hits into ``rollup_posts``. Those that were counted before are added
here, in the transaction that makes the row and under the refresh's lock: no hit is counted by both or by none. A
post's time is the one that its feed gave first: to move it would be to count anew what may be gone.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, LiteralString, NamedTuple

from services.database import Connection, load_sql
from services.logs import Logger
from services.page_address import is_local, parse_address, path_of
from services.redact import redaction_of
from services.rollup.download import NotFetched
from services.rollup.feed_question import Condition, fetch
from services.rollup.feeds import Entries, PageOf, Post, names_of, read
from services.rollup_statements import columns, plain_statement
from services.rollups import REFRESH_LOCK, ROLLUPS
from services.settings import Settings
from services.sites import Sites

# Further feeds come first the next time; what else the worker has to do waits meanwhile.
ALL_WITHIN_S = 40.0
# Then a feed is read whole though it says that it has not changed: settings may have, or rows were deleted by hand.
WHOLE_EVERY = datetime.timedelta(days=1)
# Posts that are counted at once: the days of their first week are read once, in 0.1 s for 300,000 hits a day.
GROUP = datetime.timedelta(days=2)
# Days beside those weeks in which their hits may lie: those of another time zone.
BESIDE = datetime.timedelta(days=2)
WEEK = datetime.timedelta(days=7)
APART_S = 0.1  # a refresh tries for its lock every 50 ms

_SQL = Path(__file__).with_name("sql")
MAKE_POST_SITES = load_sql(_SQL / "make_post_sites.sql")
MAKE_POST_PAGES = load_sql(_SQL / "make_post_pages.sql")
FIND_POSTS = load_sql(_SQL / "find_posts.sql")
PUT_POSTS = load_sql(_SQL / "put_posts.sql")
NAME_POSTS = load_sql(_SQL / "name_posts.sql")
RECORD_FEED = load_sql(_SQL / "record_feed.sql")

_ROLLUP = next(rollup for rollup in ROLLUPS if rollup.name == "posts")
COUNT: LiteralString = f"""-- rollup: count posts
insert into rollup_posts ({columns(_ROLLUP)})
{plain_statement(_ROLLUP, "h.page_id = any(%(page_ids)s) and h.day between %(first)s and %(last)s")}
"""


class _Known(NamedTuple):
    """What the table says of a feed."""

    name: str
    error: str | None
    condition: Condition  # none where it is to be read whole


def page_of(settings: Settings) -> PageOf:
    """Site, host and path of an address, as hits of that page have them; None for a page of no site."""
    sites, redact = Sites(settings.sites), redaction_of(settings)

    def page(url: str) -> tuple[str, str, str] | None:
        address = parse_address(url)
        site = sites.site_of(address.host) if address and not is_local(address.host) else None
        if not (address and site):
            return None
        return site, address.host, path_of(address, redact, hash_routing=settings.hash_routing)

    return page


def look(connection: Connection, settings: Settings, log: Logger) -> None:
    """Ask all feeds for what is new. One that fails is named, and keeps no other from being read.

    Blocks for a minute at most, and for as long as the hits of new posts take to count. Raises ``psycopg.Error``.
    """
    addresses = names_of(settings.feeds)
    drop_unnamed(connection, settings.feeds)
    page, until_s = page_of(settings), time.monotonic() + ALL_WITHIN_S
    for known in _take_up(connection, list(addresses)):
        if time.monotonic() > until_s:
            log.warning(
                "feeds-left", what_to_do="they are asked first the next time; name fewer feeds that are slow"
            )
            return
        _look_at(connection, known, addresses[known.name], page, log)


def drop_unnamed(connection: Connection, addresses: Sequence[str]) -> None:
    """Have no row for a feed that FEEDS names no more; its posts stay. Raises ``psycopg.Error``."""
    with connection.transaction():
        connection.execute("delete from feeds where feed <> all (%s)", [list(names_of(addresses))])


def _take_up(connection: Connection, names: list[str]) -> list[_Known]:
    """Have a row for each feed that is named; those asked longest ago come first."""
    with connection.transaction():
        connection.execute(
            "insert into feeds (feed) select unnest(%s::text[]) on conflict (feed) do nothing", [names]
        )
        rows = connection.execute(
            "select feed, error, etag, last_modified, coalesce(read_at < now() - %s, true)"
            " from feeds order by tried_at nulls first, feed",
            [WHOLE_EVERY],
        ).fetchall()
    return [
        _Known(name, error, Condition() if whole else Condition(etag, modified))
        for name, error, etag, modified, whole in rows
    ]


def _look_at(connection: Connection, known: _Known, address: str, page: PageOf, log: Logger) -> None:
    problem: str | None = None
    entries: Entries | None = None
    condition = Condition()
    try:
        if answer := fetch(address, known.condition):
            condition = answer.condition
            entries = read(answer, page, datetime.datetime.now(datetime.UTC))
    except NotFetched as error:
        problem = error.problem
    if entries:
        new = put(connection, known.name, entries.posts)
        if new:
            log.info("posts-found", feed=known.name, posts=new, skipped=entries.skipped)
    _record(connection, known.name, problem, entries, condition)
    if problem != known.error:
        told = {"problem": problem, "what_to_do": "look at the feed's address in FEEDS; its posts stay"}
        log.warning("feed-fails", feed=known.name, **told) if problem else log.info(
            "feed-is-well", feed=known.name
        )


def _record(
    connection: Connection, feed: str, error: str | None, entries: Entries | None, condition: Condition
) -> None:
    """After its posts are in: were this process killed before, the feed is read whole again."""
    values: dict[str, Any] = {
        "feed": feed,
        "error": error,
        "was_read": entries is not None,
        "entries": entries.entries if entries else None,
        "skipped": entries.skipped if entries else None,
        **condition._asdict(),
    }
    with connection.transaction():
        connection.execute(RECORD_FEED, values)


def put(
    connection: Connection, feed: str, posts: list[Post], sleep: Callable[[float], None] = time.sleep
) -> int:
    """Make those of a feed's posts that are new, and name the others as it does now; how many are new.

    For one connection at a time (``connect_to_slow``). Raises ``psycopg.Error``.
    """
    numbered = _numbered(connection, posts)
    new = [(page_id, post) for page_id, is_known, post in numbered if not is_known]
    for group in _groups(new):
        _put_group(connection, feed, group)
        sleep(APART_S)
    with connection.transaction():
        connection.execute(NAME_POSTS, _lists(feed, [(page_id, post) for page_id, _, post in numbered]))
    return len(new)


def _numbered(connection: Connection, posts: list[Post]) -> list[tuple[int, bool, Post]]:
    """Posts with the numbers of their pages, and whether they are rows already."""
    lists = {
        "sites": [post.site for post in posts],
        "hosts": [post.host for post in posts],
        "paths": [post.path for post in posts],
    }
    with connection.transaction():
        for statement in (MAKE_POST_SITES, MAKE_POST_PAGES):
            connection.execute(statement, lists)
        rows = connection.execute(FIND_POSTS, lists).fetchall()
    return [(page_id, is_known, post) for (page_id, is_known), post in zip(rows, posts, strict=True)]


_Group = list[tuple[int, Post]]


def _groups(posts: _Group) -> Iterator[_Group]:
    """Posts of about the same time."""
    group: _Group = []
    for page_id, post in sorted(posts, key=lambda numbered: numbered[1].published_at):
        if group and post.published_at - group[0][1].published_at > GROUP:
            yield group
            group = []
        group.append((page_id, post))
    if group:
        yield group


def _lists(feed: str, posts: _Group) -> dict[str, Any]:
    return {
        "feed": feed,
        "page_ids": [page_id for page_id, _ in posts],
        "titles": [post.title for _, post in posts],
        "urls": [post.url for _, post in posts],
        "published": [post.published_at for _, post in posts],
    }


def _put_group(connection: Connection, feed: str, group: _Group) -> None:
    lists = _lists(feed, group)
    days = {
        "first": (min(lists["published"]) - BESIDE).date(),
        "last": (max(lists["published"]) + WEEK + BESIDE).date(),
    }
    with connection.transaction():
        # Not a snapshot of before the lock was had.
        connection.execute("set transaction isolation level read committed")
        connection.execute("select pg_advisory_xact_lock(%s)", [REFRESH_LOCK])
        connection.execute(PUT_POSTS, lists)
        # Of a post that was deleted by hand.
        connection.execute("delete from rollup_posts where page_id = any(%(page_ids)s)", lists)
        connection.execute(COUNT, lists | days)
