"""``bots``: what is stored and left out of every figure about people."""

from grafana.curves import time_series
from grafana.dashboard import Dashboard, Row
from grafana.definitions.columns import PAGEVIEWS
from grafana.panels import COUNT, bars, stat
from grafana.tables import Column, table

OVER_TIME = Row(9, [
    stat(
        "Hits of bots",
        "bots/bot_hits.sql",
        "Hits of programs, told by their User-Agent; all events. Left out of every figure about people.",
        width=5,
    ),
    stat(
        "The owner's own hits",
        "bots/owner_hits.sql",
        "Hits with the cookie isMe; all events. Left out of every figure about people. "
        "A hit may be a bot's too, and is then in both figures.",
        width=5,
    ),
    time_series(
        "Bots, owner and people over time",
        "bots/over_time.sql",
        "Each point is a day of the reporting time zone and stands at its beginning. Of people: pageviews.",
        names={"bot_hits": "Bots", "owner_hits": "Owner", "pageviews": "People"},
        width=14,
    ),
])  # fmt: skip

SITES = Row(12, [
    table(
        "Sites",
        "bots/sites.sql",
        "Hits of bots and of the owner (all events) beside the pageviews of people, by site.",
        [
            Column("site", "Site"),
            Column("bot_hits", "Hits of bots", COUNT, width_px=200, gauge=True),
            Column("owner_hits", "The owner's own hits", COUNT, width_px=200),
            PAGEVIEWS,
        ],
    ),
])  # fmt: skip

NAMES = Row(14, [
    bars(
        "Kinds of bots",
        "bots/classes.sql",
        "Hits of each kind of bot; all events. –: of no known kind.",
        width=8,
    ),
    table(
        "Bots",
        "bots/bots.sql",
        "The 1,000 bots with the most hits; all events. –: without a name, or of no known kind.",
        [
            Column("bot_name", "Bot"),
            Column("bot_class", "Kind"),
            Column("bot_hits", "Hits", COUNT, width_px=200, gauge=True),
        ],
        width=16,
    ),
])  # fmt: skip

BOTS = Dashboard(
    uid="bots",
    title="Bots and owner",
    description="Hits that are stored and left out of every figure about people.",
    rows=[OVER_TIME, NAMES, SITES],
)
