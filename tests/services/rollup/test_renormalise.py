"""New rules are run over history: rows and rollups that change, nothing else, from wherever it was cut off."""

from __future__ import annotations

import datetime
import os
import random
import signal
import subprocess
import sys
import time
import uuid
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
from services.enricher.rules import VERSION
from services.hit import Hit
from services.migrate.runner import set_sites
from services.rollup.refresh import refresh
from services.settings import Settings
from services.sites import Sites
from tests.make import SITE, make_hit, make_settings
from tests.services.rollup.conftest import Parts
from tests.services.rollup.definition import differences, put

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


def make_history(dice: random.Random, number: int, days: int = 3) -> list[Hit]:
    """Rows of which some are as the rules would have them and some are not."""
    hits = []
    for place in range(number):
        referrer, query, tag, now = dice.choice(ORIGINS)
        source, detail, channel = dice.choice([now, *FORMER])
        day = TODAY - datetime.timedelta(days=dice.randrange(days))
        is_bot = dice.random() < 0.2
        hits.append(
            make_hit(
                id=place + 1, site=dice.choice((SITE, "other.example")) if referrer != ORIGINS[4][0] else SITE,
                host=SITE, day=day, path=f"/{dice.randrange(4)}", referrer=referrer, query=query, link_tag=tag,
                source=source, source_detail=detail, channel=channel, is_me=dice.random() < 0.1, is_bot=is_bot,
                bot_name=dice.choice(("Googlebot", "other bot")) if is_bot else None,
                bot_class=dice.choice((None, "feed")) if is_bot else None,
                session_id=uuid.UUID(int=dice.randrange(max(2, number // 3)) * 400 + (TODAY - day).days),
                language=dice.choice((None, "de-CH-1996", "de-CH")), screen=dice.choice((None, "1903x1071")),
                status=dice.choice((None, 404)),
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
    found = parts.rows(f"select hit_id, xmin::text, {OUTPUTS}, rules from hits where site = '{SITE}'")
    parts.eye.commit()
    return {row[0]: row[1:] for row in found}


def run(parts: Parts, stop_after: int | None = None, batch: int = 7) -> list[Step]:
    """What one run does; ``stop_after`` that many steps it is cut off."""
    steps = []
    with parts.database.connect() as connection:
        for site, day in days_to_read(connection, SETTINGS):
            for step in renormalise_day(connection, RULES, SITES, site, day, batch):
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
        parts.eye.commit()
    found = rows(parts)
    for hit in hits[:-1]:
        assert found[hit.hit_id][1:-1] == wanted(hit), hit


@pytest.mark.parametrize("seed", range(4))
def test_hits_that_wait_are_rewritten_and_counted_once(parts: Parts, seed: int) -> None:
    dice = random.Random(100 + seed)
    hits = make_history(dice, 90)
    while hits:
        put(parts.store, *hits[:12])
        hits = hits[12:]
        for _ in range(dice.randrange(3)):
            run(parts, stop_after=dice.randrange(1, 6), batch=dice.randrange(1, 9))
        if dice.random() < 0.5:
            refresh(parts.refresher, dice.choice((1, 5, 20_000)))
    run(parts)
    parts.refresh_all()
    assert differences(parts.eye) == {}


def test_only_what_changes_is_touched_and_twice_is_once(parts: Parts) -> None:
    hits = make_history(random.Random(7), 200)
    put(parts.store, *hits)
    parts.refresh_all()
    before = rows(parts)
    cells = parts.rows("select xmin::text, * from rollup_countries order by 2, 3")
    parts.eye.commit()
    run(parts)
    after = rows(parts)
    for hit in hits[:-1]:
        old, new = before[hit.hit_id], after[hit.hit_id]
        changes = old[1:-1] != wanted(hit)
        assert (new[0] != old[0], new[-1]) == (changes, VERSION if changes else 1), hit
    assert parts.rows("select xmin::text, * from rollup_countries order by 2, 3") == cells
    parts.eye.commit()
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
    parts.eye.commit()
    assert sum(step.rows for step in run(parts)) == 1
    assert parts.rows(cell) == before
    assert differences(parts.eye) == {}


def test_days_that_were_read_are_not_read_again_but_for_the_last(parts: Parts) -> None:
    put(parts.store, *(make_hit(id=n, day=TODAY - datetime.timedelta(days=n)) for n in range(6)))
    with parts.database.connect() as connection:
        days = days_to_read(connection, SETTINGS)
        assert [day for _, day in days] == [TODAY - datetime.timedelta(days=n) for n in range(6)], (
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
    parts.eye.commit()
    assert run(parts) == []
    assert parts.rows("select source, pageviews from daily_sources") == [("docs.google.com", 1)]


def test_a_day_of_which_hits_are_gone_keeps_its_rollups(parts: Parts) -> None:
    """A late hit after the retention makes the day's partition again."""
    old = TODAY - datetime.timedelta(days=50)
    stale = {"day": old, "source": "docs.google.com", "referrer": "https://docs.google.com/"}
    put(parts.store, *(make_hit(id=n, **stale) for n in range(1, 6)))
    parts.refresh_all()
    parts.eye.execute(f"drop table hits_days.d{old:%Y%m%d}")
    parts.eye.execute("select make_hits_partition(%s)", [old])
    parts.eye.commit()
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
    with parts.database.connect() as connection:
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
        connection.commit()


def test_a_large_day_is_read_in_short_batches_whatever_the_planner_expects(parts: Parts) -> None:
    """With statistics from before the day, loops over its cells would take the square of their number."""
    number = 12_000
    put(parts.store, *(make_hit(id=n, day=TODAY - datetime.timedelta(days=1)) for n in range(1, 4)))
    parts.refresh_all()
    parts.eye.execute("analyze")
    parts.eye.commit()
    put(
        parts.store,
        *(
            make_hit(id=10 + n, day=TODAY, path=f"/{n}", source="Search", channel="Search",
                     referrer="https://www.google.com/" if n % 2 else "https://docs.google.com/")
            for n in range(number)
        ),
    )  # fmt: skip
    parts.refresh_all()
    took_s = []
    with parts.database.connect() as connection:
        began = time.monotonic()
        for step in renormalise_day(connection, RULES, SITES, SITE, TODAY, 2_000):
            if step.rows:
                took_s.append(time.monotonic() - began)
            began = time.monotonic()
    assert len(took_s) == number // 2_000
    assert max(took_s) < 3, took_s
    assert differences(parts.eye, "daily_sources", "daily_source_details") == {}


def test_an_empty_text_is_no_reason_to_go_on_for_ever(parts: Parts) -> None:
    put(parts.store, make_hit(id=1, day=TODAY, source="", language=""))
    parts.refresh_all()
    assert sum(step.rows for step in run(parts)) == 0


def test_tables_of_the_owner_s_are_left_alone(parts: Parts) -> None:
    names = ("changed", "moved", "moved_here", "recounted")
    for name in names:
        parts.eye.execute(f"create table public.{name} (kept text)")
        parts.eye.execute(f"insert into public.{name} values ('kept')")
    parts.eye.commit()
    try:
        put(parts.store, *make_history(random.Random(5), 60))
        parts.refresh_all()
        assert sum(step.rows for step in run(parts)) > 0
        assert differences(parts.eye) == {}
        for name in names:
            assert parts.rows(f"select * from public.{name}") == [("kept",)]
    finally:
        parts.eye.rollback()
        for name in names:
            parts.eye.execute(f"drop table if exists public.{name}")
        parts.eye.commit()


def test_a_refresh_of_an_older_version_is_refused(parts: Parts) -> None:
    put(parts.store, make_hit(id=1))
    with pytest.raises(psycopg.errors.RaiseException, match="older version"):
        parts.eye.execute("delete from rollup_pending")
    parts.eye.rollback()
    assert parts.refresh_all() == 1
    assert parts.waiting() == 0


def test_a_killed_run_goes_on_where_it_was(parts: Parts, settings: Settings) -> None:
    days = 8
    hits = [
        make_hit(id=place + 1, day=TODAY - datetime.timedelta(days=place % days), source="docs.google.com",
                 channel="Referral", referrer="https://docs.google.com/", session_id=uuid.UUID(int=place))
        for place in range(400)
    ]  # fmt: skip
    put(parts.store, *hits)
    parts.refresh_all()
    command = [sys.executable, "-m", "services.enricher", "renormalise"]
    environ = os.environ | {"DATABASE_URL": settings.database_url, "SITES": "blog.example"}
    left = "select count(*) from hits where source = 'docs.google.com'"
    kills = 0
    while kills < 3:
        process = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE)
        before = parts.rows(left)[0][0]
        parts.eye.commit()
        while process.poll() is None:
            now = parts.rows(left)[0][0]
            parts.eye.commit()
            if now < before:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        kills += 1
        assert differences(parts.eye) == {}
        parts.eye.commit()
    assert 0 < parts.rows(left)[0][0] < 400, "cut off in the middle"
    parts.eye.commit()
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

    with parts.database.connect() as connection:
        steps = list(renormalise(connection, SETTINGS, days_to_read(connection, SETTINGS), pause))
    assert len(pauses) == sum(step.rows > 0 for step in steps) > 3
    assert min(pauses) >= 0.3
    assert differences(parts.eye) == {}
