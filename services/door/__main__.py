"""``python -m services.door``: has the pixel's port, and lends its listening socket to every pixel that asks.

With Docker a published port belongs to one container and goes with it. This process is that container: it accepts
nothing itself, does not change with the pixel, and so needs no deploy. A pixel opens PIXEL_DOOR, gets the socket
(SCM_RIGHTS, which works across containers) and accepts on it: two at once while they take turns, and while there is
none, connections wait in the backlog. The line to a pixel stays open, so that it sees when this process ends.
"""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
import sys

from services.listening import CannotListen, lend, listen_on_path, listen_on_port
from services.logs import make_logger
from services.settings import SettingsError, load_settings


def serve(port: socket.socket, door: socket.socket) -> None:
    """Lend ``port`` to whoever opens ``door``; does not return. No line of log each: health checks open it too."""
    lines = selectors.DefaultSelector()
    lines.register(door, selectors.EVENT_READ)
    while True:
        for key, _ in lines.select():
            if key.fileobj is door:
                line, _ = door.accept()
                lines.register(line, selectors.EVENT_READ, line)
                with contextlib.suppress(OSError):  # gone before it had it; its line is read as ended
                    lend(port, line)
            else:  # a pixel says nothing: it is gone
                lines.unregister(key.data)
                key.data.close()


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
    serve(port, door)
    return 0


if __name__ == "__main__":
    sys.exit(main())
