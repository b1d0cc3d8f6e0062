"""The part of `make check` that looks at the reporting views: they must show what is in the rollups, by name."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import LiteralString

from services.rollup.compare import COMPARED, SESSIONS
from services.rollup_statements import COUNTED
from services.rollups import MEASURES, ROLLUPS, Rollup
from tools.findings import Connection, Finding, finding

# What a view shows for a number. Titles are checked in rollup_titles.
SHOWN: dict[str, tuple[LiteralString, ...]] = {
    "page_id": ("host", "path"),
    "referrer_id": ("source", "referrer"),
}
# For a rollup whose hits are told by their page's number, which `hits` does not show.
NUMBERED: LiteralString = """
        left join (select page_id, site, host, path from pages join sites using (site_id)) g
        using (site, host, path)"""
VIEWS: dict[str, LiteralString] = {"rollup_hours": "hourly_traffic"}
NOT_SHOWN = {("missing", "source")}  # a missing page is shown by referrer alone
WHAT_TO_DO = "the view was changed: its definition is in migrations/"

PERIOD = """
select coalesce(site, '∅') as site, sum(pageviews) as pageviews, sum(visitors) as visitors
from (
    select site, pageviews, visitors from traffic_of_period(%(first)s, %(last)s)
    union all
    select site, -pageviews, -visitors from daily_traffic where day between %(first)s and %(last)s
) as both_sides
group by site
having sum(pageviews) <> 0 or sum(visitors) <> 0
"""


def view_of(table: LiteralString) -> LiteralString:
    """The reporting view on a rollup."""
    return VIEWS.get(table, "daily_" + table.removeprefix("rollup_"))


def totals_statement(table: LiteralString, measures: tuple[LiteralString, ...]) -> LiteralString:
    """Sites' days on which a view has another sum than its rollup."""
    names: LiteralString = ", ".join(measures)
    minus: LiteralString = ", ".join(f"-{name}" for name in measures)
    return f"""
select coalesce(site, '∅') as site, day, {", ".join(f"sum({name}) as {name}" for name in measures)}
from (
    select site, day, {names} from {view_of(table)}
    union all
    select s.site, r.day, {minus} from {table} r left join sites s using (site_id)
) as both_sides
group by site, day
having {" or ".join(f"sum({name}) <> 0" for name in measures)}
order by day desc
"""


def shown_statement(rollup: Rollup) -> LiteralString:
    """Rows of a view that a plain GROUP BY over `hits` does not give, or the other way round. Parameter: ``day``."""
    key: LiteralString = ", ".join(
        (
            "site",
            "day",
            *(
                name
                for dimension in rollup.dimensions
                for name in SHOWN.get(dimension, (dimension,))
                if (rollup.name, name) not in NOT_SHOWN
            ),
        )
    )
    measures = rollup.measures
    numbered: LiteralString = NUMBERED if "page_id" in rollup.each else ""
    return f"""
select {key}, {", ".join(f"sum({name}) as {name}" for name in measures)}
from (
    select {key}, {", ".join(measures)} from {view_of("rollup_" + rollup.name)} where day = %(day)s
    union all
    select {key}, {", ".join(f"-({MEASURES[name].plain})" for name in measures)}
    from (
        select h.*, {"page_id," if numbered else ""}
               h.event = 'pageview' and not h.is_bot and not h.is_me as is_pageview,
               h.event <> 'pageview' and not h.is_bot and not h.is_me as is_event,
               date_bin('1 hour', h.received_at, h.day::timestamp at time zone i.report_timezone) as hour_starts_at
        from hits h cross join installation i {numbered}
        where h.day = %(day)s and {COUNTED}
    ) as h {rollup.each}
    where {rollup.where}
    group by {key}
) as both_sides
group by {key}
having {" or ".join(f"sum({name}) <> 0" for name in measures)} or count(*) <> 2
"""


def views(
    connection: Connection, days: list[datetime.date], busiest: datetime.date | None
) -> Iterator[Finding]:
    """Views that show other sums than their rollups, and, of one day, anything else than the hits by their names."""
    for compared in (*COMPARED, *SESSIONS):
        yield from finding(
            connection,
            f"{view_of(compared.name)} shows other sums than {compared.name} (site, day, too much)",
            totals_statement(compared.name, compared.measures),
            what_to_do=WHAT_TO_DO,
        )
    if busiest:
        for rollup in ROLLUPS:
            yield from finding(
                connection,
                f"{view_of('rollup_' + rollup.name)} shows something else than hits (row, too much)",
                shown_statement(rollup),
                {"day": busiest},
                f"make rebuild FROM={busiest} TO={busiest}; if it stays: {WHAT_TO_DO}",
            )
    if days:
        yield from finding(
            connection,
            f"traffic_of_period shows other sums than daily_traffic from {days[0]} to {days[-1]} (site, too much)",
            PERIOD,
            {"first": days[0], "last": days[-1]},
            what_to_do=WHAT_TO_DO,
        )
