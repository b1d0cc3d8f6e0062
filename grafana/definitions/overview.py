"""``overview``: how many people came, from where, to which pages."""

from grafana.country_map import country_map
from grafana.curves import time_series
from grafana.dashboard import Dashboard, Row
from grafana.definitions.columns import CHANNEL, HOST, PAGEVIEWS, PATH, REFERRER, SOURCE, TITLE, VISITORS
from grafana.definitions.credit import CREDIT
from grafana.definitions.phrases import COMPARED, HUMAN, SUMMED
from grafana.panels import compared, stat
from grafana.tables import Column, table

FIGURES = Row(4, [
    compared(
        "Pageviews",
        "overview/pageviews.sql",
        f"Pages loaded. {HUMAN} {COMPARED}",
        width=6,
    ),
    compared(
        "Visitors",
        "overview/visitors.sql",
        f"{SUMMED} A visitor is a distinct session of a day. {COMPARED}",
        width=6,
    ),
    stat(
        "Anonymous pageviews",
        "overview/anonymous_pageviews.sql",
        "Pageviews without a session, such as under a privacy signal: counted as pageviews, in no visitor.",
        width=4,
    ),
])  # fmt: skip

OVER_TIME = Row(9, [
    time_series(
        "Pageviews and visitors over time",
        "overview/traffic_over_time.sql",
        f"Each point is a day of the reporting time zone and stands at its beginning. {HUMAN}",
        names={"pageviews": "Pageviews", "visitors": "Visitors"},
        width=14,
    ),
    time_series(
        "By hour: the last two days of the range",
        "overview/hours.sql",
        "Each point is an hour of the last two days up to the end of the range and stands at its beginning. Someone "
        f"who stays is active in several hours, so hours do not add up to a day's visitors. {HUMAN}",
        names={"pageviews": "Pageviews", "visitors": "Visitors active in the hour"},
        width=10,
    ),
])  # fmt: skip

COUNTRIES = Row(13, [
    country_map(
        "Countries",
        "overview/countries_map.sql",
        f"Visitors of each country. {SUMMED} Dots are countries too small for a shape. "
        "Hits of an unknown country are in the list only.",
        value="visitors",
        heading="Visitors",
        width=15,
    ),
    table(
        "Countries, listed",
        "overview/countries.sql",
        f"Visitors and pageviews of each country. {SUMMED} Unknown: the address is in no country's range.",
        [
            Column("flag", " ", width_px=50),
            Column("name", "Country"),
            VISITORS._replace(gauge=True, width_px=150),
            PAGEVIEWS._replace(gauge=False, width_px=110),
        ],
        width=9,
    ),
])  # fmt: skip

PAGES = Row(12, [
    table(
        "Popular pages",
        "overview/popular_pages.sql",
        "The 100 pages with the most pageviews. Visitors of a page on each day, summed over days. "
        "The title is the newest that the page was seen with.",
        [HOST, PATH, TITLE, PAGEVIEWS, VISITORS],
    ),
])  # fmt: skip

SOURCES = Row(12, [
    table(
        "Sources",
        "overview/sources.sql",
        "The 100 sources with the most pageviews: named origins, else the referrer's host. "
        "Direct: no referrer, or the site itself. Visitors of a source on each day, summed over days.",
        [SOURCE, CHANNEL, PAGEVIEWS, VISITORS],
        width=8,
    ),
    table(
        "Referrers and the pages they led to",
        "overview/referrals.sql",
        "The 100 pairs with the most pageviews. Hits with a source only.",
        [SOURCE, REFERRER, HOST, PATH, TITLE, PAGEVIEWS, VISITORS],
        width=16,
    ),
])  # fmt: skip

OVERVIEW = Dashboard(
    uid="overview",
    title="Overview",
    description="Pageviews, visitors, countries, pages and sources.",
    rows=[FIGURES, OVER_TIME, COUNTRIES, PAGES, SOURCES, CREDIT],
)
