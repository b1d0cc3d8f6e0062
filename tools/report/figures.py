"""Asks PostgreSQL for a report, by the SQL of the dashboards: the figures are theirs.

Everything is asked in one read-only snapshot, so that the parts of a report agree.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from psycopg.rows import dict_row

from grafana.expand import expand
from grafana.panels import NO_DATA, SQL
from tools.arguments import BadRequest
from tools.report.problems import problems_of
from tools.report.request import Request, range_of
from tools.report.shape import Bots, Country, Day, Figure, Missing, Page, Post, Report
from tools.report.sources import sources_of
from tools.report.texts import one_line

Connection = psycopg.Connection[Any]
Row = dict[str, Any]
OWN_SQL = Path(__file__).parent
QUESTIONS = 20  # a report asks so many, for its progress
NAMED_SITES = 10


class Questions:
    """Asks files of SQL for one range and these sites, none: all; ``asked`` is told of each that is answered."""

    def __init__(
        self,
        connection: Connection,
        days: tuple[datetime.date, datetime.date],
        zone: ZoneInfo,
        sites: Sequence[str],
        asked: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._begin = datetime.datetime.combine(days[0], datetime.time.min, zone)
        self._end = datetime.datetime.combine(days[1], datetime.time.max, zone)
        self._site = ", ".join("'" + site.replace("'", "''") + "'" for site in sites) or "'__all__'"
        self._asked = asked

    def rows(self, name: str, folder: Path = SQL) -> list[Row]:
        """What a file, of the dashboards' unless another folder is given, answers. Raises ``psycopg.Error``."""
        sql = expand((folder / name).read_text("utf-8"), {"site": self._site}, self._begin, self._end)
        with self._connection.cursor(row_factory=dict_row) as cursor:
            found = cursor.execute(sql.encode()).fetchall()
        self._asked()
        return found

    def value(self, name: str, otherwise: Any) -> Any:
        """The one value of a figure, or ``otherwise`` where it has no row."""
        found = self.rows(name)
        return next(iter(found[0].values())) if found else otherwise


def report_of(connection: Connection, request: Request, asked: Callable[[], None] = lambda: None) -> Report:
    """The report. ``connection``: one that was not used yet. Raises ``BadRequest``, ``psycopg.Error``."""
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    with connection.transaction():
        [(zone_name, today, now)] = connection.execute(
            "select report_timezone, (now() at time zone report_timezone)::date, now() from installation"
        ).fetchall()
        zone = ZoneInfo(zone_name)
        days = range_of(request, today)
        questions = Questions(connection, days, zone, request.sites, asked)
        known = tuple(row["site"] for row in questions.rows("variables/site.sql"))
        known = () if known == (NO_DATA,) else known
        _check(request.sites, known)
        return Report(
            made_at=now.astimezone(datetime.UTC).isoformat(timespec="seconds"),
            time_zone=zone_name,
            sites=request.sites,
            known_sites=known,
            **questions.rows("range.sql", OWN_SQL)[0],
            **_parts(questions, zone, days[1]),
        )


def _check(sites: Sequence[str], known: Sequence[str]) -> None:
    unknown = [site for site in sites if site not in known]
    if unknown and known:
        named = ", ".join(map(one_line, known[:NAMED_SITES]))
        more = f" and {len(known) - NAMED_SITES} more" if len(known) > NAMED_SITES else ""
        raise BadRequest(f"SITE: there is none of the name {unknown[0]!r}; there are: {named}{more}")


def _parts(questions: Questions, zone: ZoneInfo, last: datetime.date) -> dict[str, Any]:
    """What stands in a report by its name."""
    sources, others = sources_of(questions.rows("overview/referrals.sql"))
    a_visitor = questions.value("pages/pages_a_session.sql", None)
    return {
        "headline": {row["figure"]: _figure(row) for row in questions.rows("headline.sql", OWN_SQL)},
        "pageviews_a_visitor": None if a_visitor is None else float(a_visitor),
        "by_day": tuple(_day(row, zone) for row in questions.rows("overview/traffic_over_time.sql")),
        "pages": _each(Page, "overview/popular_pages.sql", questions, address="page_address"),
        "sources": sources,
        "other_sources": others,
        "countries": _each(Country, "audience/countries.sql", questions),
        "missing": _each(Missing, "missing/worklist.sql", questions, address="page_address"),
        "posts": tuple(
            post
            for post in _each(Post, "overview/recent_posts.sql", questions, address="page_address")
            if post.published <= str(last)
        ),
        "bots": _each(Bots, "bots/classes.sql", questions, kind="bot_class", hits="bot_hits"),
        "last_hit": questions.value("overview/last_hit.sql", ""),
        "problems": tuple(problems_of(questions)),
    }


def _figure(row: Row) -> Figure:
    value, compared = int(row["value"]), int(row["compared"])
    before = None if row["before"] is None else int(row["before"])
    change = None if before is None or row["is_open"] else compared - before
    percent = round(100 * change / before, 1) if change is not None and before else None
    return Figure(value, compared, before, change, percent, row["words"], row["colour"])


def _day(row: Row, zone: ZoneInfo) -> Day:
    is_open = row["pageviews"] is None
    pageviews, visitors = (row[name + "_open" * is_open] for name in ("pageviews", "visitors"))
    before = row["pageviews_before"]
    return Day(
        row["time"].astimezone(zone).date(), int(pageviews), int(visitors), is_open,
        None if before is None else int(before),
    )  # fmt: skip


def _each(made: type[Any], name: str, questions: Questions, /, **columns: str) -> tuple[Any, ...]:
    """The rows of a table of the dashboards; ``columns`` that are called otherwise there."""
    names = {field: columns.get(field, field) for field in made.__dataclass_fields__}
    return tuple(
        made(**{field: _plain(field, row[column]) for field, column in names.items()})
        for row in questions.rows(name)
    )


def _plain(field: str, value: Any) -> Any:
    """PostgreSQL's sums are decimals: a count is an int, a share is not."""
    if isinstance(value, Decimal):
        return float(value) if field == "share" else int(value)
    return value
