"""The consumer loop: read, prepare, store, acknowledge. ``run()`` loops over ``run_once()``.

What goes wrong has four ends: the wire fails (the same batch is tried again, for as long as it takes), a value
is refused (the batch is halved until the bad hit is alone, and that one is buried), too much would be buried
(nothing is, and the same batch is tried again), anything else (a missing column after a bad deploy) ends the process.
"""

from __future__ import annotations

import contextlib
import datetime
import sys
import time
from collections.abc import Callable, Iterator

import psycopg
from redis.exceptions import RedisError, ResponseError

from services.database import Connection, cut_after, pauses_s
from services.enricher.batch import TOO_LATE, Bot, DeadLetter, Work, buried, prepare
from services.enricher.country import Countries
from services.enricher.enrich import Enricher
from services.enricher.letter_limit import LetterLimit, TooManyLetters
from services.enricher.store import Store, Written, is_bad_row
from services.enricher.time_limits import TimeLimits
from services.hit import Hit
from services.hit_stream import Entry, HitStream, entry_time_s
from services.logs import Logger
from services.metrics import EnricherMetrics
from services.sealing import SealingKeys
from services.session_keys import SessionKeys

# A batch costs some 4 ms whatever it holds. The first hit after a quiet moment is stored at once; under load
# batches keep this apart, so that many hits share one (at 5,000 hits/s: 60 µs a hit less than one after the other).
BATCH_APART_S = 0.15
# An entry holds 1 hit in quiet and up to 500 under load: how many are read follows the last batch.
BATCH_HITS = 4_000
MOST_ENTRIES = 500
# Of what was read, in one transaction: about 7,000 hits. After a quiet time an entry may hold 500 instead of 1.
BATCH_BYTES = 2_000_000
FEWEST_ENTRIES = 10
CLAIM_ENTRIES = 100
BLOCK_MS = 1_000
HOUSEKEEPING_EVERY_S = 5.0
# What was read takes a second; another process may hold a lock for longer.
STORE_WITHIN_S = 60.0


def in_batches(entries: list[Entry], most_bytes: int) -> list[list[Entry]]:
    """The entries in order, in batches of at most so many bytes or of one entry."""
    batches: list[list[Entry]] = []
    room = 0
    for entry in entries:
        if not batches or len(entry.data) > room:
            batches.append([])
            room = most_bytes
        batches[-1].append(entry)
        room -= len(entry.data)
    return batches


