"""PostgreSQL servers on folders of the data set."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.load import BenchError
from tools.servers import (
    Binaries,
    Postgres,
    ServerError,
    choose,
    find_postgres,
    free_port,
    poll,
    readable_by_servers,
    spawn,
)

START_WITHIN_S = 60.0
STOP_WITHIN_S = 120.0  # it writes out all that it has changed
# For the building alone: whatever is not whole at its end is thrown away.
QUICKLY = {
    "wal_level": "minimal",  # rows of a table that is made in the same transaction need no log
    "max_wal_senders": "0",
    "max_wal_size": "1GB",
    "wal_recycle": "off",  # leaves none behind
    "autovacuum": "off",
    "shared_buffers": "512MB",
    "work_mem": "96MB",
    "maintenance_work_mem": "256MB",
}


def postgres_binaries(copies: Path) -> Binaries:
    """The server that ``make run`` would take; ``copies``: a folder that it may need. Raises ``BenchError``."""
    try:
        return readable_by_servers(choose(find_postgres(), "postgres"), copies)
    except ServerError as error:
        raise BenchError(str(error)) from error


@contextlib.contextmanager
def running_postgres(binaries: Binaries, folder: Path, *, quickly: bool = False) -> Iterator[str]:
    """The owner's address of a server on a folder, with the settings of ``make run``. Raises ``BenchError``."""
    server = Postgres(binaries, folder, free_port(), durable=not quickly)
    try:
        server.initialise()
    except ServerError as error:
        raise BenchError(f"{error}\nBENCH_CACHE names another folder for the data set") from error
    options = [part for name, value in QUICKLY.items() for part in ("-c", f"{name}={value}")]
    log = folder / "postgres.log"
    command = [*server.command(), *(options if quickly else [])]
    process = spawn(command, as_server=True, death_signal=signal.SIGQUIT, log=log)
    try:
        if not poll(server.is_ready, START_WITHIN_S):
            raise BenchError(f"PostgreSQL did not start: {log.read_text()[-800:]}")
        yield f"postgresql://footfall@127.0.0.1:{server.port}/postgres"
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)  # a fast shutdown, with a checkpoint
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
