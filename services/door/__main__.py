"""``python -m services.door``: has the pixel's port, and lends its listening socket to every pixel that asks.

With Docker a published port belongs to one container and goes with it. This process is that container: it does not
change with the pixel, and so needs no deploy. A pixel opens PIXEL_DOOR, gets the socket (SCM_RIGHTS, which works
across containers) and accepts on it: two at once while they take turns. While there is none for a moment, connections
wait in the backlog; for longer, they are answered 503. The line to a pixel stays open, so that it sees when this
process ends.
"""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
import sys
import time

from services.listening import AWAY_AFTER_S, CannotListen, lend, listen_on_path, listen_on_port, turn_away
from services.logs import Logger, make_logger
from services.settings import SettingsError, load_settings

LOOK_EVERY_S = 0.5
CHECK_WITHIN_S = 1.0


class Lines:
    """The lines to pixels, and since when there is none. A health check's line is open for a moment only."""

    def __init__(self) -> None:
        self._opened_s: dict[socket.socket, float] = {}
        self._alone_since_s = time.monotonic()

    def opened(self, line: socket.socket) -> None:
        self._opened_s[line] = time.monotonic()

    def closed(self, line: socket.socket) -> None:
        now_s = time.monotonic()
        if now_s - self._opened_s.pop(line) > CHECK_WITHIN_S:
            self._alone_since_s = now_s

    @property
    def are_gone(self) -> bool:
        """Whether there has been no pixel for so long that those who wait are turned away."""
        return not self._opened_s and time.monotonic() - self._alone_since_s > AWAY_AFTER_S


def serve(port: socket.socket, door: socket.socket, log: Logger) -> None:
    """Lend ``port`` to whoever opens ``door``; does not return. No line of log each: health checks open it too."""
    selector, lines = selectors.DefaultSelector(), Lines()
    selector.register(door, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select(LOOK_EVERY_S):
            if key.fileobj is door:
                line, _ = door.accept()
                selector.register(line, selectors.EVENT_READ, line)
                lines.opened(line)
                with contextlib.suppress(OSError):  # gone before it had it; its line is read as ended
                    lend(port, line)
            else:  # a pixel says nothing: it is gone
                selector.unregister(key.data)
                lines.closed(key.data)
                key.data.close()
        if lines.are_gone and (number := turn_away(port)):
            log.warning("turned-away", connections=number, problem="no pixel accepts")


def main() -> int:
    """1 with an error that says what to do; else it ends by SIGTERM."""
    log = make_logger("door")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as process 1 it would not be ended by it
    try:
        settings = load_settings()
        if settings.pixel_door is None:
            raise CannotListen("PIXEL_DOOR: name the Unix socket over which pixels ask")
        port = listen_on_port(settings.pixel_host, settings.pixel_port)
        door = listen_on_path(settings.pixel_door, "PIXEL_DOOR")
    except SettingsError as error:
        log.error("bad-settings", problems=error.problems)
        return 1
    except CannotListen as error:
        log.error("cannot-start", problem=str(error))
        return 1
    log.info("started", port=settings.pixel_port)
    serve(port, door, log)
    return 0


if __name__ == "__main__":
    sys.exit(main())
