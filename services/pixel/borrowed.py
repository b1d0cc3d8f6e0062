"""The pixel's part with the door (``services.door``): accepts on the socket that it lends, and on its next one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.listening import BACKLOG, borrow
from services.logs import Logger

ASK_WITHIN_S = 2.0
ASK_AGAIN_S = 0.2


class BorrowedSocket:
    """Holds the door's socket for as long as the door lives; asks again when it ended."""

    def __init__(self, path: Path, make_connection: Callable[[], Any], log: Logger) -> None:
        self._path = path
        self._make_connection = make_connection
        self._log = log
        self.is_held = False

    async def run(self) -> None:
        """Until cancelled, which ends accepting."""
        said = False
        while True:
            try:
                await self._accept_while_it_lives()
                said = False
            except OSError:
                if not said:
                    self._log.warning("waiting", what="the door at PIXEL_DOOR", path=str(self._path))
                said = True
            await asyncio.sleep(ASK_AGAIN_S)

    async def _accept_while_it_lives(self) -> None:
        loop = asyncio.get_running_loop()
        port, line = await asyncio.to_thread(borrow, self._path, ASK_WITHIN_S)
        with line:
            port.setblocking(False)
            line.setblocking(False)
            listener = await loop.create_server(self._make_connection, sock=port, backlog=BACKLOG)
            self.is_held = True
            self._log.info("door-open")
            try:
                await loop.sock_recv(line, 1)  # nothing is ever said: it ends
            finally:
                self.is_held = False
                listener.close()
