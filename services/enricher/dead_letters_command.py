"""What `make dead-letters` and `python -m services.enricher dead-letters` are asked, do and print."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from services.database import Connection
from services.enricher.agents import Agents
from services.enricher.dead_letters import Heap, Replay, Replayed, Which, drop, heaps
from services.enricher.enrich import Enricher
from services.enricher.sources import sources_of
from services.session_keys import SessionKeys
from services.settings import Settings

USAGE = "write nothing, JSON=1, REPLAY=… or DROP=…, each with all, a reason or the id of a letter"
GOES_ON = "run it again: what is done is done, the other letters are as they were"
REASONS = {"url", "enrich", "row", "deliveries", "seal", "hits", "counts", "limits", "empty", "version",
           "not-a-group", "too-late"}  # fmt: skip


class BadRequest(Exception):
    """What was asked cannot be done; the text says what to write."""


class Request(NamedTuple):
    """To list, unless it says to replay or to drop."""

    replay: Which | None = None
    drop: Which | None = None
    as_json: bool = False


def request_of(arguments: Sequence[str]) -> Request:
    """What is asked. Raises ``BadRequest``."""
    words = dict.fromkeys(("REPLAY", "DROP", "JSON"), "")
    for argument in arguments:
        name, is_given, value = argument.partition("=")
        if not is_given or name not in words:
            raise BadRequest(f"{argument}: {USAGE}")
        words[name] = value
    if sum(map(bool, words.values())) > 1:
        raise BadRequest(f"one at a time: {USAGE}")
    return Request(_which(words["REPLAY"]), _which(words["DROP"]), bool(words["JSON"]))


def _which(text: str) -> Which | None:
    if not text:
        return None
    if text == "all":
        return Which()
    if text in REASONS:
        return Which(reason=text)
    try:
        return Which(id=uuid.UUID(text))
    except ValueError:
        raise BadRequest(f"{text} is no reason and no id of a letter: {USAGE}") from None


def answer(request: Request, connection: Connection, settings: Settings) -> Iterator[str]:
    """Does what is asked; lines for standard output, each when its part is committed. Raises ``psycopg.Error``."""
    if request.drop is not None:
        yield f"{drop(connection, request.drop):,} hits' letters emptied; the ledger counts them as before"
    elif request.replay is not None:
        yield from _replay(request.replay, connection, settings)
    elif request.as_json:
        yield json.dumps([heap._asdict() for heap in heaps(connection)], default=str, ensure_ascii=False)
    else:
        yield from _list(heaps(connection))


def _replay(which: Which, connection: Connection, settings: Settings) -> Iterator[str]:
    sessions = SessionKeys(settings.key_dir, settings.report_timezone)  # asked for none: the person is gone
    enricher = Enricher(settings, Agents(), sources_of(settings), lambda _: None, sessions)
    today = datetime.datetime.now(settings.report_timezone).date()
    total = Replayed(0, 0, 0, 0)
    for step in Replay(connection, enricher, settings.retention_days, today).run(which):
        total = Replayed(*(a + b for a, b in zip(total, step, strict=True)))
    yield f"{total.stored:,} hits stored, {total.duplicate:,} were there already"
    if total.failed:
        yield f"{total.failed:,} failed again: their letters stay"
    if total.too_late:
        yield f"{total.too_late:,} are older than RETENTION_DAYS: their letters stay until they are dropped"


def _list(found: list[Heap]) -> Iterator[str]:
    if not found:
        yield "no dead letters"
    for heap in found:
        replayable = f", {heap.replayable:,} can be replayed" if heap.replayable else ""
        site = _plain(heap.site) or "(no site could be told)"
        yield f"{heap.day}  {heap.reason}  {site}: {heap.hits:,} hits{replayable}, newest {heap.newest_at:%F %T %Z}"
        for example in heap.examples or []:
            told = (_plain(str(example[name])) for name in ("error", "url", "title") if example[name])
            yield f"    {example['id']}  {' | '.join(told)}"


def _plain(text: str) -> str:
    """Without what would move a terminal's cursor: strangers wrote it."""
    return "".join(character if character.isprintable() else "�" for character in text)[:200]
