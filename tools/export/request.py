"""What `make export` is asked for, checked before anything is written."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.arguments import Argument, BadRequest, given

ARGUMENTS = (
    Argument("VIEW", "`hits`, a reporting view, or `all` of them into a folder", "hits"),
    Argument("FROM", "the first day; without it, all"),
    Argument("TO", "the last day"),
    Argument("SITE", "one site alone"),
    Argument("FORMAT", "`csv`, `parquet` or `sqlite`", "csv"),
    Argument("OUT", "a file, a folder, or `-` for standard output"),
    Argument("SPREADSHEET", "1: texts that a spreadsheet would compute begin with an apostrophe"),
)
FORMATS = ("csv", "parquet", "sqlite")
ALL = "all"
STANDARD_OUTPUT = "-"
FOLDER = Path("exports")  # where files go that nobody names; git ignores it
USAGE = (
    "make export [VIEW=hits|daily_pages|…|all] [FROM=2026-11-01] [TO=2026-11-30] [SITE=blog.example] "
    "[FORMAT=csv|parquet|sqlite] [OUT=file, folder or -] [SPREADSHEET=1]"
)


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be written, and where. ``first`` and ``last`` are days, both included; None: open."""

    view: str = "hits"
    first: datetime.date | None = None
    last: datetime.date | None = None
    site: str | None = None
    format: str = "csv"
    out: str = ""
    spreadsheet: bool = False

    @property
    def is_folder(self) -> bool:
        """Whether a folder of files is written: SQLite has all tables in one file."""
        return self.view == ALL and self.format != "sqlite"

    @property
    def to_standard_output(self) -> bool:
        """Whether it goes to standard output instead of to a file."""
        return self.out == STANDARD_OUTPUT

    @property
    def path(self) -> Path:
        """Where it goes. Into OUT where that is a folder and a file is written."""
        name = "-".join(str(part) for part in (self.view, self.first, self.last) if part)
        name += "" if self.is_folder else f".{self.format}"
        if not self.out:
            return FOLDER / name
        out = Path(self.out)
        return out / name if not self.is_folder and (out.is_dir() or self.out.endswith("/")) else out


def request_of(environ: Mapping[str, str]) -> Request:
    """What is asked for by name; empty is not asked. Raises ``BadRequest``."""
    asked = given(ARGUMENTS, environ)
    request = Request(
        view=asked.get("VIEW", "hits"),
        first=_day("FROM", asked),
        last=_day("TO", asked),
        site=asked.get("SITE"),
        format=asked.get("FORMAT", "csv"),
        out=asked.get("OUT", ""),
        spreadsheet=asked.get("SPREADSHEET", "0") != "0",
    )
    _check(request)
    return request


def _day(name: str, asked: Mapping[str, str]) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(asked[name]) if name in asked else None
    except ValueError:
        raise BadRequest(f"{name}: write a day as 2026-11-22") from None


def _check(request: Request) -> None:
    if request.format not in FORMATS:
        raise BadRequest(f"FORMAT: one of {', '.join(FORMATS)}. {USAGE}")
    if request.first and request.last and request.first > request.last:
        raise BadRequest("TO: it is before FROM")
    if request.to_standard_output and (request.format != "csv" or request.view == ALL):
        raise BadRequest("OUT=-: only one view as CSV goes to standard output; name a file")
    if request.spreadsheet and request.format != "csv":
        raise BadRequest("SPREADSHEET: it is for CSV; the other formats have no formulas")
    if not request.to_standard_output and request.is_folder and _is_taken(request.path):
        raise BadRequest(f"OUT: {request.path} is there and not an empty folder: remove it, or name another")


def _is_taken(folder: Path) -> bool:
    return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
