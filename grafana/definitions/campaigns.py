"""``campaigns``: what links with utm_ parameters brought."""

from grafana.curves import time_series
from grafana.dashboard import Dashboard, Row
from grafana.definitions.columns import (
    PAGEVIEWS,
    PLAIN_PAGEVIEWS,
    SHARE,
    UTM_CAMPAIGN,
    UTM_MEDIUM,
    UTM_SOURCE,
    VISITORS,
)
from grafana.definitions.phrases import COMPARED, HUMAN
from grafana.panels import PERCENT, compared, stat
from grafana.tables import table

CAMPAIGN = "A campaign's links have utm_source, utm_medium or utm_campaign in their address."
NONE = "–: the link does not say."
NEVER_ADDED = "Visitors are not added up: whoever came by two campaigns would count twice."

FIGURES = Row(4, [
    compared(
        "Pageviews by campaigns",
        "campaigns/pageviews.sql",
        f"Pageviews that came by a link of a campaign. {CAMPAIGN} {HUMAN} {COMPARED}",
        width=8,
    ),
    stat(
        "Share of all pageviews",
        "campaigns/share.sql",
        f"Of 100 pageviews, those that came by a link of a campaign. {CAMPAIGN}",
        unit=PERCENT,
        width=8,
    ),
    stat(
        "Campaigns seen",
        "campaigns/campaigns_seen.sql",
        "Different names in utm_campaign with at least one pageview of a person.",
        width=8,
    ),
])  # fmt: skip

OVER_TIME = Row(10, [
    time_series(
        "Campaigns over time",
        "campaigns/over_time.sql",
        "Pageviews a day of the eight campaigns with the most pageviews, and of all others together, on the days "
        f"with any traffic. {NONE}",
        drawn="bars",
        stacked=True,
        width=24,
    ),
])  # fmt: skip

LIST = Row(12, [
    table(
        "Campaigns",
        "campaigns/campaigns.sql",
        "The 1,000 combinations of campaign, source and medium with the most pageviews. Visitors of each on each "
        f"day, summed over days. {NONE} Their terms and contents are on Explore, where a click on a name leads.",
        [UTM_CAMPAIGN, UTM_SOURCE, UTM_MEDIUM, PAGEVIEWS, VISITORS],
        width=24,
    ),
])  # fmt: skip

ADDED = Row(10, [
    table(
        "Mediums",
        "campaigns/mediums.sql",
        f"Pageviews by utm_medium, of pageviews by campaigns. The last row gathers the others. {NEVER_ADDED}",
        [UTM_MEDIUM, PLAIN_PAGEVIEWS, SHARE],
        width=12,
    ),
    table(
        "Sources of campaigns",
        "campaigns/sources.sql",
        f"Pageviews by utm_source, of pageviews by campaigns. The last row gathers the others. {NEVER_ADDED}",
        [UTM_SOURCE, PLAIN_PAGEVIEWS, SHARE],
        width=12,
    ),
])  # fmt: skip

CAMPAIGNS = Dashboard(
    uid="campaigns",
    title="Campaigns",
    description="What links with utm_ parameters brought.",
    rows=[FIGURES, OVER_TIME, LIST, ADDED],
)
