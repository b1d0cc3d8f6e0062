"""At most so many hits a minute from one client, known by a hash that is never kept or written.

The hash is keyed with random bytes that change every minute, together with the counts: nothing of a client
outlives its minute.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable

WINDOW_S = 60.0
MAX_CLIENTS = 200_000  # about 20 MB; beyond it the window begins anew


class RateLimit:
    """A fixed window of a minute for all clients."""

    def __init__(self, hits_a_minute: int, clock: Callable[[], float]) -> None:
        self._limit = hits_a_minute
        self._clock = clock
        self._counts: dict[bytes, int] = {}
        self._key = b""
        self._ends_at = 0.0
        self._most = 0

    @property
    def most_clients(self) -> int:
        """How many clients the fullest minute had, since the start; 0: none came, or there is no limit."""
        return max(self._most, len(self._counts))

    def allows(self, address: str) -> bool:
        """Whether this hit is within the limit. Counts it."""
        if not self._limit:
            return True
        now = self._clock()
        if now >= self._ends_at or len(self._counts) > MAX_CLIENTS:
            self._most = self.most_clients
            self._counts = {}
            self._key = secrets.token_bytes(16)
            self._ends_at = now + WINDOW_S
        client = hashlib.blake2b(address.encode(), digest_size=8, key=self._key).digest()
        count = self._counts[client] = self._counts.get(client, 0) + 1
        return count <= self._limit

    def retry_after_s(self) -> int:
        """Seconds until the window ends, at least 1."""
        return max(1, int(self._ends_at - self._clock()) + 1)
