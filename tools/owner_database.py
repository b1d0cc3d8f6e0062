"""The database of DATA_DIR, for tools that need nothing else of the stack: also where none runs."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace

from services.key_files import make_passwords
from services.settings import Settings
from tools.run_stack import Stack, make_database, servers_of, take_folder
from tools.servers import Postgres, ServerError, free_port, own_folder, poll, spawn
from tools.stack import NoStack, running_urls
from tools.supervisor import START_WITHIN_S

STOP_WITHIN_S = 60.0  # a checkpoint of what was restored


@contextlib.contextmanager
def owner_database(settings: Settings, *, make: bool) -> Iterator[str]:
    """Its address, as the owner. Where no stack runs, DATA_DIR is taken and its PostgreSQL started for as long.

    ``make``: where there is none, it is made. Raises ``NoStack``, ``ServerError``.
    """
    try:
        url = running_urls()["OWNER_DATABASE_URL"]
    except NoStack:
        if not make and not (settings.data_dir / "postgres/data/PG_VERSION").exists():
            raise
    else:
        yield url
        return
    with take_folder(settings):
        yield from _started(replace(settings, postgres_port=free_port()))


def _started(settings: Settings) -> Iterator[str]:
    postgres = _server_of(settings)
    log = settings.data_dir.resolve() / "log/postgres.log"
    process = spawn(postgres.command(), as_server=True, death_signal=signal.SIGQUIT, log=log)
    try:
        poll(lambda: process.poll() is not None or postgres.is_ready(), START_WITHIN_S)
        if process.poll() is not None or not postgres.is_ready():
            raise ServerError(f"PostgreSQL did not start: see {log}")
        stack = Stack(settings, {}, None)
        make_database(stack, postgres)
        yield stack.urls()["OWNER_DATABASE_URL"]
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()  # what is committed is on disk: the next start recovers it
        process.wait()


def _server_of(settings: Settings) -> Postgres:
    (settings.data_dir / "log").mkdir(exist_ok=True)
    settings.key_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_passwords(settings.key_dir)
    own_folder(settings.data_dir / "postgres")
    return servers_of(settings)[0]
