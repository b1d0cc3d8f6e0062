"""``missing``: pages that people asked for and did not find, as a list of what to mend."""

from __future__ import annotations

from grafana.curves import time_series
from grafana.dashboard import Dashboard, Row
from grafana.definitions.columns import HOST, PAGEVIEWS, PATH, REFERRER
from grafana.definitions.phrases import COMPARED
from grafana.panels import COUNT, PERCENT, compared, with_defaults
from grafana.tables import Column, table

KNOWN = "Status 404 or 410, told by the page or recognised by its title."
OWN = "Own: by a link on a page of the same host or site, which the owner can mend himself."
PAGE = PATH._replace(explore="page", explore_field="page")

FIGURES = Row(5, [
    compared(
        "Pageviews of missing pages",
        "missing/pageviews.sql",
        "Pageviews of people that ended on a page that is not there. "
        f"{KNOWN} Every other figure counts them too. {COMPARED}",
        width=8,
    ),
    compared(
        "Share of all pageviews",
        "missing/share.sql",
        f"How many of a hundred pageviews of people ended on a page that is not there. {KNOWN}",
        unit=PERCENT,
        width=8,
    ),
    compared(
        "Missing pages",
        "missing/pages.sql",
        f"Different addresses that people asked for and that are not there. {KNOWN} {COMPARED}",
        width=8,
    ),
])  # fmt: skip

OVER_TIME = Row(7, [
    with_defaults(
        time_series(
            "Pageviews of missing pages over time",
            "missing/over_time.sql",
            f"Each point is a day of the reporting time zone and stands at its beginning. {KNOWN}",
            names={"missing": "Pageviews of missing pages"},
            width=24,
        ),
        noValue="No missing page",
    ),
])  # fmt: skip

WORKLIST = Row(14, [
    table(
        "What to mend",
        "missing/worklist.sql",
        "The 500 missing pages with the most pageviews in the range, and against as many days before; those that are "
        "missing still come first. Status, first and last seen are of all days up to now. Back since: the first day "
        "after the last missing one on which people saw the page. Quiet: nobody has asked for it for 7 days or more. "
        f"Linked from: the referrer that led there most often, in the range; –: none. {OWN}",
        [
            HOST._replace(width_px=140),
            PAGE,
            Column("status", "Status", width_px=135),
            PAGEVIEWS._replace(width_px=120),
            Column("change", "Against before", width_px=130),
            REFERRER._replace(heading="Linked from"),
            Column("own_pageviews", "By own links", COUNT, width_px=110),
            Column("first_day", "First seen", width_px=100),
            Column("last_day", "Last seen", width_px=100),
        ],
        empty="No missing page",
    ),
])  # fmt: skip

LINKS = Row(14, [
    table(
        "Who links to missing pages",
        "missing/missing_pages.sql",
        f"The 1,000 pairs of missing page and referrer with the most pageviews. –: no referrer. {OWN}",
        [
            HOST._replace(width_px=140),
            PAGE,
            REFERRER,
            Column("whose", "Whose link", width_px=110),
            PAGEVIEWS,
            Column("last_day", "Last seen", width_px=100),
        ],
        empty="No missing page",
    ),
])  # fmt: skip

MISSING = Dashboard(
    uid="missing",
    title="Missing pages",
    description="Pages that people asked for and did not find, and what led there.",
    rows=[FIGURES, OVER_TIME, WORKLIST, LINKS],
)
