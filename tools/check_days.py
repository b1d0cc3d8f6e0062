"""The part of `make check` that goes through the days: rollups, titles and numbers against the hits.

One day's hits are in a temporary table at a time, so that ten million need no more room than a day has.
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, LiteralString

from services.rollup import compare, redate
from services.rollup.compare import COMPARED, SESSIONS, Compared, wrong_statement
from tools.findings import Connection, Finding, Gathered, finding, first_rows, text_of

# What names what by number: the thing, its number, its table, and the numbers that the hits of a day name.
_NAMED: tuple[tuple[LiteralString, LiteralString, LiteralString, LiteralString], ...] = (
    ("site", "site_id", "sites", "stored_hits"),
    ("page", "page_id", "pages", "stored_hits"),
    ("title", "title_id", "titles", "stored_hits"),
    ("origin", "origin_id", "origins", "stored_hits"),
    ("referrer", "referrer_id", "referrers", "stored_hits join origins using (origin_id)"),
    ("client", "client_id", "clients", "stored_hits"),
)
DANGLING: LiteralString = " union all ".join(
    f"""
select '{thing} ' || h.{number}, coalesce('may be forgotten after ' || t.used_on, 'is not there')
from (select distinct {number} from {hits} where day = %(day)s and {number} <> 0) h
left join {table} t using ({number})
where t.{number} is null or t.used_on < %(day)s
"""
    for thing, number, table, hits in _NAMED
)
OTHER_SITE = """
select s.site, p.host || p.path
from (select distinct site_id, page_id from stored_hits where day = %(day)s) h
join pages p using (page_id)
left join sites s on s.site_id = h.site_id
where p.site_id <> h.site_id
"""

TWICE = """
select s.site, h.hit_id, count(*)
from stored_hits h left join sites s using (site_id)
where h.day = %(day)s
group by s.site, h.hit_id
having count(*) > 1
"""

KEEP_TITLES = """
insert into pg_temp.newest_titles as n
select page_id, title_id, received_at, hit_id from pg_temp.loaded_titles
on conflict (page_id) do update
set title_id = excluded.title_id, received_at = excluded.received_at, hit_id = excluded.hit_id
where (excluded.received_at, excluded.hit_id) > (n.received_at, n.hit_id)
"""

# A title older than the hits that are kept is right.
WRONG_TITLES = """
select s.site, p.host || p.path as page, coalesce(now_is.title, '(none)') as shown,
       coalesce(newest.title, '(none)') as by_hits,
       (coalesce(n.received_at, t.received_at) at time zone i.report_timezone)::date as day
from rollup_titles t
full join pg_temp.newest_titles n using (page_id)
cross join installation i
left join pages p using (page_id)
left join sites s using (site_id)
left join titles now_is on now_is.title_id = t.title_id
left join titles newest on newest.title_id = n.title_id
where t.page_id is null
   or (t.received_at, t.hit_id) < (n.received_at, n.hit_id)
   or (t.received_at, t.hit_id) = (n.received_at, n.hit_id) and t.title_id <> n.title_id
   or (n.page_id is null or (t.received_at, t.hit_id) > (n.received_at, n.hit_id))
      and (t.received_at at time zone i.report_timezone)::date = any(%(days)s)
