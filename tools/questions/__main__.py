"""`make sql-results`: fills a throw-away PostgreSQL with the demo's days and writes the results of docs/sql.md."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from rich.console import Console
from rich.progress import track

from services.migrate.__main__ import MIGRATIONS
from services.migrate.runner import migrate
from services.settings import load_settings
from tools.questions.days import DAYS, fill
from tools.questions.page import PAGE, filled
from tools.servers import (
    Postgres,
    ServerError,
    choose,
    find_postgres,
    free_port,
    poll,
    readable_by_servers,
    spawn,
)


@contextmanager
def throw_away_postgres() -> Iterator[int]:
    """The port of a PostgreSQL that is gone afterwards. Raises ``ServerError``."""
    folder = Path(tempfile.mkdtemp(prefix="footfall-questions-"))
    folder.chmod(0o755)
    try:
        binaries = readable_by_servers(choose(find_postgres(), "postgres"), folder)
        server = Postgres(binaries, folder / "postgres", free_port(), durable=False)
        server.initialise()
        process = spawn(server.command(), as_server=True, death_signal=signal.SIGQUIT, log=folder / "log")
        try:
            if not poll(server.is_ready, 30):
                raise ServerError(f"PostgreSQL does not answer: {(folder / 'log').read_text()[-500:]}")
            yield server.port
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """0; 1 without a server."""
    try:
        with throw_away_postgres() as port:
            write_results(port)
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def write_results(port: int) -> None:
    """Fill the database `postgres` of an empty server, and write the page anew. Raises ``psycopg.Error``."""
    address = f"127.0.0.1:{port}/postgres"
    with psycopg.connect(f"postgresql://footfall@{address}", autocommit=True) as connection:
        migrate(connection, MIGRATIONS)
    settings = load_settings({"DATABASE_URL": f"postgresql://footfall@{address}"})
    days = track(fill(settings), "storing", total=len(DAYS), console=Console(stderr=True))
    hits_until = max(days)
    with psycopg.connect(f"postgresql://analyst@{address}", autocommit=True) as connection:
        page = filled(PAGE.read_text(encoding="utf-8"), connection)
    PAGE.write_text(page, encoding="utf-8")
    print(f"{PAGE.name}: results until {hits_until}")


if __name__ == "__main__":
    sys.exit(main())
