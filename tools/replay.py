"""`make replay LOG=…`: sends the page views of an access log through the pixel, now.

With the log's address, User-Agent, page and referrer, over the pixel's Unix socket, on which the owner's own
tools may name the client. A request that is not answered is sent again under the same id, so that servers may be
killed meanwhile and every page view still counts once.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import sys
import uuid
from collections import Counter
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.settings import SettingsError, load_settings
from tools.access_log import Line, own_host, page_of, parse_line
from tools.arguments import Argument
from tools.stack import NoStack, pixel_socket, running_urls

ARGUMENTS = (
    Argument("LOG", "an access log in the common or combined format, gzip or not"),
    Argument("SITE", "the host of its pages; without it, the one that its referrers name most"),
)
IN_FLIGHT = 64
GIVE_UP_AFTER_S = 60.0
PAUSE_S = 0.25


class ReplayError(Exception):
    """The log cannot be replayed; the text says what to do."""


def read_log(path: Path) -> tuple[list[Line], int]:
    """The lines of a log (gzip or not), and how many could not be read. Raises ``ReplayError``."""
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (OSError, EOFError) as error:
        raise ReplayError(f"LOG: cannot read {path}: {error}") from error
    texts = content.decode("utf-8", "replace").splitlines()
    lines = [line for line in map(parse_line, texts) if line is not None]
    if not lines:
        raise ReplayError(f"LOG: {path} has no line in the common or combined log format")
    return lines, len(texts) - len(lines)


def request_of(line: Line, host: str, hit_id: uuid.UUID, address_header: str) -> tuple[str, dict[str, str]]:
    """Path with query, and headers, of the request that the line's page view would have sent."""
    parameters = {"url": page_of(line, host)[:2048], "status": str(line.status), "id": str(hit_id)}
    if line.referrer:
        parameters["referrer"] = line.referrer[:2048]
    query = urlencode(parameters)
    if len(query) > 8_000:  # percent signs triple what was long already
        parameters.pop("referrer", None)
        query = urlencode(parameters)
    address = f'for="{line.address}"' if address_header.lower() == "forwarded" else line.address
    agent = line.user_agent.encode("latin-1", "ignore").decode("latin-1")
    return f"/a?{query}", {
        address_header: address,
        "User-Agent": "".join(c for c in agent if c.isprintable()),
    }


async def send(session: aiohttp.ClientSession, target: str, headers: dict[str, str]) -> str:
    """What the pixel says became of it, tried again while it cannot say."""
    deadline = asyncio.get_running_loop().time() + GIVE_UP_AFTER_S
    while True:
        problem = "no answer"
        try:
            async with session.get(f"http://pixel{target}", headers=headers) as answer:
                if answer.status not in (429, 503):
                    return answer.headers.get("X-Footfall", f"status {answer.status}").split("; dropped")[0]
                problem = f"status {answer.status}"
        except (aiohttp.ClientError, TimeoutError, OSError):
            pass
        if asyncio.get_running_loop().time() > deadline:
            return f"given up; {problem}"
        await asyncio.sleep(PAUSE_S)


async def replay(lines: list[Line], host: str, address_header: str, socket: Path) -> Counter[str]:
    """Send all; how many had which outcome."""
    run = uuid.uuid4()
    outcomes: Counter[str] = Counter()
    numbered = iter(enumerate(lines))
    connector = aiohttp.UnixConnector(path=str(socket), limit=IN_FLIGHT)
    timeout = aiohttp.ClientTimeout(total=5)
    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("replay", total=len(lines))
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, skip_auto_headers=["User-Agent"]
        ) as session:

            async def work() -> None:
                for number, line in numbered:
                    hit_id = uuid.uuid5(run, str(number))
                    outcomes[await send(session, *request_of(line, host, hit_id, address_header))] += 1
                    progress.advance(task)

            await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
    return outcomes


def main(log: str, site: str) -> int:
    """0 when every page view was accepted or excluded; 1 else."""
    if not log:
        print("usage: make replay LOG=access.log [SITE=example.com]", file=sys.stderr)
        return 1
    try:
        running_urls()
        settings = load_settings()
        lines, unreadable = read_log(Path(log))
        views = [line for line in lines if line.is_page_view]
        host = site or own_host(lines) or "replay.example"
        print(
            f"{len(lines)} lines, {unreadable} unreadable, {len(views)} page views of {host} (SITE= says another)"
        )
        outcomes = asyncio.run(replay(views, host, settings.client_address_header, pixel_socket()))
    except (NoStack, ReplayError) as error:
        print(error, file=sys.stderr)
        return 1
    except SettingsError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return 1
    accepted = outcomes.pop("accepted", 0)
    excluded = {name: number for name, number in outcomes.items() if name.startswith("excluded")}
    print(f"sent {len(views)}")
    print(f"accepted {accepted}")
    print(f"excluded {sum(excluded.values())}")
    for name, number in sorted(outcomes.items()):
        print(f"  {name} {number}")
    return 0 if accepted + sum(excluded.values()) == len(views) else 1


if __name__ == "__main__":
    sys.exit(main(os.environ.get("LOG", ""), os.environ.get("SITE", "")))
