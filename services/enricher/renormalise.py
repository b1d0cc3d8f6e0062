"""`make renormalise`: reads stored hits again by the rules of this version, and rewrites only what changes.

What the rules decide is a function of other columns of the row, so nothing is needed that was dropped. A site's day
is read as its distinct combinations of those columns; rows whose answer is another are rewritten in batches, each in
one transaction with the cells of the rollups that it moves: rollups equal a plain GROUP BY after every commit. A
batch keeps the refresh waiting, so batches are short and apart. A day that is read to the end is noted in the table
``renormalised``: an interrupted run goes on there, and within a day with the rows that are left.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from typing import Any, LiteralString, NamedTuple

from services.database import Connection
from services.enricher.bots import Bots
from services.enricher.client import language_of, screen_class
from services.enricher.redact import redaction_of
from services.enricher.rules import VERSION
from services.enricher.sources import parameters_of, sources_of
from services.rollups import REFRESH_LOCK, ROLLUPS, Recount, recount, same
from services.settings import Settings
from services.sites import Sites, text_of

# Rows. A batch takes 0.5 to 1 s on a day of 300,000 hits and 250,000 cells of rollup_referrals.
BATCH = 10_000
# What is new today may still come from an enricher of the version before: these days are read every time.
OPEN_DAYS = 2
# What to say of days that were skipped.
SKIPPED = "their hits stand under another site than SITES gives; set SITES to what the services ran with"
MIN_APART_S = 0.3  # longer than a refresh waits until it tries again


class OtherSites(Exception):
    """SITES is not what the services run with: what is the site itself would be taken for a source."""


Values = tuple[str | None, ...]
SiteDay = tuple[str, datetime.date]


class Rule(NamedTuple):
    """What decides what."""

    inputs: tuple[LiteralString, ...]
    outputs: tuple[LiteralString, ...]
    answer: Callable[[str, Values, Values], Values]  # of site, inputs and the outputs as they are


class Step(NamedTuple):
    """What was committed."""

    site: str
    day: datetime.date
    rows: int  # that were rewritten
    is_last: bool = False  # of this site's day
    is_skipped: bool = False  # it stands under another site than SITES would give it


def rules_of(settings: Settings) -> tuple[Rule, ...]:
    """The rules of this version, as functions of columns."""
    sources, bots, redact = sources_of(settings), Bots(), redaction_of(settings)

    def source(site: str, inputs: Values, _: Values) -> Values:
        host, query, referrer, tag = inputs
        found = sources.source_of(site, host or "", parameters_of(query or "", redact), referrer or "", tag)
        return found.name, found.detail, found.channel

    def bot_class(_: str, inputs: Values, old: Values) -> Values:
        return (bots.class_of(inputs[0]) or old[0],) if inputs[0] else (None,)

    return (
        Rule(("host", "query", "referrer", "link_tag"), ("source", "source_detail", "channel"), source),
        Rule(("bot_name",), ("bot_class",), bot_class),
        Rule(("language",), ("language",), lambda _, inputs, __: (language_of(inputs[0] or ""),)),
        Rule(("screen",), ("screen",), lambda _, inputs, __: (screen_class(inputs[0] or ""),)),
    )


def days_to_read(connection: Connection, settings: Settings) -> list[SiteDay]:
    """Sites' days whose hits are kept and were not read by these rules yet, the newest first.

    Raises ``OtherSites``.
    """
    with connection.transaction():
        row = connection.execute("select sites from installation").fetchone()
        if row and row[0] not in (None, text_of(settings.sites)):
            raise OtherSites(
                f"SITES: it is {text_of(settings.sites)} here, but the services run with {row[0]}; set it to the same"
            )
        days: list[SiteDay] = connection.execute(
            """
            select l.site, l.day
            from ledger l cross join installation
            where l.stored > 0
              and to_regclass('hits_days.d' || to_char(l.day, 'YYYYMMDD')) is not null
              and (l.day > (now() at time zone report_timezone)::date - %s::int or not exists (
                  select from renormalised r where r.site = l.site and r.day = l.day and r.rules = %s
              ))
            order by l.day desc, l.site
            """,
            [OPEN_DAYS, VERSION],
        ).fetchall()
    return days


def renormalise_day(
    connection: Connection,
    rules: tuple[Rule, ...],
    sites: Sites,
    site: str,
    day: datetime.date,
    batch: int = BATCH,
) -> Iterator[Step]:
    """Read a site's day again; each batch is committed when it is yielded. Raises ``psycopg.Error``.

    Skipped when its hits stand under another site than SITES gives: what is the site itself is no source, so that
    history would be read wrongly.
    """
    with connection.transaction():
        hosts = connection.execute(
            "select distinct host from hits where site = %s and day = %s", [site, day]
        ).fetchall()
    if any(sites.site_of(host) != site for (host,) in hosts):
        yield Step(site, day, 0, is_last=True, is_skipped=True)
        return
    for rule in rules:
        for rows in _renormalise(connection, rule, site, day, batch):
            yield Step(site, day, rows)
    with connection.transaction():
        connection.execute(
            "insert into renormalised (site, day, rules) values (%s, %s, %s)"
            " on conflict (site, day) do update set rules = excluded.rules",
            [site, day, VERSION],
        )
    yield Step(site, day, 0, is_last=True)


def renormalise(
    connection: Connection,
    settings: Settings,
    days: list[SiteDay],
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Step]:
    """Read these sites' days again, with a pause after each batch in which a refresh gets in."""
    rules, sites = rules_of(settings), Sites(settings.sites)
    for site, day in days:
        began_s = time.monotonic()
        for step in renormalise_day(connection, rules, sites, site, day):
            if step.rows:
                sleep(max(MIN_APART_S, time.monotonic() - began_s))
            yield step
            began_s = time.monotonic()