class Consumer:
    """One enricher. Built by ``__main__`` from its parts."""

    def __init__(
        self,
        stream: HitStream,
        connect: Callable[[], Connection],
        enricher: Enricher,
        sealing: SealingKeys,
        sessions: SessionKeys,
        countries: Countries,
        time_limits: Callable[[], TimeLimits],
        metrics: EnricherMetrics,
        log: Logger,
        max_deliveries: int,
        limit: LetterLimit,
        stopped: Callable[[], bool],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._stream = stream
        self._connect = connect
        self._enricher = enricher
        self._sealing = sealing
        self._sessions = sessions
        self._countries = countries
        self._time_limits = time_limits
        self._metrics = metrics
        self._log = log
        self._max_deliveries = max_deliveries
        self._limit = limit
        self._burying_stopped = False
        self._stopped = stopped
        self._sleep = sleep
        self._store: Store | None = None
        self._connection: Connection | None = None
        self._next_housekeeping_s = 0.0
        self._read_entries = 100
        self._next_batch_s = 0.0

    def run(self) -> None:
        """Until ``stopped``. Waits for servers that are away; raises what no waiting mends."""
        pauses = pauses_s()
        while not self._stopped():
            try:
                if not self._run_or_stop():
                    self._sleep(next(pauses))
                    continue
                pauses = pauses_s()
            except (RedisError, psycopg.OperationalError, OSError) as error:
                self._after_failure(error, next(pauses))

    def _run_or_stop(self) -> bool:
        """One round; False when too much would be buried, and nothing was."""
        try:
            self.run_once()
        except TooManyLetters as error:
            self._stop_burying(error)
            self._stream.read_own_again()
            return False
        return True

    def _stop_burying(self, error: TooManyLetters) -> None:
        """Say once what an operator has to know; the batch is tried again until it can be stored."""
        self._open_store().notes.note_stop(self._stream.consumer, error)
        if self._burying_stopped:
            return
        self._burying_stopped = True
        self._metrics.stopped_burying.set(1)
        self._log.error(
            "stopped-burying",
            problem=f"{error.letters} of the last {error.hits} hits would be dead letters; all wait on the stream",
            reasons=dict(error.reasons),
            setting="MAX_DEAD_LETTER_PERCENT",
            what_to_do="mend what broke (the last deploy? KEY_DIR?) and restart the enricher: nothing is lost. If "
            "they are to be buried all the same: restart it once with MAX_DEAD_LETTER_PERCENT=100",
        )

    def _bury_again(self) -> None:
        if self._burying_stopped:
            self._open_store().notes.forget_stop(self._stream.consumer)
            self._burying_stopped = False
            self._metrics.stopped_burying.set(0)
            self._log.info("burying-again")

    def _after_failure(self, error: Exception, pause_s: float) -> None:
        what = (
            "redis"
            if isinstance(error, RedisError)
            else "postgresql"
            if isinstance(error, psycopg.Error)
            else "keys"
        )
        self._metrics.retries.labels(what).inc()
        self._log.warning("waiting", what=what, error=type(error).__name__, next_try_s=round(pause_s, 1))
        if isinstance(error, ResponseError) and str(error).startswith("NOGROUP"):
            self._stream.ensure_group()  # the stream was lost and begun anew
        # What the last read handed out, and what could not be stored, is pending for this consumer.
        self._stream.read_own_again()
        self._drop_connection()
        self._sleep(pause_s)

    def run_once(self) -> int:
        """One round; the number of entries that were done."""
        now_s = time.time()
        self._metrics.heartbeat.set(now_s)
        claimed: list[Entry] = []
        if now_s >= self._next_housekeeping_s:
            self._next_housekeeping_s = now_s + HOUSEKEEPING_EVERY_S
            claimed = self._keep_house(now_s)
        entries = claimed or self._read()
        if not entries:
            return 0
        # While burying has stopped entries are handed out again and again for that: each alone, some would be buried.
        most = sys.maxsize if self._burying_stopped else self._max_deliveries
        tired = [entry for entry in entries if entry.deliveries > most]
        fresh = [entry for entry in entries if entry.deliveries <= most]
        with self._in_time():
            for batch in in_batches(fresh, BATCH_BYTES):
                self._process(batch)
            for entry in tired:
                self._process_alone(entry)
        return len(entries)

    def _read(self) -> list[Entry]:
        """What there is to do, in a good batch; waits for the first entry, not for a batch to fill."""
        pause_s = self._next_batch_s - time.monotonic()
        if pause_s > 0:
            self._sleep(pause_s)
        entries = self._stream.read(self._read_entries, BLOCK_MS)
        is_backlog = len(entries) == self._read_entries
        self._next_batch_s = 0.0 if is_backlog else time.monotonic() + BATCH_APART_S
        return entries

    def _keep_house(self, now_s: float) -> list[Entry]:
        """What needs doing now and then; the entries taken over from a consumer that is gone."""
        self._countries.refresh(now_s)
        self._metrics.country_database.set(self._countries.built_at_s)
        self._metrics.country_database_type.info({"type": self._countries.type})
        self._metrics.backlog.set(self._stream.length())
        oldest = self._stream.oldest_entry_id()
        oldest_s = entry_time_s(oldest) if oldest else None
        now = datetime.datetime.fromtimestamp(now_s, datetime.UTC)
        names = self._sealing.destroy_ended(now_s, oldest_s) + self._sessions.destroy_ended(now, oldest_s)
        if names:
            self._log.info("keys-destroyed", names=names)
        seen = self._stream.look()
        with self._in_time():
            self._open_store().notes.note_stream(seen)
        return self._stream.claim(CLAIM_ENTRIES)

    def _process(self, entries: list[Entry]) -> None:
        started_s = time.monotonic()
        limits = self._time_limits()
        self._finish([self._prepare(entry, limits) for entry in entries], started_s)

    def _finish(self, works: list[Work], started_s: float) -> None:
        """Store what was prepared, acknowledge, report."""
        written = self._write(works)
        self._stream.ack([work.entry.entry_id for work in works])
        hits_an_entry = max(1.0, sum(len(work.raw_hits) for work in works) / len(works))
        self._read_entries = int(min(MOST_ENTRIES, max(FEWEST_ENTRIES, BATCH_HITS / hits_an_entry)))
        self._report(works, written, time.monotonic() - started_s)

    def _process_alone(self, entry: Entry) -> None:
        """An entry that was handed out often, tried alone.

        Each try to open and enrich it is noted before and forgotten after: only an entry on which the process ends
        there again and again is buried. Nothing that goes wrong while it is being stored counts, nor does a kill.
        """
        store = self._open_store()
        if store.notes.count_attempt(entry.entry_id) > self._max_deliveries:
            self._bury(entry)
            return
        work = self._prepare(entry, self._time_limits())
        store.notes.forget_attempts(entry.entry_id)
        self._finish([work], time.monotonic())

    def _prepare(self, entry: Entry, limits: TimeLimits) -> Work:
        opened_days = self._open_store().opened_days
        return prepare(entry, self._sealing, self._enricher, limits, opened_days)

    def _bury(self, entry: Entry) -> None:
        work = buried(entry)
        self._log.error("buried", entry_id=entry.entry_id, reason="deliveries")
        written = self._open_store().write([work])
        self._stream.ack([entry.entry_id])
        self._open_store().notes.forget_attempts(entry.entry_id)
        self._report([work], written, 0.0)

    def _write(self, works: list[Work]) -> Written:
        """Store a batch; where PostgreSQL refuses a value, in halves, until the bad hit is alone.

        Raises ``TooManyLetters``: nothing of this batch, or of the half that it came to, is stored.
        """
        store = self._open_store()
        try:
            return store.write(works)
        except psycopg.Error as error:
            if not is_bad_row(error):
                raise
            self._metrics.retries.labels("bad-row").inc()
            if len(works) > 1:
                middle = len(works) // 2
                first, second = self._write(works[:middle]), self._write(works[middle:])
                return Written(*(a + b for a, b in zip(first, second, strict=True)))
            self._bury_bad_rows(store, works[0], type(error).__name__)
            return store.write(works)

    def _bury_bad_rows(self, store: Store, work: Work, error: str) -> None:
        bad = {id(hit) for hit in self._bad_rows(store, work.hits)}  # hits of a sender's own id may share it
        tried = list(zip(work.hits, work.raw_hits, strict=True))
        work.hits, work.raw_hits = [], []
        for hit, raw in tried:
            if id(hit) in bad:
                work.bury(raw, "row", error, Bot(hit.bot_name, hit.bot_class) if hit.is_bot else None)
            else:
                work.hits.append(hit)
                work.raw_hits.append(raw)

    def _bad_rows(self, store: Store, hits: list[Hit]) -> list[Hit]:
        """The hits whose values PostgreSQL refuses."""
        try:
            store.probe(hits)
        except psycopg.Error as error:
            if not is_bad_row(error):
                raise
            if len(hits) == 1:
                return hits
            middle = len(hits) // 2
            return self._bad_rows(store, hits[:middle]) + self._bad_rows(store, hits[middle:])
        return []

    @contextlib.contextmanager
    def _in_time(self) -> Iterator[None]:
        """Ends the wait for a PostgreSQL that stands still, or for a proxy that answers for it: the wire is cut."""
        self._open_store()
        with contextlib.ExitStack() as cutting:
            if self._connection is not None:
                cutting.enter_context(cut_after(self._connection, STORE_WITHIN_S))
            yield

    def _open_store(self) -> Store:
        if self._store is None or self._connection is None or self._connection.closed:
            self._drop_connection()
            self._connection = self._connect()
            self._store = Store(self._connection, self._limit)
            if not self._burying_stopped:
                self._store.notes.forget_stop(self._stream.consumer)  # of an earlier run
        return self._store

    def _drop_connection(self) -> None:
        self._store = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        """Let go of PostgreSQL."""
        self._drop_connection()

    def _report(self, works: list[Work], written: Written, seconds: float) -> None:
        metrics = self._metrics
        self._bury_again()
        metrics.batches.inc()
        metrics.batch_seconds.observe(seconds)
        metrics.redelivered.inc(written.redelivered_groups)
        for fate, number in (("stored", written.stored), ("duplicate", written.duplicate),
                             ("dead-lettered", written.dead_lettered)):  # fmt: skip
            metrics.hits.labels(fate).inc(number)
        now_s = time.time()
        for work in works:
            is_of_the_past = work.group is not None and work.group.one_off_key is not None
            if work.raw_hits and not is_of_the_past:
                metrics.delay_seconds.observe(max(0.0, now_s - work.raw_hits[0].received_at_us / 1_000_000))
        if written.dead_lettered:
            self._report_letters([letter for work in works for letter in work.dead_letters])
        ahead = sum(work.ahead for work in works)
        if ahead:
            metrics.ahead.inc(ahead)
            self._log.warning("clock-ahead", hits=ahead)
        if written.redelivered_groups or len(works) > 1:
            self._log.info("batch", entries=len(works), **written._asdict(), ms=round(seconds * 1000))

    def _report_letters(self, letters: list[DeadLetter]) -> None:
        """Errors as such; hits of sealed days are none, and wake nobody."""
        late = [letter for letter in letters if letter.reason == TOO_LATE]
        failed = [letter for letter in letters if letter.reason != TOO_LATE]
        if late:
            oldest = min(letter.day for letter in late)
            self._log.info("too-late", hits=sum(letter.hits for letter in late), oldest_day=str(oldest))
        if failed:
            reasons = sorted({letter.reason for letter in failed})
            self._log.error("dead-letters", hits=sum(letter.hits for letter in failed), reasons=reasons)
