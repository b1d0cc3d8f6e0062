"""`make report`: how it went in the last days, in the terminal; or as JSON, page, mail or to a webhook."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psycopg
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from tools.arguments import BadRequest
from tools.report.figures import QUESTIONS, report_of
from tools.report.mail import mail_of
from tools.report.page import page_of
from tools.report.request import Request, request_of
from tools.report.shape import Report, json_of
from tools.report.terminal import console_of, show
from tools.report.webhook import NotPosted, place_of, post
from tools.stack import NoStack, running_urls

CONNECT_S = 5


def database_url(environ: Mapping[str, str]) -> str:
    """DATABASE_URL of this shell, else of the stack that runs in DATA_DIR, as role analyst. Raises ``NoStack``."""
    if given := environ.get("DATABASE_URL"):
        return given
    try:
        return running_urls()["DATABASE_URL"]
    except NoStack as error:
        raise NoStack(f"{error}; with Docker give DATABASE_URL, see docs/report.md") from None


def made(request: Request, url: str) -> Report:
    """The report, with progress on a terminal's standard error. Raises ``BadRequest``, ``psycopg.Error``."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn()
    with (
        psycopg.connect(url, connect_timeout=CONNECT_S, application_name="footfall report") as connection,
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task("asking", total=QUESTIONS)
        return report_of(connection, request, lambda: progress.advance(task))


class NotWritten(Exception):
    """The file cannot be written; the text says why. What was there is there still."""


def write_whole(path: Path, text: str) -> None:
    """Write a file, or leave what was there. Raises ``NotWritten``."""
    begun = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        begun.write_text(text, encoding="utf-8")
        begun.replace(path)
    except OSError as error:
        raise NotWritten(f"HTML: cannot write {path}: {error.strerror}") from None
    finally:
        with suppress(OSError):
            begun.unlink()


def hand_out(request: Request, report: Report) -> None:
    """Print, write and post. Raises OSError, ``NotPosted``, ``NotWritten``."""
    out = sys.stdout
    if request.is_json:
        print(json_of(report))
    elif request.mail:
        out.buffer.write(mail_of(report, request.mail))
    elif request.html == "-":
        out.buffer.write(page_of(report).encode())
    elif request.is_shown:
        if isinstance(out, io.TextIOWrapper):
            out.reconfigure(errors="replace")
        show(report, console_of(out, os.environ))
    out.flush()
    if request.html and request.html != "-":
        write_whole(Path(request.html), page_of(report))
        print(f"written: {request.html}", file=sys.stderr)
    if request.webhook:
        place = post(report, request.webhook, request.webhook_format)
        print(f"posted to {place}", file=sys.stderr)


def main() -> int:
    """0; 1 with an error that says what to do; 2 where what was asked cannot be."""
    try:
        request = request_of(os.environ)
        if request.webhook:
            place_of(request.webhook)
        hand_out(request, made(request, database_url(os.environ)))
    except BadRequest as error:
        print(error, file=sys.stderr)
        return 2
    except (NoStack, NotPosted, NotWritten) as error:
        print(error, file=sys.stderr)
        return 1
    except psycopg.Error as error:
        print(_words(error), file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read has enough; Python would say so once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        print(f"cannot print the report: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _words(error: psycopg.Error) -> str:
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedFunction):
        return "PostgreSQL: the database is of another version: run `make migrate`, or start this version's stack"
    if isinstance(error, psycopg.errors.QueryCanceled):
        return "PostgreSQL: a question took longer than the role may ask: give fewer DAYS"
    if error.diag.message_primary:
        return f"PostgreSQL: {error.diag.message_primary}"
    return f"PostgreSQL: {type(error).__name__}: does it run, and is DATABASE_URL right, with its password?"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted")
