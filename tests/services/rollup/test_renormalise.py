"""New rules are run over history: rows and rollups that change, nothing else, from wherever it was cut off."""

from __future__ import annotations

import datetime
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from services.enricher.renormalise import (
    OPEN_DAYS,
    OtherSites,
    Step,
    days_to_read,
    renormalise,
    renormalise_day,
    rules_of,
)
from services.enricher.rewrite import SiteDay, Values
from services.hit import Hit
from services.migrate.runner import set_sites
from services.rollup import compare
from services.rollup.refresh import refresh
from services.sites import Sites
from tests.make import SITE, make_hit, make_settings
from tests.services.rollup.conftest import Parts
from tests.services.rollup.definition import differences, put
from tools.servers import poll

pytestmark = pytest.mark.servers

SETTINGS = make_settings(SITES="blog.example, other.example")
RULES, SITES = rules_of(SETTINGS), Sites(SETTINGS.sites)
TODAY = datetime.datetime.now(datetime.UTC).date()

# Referrer, query and tag of a row, and what rules 2 make of them: source, detail, channel.
ORIGINS: list[tuple[str | None, str | None, str | None, tuple[str | None, str | None, str]]] = [
    ("https://www.google.com/", None, None, ("Search", "Google", "Search")),
    ("https://duckduckgo.com/", None, None, ("Search", "DuckDuckGo", "Search")),
    ("https://docs.google.com/", None, None, ("Google Docs", None, "Referral")),
    ("https://friend.example/a", None, None, ("friend.example", None, "Referral")),
    ("https://www.blog.example/", None, None, (None, None, "Direct")),
    (None, "ref=producthunt", None, ("Product Hunt", None, "News")),
    (None, None, "mc_cid", ("Newsletter", "Mailchimp", "Email")),
    (None, None, None, (None, None, "Direct")),
]
# What the rules before may have said of any of them.
FORMER = [
    ("Search", None, "Search"),
    ("docs.google.com", None, "Referral"),
    (None, None, "Direct"),
    ("x", "y", "News"),
]
OUTPUTS = "source, source_detail, channel, bot_class, language, screen"


