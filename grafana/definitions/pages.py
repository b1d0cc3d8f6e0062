"""``pages``: every page, and the most popular ones over time."""

from grafana.curves import time_series
from grafana.dashboard import Dashboard, Row
from grafana.definitions.columns import PAGE, PAGEVIEWS, SESSIONS, TITLE, VISITORS
from grafana.definitions.phrases import COMPARED
from grafana.panels import COUNT, compared, stat
from grafana.tables import Column, table

LATE = "Of a day's sessions: no session outlives its day. Counted every few minutes."

FIGURES = Row(4, [
    stat(
        "Pages seen",
        "pages/pages_seen.sql",
        "Different pages with at least one pageview of a person.",
        width=6,
    ),
    compared(
        "Sessions",
        "pages/sessions.sql",
        f"Sessions with a pageview, which are the visitors of their day. {LATE} {COMPARED}",
        width=6,
    ),
    stat(
        "Pages a session",
        "pages/pages_a_session.sql",
        "Pageviews with a session, divided by the sessions.",
        unit="none",
        width=6,
    ),
    stat(
        "Single-page sessions",
        "pages/single_page_sessions.sql",
        f"Of a hundred sessions those with one pageview only. {LATE}",
        unit="percent",
        width=6,
    ),
])  # fmt: skip

OVER_TIME = Row(10, [
    time_series(
        "The ten most popular pages over time",
        "pages/top_pages_over_time.sql",
        "Pageviews a day of the ten pages with the most pageviews, on the days with any traffic.",
        width=24,
    ),
])  # fmt: skip

LIST = Row(20, [
    table(
        "Pages",
        "pages/pages.sql",
        "The 1,000 pages with the most pageviews. Visitors of a page on each day, summed over days.",
        [TITLE, PAGE, PAGEVIEWS, VISITORS],
    ),
])  # fmt: skip

SESSION_ENDS = Row(14, [
    table(
        "Entry pages",
        "pages/entries.sql",
        f"The 100 pages at which the most sessions began, and those of them with one pageview only. {LATE}",
        [PAGE, SESSIONS, Column("single_page_sessions", "Single-page sessions", COUNT, width_px=175)],
        width=12,
    ),
    table(
        "Exit pages",
        "pages/exits.sql",
        f"The 100 pages at which the most sessions ended. {LATE}",
        [PAGE, SESSIONS],
        width=12,
    ),
])  # fmt: skip

PAGES = Dashboard(
    uid="pages",
    title="Pages",
    description="Which pages were seen, how often, and where sessions began and ended.",
    rows=[FIGURES, OVER_TIME, LIST, SESSION_ENDS],
)
