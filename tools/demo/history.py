"""Writes the demo's history: the hits of the last days, until now."""

from __future__ import annotations

import datetime
import hashlib
import time
from pathlib import Path

import psycopg
import redis
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.rollup.feed_question import Answer, Condition
from services.rollup.feeds import read
from services.rollup.posts import page_of, put
from services.rollup.refresh import prepare
from services.settings import Settings
from tools.demo.traffic import Traffic
from tools.demo.world import World
from tools.past_hits import PAUSE_S, STANDS_STILL_S, CannotWrite, PastHits


def write_history(
    traffic: Traffic, days: list[datetime.date], redis_url: str, key_dir: Path, seed: int
) -> int:
    """Write the hits of these days that are past; how many. Raises ``CannotWrite``."""
    now_us = time.time_ns() // 1000
    client = redis.Redis.from_url(redis_url, socket_timeout=10)
    with _progress("writing") as progress:
        task = progress.add_task("days", total=len(days))
        with PastHits(client, key_dir) as past:
            for day in days:
                past.write(hit for hit in traffic.hits_of(day) if hit.received_at_us <= now_us)
                if day < days[-1]:  # today's is not over
                    identity = hashlib.blake2b(f"left out {seed} {day}".encode(), digest_size=16).digest()
                    past.write_left_out(traffic.left_out_of(day), identity)
                progress.advance(task)
        return past.hits


def wait_until_counted(url: str) -> None:
    """Until the rollup has counted what was stored. Raises ``CannotWrite`` when it stands still."""
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection, _progress("counting") as bar:
        task = bar.add_task("batches", total=None)
        most, least, deadline = 0, None, time.monotonic() + STANDS_STILL_S
        while True:
            [(waiting,)] = connection.execute("select count(*) from rollup_pending").fetchall()
            most = max(most, waiting)
            bar.update(task, total=most, completed=most - waiting)
            if not waiting:
                return
            if least is None or waiting < least:
                least, deadline = waiting, time.monotonic() + STANDS_STILL_S
            if time.monotonic() > deadline:
                raise CannotWrite("the hits are stored, and the rollup does not count them: see its log")
            time.sleep(PAUSE_S)


def put_posts(world: World, settings: Settings, url: str) -> int:
    """Make rows of the demo's posts, as the rollup does of those in a feed of FEEDS; how many are new."""
    answer = Answer(
        world.feed().encode(),
        f"https://{world.facts['posts']['site']}/feed.xml",
        "application/atom+xml",
        Condition(),
    )
    entries = read(answer, page_of(settings), datetime.datetime.now(datetime.UTC))
    with psycopg.connect(url, connect_timeout=5) as connection:
        prepare(connection)
        return put(connection, "demo", entries.posts)


def _progress(what: str) -> Progress:
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))
