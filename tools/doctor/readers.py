"""Whether who is counted looks like people: by the hits of the last hours, and by what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tools.doctor.check import Judgement
from tools.doctor.installation import Installation

# With fewer, anything may be chance.
FEW, MANY_IN_A_SESSION, MANY_SESSIONS = 20, 50, 200
# Where 10 hits are usual, by the days before, none is chance once in 20,000.
USUAL_DAYS, USUAL_FEW = 14, 10
# Part of the hits that may be refused as too many: a script that runs wild, an office of thousands.
REFUSED_SHARE = 0.01

COUNTS = """
select count(*), count(*) filter (where is_bot), count(*) filter (where is_page),
       count(*) filter (where is_page and session_id is null),
       count(distinct session_id) filter (where is_page),
       count(*) filter (where is_page and country is null),
       count(distinct country) filter (where is_page)
from (
    select is_bot, session_id, country, event = 'pageview' and not is_bot and not is_me as is_page
    from hits
    where day >= ((now() - make_interval(hours => %(hours)s))
                  at time zone (select report_timezone from installation))::date
      and received_at > now() - make_interval(hours => %(hours)s)
) counted
"""
EARLIER = """
select coalesce(sum(pageviews + bot_hits), 0)
from daily_traffic, installation
where day < (now() at time zone report_timezone)::date
  and day >= (now() at time zone report_timezone)::date - %(days)s
"""
LEFT_OUT = """
select reason, sum(hits)::bigint
from ledger_left_out, installation
where day >= ((now() - make_interval(hours => %(hours)s)) at time zone report_timezone)::date
group by reason
"""


class Readers(NamedTuple):
    """Counts of the last hours; of people's pageviews, but for ``hits`` and ``bots``."""

    hours: int
    hits: int
    bots: int
    pageviews: int
    anonymous: int
    sessions: int
    without_country: int
    countries: int
    earlier: int  # pageviews and bots of the 14 days before
    left_out: Mapping[str, int]  # by reason, of the days that these hours touch
    has_page: bool  # a page was given, so there is one


def gather(installation: Installation) -> Readers:
    """Raises ``CannotAsk``, ``psycopg.Error``."""
    hours = installation.asked.hours
    with installation.database() as connection:
        counts: tuple[int, int, int, int, int, int, int]
        [counts] = connection.execute(COUNTS, {"hours": hours}).fetchall()
        [(earlier,)] = connection.execute(EARLIER, {"days": USUAL_DAYS}).fetchall()
        left_out = dict(connection.execute(LEFT_OUT, {"hours": hours}).fetchall())
    return Readers(hours, *counts, int(earlier), left_out, bool(installation.asked.page))


def judge(readers: Readers) -> Judgement:
    """What looks like a fault of the set-up and not like people."""
    with_session = readers.pageviews - readers.anonymous
    refused = readers.left_out.get("rate-limit", 0)
    not_durable = sum(readers.left_out.get(reason, 0) for reason in ("not-durable", "too-many"))
    unknown = readers.left_out.get("unknown-site", 0)
    has_some = readers.pageviews >= FEW
    usual = readers.earlier * readers.hours / (USUAL_DAYS * 24)
    found = {
        "silent": not readers.hits and usual >= USUAL_FEW,
        "none-yet": not readers.hits and usual < USUAL_FEW and readers.has_page,
        "one-session": readers.sessions == 1 and with_session >= MANY_IN_A_SESSION,
        "no-country": has_some and readers.without_country == readers.pageviews,
        "one-country": readers.countries == 1
        and not readers.without_country
        and readers.sessions >= MANY_SESSIONS,
        "anonymous": has_some and readers.anonymous == readers.pageviews,
        "bots": readers.hits >= FEW and readers.bots == readers.hits,
        "unknown-site": unknown >= FEW and unknown > readers.hits,
        "rate-limited": refused >= FEW and refused > REFUSED_SHARE * readers.hits,
        "not-durable": not_durable > 0,
    }
    says = (
        f"in {readers.hours} h {readers.hits} hits, {readers.pageviews} pageviews of people, "
        f"{readers.sessions} sessions, {readers.countries} countries, {readers.bots} of bots"
    )
    return Judgement(says, tuple(name for name, is_so in found.items() if is_so))
