"""The demo: the same from the same seed, of every kind, and stored once by a real stack, however often written."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import json
import re
import uuid
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import psycopg
import pytest

from grafana.expand import expand
from services.hit import PAGEVIEW, RawHit
from tests.grafana.dashboards import Json, load_dashboards, panels_with_data, role_of
from tests.grafana.test_panels import chosen
from tests.make import make_settings
from tests.system.stack import Stack, wait_until
from tools.demo.__main__ import options_of
from tools.demo.guard import Refused, check_settings
from tools.demo.live import Live
from tools.demo.traffic import Traffic
from tools.demo.visitors import Addresses, Visitors
from tools.demo.world import load_world
from tools.stack import pixel_socket

LAST_DAY = datetime.date(2026, 11, 23)
DAYS = [LAST_DAY - datetime.timedelta(days=ago) for ago in reversed(range(30))]
SPIKE = datetime.date(2026, 11, 3)  # the Tuesday nearest to three weeks before
ATOM = "{http://www.w3.org/2005/Atom}"


COUNTRIES = sorted(load_world(LAST_DAY, LAST_DAY).facts["countries"])


def country_of(address: str) -> str:
    """A country for each network."""
    return COUNTRIES[zlib.crc32(address.rpartition(".")[0].encode()) % len(COUNTRIES)]


def make_traffic(seed: int = 1, zone: str = "UTC", days: list[datetime.date] = DAYS) -> Traffic:
    world = load_world(days[0], days[-1])
    return Traffic(world, Visitors(world.facts, Addresses(country_of, COUNTRIES)), seed, ZoneInfo(zone))


@pytest.fixture(scope="module")
def history() -> dict[datetime.date, list[RawHit]]:
    """30 days."""
    traffic = make_traffic()
    return {day: traffic.hits_of(day) for day in DAYS}


@pytest.fixture(scope="module")
def hits(history: dict[datetime.date, list[RawHit]]) -> list[RawHit]:
    return list(itertools.chain.from_iterable(history.values()))


def is_bot(hit: RawHit) -> bool:
    """Programs of the demo send no language."""
    return not hit.language


# The same from the same seed ---------------------------------------------------------------------------------------


def test_a_day_follows_from_the_seed_alone(history: dict[datetime.date, list[RawHit]]) -> None:
    again, other = make_traffic(), make_traffic(seed=2)
    for day in (DAYS[20], DAYS[3]):  # alone, and in another order
        assert again.hits_of(day) == history[day]
        assert again.left_out_of(day) == make_traffic().left_out_of(day) != other.left_out_of(day)
        assert not {hit.hit_id for hit in other.hits_of(day)} & {hit.hit_id for hit in history[day]}


def test_every_hit_has_an_id_of_its_own_and_the_day_of_its_time(hits: list[RawHit]) -> None:
    assert len({hit.hit_id for hit in hits}) == len(hits)
    assert all(uuid.UUID(bytes=hit.hit_id).variant == uuid.RFC_4122 for hit in hits[:100])
    for hit in hits:
        assert str(datetime.datetime.fromtimestamp(hit.received_at_us / 1e6, datetime.UTC).date()) == hit.day


def test_a_day_of_25_hours_has_its_hits_too() -> None:
    zone = ZoneInfo("Europe/Berlin")
    days = [datetime.date(2026, 10, 24), datetime.date(2026, 10, 25)]
    traffic = make_traffic(zone="Europe/Berlin", days=days)
    for day in days:
        times = [hit.received_at_us for hit in traffic.hits_of(day)]
        assert times == sorted(times)
        assert {datetime.datetime.fromtimestamp(at / 1e6, zone).date() for at in (times[0], times[-1])} == {
            day
        }


def test_a_short_history_has_no_part_of_what_was_before_it() -> None:
    for days in (1, 2, 17, 22, 45):
        part = [LAST_DAY - datetime.timedelta(days=ago) for ago in range(days)]
        assert make_traffic(days=part[::-1]).hits_of(part[-1])


def test_bots_come_more_often_on_some_days(history: dict[datetime.date, list[RawHit]]) -> None:
    bots = [sum(map(is_bot, hits)) for hits in history.values()]
    assert len(set(bots)) > 20
    assert max(bots) < 2 * min(bots)


# Every kind -------------------------------------------------------------------------------------------------------


def test_there_is_something_for_every_panel(hits: list[RawHit]) -> None:
    people = [hit for hit in hits if not is_bot(hit) and not hit.is_me]
    assert 60_000 < len(hits) < 110_000
    sites = Counter(hit.site for hit in people)
    assert sites["blog.example"] > 2 * sites["docs.example"] > 4 * sites["shop.example"] > 4_000
    assert {hit.event for hit in hits} >= {"engaged", "outbound", "signup", "search", "download", "purchase"}
    assert all(hit.props for hit in hits if hit.event != PAGEVIEW)
    assert 0.04 < sum(hit.anonymous for hit in people) / len(people) < 0.08
    assert len([hit for hit in hits if hit.is_me]) > 50
    assert len({hit.user_agent for hit in hits if is_bot(hit)}) > 25
    assert len({hit.screen for hit in people}) > 15
    assert len({hit.language for hit in people}) > 50
    named = " ".join({hit.referrer for hit in people})
    for referrer in (
        "google.com",
        "chatgpt.com",
        "lobste.rs",
        "mastodon.social",
        "mail.google.com",
        "feedly.com",
    ):
        assert referrer in named
    assert len({hit.referrer for hit in people if hit.site not in hit.referrer}) > 200, "a long tail"
    campaigns = set(re.findall(r"utm_campaign=([a-z0-9-]+)", " ".join(hit.url for hit in people)))
    assert campaigns >= {"letter-6", "letter-7", "notebooks-autumn", "desk-of-the-week", "early-gifts"}


def test_small_countries_have_visitors(hits: list[RawHit]) -> None:
    found = {country_of(address) for address in {hit.address for hit in hits[:20_000]}}
    assert found >= {"SG", "HK", "MT", "BH", "LU"}
    assert len(found) > 60


def test_weeks_and_days_have_their_rhythm(history: dict[datetime.date, list[RawHit]]) -> None:
    quiet = [day for day in DAYS if not SPIKE <= day <= SPIKE + datetime.timedelta(days=3)]
    weekday = [len(history[day]) for day in quiet if day.weekday() < 4]
    weekend = [len(history[day]) for day in quiet if day.weekday() > 4]
    assert sum(weekday) / len(weekday) > 1.3 * sum(weekend) / len(weekend)
    hours = Counter(hit.received_at_us // 3_600_000_000 % 24 for day in quiet for hit in history[day])
    assert hours[10] > 4 * hours[3]


def test_a_tuesday_is_on_hacker_news(history: dict[datetime.date, list[RawHit]]) -> None:
    def told(day: datetime.date) -> int:
        return sum("news.ycombinator.com" in hit.referrer for hit in history[day])

    after = SPIKE + datetime.timedelta(days=1)
    assert told(SPIKE) > 3_000 > told(after) > 1_000
    assert len(history[SPIKE]) > 2 * len(history[SPIKE - datetime.timedelta(days=1)])
    pages = Counter(hit.url for hit in history[SPIKE] if "news.ycombinator.com" in hit.referrer)
    [(url, most)] = pages.most_common(1)
    assert url == "https://blog.example/2026/11/i-timed-every-cache-in-my-house/"
    assert most > 0.9 * told(SPIKE)


def test_a_post_is_read_from_its_hour_on_and_most_in_its_first_days(
    history: dict[datetime.date, list[RawHit]],
) -> None:
    world = load_world(DAYS[0], LAST_DAY)
    post = next(post for post in world.posts if post.published and DAYS[0] < post.published < DAYS[8])
    assert post.published
    views = defaultdict(int)
    for day, of_day in history.items():
        views[day] = sum(hit.url == f"https://blog.example{post.path}" for hit in of_day)
    assert not any(views[day] for day in DAYS if day < post.published)
    assert (
        min(h.received_at_us for h in history[post.published] if post.path in h.url) // 3_600_000_000 % 24
        >= 8
    )
    first = sum(views[post.published + datetime.timedelta(days=after)] for after in range(3))
    later = sum(views[post.published + datetime.timedelta(days=after)] for after in range(6, 9))
    assert first > 3 * later > 0


def test_the_feed_names_the_posts_that_are_read(hits: list[RawHit]) -> None:
    feed = ElementTree.fromstring(load_world(DAYS[0], LAST_DAY).feed())
    links = [link.attrib["href"] for link in feed.findall(f"{ATOM}entry/{ATOM}link")]
    assert len(links) == 20
    assert set(links[:5]) <= {hit.url for hit in hits}
    dates = [entry.text for entry in feed.findall(f"{ATOM}entry/{ATOM}updated")]
    assert dates == sorted(dates, key=str, reverse=True)


def test_some_missing_pages_are_mended(hits: list[RawHit]) -> None:
    last: dict[str, str] = {}
    for hit in hits:
        if hit.status == 404 and not is_bot(hit):
            last[hit.url] = hit.day
            assert hit.title == "Page not found"
    assert last["https://docs.example/v3/install/"] == str(LAST_DAY)
    assert last["https://docs.example/reference/api/enteries/"] == "2026-11-10", "12 days ago and not since"
    assert "https://shop.example/sale/summer/" not in last, "before these days"


def test_visits_have_a_page_or_several(hits: list[RawHit]) -> None:
    pages = Counter(
        (hit.site, hit.day, hit.address, hit.user_agent)
        for hit in hits
        if hit.event == PAGEVIEW and not is_bot(hit) and not hit.is_me
    )
    alone = sum(number == 1 for number in pages.values()) / len(pages)
    assert 0.55 < alone < 0.68
    assert max(pages.values()) > 7


# It keeps out of real data -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "days", "said"),
    [
        ({"SITES": "example.com, blog.example"}, 3, "SITES does not admit docs.example, shop.example"),
        ({"SITES": "example"}, 3, "SITES does not admit"),
        ({"EXCLUDED_HOSTS": "shop.*"}, 3, "EXCLUDED_HOSTS leaves out shop.example"),
        ({"RETENTION_DAYS": "30"}, 31, "DAYS=31 is more than RETENTION_DAYS keeps"),
    ],
)
def test_settings_that_keep_it_out_are_named(
    tmp_path: Path, settings: dict[str, str], days: int, said: str
) -> None:
    hosts = load_world(LAST_DAY, LAST_DAY).hosts
    with pytest.raises(Refused, match=re.escape(said)):
        check_settings(make_settings(DATA_DIR=str(tmp_path), **settings), hosts, days)
    check_settings(make_settings(DATA_DIR=str(tmp_path)), hosts, days)


@pytest.mark.parametrize("argument", ["DAYS=x", "DAYS=-1", "HOURS=3", "RATE=0", "DAYS"])
def test_what_is_not_understood_is_named(argument: str) -> None:
    with pytest.raises(Refused):
        options_of([argument])


# Through a real stack ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo_stack(make_stack: Callable[..., Stack]) -> Iterator[Stack]:
    """A stack of its own: the demo refuses one that has other hits."""
    stack = make_stack(REPORT_TIMEZONE="Europe/Berlin")
    yield stack
    stack.stop()


def written(stack: Stack, *arguments: str) -> int:
    """The hits that `make demo DAYS=3` says it wrote."""
    output = stack.make("demo", "DAYS=3", *arguments).stdout
    [number] = re.findall(r"^hits (\d+)$", output, re.MULTILINE)
    return int(number)


def check(stack: Stack) -> str:
    done = stack.make("check", check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.system
def test_a_history_is_stored_whole_and_once(demo_stack: Stack) -> None:
    stack = demo_stack
    number = written(stack)
    assert number > 2_500
    assert f"accepted {number} = stored {number} + duplicate 0 + dead-lettered 0 + pending 0" in check(stack)
    [(days, sites, countries, linked, people)] = stack.query(
        "select count(distinct day)::int, count(distinct site)::int, count(distinct country)::int,"
        " count(distinct session_id)::int, count(session_id)::int from hits where not is_bot and event = 'pageview'"
    )
    assert (days, sites) == (3, 3)
    assert countries > 40
    assert linked < 0.8 * people, "several pages are one session"
    alone = "select 1 from hits group by session_id having session_id is not null and count(distinct day) > 1"
    assert stack.query(alone) == []
    at_noon = "select count(*)::int from hits where day <> (received_at at time zone 'Europe/Berlin')::date"
    assert stack.query(at_noon) == [(0,)]
    assert stack.query("select sum(hits)::int > 20 from ledger_left_out where outcome = 'excluded'") == [
        (True,)
    ]
    assert [path for path in (stack.data_dir / "keys").glob("import-*.key") if path.stat().st_size] == []
    assert (stack.data_dir / "demo/feed.xml").exists()

    left_out = stack.query("select * from ledger_left_out order by 1, 2, 3, 4")
    rows = stack.query("select hit_id, session_id, path from hits order by 1 limit 2000")
    again = written(stack)
    assert again >= number, "what came since"
    assert f"accepted {number + again} = stored {again} + duplicate {number} " in check(stack)
    assert stack.query("select * from ledger_left_out order by 1, 2, 3, 4") == left_out
    kept = stack.query(
        "select hit_id, session_id, path from hits where hit_id = any(%s) order by 1", [r[0] for r in rows]
    )
    assert kept == rows


@pytest.mark.system
def test_live_visits_go_through_the_pixel(demo_stack: Stack) -> None:
    stack = demo_stack
    before = stack.query("select count(*)::int from hits")[0][0]
    today = datetime.datetime.now(ZoneInfo("Europe/Berlin")).date()
    live = Live(make_traffic(days=[today]), rate=3_000, address_header="X-Forwarded-For")
    asyncio.run(live.run(pixel_socket(stack.data_dir), seconds=3))
    accepted = live.outcomes["accepted"]
    assert accepted > 30
    assert set(live.outcomes) <= {"accepted", "excluded; reason=prefetch"}
    wait_until(lambda: stack.query("select count(*)::int from hits") == [(before + accepted,)])
    check(stack)


# Where an empty list is good news, or waits for a setting or for days of looks.
MAY_BE_EMPTY = {
    "Gaps",
    "Late hits",
    "Dead letters",
    "Disk lasts",
    "Feeds",
    "Campaigns over time",
    "Campaigns",
}


@pytest.mark.system
@pytest.mark.parametrize("uid", load_dashboards())
def test_every_panel_shows_something(demo_stack: Stack, uid: str) -> None:
    """After a history and live visits; sessions are counted within minutes."""
    dashboard = load_dashboards()[uid]
    end = datetime.datetime.now(datetime.UTC)
    begin = end - datetime.timedelta(days=30)

    def rows_of(panel: Json) -> int:
        (target,) = panel["targets"]
        role = role_of(target["datasource"])
        sql = expand(target["rawSql"], chosen(dashboard), begin, end)
        password = (demo_stack.data_dir / "keys/passwords" / role).read_text().strip()
        with psycopg.connect(demo_stack.urls["DATABASE_URL"], user=role, password=password) as connection:
            return len(connection.execute(sql.encode()).fetchall())

    for panel in panels_with_data(dashboard):
        if panel["title"] not in MAY_BE_EMPTY:
            wait_until(partial(rows_of, panel), 150)


PEOPLE = "event = 'pageview' and not is_bot and not is_me"


@pytest.mark.system
def test_a_report_of_it_is_a_plain_count(demo_stack: Stack, tmp_path: Path) -> None:
    stack, page = demo_stack, tmp_path / "report.html"
    done = stack.make("report", "DAYS=3", "SITE=blog.example", "JSON=1", f"HTML={page}")
    found = json.loads(done.stdout)
    [range_of_hits] = stack.query("select min(day)::text, max(day)::text from hits")
    assert (found["first_day"], found["last_day"]) == range_of_hits
    for key, name, column in (
        ("by_day", "day", "day::text"),
        ("countries", "country", "coalesce(country, 'XX')"),
    ):
        counted = stack.query(
            f"select {column}, count(*)::int, count(distinct session_id)::int from hits"
            f" where site = 'blog.example' and {PEOPLE} group by 1 order by 1"
        )
        assert sorted((row[name], row["pageviews"], row["visitors"]) for row in found[key]) == counted
    assert found["problems"] == []
    assert page.read_text().startswith("<!doctype html>")
    figure = f"{found['headline']['pageviews']['value']:,}"
    printed = stack.make("report", "DAYS=3", "SITE=blog.example").stdout
    assert re.search(rf"^Pageviews +{figure}  ", printed, re.MULTILINE)
    assert "\x1b" not in printed
    unknown = stack.make("report", "SITE=`touch $(HOME)`", check=False)
    assert "there are: blog.example, docs.example, shop.example" in unknown.stderr


@pytest.mark.system
def test_it_does_not_mix_with_hits_of_other_sites_unasked(demo_stack: Stack) -> None:
    stack = demo_stack
    stack.get("/a?url=https://real.example.com/")
    wait_until(lambda: stack.query("select 1 from hits where site = 'real.example.com'"))
    done = stack.make("demo", "DAYS=1", check=False)
    assert done.returncode != 0
    assert "hits of other sites (real.example.com)" in done.stderr
    assert written(stack, "FORCE=1")
