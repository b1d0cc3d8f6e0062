"""Destroys the keys of days that ended 6 h ago, whoever waits for them (contract guarantee 3).

A promise that waits for no server: a thread of its own keeps it from the start of the process on, because the loop
stands still while PostgreSQL hangs or is locked, and has not begun while a server is away at the start.
"""

from __future__ import annotations

import datetime
import threading
import time

from services.logs import Logger
from services.session_keys import SessionKeys

# The key goes a minute before its time, which leaves room for this.
EVERY_S = 5.0


def destroy_late(sessions: SessionKeys, log: Logger) -> None:
    """One look. Says so where KEY_DIR cannot be used: the next look may find it again."""
    try:
        names = sessions.destroy_late(datetime.datetime.now(datetime.UTC))
    except OSError as error:
        log.warning("keys-not-destroyed", error=type(error).__name__)
        return
    if names:
        log.info("keys-destroyed", names=names)


def keep_destroying_late(sessions: SessionKeys, log: Logger) -> None:
    """Look now and then, for as long as the process lives; returns at once."""

    def look() -> None:
        while True:
            destroy_late(sessions, log)
            time.sleep(EVERY_S)

    threading.Thread(target=look, name="late-keys", daemon=True).start()
