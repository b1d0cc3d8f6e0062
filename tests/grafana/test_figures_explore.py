"""Every panel of ``explore`` shows what a plain count over the hits gives, whichever filters are chosen together."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from grafana.variables import ALL
from tests.conftest import Database, cloned
from tests.grafana.rows import BEGIN, BLOG, END, SHOP, ZONE, make_hit_at, set_zone, store
from tests.grafana.test_panels import FILES, chosen, panel_named, run
from tools.servers import Postgres

pytestmark = pytest.mark.servers

ORIGINS: list[dict[str, Any]] = [
    {"channel": "Direct"},
    {"channel": "Campaign", "utm_campaign": "o'spring", "utm_medium": "banner", "utm_term": "shoes"},
    {"channel": "Campaign", "utm_medium": "banner"},
    {"source": "Search", "channel": "Search", "referrer": "https://search.example/"},
    {"source": "Direct Mail", "channel": "Email", "utm_campaign": "spring", "utm_content": "footer"},
]
VALUES: dict[str, list[Any]] = {
    "path": ["/", "/notes", "/it's 100%", "/notes/2"],
    "country": ["DE", "FR", None],
    "device": ["desktop", "mobile", None],
    "browser": ["Firefox", "Chrome", None],
    "event": ["pageview"] * 5 + ["signup"],
    "is_bot": [False] * 5 + [True],
    "is_me": [False] * 9 + [True],
}
FIRST, DAYS, HITS = date(2024, 3, 7), 7, 1500

# What is chosen, and what a hit must be then.
CHOICES: list[tuple[dict[str, list[str]], str]] = [
    ({}, "true"),
    ({"site": [SHOP]}, f"site = '{SHOP.replace(chr(39), chr(39) * 2)}'"),
    ({"traffic": ["bots"]}, "is_bot"),
    ({"traffic": ["all"]}, "true"),
    ({"page": [f"{BLOG}/notes"]}, f"host = '{BLOG}' and path = '/notes'"),
    ({"page": [f"{SHOP}/it's 100%", f"{BLOG}/"]}, "host || path in ('o''shop.example/it''s 100%', 'blog.example/')"),
    ({"source": ["Direct"]}, "source is null and channel = 'Direct'"),
    ({"source": ["Search", "Campaign"]}, "source = 'Search' or source is null and channel = 'Campaign'"),
    ({"channel": ["Email", "Campaign"]}, "channel in ('Email', 'Campaign')"),
    ({"country": ["DE"]}, "country = 'DE'"),
    ({"country": ["XX", "FR"]}, "country is null or country = 'FR'"),
    ({"device": ["Unknown"]}, "device is null"),
    ({"campaign": ["o'spring"]}, "utm_campaign = 'o''spring'"),
    ({"campaign": ["–"]}, "utm_campaign is null"),
    ({"country": ["DE"], "device": ["mobile"], "source": ["Search"]},
     "country = 'DE' and device = 'mobile' and source = 'Search'"),
    ({"traffic": ["all"], "site": [BLOG], "page": [f"{BLOG}/notes"], "channel": ["Campaign"]},
     f"site = '{BLOG}' and path = '/notes' and channel = 'Campaign'"),
    ({"traffic": ["bots"], "campaign": ["spring", "o'spring"], "country": ["FR", "XX"]},
     "is_bot and utm_campaign in ('spring', 'o''spring') and (country is null or country = 'FR')"),
    ({"site": [BLOG, SHOP], "page": [f"{BLOG}/notes"], "source": ["Direct"], "channel": ["Direct"],
      "country": ["DE", "FR"], "device": ["desktop", "Unknown"], "campaign": ["–"]},
     f"host = '{BLOG}' and path = '/notes' and source is null and channel = 'Direct' and country in ('DE', 'FR')"
     " and (device = 'desktop' or device is null) and utm_campaign is null"),
    ({"country": ["never"]}, "false"),
]  # fmt: skip
EVERY = pytest.mark.parametrize(("choice", "condition"), CHOICES)
# Panel, its columns that tell its rows apart, what they are of a hit, and which hits count.
LISTS = [
    ("Pages", ["host", "path"], "host, path", "true"),
    ("Sources", ["source", "channel"], "coalesce(source, channel), channel", "true"),
    ("Countries", ["country"], "coalesce(country, 'XX')", "true"),
    ("Devices", ["device"], "coalesce(device, 'Unknown')", "true"),
    ("Referrers", ["source", "referrer"], "source, coalesce(referrer, '–')", "source is not null"),
    ("Campaigns", ["utm_campaign", "utm_source", "utm_medium", "utm_term", "utm_content"],
     "coalesce(utm_campaign, '–'), coalesce(utm_source, '–'), coalesce(utm_medium, '–'), coalesce(utm_term, '–'),"
     " coalesce(utm_content, '–')",
     "coalesce(utm_source, utm_medium, utm_campaign, utm_term, utm_content) is not null"),
]  # fmt: skip


def made_up() -> Iterator[tuple[datetime, str | None, dict[str, Any]]]:
    """Hits of every kind, a session a day for each of 20 people, and some of nobody; the same each time."""
    numbers = random.Random(8)
    for _ in range(HITS):
        day = FIRST + timedelta(days=numbers.randrange(DAYS))
        at = datetime(day.year, day.month, day.day, numbers.randrange(24), numbers.randrange(60), tzinfo=ZONE)
        who = numbers.choice([None, *(str(n) for n in range(20))])
        site = numbers.choice([BLOG, SHOP])
        differing = {name: numbers.choice(values) for name, values in VALUES.items()}
        yield at, who, {"site": site, "host": site, **differing, **numbers.choice(ORIGINS)}


@pytest.fixture(scope="module")
def mixed(postgres: Postgres, template_database: str) -> Iterator[Database]:
    """The hits of ``made_up``, counted."""
    with cloned(postgres, template_database) as database:
        with database.connect() as connection:
            set_zone(connection)
            hits = [make_hit_at(n, at, who, **differing) for n, (at, who, differing) in enumerate(made_up())]
            store(connection, hits)
        yield database


def shown(
    database: Database,
    title: str,
    choice: dict[str, list[str]],
    begin: datetime = BEGIN,
    end: datetime = END,
) -> list[dict[str, Any]]:
    panel = panel_named("explore", title)
    values = {name: values for name, values in choice.items() if name != "site"}
    variables = chosen(FILES["explore"], choice.get("site", [ALL]), **values)
    return run(database, panel["datasource"], panel["targets"][0]["rawSql"], variables, begin, end).rows


def plain(
    database: Database,
    choice: dict[str, list[str]],
    condition: str,
    keys: str,
    of: str = "event = 'pageview'",
) -> list[tuple[Any, ...]]:
    """By the keys: how many hits of the days 8 to 12, and of how many sessions. By the owner."""
    people = "true" if "traffic" in choice else "not is_bot"
    with database.connect() as connection:
        return connection.execute(
            f"select {keys}, count(*), count(distinct session_id) from hits"
            f" where day between '2024-03-08' and '2024-03-12' and not is_me and {people}"
            f" and ({condition}) and ({of}) group by {keys}"
        ).fetchall()


@EVERY
def test_the_figures_and_the_curve(mixed: Database, choice: dict[str, list[str]], condition: str) -> None:
    by_day = {day: numbers for day, *numbers in plain(mixed, choice, condition, "day")}
    pageviews, visitors = (sum(numbers[n] for numbers in by_day.values()) for n in (0, 1))
    assert shown(mixed, "Pageviews", choice) == [
        {"pageviews": pageviews, "change": f"by {visitors} visitors", "colour": "text"}
    ]
    points = shown(mixed, "Pageviews and visitors over time", choice)
    assert [point["time"] for point in points] == [
        datetime(2024, 3, day, tzinfo=ZONE) for day in range(8, 13)
    ]
    for point in points:
        day = point["time"].astimezone(ZONE).date()
        assert [point["pageviews"], point["visitors"]] == by_day.get(day, [0, 0])


@EVERY
@pytest.mark.parametrize(("title", "columns", "keys", "of"), LISTS, ids=[title for title, *_ in LISTS])
def test_a_list(
    mixed: Database,
    choice: dict[str, list[str]],
    condition: str,
    title: str,
    columns: list[str],
    keys: str,
    of: str,
) -> None:
    rows = shown(mixed, title, choice)
    found = [(*(row[column] for column in columns), row["pageviews"], row["visitors"]) for row in rows]
    assert sorted(found) == sorted(plain(mixed, choice, condition, keys, f"event = 'pageview' and {of}"))
    assert [row["pageviews"] for row in rows] == sorted((row["pageviews"] for row in rows), reverse=True)


@EVERY
def test_browsers_systems_and_events(mixed: Database, choice: dict[str, list[str]], condition: str) -> None:
    rows = shown(mixed, "Browsers and systems", choice)
    found = [tuple(row.values()) for row in rows]
    wanted = [
        (kind, *row)
        for kind, column in (("Browser", "browser"), ("System", "os"))
        for row in plain(mixed, choice, condition, f"coalesce({column}, 'Unknown')")
    ]
    assert sorted(found) == sorted(wanted)
    events = [tuple(row.values()) for row in shown(mixed, "Events", choice)]
    assert events == plain(mixed, choice, condition, "event", "event <> 'pageview'")


@pytest.mark.parametrize("choice", [{}, {"country": ["DE"]}], ids=["rollups", "hits"])
def test_two_days_are_drawn_by_the_hour(mixed: Database, choice: dict[str, list[str]]) -> None:
    """The second of them has 23 hours."""
    begin, end = datetime(2024, 3, 9, 10, tzinfo=ZONE), datetime(2024, 3, 10, 9, tzinfo=ZONE)
    points = shown(mixed, "Pageviews and visitors over time", choice, begin, end)
    first = datetime(2024, 3, 9, tzinfo=ZONE).timestamp()
    assert [point["time"].timestamp() for point in points] == [first + 3600 * hour for hour in range(24 + 23)]
    with mixed.connect() as connection:
        hours = connection.execute(
            "select date_trunc('hour', received_at), count(*), count(distinct session_id) from hits"
            " where day in ('2024-03-09', '2024-03-10') and not is_me and not is_bot and event = 'pageview'"
            f" and {'country = ' + repr('DE') if choice else 'true'} group by 1"
        ).fetchall()
    wanted = {at.timestamp(): (pageviews, visitors) for at, pageviews, visitors in hours}
    for point in points:
        expected = wanted.get(point["time"].timestamp(), (0, 0))
        assert (point["pageviews"], point["visitors"]) == expected, point["time"]
    assert len(wanted) > 20


def test_the_values_to_choose_from_are_those_of_the_lists(mixed: Database) -> None:
    dashboard = FILES["explore"]
    of = {variable["name"]: variable for variable in dashboard["templating"]["list"]}

    def values(name: str) -> set[str]:
        rows = run(mixed, of[name]["datasource"], of[name]["query"], chosen(dashboard)).rows
        return {row.get("__value") or row[name] for row in rows}

    assert values("page") == {row["page"] for row in shown(mixed, "Pages", {})}
    assert values("source") == {row["source"] for row in shown(mixed, "Sources", {})}
    assert values("channel") == {row["channel"] for row in shown(mixed, "Sources", {})}
    assert (
        values("country") == {row["country"] for row in shown(mixed, "Countries", {})} == {"DE", "FR", "XX"}
    )
    assert values("device") == {row["device"] for row in shown(mixed, "Devices", {})}
    assert values("campaign") == {row["utm_campaign"] for row in shown(mixed, "Campaigns", {})}


def test_single_hits_that_are_kept_no_more(mixed: Database, database: Database) -> None:
    assert shown(mixed, "Single hits since", {}) == [{"kept_since": "2024-03-07"}]
    with database.connect() as connection:
        set_zone(connection)
        hits = [make_hit_at(n, datetime(2024, 3, n, 12, tzinfo=ZONE), "a") for n in (8, 9, 10)]
        store(connection, hits)
        connection.execute("drop table hits_days.d20240308")
    assert shown(database, "Single hits since", {}) == [
        {"kept_since": "2024-03-09: the range begins earlier"}
    ]
    later = datetime(2024, 3, 9, tzinfo=ZONE)
    assert shown(database, "Single hits since", {}, later) == [{"kept_since": "2024-03-09"}]
    assert [row["pageviews"] for row in shown(database, "Countries", {})] == [3], "the rollups stay"
    assert [row["pageviews"] for row in shown(database, "Countries", {"country": ["XX"]})] == [2]


def test_a_click_keeps_the_other_filters() -> None:
    pages = panel_named("explore", "Pages")
    links = [
        link["url"]
        for override in pages["fieldConfig"]["overrides"]
        for item in override["properties"]
        if item["id"] == "links"
        for link in item["value"]
    ]
    (drill,) = [url for url in links if url.startswith("/d/explore")]
    assert drill.endswith("&var-page=${__data.fields.page:percentencode}")
    for name in ("site", "traffic", "source", "channel", "country", "device", "campaign"):
        assert f"${{{name}:queryparam}}" in drill
    assert "${page:queryparam}" not in drill
