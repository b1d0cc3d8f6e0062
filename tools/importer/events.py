"""The hits of a table ``events`` in SQLite, which knows no address and no User-Agent.

It tells whether a hit was a bot's and from which country, which is taken over (``services.hit.Given``). Its
``session_id`` tells one person from another under the import's key, and is not stored.
"""

from __future__ import annotations

import datetime
import hashlib
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec

from services.hit import Given
from services.pixel.collect import Headers
from tools.access_log import unix_us
from tools.importer.hits import Maker, Record
from tools.importer.logs import NO_TIME
from tools.importer.reading import BadInput

COLUMNS = (
    "id", "date", "url", "title", "session_id", "country", "host", "path", "query", "referrer",
    "normalised_referrer", "is_bot", "is_me",
)  # fmt: skip
SELECT = """
select id, date, url, title, session_id, country, host, path, query, referrer, normalised_referrer, is_bot, is_me
from events order by date, id
"""


def _number_or_text(value: Any) -> str:
    return "" if value is None else str(value)


class EventHits:
    """Reads the rows of a database. Raises ``BadInput`` where it is none of these."""

    unit = "row"

    def __init__(
        self, name: str, zone: ZoneInfo, site: str, countries: Mapping[str, str], maker: Maker
    ) -> None:
        self.name = name
        self._zone = zone
        self._site = site
        self._countries = countries
        self._maker = maker
        self._read = 0
        try:
            if not Path(name).is_file():
                raise BadInput(f"{name}: there is no such file")
            self._database = sqlite3.connect(f"file:{quote(name)}?mode=ro", uri=True)
            self._check()
            [self.size] = self._database.execute("select count(*) from events").fetchone()
            first = self._database.execute("select id, date from events order by date, id limit 1").fetchone()
        except sqlite3.Error as error:
            raise BadInput(f"{name}: no SQLite database that can be read ({error})") from None
        self.head = repr(first).encode()

    def _check(self) -> None:
        found = [row[1] for row in self._database.execute("pragma table_info(events)")]
        missing = [name for name in COLUMNS if name not in found]
        if missing:
            raise BadInput(
                f"{self.name}: it has no table `events` with the columns {', '.join(missing)}. Nothing is imported"
            )

    def position(self) -> int:
        """How many rows were read."""
        return self._read

    def records(self) -> Iterator[Record]:
        """Each row. Raises ``BadInput``."""
        try:
            with closing(self._database.cursor()) as cursor:
                for row in cursor.execute(SELECT):
                    self._read += 1
                    yield self._record(dict(zip(COLUMNS, row, strict=True)))
        except sqlite3.Error as error:
            raise BadInput(f"{self.name}: {error}, after {self._read:,} rows") from None

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _record(self, row: dict[str, Any]) -> Record:
        at_us = self._at_us(row["date"])
        if at_us is None:
            return Record(self._read, None, NO_TIME)
        parameters = {
            "url": self._url_of(row),
            "title": _number_or_text(row["title"]),
            "referrer": _number_or_text(row["referrer"]),
            "id": _id_of(row),
        }
        headers = Headers(cookie="isMe=true" if row["is_me"] else "")
        made = self._maker.make(parameters, headers, _person_of(row), at_us)
        if isinstance(made, str):
            return Record(self._read, None, made)
        given = Given(bool(row["is_bot"]), self._countries.get(_number_or_text(row["country"]).lower()))
        return Record(
            self._read,
            msgspec.structs.replace(made, given=given, anonymous=row["session_id"] in (None, "")),
        )

    def _at_us(self, value: Any) -> int | None:
        """Of an hour that came twice, the first; of one that the clocks passed over, as if they had not."""
        try:
            moment = datetime.datetime.fromisoformat(value.strip())
        except (AttributeError, ValueError):
            return None
        return unix_us(moment if moment.tzinfo else moment.replace(tzinfo=self._zone))

    def _url_of(self, row: Mapping[str, Any]) -> str:
        url = _number_or_text(row["url"])
        if url.startswith(("http://", "https://")):
            return url
        query = _number_or_text(row["query"]).removeprefix("?")
        path = _number_or_text(row["path"]) or url or "/"
        host = _number_or_text(row["host"]) or self._site
        return f"https://{host}/{path.removeprefix('/')}" + (f"?{query}" if query else "")


def _id_of(row: Mapping[str, Any]) -> str:
    """Made of the row's own id and what stands in the hit too: nothing of the person."""
    text = "\n".join(_number_or_text(row[name]) for name in ("id", "date", "host", "path"))
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16, person=b"footfall import")
    return str(uuid.UUID(bytes=digest.digest(), version=5))


def _person_of(row: Mapping[str, Any]) -> str:
    """In an address's place, whatever the session's name looks like: it is no address."""
    session = _number_or_text(row["session_id"]).encode("utf-8", "replace")
    return hashlib.blake2b(session, digest_size=16).hexdigest()
