"""Reads a feed: what is new of it, and in our own words where something is wrong.

What came is never quoted, and the parser is given bytes: by itself it would open what looks like an address or the
name of a file.
"""

from __future__ import annotations

import calendar
import datetime
import html
import io
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from xml.sax import SAXException

import feedparser

from services.rollup.download import NotFetched
from services.rollup.feed_question import Answer

# The newest of them: more are of no use to a list of ten, and each is a row that is never deleted.
MAX_ENTRIES = 300
MAX_TITLE = 200
MAX_URL = 2_048  # as the pixel cuts the address of a page
# Before that nobody had a feed; and a post may be announced, not dated at random.
FIRST_YEAR = 1990
_TAG = re.compile(r"<[^<>]*>")

PageOf = Callable[[str], tuple[str, str, str] | None]


class Post(NamedTuple):
    """An entry that is a page of one of the sites."""

    site: str
    host: str
    path: str
    title: str
    url: str
    published_at: datetime.datetime


class Entries(NamedTuple):
    """What a feed holds."""

    posts: list[Post]  # newest first, one a page
    entries: int
    skipped: int  # without a date, or without a link to a page of one of the sites


def names_of(addresses: Sequence[str]) -> dict[str, str]:
    """The addresses by names that may be shown: host and path, numbered where several are alike."""
    names: dict[str, str] = {}
    for address in dict.fromkeys(addresses):
        parts = urlsplit(address)
        place = name = f"{parts.netloc.rpartition('@')[2]}{parts.path}"
        number = 1
        while name in names:
            number += 1
            name = f"{place} ({number})"
        names[name] = address
    return names


def read(answer: Answer, page_of: PageOf, now: datetime.datetime) -> Entries:
    """The posts of a feed. ``page_of``: site, host and path of an address, None for others' pages.

    Raises ``NotFetched`` where it is no feed, or a broken one in which no entry can be found.
    """
    parsed = _parsed(answer)
    if not parsed.get("version"):
        raise NotFetched("it is no RSS or Atom feed")
    if not parsed.entries and isinstance(parsed.get("bozo_exception"), SAXException):
        raise NotFetched("its XML is broken")
    found = [_post_of(entry, page_of, now) for entry in parsed.entries]
    posts: dict[tuple[str, str, str], Post] = {}
    for post in sorted(filter(None, found), key=lambda post: post.published_at):
        posts.setdefault(post[:3], post)  # a page that several entries name was published with the first
    newest = sorted(posts.values(), key=lambda post: post.published_at, reverse=True)[:MAX_ENTRIES]
    return Entries(newest, len(found), found.count(None))


def _parsed(answer: Answer) -> Any:
    headers = {"content-location": answer.address, "content-type": answer.content_type}
    # From a file: of bytes the parser would look whether they name one. Texts are not kept, so nothing is cleaned.
    content = io.BytesIO(answer.content)
    try:
        return feedparser.parse(
            content, response_headers=headers, sanitize_html=False, resolve_relative_uris=False
        )
    except Exception as error:  # of a library that is fed by anybody: one feed is not to stop the others
        raise NotFetched(f"the parser fails with it ({type(error).__name__})") from None


def _post_of(entry: Any, page_of: PageOf, now: datetime.datetime) -> Post | None:
    published_at = _published_at(entry, now)
    url = _plain(entry.get("feedburner_origlink") or entry.get("link") or "")
    page = page_of(url) if published_at and len(url) <= MAX_URL else None
    if not (published_at and page):
        return None
    return Post(*page, _title_of(entry) or page[2][:MAX_TITLE], url, published_at)


def _published_at(entry: Any, now: datetime.datetime) -> datetime.datetime | None:
    """Atom may have the time of the last change alone."""
    at = entry.get("published_parsed") or entry.get("updated_parsed")
    if not at or not FIRST_YEAR <= at.tm_year <= now.year + 1:
        return None
    try:
        return datetime.datetime.fromtimestamp(calendar.timegm(at), datetime.UTC)
    except (ValueError, OverflowError):
        return None


def _plain(text: str) -> str:
    """What PostgreSQL takes: no NUL, no half of a character; and in one line."""
    return " ".join(text.replace("\0", "").encode(errors="ignore").decode().split())


def _title_of(entry: Any) -> str:
    """The title without markup."""
    title = str(entry.get("title") or "")
    if "html" in str((entry.get("title_detail") or {}).get("type")):
        title = html.unescape(_TAG.sub("", title))
    return _plain(title)[:MAX_TITLE]
