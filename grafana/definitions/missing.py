"""``missing``: pages that people asked for and did not find."""

from grafana.curves import time_series
from grafana.dashboard import Dashboard, Row
from grafana.definitions.columns import HOST, PAGEVIEWS, PATH, REFERRER
from grafana.panels import stat
from grafana.tables import Column, table

KNOWN = "Status 404 or 410, told by the page or recognised by its title."

OVER_TIME = Row(8, [
    stat(
        "Pageviews of missing pages",
        "missing/pageviews.sql",
        f"Pageviews that ended on a page that is not there. {KNOWN} Every other figure counts them too.",
        width=5,
    ),
    stat(
        "Missing pages",
        "missing/pages.sql",
        f"Different addresses that are not there. {KNOWN}",
        width=5,
    ),
    time_series(
        "Pageviews of missing pages over time",
        "missing/over_time.sql",
        "Each point is a day of the reporting time zone and stands at its beginning.",
        names={"pageviews": "Pageviews"},
        width=14,
    ),
])  # fmt: skip

LIST = Row(20, [
    table(
        "Missing pages, and what led there",
        "missing/missing_pages.sql",
        "The 1,000 pairs of missing page and referrer with the most pageviews. –: no referrer.",
        [HOST, PATH, REFERRER, PAGEVIEWS, Column("last_day", "Last seen", width_px=110)],
    ),
])  # fmt: skip

MISSING = Dashboard(
    uid="missing",
    title="Missing pages",
    description="Pages that people asked for and did not find, and what led there.",
    rows=[OVER_TIME, LIST],
)
