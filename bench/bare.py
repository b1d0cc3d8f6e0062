"""The yardstick: a bare aiohttp application on uvloop that answers a GIF and does nothing else.

``python -m bench.bare PORT``
"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from aiohttp import web

from bench.traffic import PATH

GIF = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")


async def answer(_: web.Request) -> web.Response:
    """The GIF."""
    return web.Response(body=GIF, content_type="image/gif", headers={"Cache-Control": "no-store"})


async def run(port: int) -> None:
    """Serve until killed."""
    application = web.Application()
    application.router.add_get(PATH, answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=2_048).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(run(int(sys.argv[1])))
