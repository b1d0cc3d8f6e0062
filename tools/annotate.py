"""`make annotate`: writes, lists and removes what the owner is to see on the curves of the dashboards."""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import psycopg

from tools.arguments import Argument, BadRequest, given
from tools.stack import NoStack, running_urls

MAX_TEXT = 500
USAGE = "make annotate TEXT=… [AT=2026-11-22T18:30] [UNTIL=…] [SITE=…]; DROP=id removes one; without TEXT: list them"
ARGUMENTS = (
    Argument("TEXT", "what is to stand on the curves; without it annotations are listed"),
    Argument(
        "AT", "when it began: 2026-11-22T18:30 in the reporting time zone, or with a zone of its own", "now"
    ),
    Argument("UNTIL", "when it ended"),
    Argument("SITE", "on the curves of this site only", "all sites"),
    Argument("DROP", "the number of an annotation, which is removed"),
)
Connection = psycopg.Connection[Any]


def request_of(environ: Mapping[str, str]) -> dict[str, str]:
    """What is asked for by name; empty is not asked. Raises ``BadRequest``."""
    request = given(ARGUMENTS, environ)
    if ("DROP" in request and len(request) > 1) or (request and not {"DROP", "TEXT"} & set(request)):
        raise BadRequest(USAGE)
    if len(request.get("TEXT", "")) > MAX_TEXT:
        raise BadRequest(f"TEXT: at most {MAX_TEXT} characters")
    return request


def moment_of(name: str, text: str, zone: ZoneInfo) -> datetime.datetime:
    """A time as a person writes it, in the reporting time zone unless it says otherwise. Raises ``BadRequest``."""
    try:
        at = datetime.datetime.fromisoformat(text.strip())
    except ValueError:
        raise BadRequest(f"{name}: write a time as 2026-11-22T18:30 or 2026-11-22T18:30+01:00") from None
    return at if at.tzinfo else at.replace(tzinfo=zone)


def answer(request: dict[str, str], connection: Connection) -> Iterator[str]:
    """Do what is asked for; lines to print. Raises ``BadRequest``, ``psycopg.Error``."""
    zone = _zone(connection)
    if "DROP" in request:
        yield _drop(connection, request["DROP"])
    elif "TEXT" in request:
        number = _write(connection, request, zone)
        yield from _listed(connection, zone, number)
    else:
        lines = list(_listed(connection, zone, None))
        yield from lines or ["no annotations; " + USAGE]


def _zone(connection: Connection) -> ZoneInfo:
    [(name,)] = connection.execute("select report_timezone from installation").fetchall()
    return ZoneInfo(name)


def _write(connection: Connection, request: dict[str, str], zone: ZoneInfo) -> int:
    times = {name: moment_of(name, request[name], zone) for name in ("AT", "UNTIL") if name in request}
    begins_at = times.get("AT", datetime.datetime.now(zone))
    ends_at = times.get("UNTIL")
    if ends_at and ends_at < begins_at:
        raise BadRequest("UNTIL: it is before AT")
    site = request.get("SITE")
    if site and not connection.execute("select 1 from sites where site = %s", [site]).fetchone():
        known = [name for (name,) in connection.execute("select site from sites order by site limit 10")]
        raise BadRequest(f"SITE: there is none of that name; some are: {', '.join(known) or '(none yet)'}")
    text = " ".join(request["TEXT"].split())
    if not text:
        raise BadRequest(USAGE)
    [(number,)] = connection.execute(
        "insert into annotations (begins_at, ends_at, kind, site, text) values (%s, %s, 'note', %s, %s)"
        " returning annotation_id",
        [begins_at, ends_at, site, text],
    ).fetchall()
    return int(number)


def _drop(connection: Connection, number: str) -> str:
    if not number.isascii() or not number.isdigit() or len(number) > 18:
        raise BadRequest("DROP: it wants the number in front of an annotation; make annotate lists them")
    if not connection.execute("delete from annotations where annotation_id = %s", [number]).rowcount:
        raise BadRequest(f"DROP: there is no annotation {number}; make annotate lists them")
    return f"annotation {number} is gone"


def _listed(connection: Connection, zone: ZoneInfo, number: int | None) -> Iterator[str]:
    rows = connection.execute(
        "select annotation_id, begins_at, ends_at, kind, site, text from annotations"
        " where %(number)s::bigint is null or annotation_id = %(number)s order by begins_at, annotation_id",
        {"number": number},
    ).fetchall()
    for annotation_id, begins_at, ends_at, kind, site, text in rows:
        times = " to ".join(f"{at.astimezone(zone):%Y-%m-%d %H:%M}" for at in (begins_at, ends_at) if at)
        yield f"{annotation_id:6}  {times}  {kind}  {site or 'all sites'}: {text}"


def main() -> int:
    """0, or 1 with an error that says what to do."""
    try:
        request = request_of(os.environ)
        with psycopg.connect(running_urls()["OWNER_DATABASE_URL"], connect_timeout=5) as connection:
            for line in answer(request, connection):
                print(line)
    except (BadRequest, NoStack) as error:
        print(error, file=sys.stderr)
        return 1
    except psycopg.Error as error:
        print(f"PostgreSQL: {type(error).__name__}. Nothing was changed.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