order by day
"""


MISDATED = "hits are not on their day in REPORT_TIMEZONE"


class Days:
    """Goes through the days, in one transaction of a connection that ``prepare`` has seen."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._wrong: dict[str, Gathered] = defaultdict(Gathered)
        self._names: dict[tuple[str, int], str] = {}
        self.wrong_days: set[datetime.date] = set()

    def check(
        self,
        days: list[datetime.date],
        guarded: set[datetime.date],
        first_kept: datetime.date,
        progress: Callable[[datetime.date], None],
    ) -> Iterator[Finding]:
        """What is wrong with days whose hits are all there.

        ``guarded``: days with an index that keeps a hit from being there twice.
        """
        redate.prepare(self._connection)
        for day in days:
            progress(day)
            for to_day, hits, _ in redate.misdated(self._connection, day, first_kept):
                self._wrong[MISDATED].add(day, hits, [f"{day}: {hits} of {to_day}"])
            compare.load(self._connection, day)
            self._connection.execute(KEEP_TITLES)
            for compared in (*COMPARED, *SESSIONS):
                self._cells(compared, day)
            self._rows("hits name what is not there (day, what)", DANGLING, day)
            self._rows("hits of a site name another's page (day, site, page)", OTHER_SITE, day)
            if day not in guarded:
                self._rows("hits that are there twice (day, site, hit_id, times)", TWICE, day)
        yield from self._findings()
        yield from self._titles(days)

    def _rows(self, title: str, statement: LiteralString, day: datetime.date) -> None:
        rows, examples = first_rows(self._connection, statement, {"day": day})
        self._wrong[title].add(day, rows, [f"{day} {text_of(row)}" for row in examples])

    def _cells(self, compared: Compared, day: datetime.date) -> None:
        rows, examples = first_rows(self._connection, wrong_statement(compared), {"day": day})
        if rows:
            self.wrong_days.add(day)
            self._wrong[f"{compared.name} differs from hits"].add(
                day, rows, [self._cell(compared, row) for row in examples]
            )

    def _cell(self, compared: Compared, row: tuple[Any, ...]) -> str:
        """A wrong cell by its names: which, what it says, and what the hits say."""
        size, number = len(compared.key), len(compared.measures)
        place = text_of(self._name(column, value) for column, value in zip(compared.key, row, strict=False))
        sides = [
            ", ".join(f"{name} {value}" for name, value in zip(compared.measures, side, strict=True))
            if side[0] is not None
            else "no such row"
            for side in (row[size : size + number], row[size + number :])
        ]
        return f"{place}: {sides[0]}; by hits {sides[1]}"

    def _name(self, column: str, value: Any) -> Any:
        statements: dict[str, LiteralString] = {
            "site_id": "select site from sites where site_id = %s",
            "page_id": "select host || path from pages where page_id = %s",
            "referrer_id": "select coalesce(referrer, source, '(direct)') from referrers where referrer_id = %s",
        }
        if column not in statements:
            return value
        if (column, value) not in self._names:
            row = self._connection.execute(statements[column], [value]).fetchone()
            self._names[column, value] = row[0] if row else f"{column} {value}"
        return self._names[column, value]

    def _findings(self) -> Iterator[Finding]:
        for title, wrong in self._wrong.items():
            if wrong.rows:
                advice = wrong.rebuild if title.startswith("rollup_") else WHAT_TO_DO[title.split(" (")[0]]
                yield Finding(title, wrong.rows, wrong.examples, advice)

    def _titles(self, days: list[datetime.date]) -> Iterator[Finding]:
        title = "titles differ from hits (site, page, shown, by hits, day)"
        for found in finding(self._connection, title, WRONG_TITLES, {"days": days}):
            [(first, last)] = self._connection.execute(
                f"select min(day), max(day) from ({WRONG_TITLES}) w", {"days": days}
            ).fetchall()
            yield found._replace(what_to_do=f"make rebuild FROM={first} TO={last}")


NUMBERS_CHANGED = "rows of the tables of numbers were changed by hand: put them back from a backup"
WHAT_TO_DO = {
    MISDATED: "make rebuild TIMEZONE=1",
    "hits name what is not there": NUMBERS_CHANGED,
    "hits of a site name another's page": NUMBERS_CHANGED,
    "hits that are there twice": "an index of the day was missing while hits came: delete the later of each two"
    " and book it in ledger as duplicate, then make rebuild",
}


def prepare(connection: Connection) -> None:
    """Once: the temporary tables."""
    compare.prepare(connection)
    connection.execute(
        "create temporary table newest_titles (page_id integer primary key, title_id integer,"
        " received_at timestamptz, hit_id uuid)"
    )
