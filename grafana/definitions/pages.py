"""``pages``: every page, and the most popular ones over time."""

from grafana.dashboard import Dashboard, Row
from grafana.definitions.columns import HOST, PAGEVIEWS, PATH, TITLE, VISITORS
from grafana.panels import stat, table, time_series

OVER_TIME = Row(10, [
    stat(
        "Pages seen",
        "pages/pages_seen.sql",
        "Different pages with at least one pageview of a person.",
        width=4,
    ),
    time_series(
        "The ten most popular pages over time",
        "pages/top_pages_over_time.sql",
        "Pageviews a day of the ten pages with the most pageviews, on the days with any traffic.",
        width=20,
    ),
])  # fmt: skip

LIST = Row(20, [
    table(
        "Pages",
        "pages/pages.sql",
        "The 1,000 pages with the most pageviews. Visitors of a page on each day, summed over days.",
        [HOST, PATH, TITLE, PAGEVIEWS, VISITORS],
    ),
])  # fmt: skip

PAGES = Dashboard(
    uid="pages", title="Pages", description="Which pages were seen, and how often.", rows=[OVER_TIME, LIST]
)