def _renormalise(
    connection: Connection, rule: Rule, site: str, day: datetime.date, batch: int
) -> Iterator[int]:
    """One rule over a site's day: the rows of each batch."""
    changed = _changed(connection, rule, site, day)
    if not changed:
        return
    columns: LiteralString = ", ".join(
        f"{name} text" for name in (*rule.inputs, *_named("old", rule.outputs), *_named("new", rule.outputs))
    )
    moved: LiteralString = ", ".join(
        f"{name} text" for name in (*_named("old", rule.outputs), *_named("new", rule.outputs))
    )
    with connection.transaction():
        connection.execute("set local client_min_messages = warning")
        connection.execute("drop table if exists pg_temp.changed, pg_temp.moved")
        connection.execute(f"create temporary table changed ({columns})")
        connection.execute(f"create temporary table moved ({moved}) on commit delete rows")
        with connection.cursor() as cursor, cursor.copy("copy pg_temp.changed from stdin") as copy:
            for row in changed:
                copy.write_row(row)
        connection.execute("analyze pg_temp.changed")
    rows = batch
    while rows:
        with connection.transaction():
            rows = _rewrite(connection, rule, site, day, batch)
        if rows:
            yield rows


def _changed(connection: Connection, rule: Rule, site: str, day: datetime.date) -> list[Values]:
    """Inputs, old and new outputs of what the rules answer otherwise now."""
    columns: LiteralString = ", ".join((*rule.inputs, *rule.outputs))
    with connection.transaction():
        found = connection.execute(
            f"select distinct {columns} from hits where site = %s and day = %s", [site, day]
        ).fetchall()
    changed: list[Values] = []
    for row in found:
        inputs, old = row[: len(rule.inputs)], row[len(rule.inputs) :]
        new = rule.answer(site, inputs, old)
        # An empty text and NULL are one to the statements below.
        if any((before or None) != after for before, after in zip(old, new, strict=True)):
            changed.append((*inputs, *old, *new))
    return changed


def _rewrite(connection: Connection, rule: Rule, site: str, day: datetime.date, batch: int) -> int:
    """Rewrite one batch, and count the cells anew that it moves; how many rows."""
    old, new = _named("old", rule.outputs), _named("new", rule.outputs)
    about = {"site": site, "day": day, "rules": VERSION, "batch": batch}
    # The refresh counts the same cells; it is kept out until the commit.
    connection.execute("select pg_advisory_xact_lock(%s)", [REFRESH_LOCK])
    # Some hits of the day may be gone (retention, and a late hit after it): then rollups know more than hits do.
    whole = connection.execute(
        "select stored = (select count(*) from hits h where h.site = l.site and h.day = l.day)"
        " from ledger l where site = %(site)s and day = %(day)s",
        about,
    ).fetchone()
    if not whole or not whole[0]:
        return 0
    rows = connection.execute(
        f"""
        with picked as (
            select h.ctid as place, {", ".join(f"c.{name}" for name in (*old, *new))}
            from hits h join pg_temp.changed c on {same("h", "c", rule.inputs)} and {_same_as_old(rule.outputs)}
            where h.site = %(site)s and h.day = %(day)s
            limit %(batch)s
        ),
        written as (
            update hits h
            set {", ".join(f"{name} = p.new_{name}" for name in rule.outputs)}, rules = %(rules)s
            from picked p
            where h.site = %(site)s and h.day = %(day)s and h.ctid = p.place
            returning {", ".join(f"p.{name}" for name in (*old, *new))}
        ),
        noted as (
            insert into pg_temp.moved select distinct * from written
        )
        select count(*) from written
        """,
        about,
    ).fetchone()
    if rows and rows[0]:
        # By statistics from before this day the planner expects few cells, and joins them by loops: minutes.
        connection.execute("set local enable_nestloop = off")
        for rollup in ROLLUPS:
            dimensions = tuple(name for name in rollup.dimensions if name in rule.outputs)
            if dimensions:
                _recount(connection, recount(rollup, dimensions), about)
    return int(rows[0]) if rows else 0


def _recount(connection: Connection, statements: Recount, about: dict[str, Any]) -> None:
    if connection.execute(statements.find).rowcount:
        for statement in (statements.fill, statements.take, statements.put, statements.clean):
            connection.execute(statement, about)
    else:
        connection.execute("drop table pg_temp.moved_here")


def _named(what: LiteralString, columns: tuple[LiteralString, ...]) -> tuple[LiteralString, ...]:
    return tuple(f"{what}_{name}" for name in columns)


def _same_as_old(columns: tuple[LiteralString, ...]) -> LiteralString:
    return " and ".join(f"coalesce(h.{name}, '') = coalesce(c.old_{name}, '')" for name in columns)
