"""What `make import` is asked for, and the errors that end it."""

from __future__ import annotations

import glob
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from services.page_address import parse_address
from tools.arguments import Argument, BadRequest
from tools.importer.formats import FORMATS

USAGE = (
    "make import LOG=access.log [SITE=blog.example] [FORMAT=combined|common|caddy] [FOLLOW=1], "
    "or make import DB=hits.db TIMEZONE=Europe/Madrid [SITE=blog.example]; "
    'several files: LOG="access.log.2.gz access.log.1 access.log"; LOG=- is standard input'
)
ARGUMENTS = (
    Argument("LOG", "access logs, gzip or not, apart by spaces; `-` is standard input"),
    Argument("DB", "an SQLite file with the table `events`"),
    Argument("SITE", "the host of their pages, where the file does not say it"),
    Argument("FORMAT", "`combined`, `common` or `caddy`, where it is not to be recognised"),
    Argument("TIMEZONE", "the zone of the times in DB"),
    Argument("FOLLOW", "1: go on with what is appended, until Ctrl-C"),
)
NAMES = tuple(argument.name for argument in ARGUMENTS)
STDIN = "-"


@dataclass(frozen=True)
class Request:
    """What is to be imported."""

    files: tuple[str, ...]  # logs, or one database
    is_database: bool
    site: str = ""  # the host, where a log names none; where it does, the one whose lines are taken
    format: str = ""  # empty: recognised
    timezone: ZoneInfo | None = None
    follows: bool = False


def _files_of(text: str) -> tuple[str, ...]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BadRequest(f"LOG: {error}") from None
    found = [name for word in words for name in (sorted(glob.glob(word)) or [word])]
    return tuple(dict.fromkeys(found))


def _host_of(text: str) -> str:
    page = parse_address(text if "://" in text else f"https://{text}")
    if page is None:
        raise BadRequest(f"SITE: {text} is no host: blog.example is")
    return page.host


def _timezone_of(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise BadRequest(f"TIMEZONE: {name} is no name of the time zone database: Europe/Madrid is") from None


def request_of(environ: Mapping[str, str]) -> Request:
    """From the variables by name; an empty one is none. Raises ``BadRequest``."""
    given = {name: environ[name].strip() for name in NAMES if environ.get(name, "").strip()}
    if ("LOG" in given) == ("DB" in given):
        raise BadRequest(USAGE)
    if given.get("FORMAT", "combined") not in FORMATS:
        raise BadRequest(f"FORMAT: one of {', '.join(FORMATS)}")
    request = Request(
        files=_files_of(given["LOG"]) if "LOG" in given else (given["DB"],),
        is_database="DB" in given,
        site=_host_of(given["SITE"]) if "SITE" in given else "",
        format=given.get("FORMAT", ""),
        timezone=_timezone_of(given["TIMEZONE"]) if "TIMEZONE" in given else None,
        follows=given.get("FOLLOW", "0") != "0",
    )
    _check(request)
    return request


def _check(request: Request) -> None:
    if request.is_database and request.timezone is None:
        raise BadRequest("TIMEZONE: say in which zone the database's times are, such as Europe/Madrid")
    if request.is_database and (request.format or request.follows):
        raise BadRequest("FORMAT and FOLLOW are for logs")
    if not request.is_database and request.timezone:
        raise BadRequest("TIMEZONE is for DB: a log's times have their offset")
    last = request.files[-1]
    if request.follows and (last == STDIN or last.endswith(".gz")):
        raise BadRequest("FOLLOW: the last file of LOG is to be the log that the server writes")
