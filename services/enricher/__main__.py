"""``python -m services.enricher``: builds the enricher from its parts and runs it until SIGTERM.

``python -m services.enricher renormalise`` reads stored hits again by the rules of this version, and ends;
``… dead-letters`` lists, replays or drops what was buried.
"""

from __future__ import annotations

import datetime
import gc
import signal
import socket
import sys
from collections.abc import Sequence

import psycopg
from redis.exceptions import RedisError

from services.database import connect, wait_for, wait_until_migrated
from services.enricher.agents import Agents
from services.enricher.consumer import BLOCK_MS, Consumer
from services.enricher.country import Countries
from services.enricher.dead_letters_command import GOES_ON, BadRequest, answer, request_of
from services.enricher.enrich import Enricher
from services.enricher.late_keys import keep_destroying_late
from services.enricher.letter_limit import LetterLimit
from services.enricher.renormalise import SKIPPED, OtherSites, days_to_read, renormalise
from services.enricher.sources import sources_of
from services.enricher.time_limits import time_limits
from services.hit_stream import HitStream
from services.hit_stream import connect as connect_redis
from services.key_files import read_password
from services.logs import Logger, make_logger
from services.memory import forbid_core_dumps
from services.metrics import EnricherMetrics
from services.sealing import SealingKeys
from services.session_keys import SessionKeys
from services.settings import Settings, SettingsError, load_settings

# Objects made and not freed until Python looks for cycles. Enriching makes none; a batch holds about as many.
# At the default of 700 that took a fifth of the process's CPU (24.0 → 18.6 µs a hit), and freed no more memory.
COLLECT_AFTER = 50_000


class Stop:
    """Set by SIGTERM and SIGINT."""

    def __init__(self) -> None:
        self._stopped = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, *_: object) -> None:
        self._stopped = True

    def __call__(self) -> bool:
        return self._stopped


def build(settings: Settings, metrics: EnricherMetrics, log: Logger, stop: Stop) -> Consumer:
    """The consumer with its parts."""
    sessions = SessionKeys(settings.key_dir, settings.report_timezone)
    keep_destroying_late(sessions, log)  # before any server is waited for
    password = settings.redis_password or read_password(settings.key_dir, "redis")
    client = connect_redis(settings.redis_url, password, timeout_s=BLOCK_MS / 1000 + 4)
    stream = HitStream(client, settings.consumer_name or socket.gethostname())
    wait_for("Redis at REDIS_URL", stream.ensure_group, (RedisError, OSError), log, stopped=stop)
    wait_until_migrated(settings, "enricher", "select from stream_look limit 0", log, stopped=stop)
    countries = Countries(settings.country_database, log)
    countries.refresh(0)
    return Consumer(
        stream=stream,
        connect=lambda: connect(settings, "enricher"),
        enricher=Enricher(settings, Agents(), sources_of(settings), countries.country_of, sessions),
        sealing=SealingKeys(settings.key_dir),
        sessions=sessions,
        countries=countries,
        time_limits=lambda: time_limits(
            datetime.datetime.now(datetime.UTC), settings.report_timezone, settings.retention_days
        ),
        metrics=metrics,
        log=log,
        max_deliveries=settings.max_deliveries,
        limit=LetterLimit(settings.max_dead_letter_percent),
        stopped=stop,
    )


def read_again(settings: Settings, log: Logger) -> int:
    """0, or 1 with an error that says what to do."""
    rows = skipped = 0
    try:
        with connect(settings, "renormalise") as connection:
            days = days_to_read(connection, settings)
            left = len(days)
            for step in renormalise(connection, settings, days):
                rows += step.rows
                skipped += step.is_skipped
                if step.is_last:
                    left -= 1
                    log.info("renormalised", day=str(step.day), rows=rows, days_left=left)
                    rows = 0
    except OtherSites as error:
        log.error("cannot-renormalise", setting="SITES", problem=str(error))
        return 1
    except KeyboardInterrupt:
        log.info("interrupted", what_to_do="run it again: it goes on where it was")
        return 130
    except psycopg.Error as error:
        log.error("cannot-renormalise", problem=f"PostgreSQL at DATABASE_URL: {type(error).__name__}",
                  what_to_do="is the database up and migrated? Run it again: it goes on where it was")  # fmt: skip
        return 1
    if skipped:
        log.error("not-all-renormalised", setting="SITES", days=skipped, problem=SKIPPED)
        return 1
    return 0


def dead_letters(arguments: Sequence[str], settings: Settings, log: Logger) -> int:
    """0, or 1 with an error that says what to do."""
    try:
        request = request_of(arguments)
        with connect(settings, "dead-letters") as connection:
            for line in answer(request, connection, settings):
                print(line, flush=True)
    except BadRequest as error:
        log.error("bad-request", problem=str(error))
        return 1
    except KeyboardInterrupt:
        log.info("interrupted", what_to_do=GOES_ON)
        return 130
    except psycopg.Error as error:
        log.error("dead-letters-failed", problem=f"PostgreSQL at DATABASE_URL: {type(error).__name__}",
                  what_to_do=f"is the database up and migrated? {GOES_ON}")  # fmt: skip
        return 1
    return 0


def main(arguments: Sequence[str]) -> int:
    """0, or 1 with an error that says what to do."""
    forbid_core_dumps()
    log = make_logger("enricher")
    try:
        settings = load_settings()
    except SettingsError as error:
        log.error("bad-settings", problems=error.problems)
        return 1
    if list(arguments) == ["renormalise"]:
        return read_again(settings, log)
    if arguments[:1] == ["dead-letters"]:
        return dead_letters(arguments[1:], settings, log)
    gc.set_threshold(COLLECT_AFTER)
    metrics = EnricherMetrics()
    stop = Stop()
    try:
        port = metrics.serve(settings.metrics_host, settings.metrics_port)
    except OSError as error:
        log.error("cannot-start", problem=f"METRICS_PORT {settings.metrics_port}: {error.strerror}")
        return 1
    try:
        consumer = build(settings, metrics, log, stop)
        log.info("started", metrics_port=port)
        consumer.run()
        consumer.close()
    except InterruptedError:
        pass
    log.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
