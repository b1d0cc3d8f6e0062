"""Sends the demo's visits through the pixel as they would come: over HTTP, now, until Ctrl-C or for some minutes."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import random
import time
import uuid
from collections import Counter
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from services.hit import RawHit
from tools.demo.traffic import Traffic
from tools.replay import send

IN_FLIGHT = 32
PAGES_A_VISIT = 1.8  # as the visits of a day have them
BOTS, MISSING, OWNER, PREFETCHED = 0.14, 0.03, 0.01, 0.02  # of visits, and of requests
FASTER = 3.0  # than people read, so that who watches sees visits go on


def request_of(hit: RawHit, address_header: str, *, prefetch: bool = False) -> tuple[str, dict[str, str]]:
    """Path with query, and headers, as the tracker would have sent this hit."""
    parameters = {"url": hit.url, "title": hit.title, "id": str(uuid.uuid4()), "event": hit.event}
    optional = {
        "referrer": hit.referrer,
        "screen": hit.screen,
        "language": hit.language,
        "status": str(hit.status or ""),
        "props": json.dumps(hit.props) if hit.props else "",
    }
    parameters |= {name: value for name, value in optional.items() if value}
    address = f'for="{hit.address}"' if address_header.lower() == "forwarded" else hit.address
    headers = {address_header: address, "User-Agent": hit.user_agent}
    if hit.anonymous:
        headers["Sec-GPC"] = "1"
    if hit.is_me:
        headers["Cookie"] = "isMe=true"
    if prefetch:
        headers["Sec-Purpose"] = "prefetch"
    return f"/a?{urlencode(parameters)}", headers


def live_visit(traffic: Traffic, dice: random.Random, now_us: int) -> list[RawHit]:
    """The hits of one visit that begins now, with the times at which they are to be sent."""
    sites = traffic.world.facts["sites"]
    [site] = dice.choices(sites, [site["visits"] for site in sites])
    kind = dice.random()
    if kind < BOTS:
        return traffic.bot(dice, site, now_us).hits
    if kind < BOTS + MISSING:
        return traffic.missing(dice, now_us).hits
    if kind < BOTS + MISSING + OWNER:
        return traffic.owner(dice, site, now_us).hits
    return traffic.person(dice, site, now_us).hits


class Live:
    """A stream of visits, and what became of their requests."""

    def __init__(self, traffic: Traffic, rate: float, address_header: str) -> None:
        self._traffic = traffic
        self._visits_a_second = rate / PAGES_A_VISIT / 60
        self._address_header = address_header
        self._dice = random.Random()
        self._due: list[tuple[float, int, RawHit]] = []
        self._numbers = itertools.count()
        self.outcomes: Counter[str] = Counter()

    async def run(self, socket: Path, seconds: float | None) -> None:
        """Until cancelled, or for so many seconds."""
        connector = aiohttp.UnixConnector(path=str(socket), limit=IN_FLIGHT)
        timeout = aiohttp.ClientTimeout(total=5)
        end_s = time.monotonic() + seconds if seconds else float("inf")
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task("", total=None)
            async with (
                aiohttp.ClientSession(
                    connector=connector, timeout=timeout, skip_auto_headers=["User-Agent"]
                ) as session,
                asyncio.TaskGroup() as sending,
            ):
                next_visit_s = time.monotonic()
                while (now_s := time.monotonic()) < end_s:
                    while next_visit_s <= now_s:
                        self._begin_visit(now_s)
                        next_visit_s += self._dice.expovariate(self._visits_a_second)
                    while self._due and self._due[0][0] <= now_s:
                        sending.create_task(self._send(session, heapq.heappop(self._due)[2]))
                    progress.update(task, description=self.summary())
                    waits_s = min(
                        next_visit_s, self._due[0][0] if self._due else now_s + 1, end_s, now_s + 0.5
                    )
                    await asyncio.sleep(max(0.0, waits_s - now_s))

    def _begin_visit(self, now_s: float) -> None:
        now_us = time.time_ns() // 1000
        for hit in live_visit(self._traffic, self._dice, now_us):
            after_s = (hit.received_at_us - now_us) / 1e6 / FASTER
            heapq.heappush(self._due, (now_s + after_s, next(self._numbers), hit))

    async def _send(self, session: aiohttp.ClientSession, hit: RawHit) -> None:
        prefetch = self._dice.random() < PREFETCHED
        self.outcomes[await send(session, *request_of(hit, self._address_header, prefetch=prefetch))] += 1

    def summary(self) -> str:
        """What became of the requests so far."""
        return f"sent {self.outcomes.total()}" + "".join(
            f", {name} {number}" for name, number in sorted(self.outcomes.items())
        )
