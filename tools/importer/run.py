"""One run: opens the files, writes their hits, waits until they are counted, seals what is beyond the retention."""

from __future__ import annotations

import datetime
import hashlib
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import redis
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from services.retention import first_kept_day
from services.session_keys import ONE_OFF_KEY_LATEST, OneOffKeys, one_off_key_end
from services.settings import Settings
from tools.arguments import BadRequest
from tools.importer.events import EventHits
from tools.importer.hits import Maker, Record
from tools.importer.logs import LogHits
from tools.importer.reading import Log
from tools.importer.report import Report
from tools.importer.request import Request
from tools.importer.stored import (
    Connection,
    ImportRow,
    NotSealed,
    are_there,
    check_settings,
    countries,
    wait_until_counted,
)
from tools.past_hits import PastHits

BATCH = 2_000  # records
LOOK_EVERY_S = 0.5  # at a log that is followed
# Before a key's end a run that follows goes over to another: what it has written is taken by then.
KEY_MARGIN = datetime.timedelta(minutes=10)
SEALED = "its day is sealed: it had hits before, and they were dropped after RETENTION_DAYS"
Source = LogHits | EventHits


class Import:
    """One run, on open connections."""

    def __init__(
        self, request: Request, settings: Settings, connection: Connection, client: redis.Redis
    ) -> None:
        self._request = request
        self._settings = settings
        self._connection = connection
        self._client = client
        self.report = Report("row" if request.is_database else "line")

    def run(self, said: Callable[[str], None]) -> None:
        """Import; ``said`` is told the report. Follows until it is interrupted. Raises what ``__main__`` says."""
        today = datetime.datetime.now(self._settings.report_timezone).date()
        first_kept = first_kept_day(today, self._settings.retention_days)
        check_settings(self._connection, self._settings, first_kept)
        with ExitStack() as files, _progress() as progress:
            sources = [files.enter_context(closing(source)) for source in self._sources()]
            row = self._row_of(sources, first_kept)
            with self._past(row) as past:
                past.wait_for_others()  # of an earlier run: else they would be written again
                for source in sources:
                    self._import(source, row, past, progress)
                unsealed = self._settle(row, progress)
                progress.stop()
                for line in self.report.lines():
                    said(line)
                if unsealed:
                    raise NotSealed("\n".join(unsealed))
                if self._request.follows:
                    said("following; Ctrl-C ends it")
                    self._follow(sources[-1], row, past)
            while self._request.follows:
                with self._past(row) as past:
                    self._follow(sources[-1], row, past)
            row.end()

    def _sources(self) -> Iterator[Source]:
        """Each opened, and known to be what it should be, before anything is written. Raises ``BadInput``."""
        request, maker = self._request, Maker(self._settings, self._request.site)
        if request.is_database:
            zone = request.timezone or self._settings.report_timezone
            names = countries(self._connection)
            yield EventHits(request.files[0], zone, request.site, names, maker)
            return
        for name in request.files:
            is_followed = request.follows and name == request.files[-1]
            yield LogHits(Log(name, is_followed=is_followed), request.site, request.format, maker)

    def _row_of(self, sources: list[Source], first_kept: datetime.date) -> ImportRow:
        digest = hashlib.blake2b(self._request.site.encode(), digest_size=16, person=b"footfall import")
        for source in sources:
            digest.update(source.head)
        row = ImportRow(self._connection, uuid.UUID(bytes=digest.digest(), version=5), first_kept)
        if not row.is_alone():
            raise BadRequest(f"another run imports {self._request.files[0]} right now: wait for its end")
        return row

    def _past(self, row: ImportRow) -> PastHits:
        """Under the key of an earlier run that was ended, if it lives: a person's session goes on in it."""
        key_dir: Path = self._settings.key_dir
        name = row.key_name()
        if not (name and OneOffKeys(key_dir).is_alive(name) and _is_good_for_long(name)):
            name = OneOffKeys(key_dir).make(datetime.datetime.now(datetime.UTC))
            row.begin(name)
        return PastHits(self._client, key_dir, key_name=name, resumable=True)

    def _import(self, source: Source, row: ImportRow, past: PastHits, progress: Progress) -> None:
        task = progress.add_task(Path(source.name).name, total=source.size or None)
        for batch in _batches(source.records()):
            self._take(source.name, batch, row, past)
            progress.update(task, completed=source.position())
        past.wait_until_taken()  # a later file may have the same lines
        progress.update(task, total=1, completed=1)

    def _take(self, name: str, batch: list[Record], row: ImportRow, past: PastHits) -> None:
        report = self.report
        report.read += len(batch)
        there = are_there(self._connection, [record.hit for record in batch if record.hit])
        new = []
        for place, hit, why_not in batch:
            if hit is None:
                report.skip(why_not, name, place)
            elif hit.hit_id in there:
                report.there += 1
            elif row.is_sealed(hit.day):
                report.skip(SEALED, name, place)
            else:
                new.append(hit)
                report.days[hit.day] += 1
        past.write(new)
        report.imported += len(new)

    def _settle(self, row: ImportRow, progress: Progress) -> list[str]:
        """Until the views show it; then days beyond the retention are sealed. What went wrong with which."""
        task = progress.add_task("counting", total=None)
        wait_until_counted(self._connection)
        progress.update(task, total=1, completed=1)
        days = row.opened_days()
        if days:
            task = progress.add_task("sealing days", total=len(days))
        problems = []
        for day in days:
            try:
                row.seal(day)
                self.report.sealed.append(day.isoformat())
            except NotSealed as error:
                problems.append(str(error))
            progress.advance(task)
        return problems

    def _follow(self, source: Source, row: ImportRow, past: PastHits) -> None:
        """What is appended, until the key's end comes near."""
        if not isinstance(source, LogHits):
            raise BadRequest("FOLLOW is for logs")
        waiting: list[Record] = []
        for record in source.follow():
            if record is not None:
                waiting.append(record)
            if waiting and (record is None or len(waiting) == BATCH):
                self._take(source.name, waiting, row, past)
                waiting = []
            if record is None:
                if not _is_good_for_long(past.key_name):
                    return
                time.sleep(LOOK_EVERY_S)


def _is_good_for_long(key_name: str) -> bool:
    end = one_off_key_end(key_name) + ONE_OFF_KEY_LATEST - KEY_MARGIN
    return datetime.datetime.now(datetime.UTC) < end


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    for record in records:
        batch.append(record)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _progress() -> Progress:
    columns: Any = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))
