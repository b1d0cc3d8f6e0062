"""The hits of an access log.

A hit's id is made of its line and all lines before it: of their times, methods, paths, statuses and sizes, and not of
address and User-Agent, which nobody is to find out by trying. So the same line of the same log is the same hit,
whether the log has grown since, was rotated or was packed.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator

import msgspec

from services.hit import Given, RawHit
from services.pixel.collect import Headers
from tools.access_log import Line, own_host, page_of
from tools.importer.formats import FORMATS, format_of, text_of
from tools.importer.hits import Maker, Record
from tools.importer.reading import BadInput, Log

UNREADABLE = "not a request in the log's format"
NO_TIME = "its time cannot be read"
UNFINISHED = "the file ends within the line"
NO_AGENT = Given(is_bot=False)


def _identity_of(line: Line | None) -> bytes:
    """What of a line goes into ids: nothing of the person."""
    if line is None:
        return b"\n"
    path = line.target.partition("?")[0]
    return f"{line.at_us} {line.method} {path} {line.status} {line.size}\n".encode("utf-8", "replace")


class _Ids:
    """Of the lines of a log, one after the other."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16, person=b"footfall import")

    def pass_line(self, line: Line | None) -> None:
        """The next line."""
        self._hash.update(_identity_of(line))

    def id(self) -> str:
        """Of the line that was passed last."""
        return str(uuid.UUID(bytes=self._hash.digest(), version=5))


class LogHits:
    """Reads a log's hits. Raises ``BadInput`` where it is none."""

    unit = "line"

    def __init__(self, log: Log, site: str, format_name: str, maker: Maker) -> None:
        self._log = log
        self._maker = maker
        self.name = log.name
        self.format = format_name or format_of(log.head)
        sample = [line for line in map(self._parse, log.head) if line]
        if log.head and not sample:
            raise BadInput(
                f"{log.name}: no line of its first {len(log.head):,} is one of an access log in the "
                f"{format_name or 'combined, common or Caddy JSON'} format. Nothing of it is imported"
            )
        self.host = site or own_host(sample) or ""
        names_hosts = any(line.host for line in sample)
        if sample and not (self.host or names_hosts):
            raise BadInput(f"{log.name}: the log does not say of which site it is: say SITE=blog.example")
        if sample and not names_hosts and (why := maker.why_not_counted(self.host)):
            raise BadInput(
                f"{log.name}: the pages of {self.host} are left out ({why}): see SITES and EXCLUDED_HOSTS, "
                "or say SITE=blog.example"
            )
        self.head = _identity_of(sample[0] if sample else None)
        self._begin()

    def _parse(self, data: bytes) -> Line | None:
        if not self.format:
            self.format = format_of([data])  # the log was empty so far
        return FORMATS[self.format](text_of(data)) if self.format else None

    def _begin(self) -> None:
        self._ids = _Ids()
        self._number = 0

    @property
    def size(self) -> int:
        """Bytes of the file; 0: unknown."""
        return self._log.size

    def position(self) -> int:
        """How many of them were read."""
        return self._log.position()

    def records(self) -> Iterator[Record]:
        """What was not read yet, a line each. Raises ``BadInput``."""
        for data in self._log.lines():
            self._number += 1
            yield self._record(data)

    def follow(self) -> Iterator[Record | None]:
        """What is appended, for ever; None: nothing more for now."""
        while True:
            yield from self.records()
            if self._log.is_replaced():
                yield from self.records()  # written after the last look
                self._log.open_anew()
                self._begin()
            else:
                yield None

    def close(self) -> None:
        """Let go of the file."""
        self._log.close()

    def _record(self, data: bytes) -> Record:
        is_whole = data.endswith(b"\n")
        line = self._parse(data) if is_whole else None
        self._ids.pass_line(line)
        if line is None:
            return Record(self._number, None, UNREADABLE if is_whole else UNFINISHED)
        if line.at_us is None:
            return Record(self._number, None, NO_TIME)
        if why_not := line.why_no_page_view:
            return Record(self._number, None, why_not)
        made = self._hit_of(line, line.at_us)
        return Record(self._number, None, made) if isinstance(made, str) else Record(self._number, made)

    def _hit_of(self, line: Line, at_us: int) -> RawHit | str:
        parameters = {
            "url": page_of(line, self.host),
            "referrer": line.referrer,
            "status": str(line.status),
            "id": self._ids.id(),
        }
        headers = Headers(
            user_agent=line.user_agent,
            accept_language=line.language,
            purpose=line.purpose,
            privacy_signal=line.privacy_signal,
        )
        made = self._maker.make(parameters, headers, line.address, at_us)
        if isinstance(made, str) or line.knows_agent:
            return made
        return msgspec.structs.replace(made, given=NO_AGENT)  # else each would be a bot without a User-Agent
