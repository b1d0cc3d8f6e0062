"""``overview``: how it is going, at a glance, in the order in which an owner asks."""

from grafana.annotations import GAPS, LATE, NOTES, POSTS
from grafana.country_map import country_map
from grafana.curves import time_series
from grafana.dashboard import Dashboard, Row
from grafana.definitions.columns import PAGE, PAGEVIEWS, PLAIN_PAGEVIEWS, VISITORS
from grafana.definitions.credit import CREDIT
from grafana.definitions.phrases import COMPARED, HUMAN, SUMMED
from grafana.panels import COUNT, compared, stat, words
from grafana.tables import Column, table

FIGURES = Row(4, [
    compared("Pageviews", "overview/pageviews.sql", f"Pages loaded. {HUMAN} {COMPARED}"),
    compared("Visitors", "overview/visitors.sql",
             f"{SUMMED} A visitor is a distinct session of a day. {COMPARED}"),
    words(
        "Last hit",
        "overview/last_hit.sql",
        "How long ago the newest hit was received, of any site, people and bots. Long: nobody came, or no hit "
        "arrives; the dashboard Pipeline tells which.",
        width=4,
    ),
    stat(
        "Without a session",
        "overview/anonymous_pageviews.sql",
        "Pageviews without a session, such as under a privacy signal: counted as pageviews, in no visitor.",
        width=4,
    ),
    words(
        "Your own hits",
        "overview/owner_hits.sql",
        "Hits of browsers that were told at the pixel's page /me that they are the owner's, all events. "
        "No other figure counts them.",
        width=4,
    ),
])  # fmt: skip

OVER_TIME = Row(9, [
    time_series(
        "Pageviews and visitors over time",
        "overview/traffic_over_time.sql",
        "Each point is a day of the reporting time zone and stands at its beginning. Dashed in colour: today, which "
        f"is not over. Dashed in grey: as many days right before, each under the day it is compared with. {HUMAN}",
        names={
            "pageviews": "Pageviews",
            "visitors": "Visitors",
            "pageviews_open": "Pageviews, today so far",
            "visitors_open": "Visitors, today so far",
            "pageviews_before": "Pageviews before",
        },
        dashed=("pageviews_before",),
        width=15,
    ),
    time_series(
        "By hour: today and yesterday",
        "overview/hours.sql",
        "Each point is an hour and stands at its beginning, whatever the range. Someone "
        f"who stays is active in several hours, so hours do not add up to a day's visitors. {HUMAN}",
        names={"pageviews": "Pageviews", "visitors": "Visitors active in the hour"},
        last="2d",
        width=9,
    ),
])  # fmt: skip

PAGES = Row(13, [
    table(
        "Popular pages",
        "overview/popular_pages.sql",
        "The 50 pages with the most pageviews. Visitors of a page on each day, summed over days. "
        "The title is the newest that the page was seen with. A click: explore the page, or open it.",
        [
            Column("title", "Title", explore="page", explore_field="page"),
            PAGE,
            PAGEVIEWS,
            VISITORS,
        ],
        width=13,
    ),
    table(
        "Recent posts",
        "overview/recent_posts.sql",
        "The ten newest posts of the owner's feeds (setting FEEDS), whatever the range: pageviews in the first 24 "
        f"hours and 7 days from the minute of publication, and of all days since, that day included. {HUMAN}",
        [
            Column("title", "Post", explore="page", explore_field="page", link="page_address",
                   link_title="Open the post"),
            Column("published", "Published", width_px=100),
            Column("pageviews_24h", "24 h", COUNT, width_px=60),
            Column("pageviews_7d", "7 days", COUNT, width_px=70),
            PLAIN_PAGEVIEWS._replace(heading="Since then"),
            VISITORS,
        ],
        width=11,
        empty="No post yet: setting FEEDS",
    ),
])  # fmt: skip

SOURCES = Row(14, [
    table(
        "Sources and the pages they led to",
        "overview/referrals.sql",
        "The 15 sources with the most pageviews; under each the four pages it led to most, added up over those of "
        "its referrers that are among the 100 most frequent pairs of referrer and page. By: the first of them. "
        "Others: all else of the source. Sources are named origins, else the referrer's host. Direct traffic has "
        "none.",
        [
            Column("label", "Source and page", explore="source", explore_field="source",
                   explore_also=(("page", "page"),)),
            Column("referrer", "By", width_px=180, link="address", link_title="Open the referrer"),
            PAGEVIEWS,
        ],
        width=15,
    ),
    table(
        "Missing pages",
        "overview/missing_pages.sql",
        "The 12 missing pages (status 404 or 410) with the most pageviews. All of them, with who links to them, are "
        "on the dashboard Missing.",
        [
            Column("page", "Page", explore="page"),
            Column("pageviews", "Pageviews", COUNT, width_px=90),
            Column("last_day", "Last seen", width_px=100),
        ],
        width=9,
        empty="No missing page",
    ),
])  # fmt: skip

COUNTRIES = Row(15, [
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
        f"Visitors and pageviews of the 12 countries with the most visitors, and of all others. {SUMMED} "
        "Unknown: the address is in no country's range. The whole list is on the dashboard Audience.",
        [
            Column("flag", " ", width_px=50),
            Column("name", "Country", explore="country", explore_field="country"),
            VISITORS,
            PAGEVIEWS,
        ],
        width=9,
    ),
])  # fmt: skip

OVERVIEW = Dashboard(
    uid="overview",
    title="Overview",
    description="Pageviews, visitors, pages, sources and countries.",
    rows=[FIGURES, OVER_TIME, PAGES, SOURCES, COUNTRIES, CREDIT],
    annotations=(POSTS, NOTES, GAPS, LATE),
)
