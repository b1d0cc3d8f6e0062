"""``bots``: who else reads, what they read, and what is left out of every figure about people, and why."""

from __future__ import annotations

from grafana.curves import time_series
from grafana.dashboard import Dashboard, Row
from grafana.definitions.columns import HOST, PAGEVIEWS, PATH
from grafana.definitions.phrases import COMPARED
from grafana.panels import COUNT, PERCENT, compared, text
from grafana.tables import Column, table

LEFT = "Left out of every figure about people."
KINDS = (
    "Kinds: search engines, AI (for models, AI search, agents that fetch for a user), feed readers, previews of "
    "links, monitors, tools (programs and libraries), scrapers (all others). –: of no known kind."
)
DAILY = "Each point is a day of the reporting time zone and stands at its beginning."
HITS = Column("bot_hits", "Hits", COUNT, width_px=100, gauge=True)
LAST_DAY = Column("last_day", "Last seen", width_px=95)

FIGURES = Row(5, [
    compared(
        "Hits of bots",
        "bots/bot_hits.sql",
        f"Hits of programs, told by their User-Agent; all events. {LEFT} {COMPARED}",
    ),
    compared(
        "Share of bots",
        "bots/share.sql",
        "How many of a hundred hits, of bots and people, are of bots; all events. The owner's own are left out, but "
        "those that are a bot's too.",
        unit=PERCENT,
    ),
    compared(
        "Hits of AI crawlers",
        "bots/ai_hits.sql",
        "Hits of bots of the kind AI: for models, AI search, and agents that fetch for a user; all events. "
        f"They are among the hits of bots. {COMPARED}",
    ),
    compared(
        "The owner's own hits",
        "bots/owner_hits.sql",
        f"Hits with the cookie isMe; all events. {LEFT} "
        f"A hit may be a bot's too, and is then in both figures. {COMPARED}",
    ),
])  # fmt: skip

OVER_TIME = Row(9, [
    time_series(
        "Kinds of bots over time",
        "bots/classes_over_time.sql",
        f"Hits of each kind, one upon the other; all events. {DAILY} {KINDS}",
        drawn="bars",
        stacked=True,
        width=16,
    ),
    table(
        "Kinds of bots",
        "bots/classes.sql",
        f"Hits of each kind of bot; all events. {KINDS}",
        [Column("bot_class", "Kind", width_px=90), HITS._replace(width_px=0)],
        width=8,
    ),
])  # fmt: skip

WHO = Row(14, [
    table(
        "Bots",
        "bots/bots.sql",
        f"The 1,000 bots with the most hits; all events. –: without a name. {KINDS}",
        [Column("bot_name", "Bot"), Column("bot_class", "Kind", width_px=70), HITS, LAST_DAY],
        width=11,
    ),
    table(
        "What they read",
        "bots/pages.sql",
        "The 1,000 pages with the most hits of bots; all events.",
        [HOST._replace(width_px=110), PATH, HITS, LAST_DAY],
        width=13,
    ),
])  # fmt: skip

AI = Row(9, [
    time_series(
        "AI crawlers over time",
        "bots/ai_over_time.sql",
        f"Hits of the ten AI crawlers with the most, all events. {DAILY}",
        width=12,
    ),
    time_series(
        "Bots, owner and people over time",
        "bots/over_time.sql",
        f"{DAILY} Of people: pageviews. Of bots and the owner: all events.",
        names={"bot_hits": "Bots", "owner_hits": "Owner", "pageviews": "People"},
        width=12,
    ),
])  # fmt: skip

LEFT_OUT = Row(10, [
    table(
        "Left out, and why",
        "bots/left_out.sql",
        "Requests that the pixel did not count, by the ledger: excluded on purpose, or refused because something was "
        "wrong with them. They are not stored. A killed pixel may lack its last second of them. –: no site could be "
        "told.",
        [
            Column("outcome", "Outcome", width_px=90),
            Column("reason", "Reason", width_px=120),
            Column("meaning", "In words"),
            Column("site", "Site", width_px=160),
            Column("requests", "Requests", COUNT, width_px=130, gauge=True),
        ],
    ),
])  # fmt: skip

LEFT_OUT_OVER_TIME = Row(7, [
    time_series(
        "Left out over time",
        "bots/left_out_over_time.sql",
        f"Requests that the pixel did not count, by reason, one upon the other. {DAILY}",
        drawn="bars",
        stacked=True,
        width=24,
    ),
])  # fmt: skip

SITES = Row(10, [
    table(
        "Sites",
        "bots/sites.sql",
        "Hits of bots and of the owner (all events) beside the pageviews of people, by site.",
        [
            Column("site", "Site"),
            HITS._replace(heading="Bots", gauge=False, width_px=80),
            Column("owner_hits", "Owner's", COUNT, width_px=80),
            PAGEVIEWS._replace(width_px=90, gauge=False),
        ],
        width=12,
    ),
    text(
        "What is left out, in plain words",
        "**Bots** are programs that say so in their User-Agent. Their hits are stored, and shown here only. "
        "A program that copies a browser exactly counts as a person.\n\n"
        "**Your own visits**: open `/me` on the pixel and press the button. That browser then has the cookie `isMe`, "
        "its hits are stored, and shown here only. The tag must say `data-owner`, and pixel and site must share a "
        "domain. Press it again, and you count as everybody does.\n\n"
        "**Excluded** requests are not stored, on purpose: pages on your own machine, deploy previews, pages loaded "
        "ahead, sites that are not yours. **Refused** ones are wrong, or too many. Of both only the number is kept, "
        "by site, day and reason.",
        "How bots, the owner's own visits and excluded requests are told from people.",
        width=12,
    ),
])  # fmt: skip

BOTS = Dashboard(
    uid="bots",
    title="Bots and owner",
    description="Who else reads, what they read, and what is left out of every figure about people.",
    rows=[FIGURES, OVER_TIME, WHO, AI, LEFT_OUT, LEFT_OUT_OVER_TIME, SITES],
)
