"""``explore``: any question, by any filter. Counts single hits as long as something is chosen."""

from grafana.curves import time_series
from grafana.dashboard import Dashboard, Row
from grafana.definitions.columns import (
    CHANNEL,
    EVENT,
    HOST,
    PAGEVIEWS,
    REFERRER,
    SOURCE,
    UTM_CAMPAIGN,
    UTM_MEDIUM,
    UTM_SOURCE,
    VISITORS,
)
from grafana.definitions.credit import CREDIT
from grafana.panels import COUNT, Panel, compared, text, words
from grafana.tables import FILTERS, Column, table
from grafana.variables import SITE, TRAFFIC, Query

CHOSEN = "Of the chosen traffic, and of what the filters leave. Whole days: every one that the range touches."
CLICK = "A click on a name filters by it."
NUMBERS = [PAGEVIEWS._replace(width_px=115), VISITORS._replace(width_px=80)]

VARIABLES = (
    SITE,
    TRAFFIC,
    Query("page", "Page", "Host and path; the 500 with the most pageviews.", "variables/page.sql"),
    Query("source", "Source", "As the lists of sources name it. Direct: none.", "variables/source.sql"),
    Query("channel", "Channel", "Kind of source.", "variables/channel.sql"),
    Query("country", "Country", "Of the address, which is not kept.", "variables/country.sql"),
    Query("device", "Device", "Kind of device.", "variables/device.sql"),
    Query("campaign", "Campaign", "utm_campaign; –: of no name.", "variables/campaign.sql"),
)

ABOUT = Row(4, [
    compared(
        "Pageviews",
        "explore/pageviews.sql",
        f"Pages loaded, and by how many visitors: distinct sessions of a day, summed over days. {CHOSEN}",
        width=8,
    ),
    words(
        "Single hits since",
        "explore/kept_since.sql",
        "The oldest day of which single hits are kept (setting RETENTION_DAYS). What is older is in no figure here "
        "as long as a filter is chosen.",
        width=8,
    ),
    text(
        "What is counted",
        "With a filter, figures are counted anew from the **single hits**, which are kept for `RETENTION_DAYS` days. "
        "With none but sites they come from the rollups, which stay. "
        "A question that takes longer than 5 s is ended: choose a shorter range.",
        "What is counted here, and from what.",
        width=8,
    ),
])  # fmt: skip

OVER_TIME = Row(9, [
    time_series(
        "Pageviews and visitors over time",
        "explore/over_time.sql",
        "Each point is a day of the reporting time zone and stands at its beginning; an hour where the range is of "
        f"two days at most, and then its visitors are those active in it. {CHOSEN}",
        names={"pageviews": "Pageviews", "visitors": "Visitors"},
        width=24,
    ),
])  # fmt: skip


def _list(title: str, sql: str, description: str, columns: list[Column], width: int) -> Panel:
    return table(
        title, f"explore/{sql}.sql", f"{description} {CHOSEN}", columns, width=width, filters=FILTERS
    )


PAGES = Row(13, [
    _list(
        "Pages",
        "pages",
        "The 100 pages with the most pageviews. Visitors of a page on each day, summed over days. "
        "A click on a path filters by it, one on a host opens the page.",
        [
            HOST._replace(width_px=150, link="page_address", link_title="Open the page"),
            Column("path", "Page", explore="page", explore_field="page"),
            *NUMBERS,
        ],
        width=13,
    ),
    _list(
        "Sources",
        "sources",
        "The 100 sources with the most pageviews: named origins, else the referrer's host. Direct: no referrer, or "
        f"the site itself. Visitors of a source on each day, summed over days. {CLICK}",
        [SOURCE._replace(explore="source"), CHANNEL._replace(explore="channel", width_px=80), *NUMBERS],
        width=11,
    ),
])  # fmt: skip

WHO = Row(12, [
    _list(
        "Countries",
        "countries",
        f"Unknown: the address is in no country's range. {CLICK}",
        [
            Column("flag", " ", width_px=50),
            Column("name", "Country", explore="country", explore_field="country"),
            *NUMBERS,
        ],
        width=12,
    ),
    _list(
        "Devices",
        "devices",
        f"Pageviews and visitors by kind of device. {CLICK}",
        [Column("device", "Device", explore="device"), *NUMBERS],
        width=12,
    ),
])  # fmt: skip

WHAT = Row(12, [
    _list(
        "Browsers and systems",
        "browsers_and_systems",
        "The 100 browsers and operating systems with the most pageviews. Each pageview is in one of either.",
        [Column("kind", " ", width_px=80), Column("name", "Name"), *NUMBERS],
        width=12,
    ),
    _list(
        "Events",
        "events",
        "The 100 most frequent custom events, on pages and by people that the filters leave.",
        [
            EVENT,
            Column("events", "Events", COUNT, width_px=130, gauge=True),
            Column("sessions", "Sessions", COUNT, width_px=110),
        ],
        width=12,
    ),
])  # fmt: skip

DETAILS = Row(12, [
    _list(
        "Campaigns",
        "campaigns",
        "The 100 combinations of what a campaign's links say with the most pageviews. –: the link does not say. "
        f"{CLICK}",
        [
            UTM_CAMPAIGN,
            UTM_SOURCE._replace(heading="Source"),
            UTM_MEDIUM,
            Column("utm_term", "Term"),
            Column("utm_content", "Content"),
            *NUMBERS,
        ],
        width=24,
    ),
])  # fmt: skip

MORE = Row(12, [
    _list(
        "Referrers",
        "referrers",
        "The 100 referrers with the most pageviews. Hits with a source only. –: the source is known from the page's "
        "address alone.",
        [SOURCE._replace(explore="source", width_px=160), REFERRER, *NUMBERS],
        width=24,
    ),
])  # fmt: skip

EXPLORE = Dashboard(
    uid="explore",
    title="Explore",
    description="Any question, by any filter: sites, traffic, pages, sources, countries, devices, campaigns.",
    rows=[ABOUT, OVER_TIME, PAGES, WHO, WHAT, DETAILS, MORE, CREDIT],
    variables=VARIABLES,
    # Asked when something is chosen, and not again by the clock: single hits are many.
    refresh="",
)
