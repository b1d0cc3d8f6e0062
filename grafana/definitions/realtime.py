"""``realtime``: who is here now. Asked of single hits, of the last 30 minutes whatever range is chosen."""

from __future__ import annotations

from grafana.curves import time_series
from grafana.dashboard import Dashboard, Row
from grafana.definitions.columns import AGO, CHANNEL, HOST, PAGEVIEWS, PATH, SOURCE, TITLE, VISITORS
from grafana.definitions.credit import CREDIT
from grafana.panels import COUNT, SECONDS, Panel, compared
from grafana.tables import Column, table
from grafana.variables import SITE, TRAFFIC

NOW = (
    "The last 30 minutes up to now, whatever range is chosen: the current minute, which is not over, and the 29 "
    "before it. Of the chosen traffic; the owner's own visits are left out."
)
PEOPLE = VISITORS._replace(heading="Visitors", width_px=80)
VIEWS = PAGEVIEWS._replace(width_px=110)


def _up_to_now(panel: Panel) -> Panel:
    # A panel's own range: else a longer one of the dashboard would squeeze its bars into a corner.
    return Panel(panel.width, {**panel.body, "timeFrom": "30m", "hideTimeOverride": True})


FIGURES = Row(5, [
    compared(
        "People now",
        "realtime/people_now.sql",
        "Different sessions with a pageview in the last 5 minutes, whatever range is chosen. Pageviews without a "
        "session, such as under a privacy signal, are of nobody in particular: they stand below.",
        width=8,
    ),
    compared(
        "Pageviews in the last 30 minutes",
        "realtime/pageviews.sql",
        f"Pages loaded, and by how many different sessions. {NOW}",
        width=8,
    ),
    compared(
        "Last hit, ago",
        "realtime/last_hit.sql",
        "How long ago the newest hit of the chosen traffic came, pageview or event, and to which site; whatever "
        "range is chosen.",
        unit=SECONDS,
        width=8,
    ),
])  # fmt: skip

MINUTES = Row(8, [
    _up_to_now(time_series(
        "By minute",
        "realtime/minutes.sql",
        "Each bar is a minute and stands at its beginning; the hollow one is not over. Pageviews, before them the "
        f"sessions of the minute: someone who stays is in several. {NOW}",
        names={
            "pageviews": "Pageviews",
            "pageviews_open": "Pageviews, so far",
            "visitors": "Visitors",
            "visitors_open": "Visitors, so far",
        },
        drawn="bars",
        width=24,
    )),
])  # fmt: skip

PAGES = Row(11, [
    table(
        "What they read",
        "realtime/pages.sql",
        f"The 50 pages with the most pageviews. {NOW} Last: how long ago the newest of them came.",
        [HOST._replace(width_px=140), PATH._replace(explore="page", explore_field="page"), TITLE, VIEWS, PEOPLE, AGO],
    ),
])  # fmt: skip

FROM = Row(10, [
    table(
        "From where",
        "realtime/sources.sql",
        f"The 50 sources with the most pageviews. Direct: no referrer, or the site itself. {NOW}",
        [
            SOURCE._replace(explore="source", explore_field="explored"),
            CHANNEL._replace(width_px=90),
            VIEWS,
            PEOPLE,
        ],
        width=12,
    ),
    table(
        "Countries",
        "realtime/countries.sql",
        f"Visitors and pageviews of each country. Unknown: the address is in no country's range. {NOW}",
        [
            Column("flag", " ", width_px=50),
            Column("name", "Country", explore="country", explore_field="country"),
            VIEWS,
            PEOPLE,
        ],
        width=12,
    ),
])  # fmt: skip

MORE = Row(8, [
    table(
        "Devices",
        "realtime/devices.sql",
        f"Pageviews and visitors by device. {NOW}",
        [Column("device", "Device", explore="device"), VIEWS, PEOPLE],
        width=10,
    ),
    table(
        "Events",
        "realtime/events.sql",
        f"The 50 custom events that came most often; sessions: different ones. {NOW}",
        [
            Column("event", "Event"),
            Column("events", "Events", COUNT, width_px=110, gauge=True),
            Column("sessions", "Sessions", COUNT, width_px=80),
            AGO,
        ],
        width=14,
    ),
])  # fmt: skip

REALTIME = Dashboard(
    uid="realtime",
    title="Realtime",
    description="Who is here now, and what they read: the last 30 minutes.",
    rows=[FIGURES, MINUTES, PAGES, FROM, MORE, CREDIT],
    variables=(SITE, TRAFFIC),
    refresh="5s",
    begin="now-30m",
)
