"""What was asked for: a range of days, sites, and where the report is to go."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.arguments import Argument, BadRequest

USAGE = (
    "make report [DAYS=7] [FROM=2026-11-01] [TO=yesterday] [SITE=blog.example]; one of JSON=1, MAIL=me@example.com, "
    "HTML=- to print; HTML=report.html to write; WEBHOOK=https://… or WEBHOOK_FILE=… [WEBHOOK_FORMAT=chat] to post"
)
ARGUMENTS = (
    Argument("DAYS", "how many, until today", "7"),
    Argument("FROM", "the first day, in place of DAYS"),
    Argument("TO", "the last day"),
    Argument("SITE", "one site or several, with commas; without it, all"),
    Argument("JSON", "1: as JSON"),
    Argument("HTML", "a page into this file, or `-`"),
    Argument("MAIL", "a whole mail to this address, for `sendmail -t`"),
    Argument("WEBHOOK", "an address that it is posted to"),
    Argument("WEBHOOK_FILE", "a file that holds this address"),
    Argument("WEBHOOK_FORMAT", "`json`, or `chat`: a text", "json"),
)
NAMES = tuple(argument.name for argument in ARGUMENTS)
FORMATS = ("json", "chat")
USUAL_DAYS = 7
MOST_DAYS = 36_500  # of a hundred years
EARLIEST = datetime.date(1970, 1, 1)
_MAIL = re.compile(r"[!-~]+@[!-~]+")


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """As it was asked; ``webhook`` is a secret."""

    days: int | None
    begin: str
    end: str
    sites: tuple[str, ...]
    is_json: bool
    html: str  # a file, or - for standard output
    mail: str
    webhook: str
    webhook_format: str

    @property
    def is_shown(self) -> bool:
        """Whether the report itself is what is to be printed, for a person."""
        return not (self.is_json or self.html or self.mail or self.webhook)


def request_of(environ: Mapping[str, str]) -> Request:
    """What is asked for by name; empty is not asked. Raises ``BadRequest``."""
    given = {name: environ.get(name, "").strip() for name in NAMES}
    for name, text in given.items():
        if text != text.encode(errors="ignore").decode():
            raise BadRequest(f"{name}: it is not UTF-8")
    if given["DAYS"] and given["FROM"]:
        raise BadRequest(f"DAYS and FROM: give one of them. {USAGE}")
    if sum((bool(given["JSON"]), bool(given["MAIL"]), given["HTML"] == "-")) > 1:
        raise BadRequest(f"JSON, MAIL and HTML=-: only one of them can be printed. {USAGE}")
    if given["WEBHOOK_FORMAT"] and given["WEBHOOK_FORMAT"] not in FORMATS:
        raise BadRequest(f"WEBHOOK_FORMAT: {given['WEBHOOK_FORMAT']!r} is none of {', '.join(FORMATS)}")
    return Request(
        days=_days(given["DAYS"]),
        begin=given["FROM"],
        end=given["TO"],
        sites=tuple(dict.fromkeys(part.strip().lower() for part in given["SITE"].split(",") if part.strip())),
        is_json=bool(given["JSON"]),
        html=given["HTML"],
        mail=_mail(given["MAIL"]),
        webhook=given["WEBHOOK"] or _content("WEBHOOK_FILE", given["WEBHOOK_FILE"]),
        webhook_format=given["WEBHOOK_FORMAT"] or FORMATS[0],
    )


def _days(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST_DAYS):
        raise BadRequest(f"DAYS: {text!r} is not a number from 1 to {MOST_DAYS:,}")
    return int(text)


def _mail(text: str) -> str:
    for part in text.split(",") if text else ():
        if not _MAIL.fullmatch(part.strip()):
            raise BadRequest(f"MAIL: {part.strip()!r} is not an address such as me@example.com")
    return text


def _content(name: str, path: str) -> str:
    if not path:
        return ""
    try:
        found = Path(path).read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise BadRequest(f"{name}: cannot read {path}: {why}") from None
    if not found:
        raise BadRequest(f"{name}: {path} is empty")
    return found


def range_of(request: Request, today: datetime.date) -> tuple[datetime.date, datetime.date]:
    """First and last day, neither after today. Raises ``BadRequest``."""
    last = min(_day("TO", request.end, today), today) if request.end else today
    if request.begin:
        first = _day("FROM", request.begin, today)
    else:
        first = last - datetime.timedelta(days=(request.days or USUAL_DAYS) - 1)
    if first > today:
        raise BadRequest(f"FROM: {first} is to come; today is {today} in the reporting time zone")
    if first > last:
        raise BadRequest(f"FROM: {first} is after TO, {last}")
    return max(first, EARLIEST), last


def _day(name: str, text: str, today: datetime.date) -> datetime.date:
    words = {"today": today, "yesterday": today - datetime.timedelta(days=1)}
    try:
        found = words.get(text) or datetime.date.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"{name}: write a day as 2026-11-01, or today, or yesterday") from None
    if found < EARLIEST:
        raise BadRequest(f"{name}: {found} is before {EARLIEST}")
    return found
