"""``sources``: where people came from."""

from grafana.curves import time_series
from grafana.dashboard import Dashboard, Row
from grafana.definitions.columns import CHANNEL, PAGE, PAGEVIEWS, REFERRER, SOURCE, TITLE, VISITORS
from grafana.tables import Column, table

CHANNELS = Row(10, [
    table(
        "Channels",
        "sources/channels.sql",
        "Pageviews and visitors of each channel, which is a kind of source. Direct: no referrer, or the site itself. "
        "Visitors of a channel on each day, summed over days; whoever came by two channels is in both.",
        [CHANNEL._replace(width_px=0), PAGEVIEWS, VISITORS],
        width=9,
    ),
    time_series(
        "Channels over time",
        "sources/channels_over_time.sql",
        "Pageviews a day of each channel, on the days with any traffic.",
        width=15,
    ),
])  # fmt: skip

LISTS = Row(20, [
    table(
        "Sources",
        "sources/sources.sql",
        "The 1,000 sources with the most pageviews: named origins, else the referrer's host. "
        "Visitors of a source on each day, summed over days.",
        [SOURCE, CHANNEL, PAGEVIEWS, VISITORS],
        width=11,
    ),
    table(
        "Referrers",
        "sources/referrers.sql",
        "The 1,000 referrers with the most pageviews. –: the source is known from the page's address alone. "
        "Visitors of a referrer on each day, summed over days.",
        [SOURCE, REFERRER, PAGEVIEWS, VISITORS],
        width=13,
    ),
])  # fmt: skip

PAIRS = Row(20, [
    table(
        "Referrers and the pages they led to",
        "sources/referrals.sql",
        "The 100 pairs with the most pageviews. Hits with a source only.",
        [SOURCE, REFERRER, TITLE, PAGE, PAGEVIEWS, VISITORS],
    ),
])  # fmt: skip

DETAILS = Row(10, [
    table(
        "Engines and services",
        "sources/source_details.sql",
        "The parts of a source where they are known: the engines of Search, the services of Newsletter. "
        "Visitors of a part on each day, summed over days; whoever came by two engines is in both.",
        [SOURCE, Column("source_detail", "Engine or service"), PAGEVIEWS, VISITORS],
        width=24,
    ),
])  # fmt: skip

SOURCES = Dashboard(
    uid="sources",
    title="Sources",
    description="Where people came from: channels, sources, referrers, engines.",
    rows=[CHANNELS, LISTS, PAIRS, DETAILS],
)
