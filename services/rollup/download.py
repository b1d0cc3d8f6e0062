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
from typing import Any

LIMIT_BYTES = 100_000_000  # of what comes, and of what it unpacks to
WITHIN_S = 40.0  # less than RQ gives a job; the rollups wait meanwhile
SILENCE_S = 10.0
CHUNK_BYTES = 65_536
TRY_AGAIN = "it is tried again in a day; should that fail too, look at what the problem names"


class NotFetched(Exception):
    """There is nothing new; ``problem`` and ``what_to_do`` may be logged."""

    def __init__(self, problem: str, what_to_do: str = TRY_AGAIN) -> None:
        super().__init__(problem)
        self.problem = problem
        self.what_to_do = what_to_do


class NotThere(Exception):
    """404."""


def deadline_s() -> float:
    """When, by the monotonic clock, a download that begins now must be done."""
    return time.monotonic() + WITHIN_S


class _Redirects(urllib.request.HTTPRedirectHandler):
    """A few, and never from https to anything else."""

    max_redirections = 5

    def redirect_request(self, req: urllib.request.Request, *rest: Any) -> urllib.request.Request | None:
        following = super().redirect_request(req, *rest)
        if following and following.type not in ("https", req.type):
            raise NotFetched(f"{req.host} redirects to {following.type}")
        return following


class Metered:
    """Reads on, up to the limits of size and time; knows the checksum of what it read."""

    def __init__(self, read: Callable[[int], bytes], until_s: float) -> None:
        self._read = read
        self._until_s = until_s
        self._bytes = 0
        self.checksum = hashlib.sha256()

    def read(self, size: int = CHUNK_BYTES) -> bytes:
        """So many bytes, less at the end only: gzip takes a short first read for a wrong file."""
        data = bytearray()
        while len(data) < size and (some := self._some(size - len(data))):
            data += some
        return bytes(data)

    def _some(self, size: int) -> bytes:
        if time.monotonic() > self._until_s:
            raise NotFetched(f"it took longer than {WITHIN_S:.0f} s")
        some = self._read(min(size, CHUNK_BYTES))
        self._bytes += len(some)
        if self._bytes > LIMIT_BYTES:
            raise NotFetched(f"it is larger than {LIMIT_BYTES // 1_000_000} MB")
        self.checksum.update(some)
        return some


def _words(error: Exception) -> str:
    """What an error of the network or of a format says, without its text, which may quote an address."""
    reason = getattr(error, "reason", None)
    cause = reason if isinstance(reason, Exception) else error
    return f"{type(cause).__name__} {getattr(cause, 'strerror', None) or ''}".strip()


@contextlib.contextmanager
def answer_of(
    address: str, until_s: float, credentials: tuple[str, str] | None = None, if_refused: str = TRY_AGAIN
) -> Iterator[Metered]:
    """The body of an answer, to be read within the block; ``if_refused`` says what to do about 401 and 403.

    Raises ``NotThere`` and ``NotFetched``, for what goes wrong while it is read and unpacked too.
    """
    try:
        request = urllib.request.Request(address, headers={"User-Agent": "footfall"})  # noqa: S310 - the setting: http(s)
        if credentials:
            pair = ":".join(credentials).encode()
            request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(pair).decode())
        with urllib.request.build_opener(_Redirects).open(request, timeout=SILENCE_S) as answer:
            yield Metered(answer.read1, until_s)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.NOT_FOUND:
            raise NotThere from None
        refused = error.code in (http.client.UNAUTHORIZED, http.client.FORBIDDEN)
        raise NotFetched(f"HTTP status {error.code}", if_refused if refused else TRY_AGAIN) from None
    except (OSError, EOFError, ValueError, zlib.error, tarfile.TarError, http.client.HTTPException) as error:
        raise NotFetched(_words(error)) from None
