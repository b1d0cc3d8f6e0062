"""`make renormalise`: reads stored hits again by the rules of this version, and rewrites only what changes.

What the rules decide is a function of what is stored, so nothing is needed that was dropped. Sites' days are read one
by one. A batch keeps the refresh waiting, so batches are short and apart. A day that is read to the end is noted in
the table ``renormalised``: an interrupted run goes on there, and within a day with the hits that are left.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from services.database import Connection
from services.enricher.bots import Bots
from services.enricher.client import language_of, screen_class
from services.enricher.numbers import CLIENTS, ORIGINS, REFERRERS
from services.enricher.rewrite import Rule, SiteDay, Values, rewrite, without_loops
from services.enricher.sources import parameters_of, sources_of
from services.redact import redaction_of
from services.rules import VERSION
from services.settings import Settings
from services.sites import Sites, text_of

# Hits. A batch takes 0.6 to 0.8 s on a day of 300,000 hits and 270,000 cells of rollup_referrals.
BATCH = 10_000
# What is new today may still come from an enricher of the version before: these days are read every time.
OPEN_DAYS = 2
# What to say of days that were skipped.
SKIPPED = "their hits stand under another site than SITES gives; set SITES to what the services ran with"
MIN_APART_S = 0.3  # longer than a refresh waits until it tries again


class OtherSites(Exception):
    """SITES is not what the services run with: what is the site itself would be taken for a source."""


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

    def source(site: str, inputs: Values) -> Values:
        host, query, referrer, tag = inputs
        found = sources.source_of(site, host or "", parameters_of(query or "", redact), referrer or "", tag)
        return found.name, found.detail, found.channel

    def client(_: str, inputs: Values) -> Values:
        name, bot_class, language, screen = inputs
        known = (bots.class_of(name) or bot_class) if name else None
        return known, language_of(language or ""), screen_class(screen or "")

    return (
        Rule(
            (REFERRERS, ORIGINS),
            "(select o.*, r.referrer from origins o join referrers r using (referrer_id)) as named",
            ("host", "query", "referrer", "link_tag"),
            ("source", "source_detail", "channel"),
            source,
        ),
        Rule(
            (CLIENTS,),
            "clients",
            ("bot_name", "bot_class", "language", "screen"),
            ("bot_class", "language", "screen"),
            client,
        ),
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
        days = connection.execute(
            """
            select l.site, s.site_id, l.day
            from ledger l join sites s using (site) cross join installation
            where l.stored > 0
              and to_regclass('hits_days.d' || to_char(l.day, 'YYYYMMDD')) is not null
              and (l.day > (now() at time zone report_timezone)::date - %s::int or not exists (
                  select from renormalised r where r.site = l.site and r.day = l.day and r.rules = %s
              ))
            order by l.day desc, l.site
            """,
            [OPEN_DAYS, VERSION],
        ).fetchall()
    return [SiteDay(*row) for row in days]


def renormalise_day(
    connection: Connection, rules: tuple[Rule, ...], sites: Sites, what: SiteDay, batch: int = BATCH
) -> Iterator[Step]:
    """Read a site's day again; each batch is committed when it is yielded. Raises ``psycopg.Error``.

    Skipped when its hits stand under another site than SITES gives: what is the site itself is no source, so that
    history would be read wrongly.
    """
    with without_loops(connection):
        hosts = connection.execute(
            "select distinct p.host from stored_hits h join pages p using (page_id)"
            " where h.site_id = %(site_id)s and h.day = %(day)s",
            what._asdict(),
        ).fetchall()
    if any(sites.site_of(host) != what.site for (host,) in hosts):
        yield Step(what.site, what.day, 0, is_last=True, is_skipped=True)
        return
    for rule in rules:
        for rows in rewrite(connection, rule, what, batch):
            yield Step(what.site, what.day, rows)
    with connection.transaction():
        connection.execute(
            "insert into renormalised (site, day, rules) values (%s, %s, %s)"
            " on conflict (site, day) do update set rules = excluded.rules",
            [what.site, what.day, VERSION],
        )
    yield Step(what.site, what.day, 0, is_last=True)


def renormalise(
    connection: Connection,
    settings: Settings,
    days: list[SiteDay],
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Step]:
    """Read these sites' days again, with a pause after each batch in which a refresh gets in."""
    rules, sites = rules_of(settings), Sites(settings.sites)
    for what in days:
        began_s = time.monotonic()
        for step in renormalise_day(connection, rules, sites, what):
            if step.rows:
                sleep(max(MIN_APART_S, time.monotonic() - began_s))
            yield step
            began_s = time.monotonic()
