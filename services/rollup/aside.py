"""Slow work beside the jobs: a worker runs one job at a time, and hits are to be counted within 2 s meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable

from services.database import Connection

# Most of the time the work is done by then, and its job ends as it did; a refresh may wait so long.
WAIT_S = 0.2


class Aside:
    """One piece of work at a time, in a thread and on a connection of its own."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def run(self, work: Callable[[Connection], None], wait_s: float = WAIT_S) -> bool:
        """Begin the work, unless the last one is under way still; whether it is done. Blocks for ``wait_s``.

        Raises what the work raised, if need be in the next call.
        """
        if self._is_done():
            self._thread = threading.Thread(target=self._work, args=(work,), name="aside", daemon=True)
            self._thread.start()
            self._thread.join(wait_s)
        return self._is_done()

    def _is_done(self) -> bool:
        """Whether nothing is under way; raises, once, what the last work raised."""
        if self._thread and self._thread.is_alive():
            return False
        error, self._error = self._error, None
        if error is not None:
            raise error
        return True

    def _work(self, work: Callable[[Connection], None]) -> None:
        try:
            with self._connect() as connection:
                work(connection)
        except Exception as error:  # the job raises it
            self._error = error