def make_history(dice: random.Random, number: int, days: int = 3, first: int = 1) -> list[Hit]:
    """Rows of which some are as the rules would have them and some are not."""
    hits = []
    for place in range(number):
        referrer, query, tag, now = dice.choice(ORIGINS)
        source, detail, channel = dice.choice([now, *FORMER])
        day = TODAY - datetime.timedelta(days=dice.randrange(days))
        is_bot = dice.random() < 0.2
        session_id = uuid.UUID(int=dice.randrange(number // 3 + 2) * 400 + (TODAY - day).days)
        hits.append(
            make_hit(
                id=first + place, site=dice.choice((SITE, "other.example")) if referrer != ORIGINS[4][0] else SITE,
                host=SITE, day=day, path=f"/{dice.randrange(4)}", referrer=referrer, query=query, link_tag=tag,
                source=source, source_detail=detail, channel=channel, is_me=dice.random() < 0.1, is_bot=is_bot,
                bot_name=dice.choice(("Googlebot", "other bot")) if is_bot else None,
                bot_class=dice.choice((None, "feed")) if is_bot else None,
                session_id=dice.choice((None, session_id, session_id)),
                language=dice.choice((None, "de-CH-1996", "de-CH")), screen=dice.choice((None, "1903x1071")),
                status=dice.choice((None, 404)), event=dice.choice(("pageview", "pageview", "signup")),
                utm_source=dice.choice((None, "letter")), country=dice.choice((None, "CH")),
            )
        )  # fmt: skip
    return [hit for hit in hits if hit.site == SITE] + [
        make_hit(id=number + 1, site="other.example", host="other.example", source="kept", channel="Referral",
                 referrer="https://kept.example/", day=TODAY - datetime.timedelta(days=40))
    ]  # fmt: skip


def wanted(hit: Hit) -> tuple[Any, ...]:
    """What the rules say of a row."""
    origin = next(o for o in ORIGINS if o[:3] == (hit.referrer, hit.query, hit.link_tag))
    bot_class = "search" if hit.bot_name == "Googlebot" else hit.bot_class
    return (*origin[3], bot_class, hit.language and "de-CH", hit.screen and "1920x1080")


def rows(parts: Parts) -> dict[Any, tuple[Any, ...]]:
    """Of each row which version of it is stored, and what the rules decide."""
    found = parts.rows(
        f"select uuid_send(hit_id), s.xmin::text, {OUTPUTS} from hits join stored_hits s using (hit_id, day)"
        f" where site = '{SITE}'"
    )
    return {row[0]: row[1:] for row in found}


def wrong_cells(parts: Parts) -> dict[str, Any]:
    """Cells that are otherwise than the definition says of the hits that are counted; at any moment."""
    compare.prepare(parts.eye)
    found = {}
    with parts.eye.transaction():
        parts.eye.execute("set transaction isolation level repeatable read")
        parts.eye.execute("set local enable_nestloop = off")
        for (day,) in parts.eye.execute("select distinct day from stored_hits").fetchall():
            compare.load(parts.eye, day)
            for compared in compare.COMPARED:
                cells = parts.eye.execute(compare.wrong_statement(compared), {"day": day}).fetchall()
                found[f"{compared.name} {day}"] = cells
    return {name: cells for name, cells in found.items() if cells}


def day_of(parts: Parts, day: datetime.date = TODAY) -> SiteDay:
    """That of the site."""
    ((site_id,),) = parts.rows(f"select site_id from sites where site = '{SITE}'")
    return SiteDay(SITE, site_id, day)


def run(parts: Parts, stop_after: int | None = None, batch: int = 7) -> list[Step]:
    """What one run does; ``stop_after`` that many steps it is cut off."""
    steps = []
    with parts.database.connect("footfall_enricher") as connection:
        for day in days_to_read(connection, SETTINGS):
            for step in renormalise_day(connection, RULES, SITES, day, batch):
                steps.append(step)
                if len(steps) == stop_after:
                    return steps
    return steps


@pytest.mark.parametrize("seed", range(6))
def test_rollups_equal_hits_after_every_commit(parts: Parts, seed: int) -> None:
    dice = random.Random(seed)
    hits = make_history(dice, 120)
    put(parts.store, *hits)
    parts.refresh_all()
    cut_off = True
    while cut_off:
        stop_after = dice.randrange(1, 6)
        cut_off = len(run(parts, stop_after)) == stop_after
        assert differences(parts.eye) == {}
        assert wrong_cells(parts) == {}
    found = rows(parts)
    for hit in hits[:-1]:
        assert found[hit.hit_id][1:] == wanted(hit), hit


@pytest.mark.parametrize("seed", range(4))
def test_hits_that_wait_are_rewritten_and_counted_once(parts: Parts, seed: int) -> None:
    dice = random.Random(100 + seed)
    hits = make_history(dice, 90)
    while hits:
        put(parts.store, *hits[:12])
        hits = hits[12:]
        for _ in range(dice.randrange(3)):
            run(parts, stop_after=dice.randrange(1, 6), batch=dice.randrange(1, 9))
            assert wrong_cells(parts) == {}
        if dice.random() < 0.5:
            refresh(parts.refresher, dice.choice((1, 5, 20_000)))
    run(parts)
    parts.refresh_all()
    assert differences(parts.eye) == {}
    assert wrong_cells(parts) == {}


def test_only_what_changes_is_touched_and_twice_is_once(parts: Parts) -> None:
    hits = make_history(random.Random(7), 200)
    put(parts.store, *hits)
    parts.refresh_all()
    before = rows(parts)
    others = (
        "traffic",
        "hours",
        "pages",
        "campaigns",
        "countries",
        "browsers",
        "systems",
        "devices",
        "events",
    )
    cells = [parts.rows(f"select xmin::text, c from rollup_{name} c order by c::text") for name in others]
    assert all(cells)
    run(parts)
    after = rows(parts)
    for hit in hits[:-1]:
        old, new = before[hit.hit_id], after[hit.hit_id]
        assert (new[0] != old[0]) == (old[1:] != wanted(hit)), hit
    assert [
        parts.rows(f"select xmin::text, c from rollup_{name} c order by c::text") for name in others
    ] == cells
    assert not any(step.rows for step in run(parts))
    assert rows(parts) == after


def test_a_cell_that_stays_as_it_is_is_not_touched(parts: Parts) -> None:
    stays = make_hit(
        id=1, source="friend.example", channel="Referral", referrer="https://friend.example/a", day=TODAY
    )
    moves = make_hit(
        id=2, source="docs.google.com", channel="Referral", referrer="https://docs.google.com/", day=TODAY
    )
    put(parts.store, stays, moves)
    parts.refresh_all()
    cell = "select xmin::text from rollup_sources where source = 'friend.example'"
    before = parts.rows(cell)
    assert sum(step.rows for step in run(parts)) == 1
    assert parts.rows(cell) == before
    assert differences(parts.eye) == {}


def test_days_that_were_read_are_not_read_again_but_for_the_last(parts: Parts) -> None:
    put(parts.store, *(make_hit(id=n, day=TODAY - datetime.timedelta(days=n)) for n in range(6)))
    with parts.database.connect("footfall_enricher") as connection:
        days = days_to_read(connection, SETTINGS)
        assert [what.day for what in days] == [TODAY - datetime.timedelta(days=n) for n in range(6)], (
            "newest first"
        )
        list(renormalise(connection, SETTINGS, days[:4], sleep=lambda _: None))
        again = days_to_read(connection, SETTINGS)
    assert again == [*days[:OPEN_DAYS], *days[4:]]


def test_days_whose_hits_are_gone_keep_their_rollups(parts: Parts) -> None:
    old = TODAY - datetime.timedelta(days=50)
    put(parts.store, make_hit(id=1, day=old, source="docs.google.com", referrer="https://docs.google.com/"))
    parts.refresh_all()
    parts.eye.execute(f"drop table hits_days.d{old:%Y%m%d}")
    assert run(parts) == []
    assert parts.rows("select source, pageviews from daily_sources") == [("docs.google.com", 1)]


def test_a_day_of_which_hits_are_gone_keeps_its_rollups(parts: Parts) -> None:
    """A late hit after the retention makes the day's partition again."""
    old = TODAY - datetime.timedelta(days=50)
    stale = {"day": old, "source": "docs.google.com", "referrer": "https://docs.google.com/"}
    put(parts.store, *(make_hit(id=n, **stale) for n in range(1, 6)))
    parts.refresh_all()
    parts.eye.execute(f"drop table hits_days.d{old:%Y%m%d}")
    parts.eye.execute("select open_hits_day(%s)", [old])
    put(parts.store, make_hit(id=9, **stale))
    parts.refresh_all()
    assert sum(step.rows for step in run(parts)) == 0
    assert parts.rows("select source, pageviews from daily_sources") == [("docs.google.com", 6)]


@pytest.mark.parametrize("sites", ["other.example", "*", "blog.example, www.blog.example=elsewhere.example"])
def test_a_day_of_other_sites_is_not_read(parts: Parts, sites: str) -> None:
    stale = {"day": TODAY, "source": "x", "referrer": "https://docs.google.com/"}
    hosts = ("www.blog.example", "de.blog.example", "other.example")
    put(
        parts.store,
        *(
            make_hit(id=n, site=SITE if n < 3 else host, host=host, **stale)
            for n, host in enumerate(hosts, 1)
        ),
    )
    parts.refresh_all()
    with parts.database.connect("footfall_enricher") as connection:
        days = days_to_read(connection, SETTINGS)
        steps = list(renormalise(connection, make_settings(SITES=sites), days, sleep=lambda _: None))
    skipped = [step.site for step in steps if step.is_skipped]
    assert skipped == ([SITE, "other.example"] if "other" not in sites and sites != "*" else [SITE])
    assert {step.site for step in steps if step.rows} == {SITE, "other.example"} - set(skipped)
    assert parts.rows("select count(*) from hits where source = 'x' and site = 'blog.example'") == [(2,)]


def test_under_other_sites_than_the_services_nothing_is_read(parts: Parts) -> None:
    """A site's other host would be a source: no day shows that by itself."""
    put(parts.store, make_hit(id=1, day=TODAY, referrer="https://old.example/"))
    with parts.database.connect() as connection:
        set_sites(connection, make_settings(SITES="old.example=blog.example, blog.example").sites)
        with pytest.raises(
            OtherSites, match=r"the services run with blog\.example=blog\.example, old\.example="
        ):
            days_to_read(connection, make_settings(SITES="blog.example"))
        assert days_to_read(connection, make_settings(SITES="blog.example,old.example = blog.example"))
        connection.execute("update installation set sites = null")


def test_a_large_day_is_read_in_short_batches_whatever_the_planner_expects(parts: Parts) -> None:
    """With statistics from before the day, loops over its cells would take the square of their number."""
    number = 12_000
    put(parts.store, *(make_hit(id=n, day=TODAY - datetime.timedelta(days=1)) for n in range(1, 4)))
    parts.refresh_all()
    parts.eye.execute("analyze")
    put(
        parts.store,
        *(
            make_hit(id=10 + n, day=TODAY, path=f"/{n}", source="Search", channel="Search",
                     session_id=uuid.UUID(int=n // 3),
                     referrer=f"https://{'www' if n % 2 else 'docs'}.google.com/{n}")
            for n in range(number)
        ),
    )  # fmt: skip
    parts.refresh_all()
    took_s = []
    with parts.database.connect() as connection:
        began = time.monotonic()
        for step in renormalise_day(connection, RULES, SITES, day_of(parts), 2_000):
            if step.rows:
                took_s.append(time.monotonic() - began)
            began = time.monotonic()
    assert len(took_s) == number // 2_000
    assert max(took_s[1:]) < 3, took_s  # before the first all that the day's hits name is read
    assert wrong_cells(parts) == {}


def test_an_empty_text_is_no_reason_to_go_on_for_ever(parts: Parts) -> None:
    put(parts.store, make_hit(id=1, day=TODAY, source="", language=""))
    parts.refresh_all()
    assert sum(step.rows for step in run(parts)) == 0


def test_tables_of_the_owner_s_are_left_alone(parts: Parts) -> None:
    names = ("changed", "rewritten", "moving", "recounted")
    for name in names:
        parts.eye.execute(f"create table public.{name} (kept text)")
        parts.eye.execute(f"insert into public.{name} values ('kept')")
    try:
        put(parts.store, *make_history(random.Random(5), 60))
        parts.refresh_all()
        assert sum(step.rows for step in run(parts)) > 0
        assert differences(parts.eye) == {}
        for name in names:
            assert parts.rows(f"select * from public.{name}") == [("kept",)]
    finally:
        for name in names:
            parts.eye.execute(f"drop table if exists public.{name}")


def test_a_refresh_of_an_older_version_is_refused(parts: Parts) -> None:
    put(parts.store, make_hit(id=1))
    with pytest.raises(psycopg.errors.RaiseException, match="older version"):
        parts.eye.execute("delete from rollup_pending")
    assert parts.refresh_all() == 1
    assert parts.waiting() == 0


def test_a_killed_run_goes_on_where_it_was(parts: Parts) -> None:
    days = 8
    hits = [
        make_hit(id=place + 1, day=TODAY - datetime.timedelta(days=place % days), source="docs.google.com",
                 channel="Referral", referrer="https://docs.google.com/", session_id=uuid.UUID(int=place))
        for place in range(400)
    ]  # fmt: skip
    put(parts.store, *hits)
    parts.refresh_all()
    command = [sys.executable, "-m", "services.enricher", "renormalise"]
    environ = os.environ | {
        "DATABASE_URL": parts.database.role_url("footfall_enricher"),
        "SITES": "blog.example",
    }
    left = "select count(*) from hits where source = 'docs.google.com'"
    kills = 0
    while kills < 3:
        process = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE)
        before = parts.rows(left)[0][0]
        while process.poll() is None:
            if parts.rows(left)[0][0] < before:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        kills += 1
        assert differences(parts.eye) == {}
        assert wrong_cells(parts) == {}
    assert 0 < parts.rows(left)[0][0] < 400, "cut off in the middle"
    done = subprocess.run(command, env=environ, capture_output=True, timeout=60, check=True)
    assert b'"days_left": 0' in done.stderr or b'"days_left":0' in done.stderr, done.stderr
    assert parts.rows(left) == [(0,)]
    assert differences(parts.eye) == {}


def test_a_refresh_gets_in_between_batches(parts: Parts) -> None:
    put(parts.store, *make_history(random.Random(3), 100))
    parts.refresh_all()
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        put(parts.store, make_hit(id=10_000 + len(pauses), day=TODAY))
        assert refresh(parts.refresher, 20_000) == 1, "the lock is free"

    with parts.database.connect("footfall_enricher") as connection:
        steps = list(renormalise(connection, SETTINGS, days_to_read(connection, SETTINGS), pause))
    assert len(pauses) == sum(step.rows > 0 for step in steps) > 3
    assert min(pauses) >= 0.3
    assert differences(parts.eye) == {}
    assert wrong_cells(parts) == {}


# What moves ---------------------------------------------------------------------------------------------------------


def test_every_rollup_that_depends_on_the_rules_is_moved(parts: Parts) -> None:
    stale = {"day": TODAY, "status": 404, "utm_source": None, "session_id": uuid.UUID(int=1)}
    docs = {"referrer": "https://docs.google.com/", "source": "docs.google.com", "channel": "Referral"}
    duck = {"referrer": "https://duckduckgo.com/", "source": "duckduckgo.com", "channel": "Referral"}
    bot = {"is_bot": True, "bot_name": "Googlebot", "bot_class": "feed"}
    put(
        parts.store,
        make_hit(**stale, **docs, language="de-CH-1996", screen="1903x1071"),
        make_hit(**stale, **docs, language="de-CH", screen="1920x1080"),
        make_hit(**stale, **duck, path="/b", language="de-CH", screen="1920x1080"),
        make_hit(**stale, **bot),
    )
    parts.refresh_all()
    run(parts)
    for question, answer in {
        "source, channel, pageviews, visitors from daily_sources": [
            ("Google Docs", "Referral", 2, 1), ("Search", "Search", 1, 1),
        ],
        "channel, pageviews, visitors from daily_channels": [("Referral", 2, 1), ("Search", 1, 1)],
        "source, source_detail, pageviews, visitors from daily_source_details": [("Search", "DuckDuckGo", 1, 1)],
        "source, referrer, pageviews, visitors from daily_referrers": [
            ("Google Docs", "https://docs.google.com/", 2, 1), ("Search", "https://duckduckgo.com/", 1, 1),
        ],
        "source, referrer, path, pageviews, visitors from daily_referrals": [
            ("Google Docs", "https://docs.google.com/", "/a", 2, 1),
            ("Search", "https://duckduckgo.com/", "/b", 1, 1),
        ],
        "path, referrer, pageviews from daily_missing": [
            ("/a", "https://docs.google.com/", 2), ("/b", "https://duckduckgo.com/", 1),
        ],
        "count(distinct referrer_id) from rollup_missing": [(2,)],
        "language, pageviews, visitors from daily_languages": [("de-CH", 3, 1)],
        "screen, pageviews, visitors from daily_screens": [("1920x1080", 3, 1)],
        "bot_name, bot_class, bot_hits from daily_bots": [("Googlebot", "search", 1)],
    }.items():  # fmt: skip
        assert parts.rows(f"select {question} order by 1") == answer, question
    assert wrong_cells(parts) == {}


def test_a_visitor_who_came_twice_is_in_both_cells_until_the_last_hit_has_moved(parts: Parts) -> None:
    docs = {"referrer": "https://docs.google.com/", "source": "docs.google.com", "channel": "Referral"}
    put(parts.store, *(make_hit(id=n, day=TODAY, session_id=uuid.UUID(int=1), **docs) for n in range(1, 4)))
    parts.refresh_all()
    cells = "select source, pageviews, visitors from daily_sources order by 1"
    seen = []
    with parts.database.connect("footfall_enricher") as connection:
        for step in renormalise_day(connection, RULES, SITES, day_of(parts), 1):
            seen += [parts.rows(cells)] if step.rows else []
    assert seen == [
        [("Google Docs", 1, 1), ("docs.google.com", 2, 1)],
        [("Google Docs", 2, 1), ("docs.google.com", 1, 1)],
        [("Google Docs", 3, 1)],
    ]


def test_one_origin_may_become_two_under_two_hosts(parts: Parts) -> None:
    """What is the page's own host is no source; so a rule asks for the host, and origins know none."""

    def by_host(_: str, inputs: Values) -> Values:
        return inputs[0], None, "Referral"

    put(parts.store, *(make_hit(id=n, day=TODAY, host=f"{'ab'[n % 2]}.blog.example") for n in range(1, 6)))
    parts.refresh_all()
    with parts.database.connect("footfall_enricher") as connection:
        rule = RULES[0]._replace(answer=by_host)
        list(renormalise_day(connection, (rule,), SITES, day_of(parts), 2))
    assert parts.rows("select host, source, count(*) from hits group by 1, 2 order by 1") == [
        ("a.blog.example", "a.blog.example", 2),
        ("b.blog.example", "b.blog.example", 3),
    ]
    assert wrong_cells(parts) == {}


# Numbers ------------------------------------------------------------------------------------------------------------


def test_rows_that_hits_name_are_never_changed(parts: Parts) -> None:
    """The enricher remembers them: what it stores with a number it knows says what it meant."""
    stale = {
        "day": TODAY,
        "referrer": "https://docs.google.com/",
        "source": "docs.google.com",
        "channel": "Referral",
    }
    put(parts.store, make_hit(id=1, **stale))
    tables = {"origins": "used_on, o", "referrers": "used_on, o", "clients": "used_on, o"}
    before = {name: set(parts.rows(f"select {what} from {name} o")) for name, what in tables.items()}
    run(parts)
    after = {name: set(parts.rows(f"select {what} from {name} o")) for name, what in tables.items()}
    assert all(before[name] <= after[name] for name in tables)
    assert {name: len(after[name] - before[name]) for name in tables} == {
        "origins": 1,
        "referrers": 1,
        "clients": 0,
    }
    put(parts.store, make_hit(id=2, **stale))
    assert parts.rows("select hit_id, source from hits order by 1") == [
        (uuid.UUID(int=1), "Google Docs"),
        (uuid.UUID(int=2), "docs.google.com"),
    ]
    assert sum(step.rows for step in run(parts)) == 1
    parts.refresh_all()
    assert wrong_cells(parts) == {}


def test_what_hits_are_given_is_not_forgotten_before_them(parts: Parts) -> None:
    """The row that is found was last used on an earlier day; upkeep forgets by that."""
    earlier = TODAY - datetime.timedelta(days=9)
    good = {
        "source": "Google Docs",
        "channel": "Referral",
        "referrer": "https://docs.google.com/",
        "language": "de-CH",
    }
    put(parts.store, make_hit(id=1, day=earlier, **good))
    put(parts.store, make_hit(id=2, day=TODAY, **(good | {"source": "x", "language": "de-CH-1996"})))
    run(parts)
    for table, column in (("origins", "origin_id"), ("clients", "client_id")):
        assert parts.rows(
            f"select count(*), max(used_on) from stored_hits join {table} using ({column})"
        ) == [(2, TODAY)]
    used = "from stored_hits join origins using (origin_id) join referrers r using (referrer_id)"
    assert parts.rows(f"select distinct r.source, r.used_on {used}") == [("Google Docs", TODAY)]


# Days ---------------------------------------------------------------------------------------------------------------


def indexes(parts: Parts, day: datetime.date) -> int:
    return int(
        parts.rows(f"select count(*) from pg_index where indrelid = 'hits_days.d{day:%Y%m%d}'::regclass")[0][
            0
        ]
    )


def test_a_closed_day_is_read_and_stays_closed(parts: Parts) -> None:
    hits = make_history(random.Random(11), 80, days=1)
    put(parts.store, *hits)
    parts.refresh_all()
    parts.eye.execute("select close_hits_day(%s)", [TODAY])
    assert sum(step.rows for step in run(parts)) > 0
    assert indexes(parts, TODAY) == 0
    found = rows(parts)
    assert [found[hit.hit_id][1:] for hit in hits[:-1]] == [wanted(hit) for hit in hits[:-1]]
    assert wrong_cells(parts) == {}
    parts.eye.execute("select open_hits_day(%s)", [TODAY])


def test_another_site_s_hits_stay(parts: Parts) -> None:
    """Both sites name the origin by one number, and have pages of one host since SITES was changed."""
    stale = {
        "day": TODAY,
        "referrer": "https://www.blog.example/",
        "source": "blog.example",
        "channel": "Referral",
    }
    put(parts.store, *(make_hit(**stale, site=site, host=SITE) for site in (SITE, "former.example")))
    parts.refresh_all()
    steps = run(parts)
    assert sum(step.rows for step in steps) == 1
    assert [step.site for step in steps if step.is_skipped] == ["former.example"]
    assert parts.rows("select site, source from hits order by 1") == [
        (SITE, None),
        ("former.example", "blog.example"),
    ]
    assert wrong_cells(parts) == {}


def test_no_other_day_is_read(parts: Parts) -> None:
    """Nothing of another day is even locked: by 400 days each statement would take its time."""
    other = TODAY - datetime.timedelta(days=1)
    put(parts.store, *make_history(random.Random(12), 60, days=2))
    parts.refresh_all()
    with parts.database.connect() as locking, locking.transaction():
        locking.execute(f"lock table hits_days.d{other:%Y%m%d} in access exclusive mode")
        with parts.database.connect(options="-c lock_timeout=2000") as connection:
            steps = list(renormalise_day(connection, RULES, SITES, day_of(parts), 5))
            assert sum(step.rows for step in steps) > 20
            with pytest.raises(psycopg.errors.LockNotAvailable):
                list(renormalise_day(connection, RULES, SITES, day_of(parts, other)))
    assert wrong_cells(parts) == {}


# At once, and cut off -----------------------------------------------------------------------------------------------


def test_while_all_write_rollups_equal_what_is_counted(parts: Parts) -> None:
    """Two runs, a refresher and two enrichers at once."""
    stopped = threading.Event()
    problems: list[BaseException] = []
    stores = [parts.make_store() for _ in range(2)]

    def going_on(work: Callable[[], Any]) -> threading.Thread:
        def go_on() -> None:
            try:
                while not stopped.is_set():
                    work()
            except BaseException as error:
                problems.append(error)

        return threading.Thread(target=go_on)

    def write(number: int) -> None:
        hits = make_history(random.Random(200 + number), 300, days=2, first=1_000 * number + 1)[:-1]
        for start in range(0, len(hits), 6):
            put(stores[number], *hits[start : start + 6])

    writers = [threading.Thread(target=write, args=(number,)) for number in range(len(stores))]
    steps: list[Step] = []
    others = [
        going_on(lambda: steps.extend(run(parts, batch=5))),
        going_on(lambda: steps.extend(run(parts, batch=40))),
        going_on(lambda: refresh(parts.refresher, 20)),
    ]
    for thread in (*writers, *others):
        thread.start()
    looks = 0
    while any(thread.is_alive() for thread in writers):
        assert wrong_cells(parts) == {}
        looks += 1
    for thread in writers:
        thread.join()
    assert poll(lambda: parts.waiting() == 0, 20)
    stopped.set()
    for thread in others:
        thread.join(30)
    assert problems == []
    assert looks > 2
    assert sum(step.rows > 0 for step in steps) > 10
    run(parts)
    assert not any(step.rows for step in run(parts))
    assert differences(parts.eye) == {}
    assert wrong_cells(parts) == {}


@pytest.mark.parametrize("table", ["rollup_sources", "rollup_missing", "rollup_bots"])
def test_a_batch_that_is_killed_leaves_nothing_half_done(parts: Parts, table: str) -> None:
    put(parts.store, *make_history(random.Random(13), 60, days=1))
    parts.refresh_all()
    errors: list[BaseException] = []

    def read() -> None:
        try:
            run(parts)
        except psycopg.OperationalError as error:
            errors.append(error)

    with parts.database.connect() as other, other.transaction():
        other.execute(f"lock table {table} in share mode")  # the batch stops in the middle of its transaction
        thread = threading.Thread(target=read)
        thread.start()
        waiting = (
            "select pid from pg_stat_activity where datname = current_database()"
            " and wait_event_type = 'Lock' and query like '-- rollup: move%'"
        )
        assert poll(lambda: parts.rows(waiting) != [], 10)
        parts.eye.execute("select pg_terminate_backend(%s, 5000)", parts.rows(waiting)[0])
        thread.join(10)
    assert len(errors) == 1
    assert wrong_cells(parts) == {}
    assert sum(step.rows for step in run(parts)) > 0
    assert not any(step.rows for step in run(parts))
    assert differences(parts.eye) == {}
    assert wrong_cells(parts) == {}
