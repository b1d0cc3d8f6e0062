"""Fetches a file over HTTP within limits of size and time, and says what went wrong without quoting anything.

Credentials go to the address alone, never to where it redirects: MaxMind redirects to another company's store.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

LIMIT_BYTES = 100_000_000  # of what comes, and of what it unpacks to
WITHIN_S = 40.0  # less than RQ gives a job; the rollups wait meanwhile
SILENCE_S = 10.0
CHUNK_BYTES = 65_536
USER_AGENT = "footfall"
TRY_AGAIN = "it is tried again in a day; should that fail too, look at what the problem names"


class NotFetched(Exception):
    """There is nothing new; ``problem`` and ``what_to_do`` may be logged. ``status``: of the answer, 0 for none."""

    def __init__(self, problem: str, what_to_do: str = TRY_AGAIN, status: int = 0) -> None:
        super().__init__(problem)
        self.problem = problem
        self.what_to_do = what_to_do
        self.status = status


class NotThere(Exception):
    """404."""


class Limits(NamedTuple):
    """How much may come, and until when by the monotonic clock; ``within_s`` is for words."""

    until_s: float
    within_s: float
    size_bytes: int

    @property
    def are_over(self) -> bool:
        """Whether it is too late."""
        return time.monotonic() > self.until_s

    def too_long(self) -> NotFetched:
        """What to raise then."""
        return NotFetched(f"it took longer than {self.within_s:.0f} s")


def limits_of_file() -> Limits:
    """Those of a file whose download begins now."""
    return Limits(time.monotonic() + WITHIN_S, WITHIN_S, LIMIT_BYTES)


class Redirects(urllib.request.HTTPRedirectHandler):
    """A few, and never from https to anything else."""

    max_redirections = 5

    def redirect_request(self, req: urllib.request.Request, *rest: Any) -> urllib.request.Request | None:
        following = super().redirect_request(req, *rest)
        if following and following.type not in ("https", req.type):
            raise NotFetched(f"{req.host} redirects to {following.type}")
        return following


class Metered:
    """Reads on, up to the limits of size and time; knows the checksum of what it read."""

    def __init__(self, read: Callable[[int], bytes], limits: Limits) -> None:
        self._read = read
        self._limits = limits
        self._bytes = 0
        self.checksum = hashlib.sha256()

    def read(self, size: int = CHUNK_BYTES) -> bytes:
        """So many bytes, less at the end only: gzip takes a short first read for a wrong file."""
        data = bytearray()
        while len(data) < size and (some := self._some(size - len(data))):
            data += some
        return bytes(data)

    def _some(self, size: int) -> bytes:
        if self._limits.are_over:
            raise self._limits.too_long()
        some = self._read(min(size, CHUNK_BYTES))
        self._bytes += len(some)
        if self._bytes > self._limits.size_bytes:
            raise NotFetched(f"it is larger than {self._limits.size_bytes // 1_000_000} MB")
        self.checksum.update(some)
        return some


def _words(error: Exception) -> str:
    """What an error of the network or of a format says, without its text, which may quote an address."""
    reason = getattr(error, "reason", None)
    cause = reason if isinstance(reason, Exception) else error
    return f"{type(cause).__name__} {getattr(cause, 'strerror', None) or ''}".strip()


@contextlib.contextmanager
def in_words(if_refused: str = TRY_AGAIN) -> Iterator[None]:
    """Whatever goes wrong while something is fetched, read and unpacked becomes ``NotFetched``, 404 ``NotThere``."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.NOT_FOUND:
            raise NotThere from None
        refused = error.code in (http.client.UNAUTHORIZED, http.client.FORBIDDEN)
        what_to_do = if_refused if refused else TRY_AGAIN
        raise NotFetched(f"HTTP status {error.code}", what_to_do, error.code) from None
    except (OSError, EOFError, ValueError, zlib.error, tarfile.TarError, http.client.HTTPException) as error:
        raise NotFetched(_words(error)) from None


def add_credentials(request: urllib.request.Request, credentials: tuple[str, str]) -> None:
    """Name and password for the request's own address, not for where that redirects."""
    pair = ":".join(credentials).encode()
    request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(pair).decode())


@contextlib.contextmanager
def answer_of(
    address: str, limits: Limits, credentials: tuple[str, str] | None = None, if_refused: str = TRY_AGAIN
) -> Iterator[Metered]:
    """The body of an answer, to be read within the block; ``if_refused`` says what to do about 401 and 403.

    Raises ``NotThere`` and ``NotFetched``, for what goes wrong while it is read and unpacked too.
    """
    with in_words(if_refused):
        request = urllib.request.Request(address, headers={"User-Agent": USER_AGENT})  # noqa: S310 - the setting: http(s)
        if credentials:
            add_credentials(request, credentials)
        with urllib.request.build_opener(Redirects).open(request, timeout=SILENCE_S) as answer:
            yield Metered(answer.read1, limits)
