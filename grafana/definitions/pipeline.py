"""``pipeline``: whether every accepted hit is accounted for, what waits, and how the jobs are doing."""

from grafana.curves import time_series
from grafana.dashboard import Dashboard, Row
from grafana.definitions.pipeline_now import HEALTH, NOW, WAITING
from grafana.panels import COUNT, SECONDS, stat, with_defaults
from grafana.tables import Column, table

NO_SITE = "–: no site could be told."
DURATION = "dtdurations"

LEDGER = Row(4, [
    stat(
        "Accepted",
        "pipeline/accepted.sql",
        "Hits that the pixel accepted and the enricher took from the stream.",
        width=5,
    ),
    stat(
        "Stored",
        "pipeline/stored.sql",
        "Hits that became rows.",
        width=5,
    ),
    stat(
        "Duplicate",
        "pipeline/duplicate.sql",
        "Hits whose id was stored before on the same site and day: one hit, sent again.",
        width=5,
    ),
    stat(
        "Dead-lettered",
        "pipeline/dead_lettered.sql",
        "Hits that could not become rows, or came too late (older than RETENTION_DAYS); make dead-letters says why, "
        "and so does the view daily_ledger_reasons.",
        width=5,
    ),
    stat(
        "Unaccounted for",
        "pipeline/unaccounted.sql",
        "Accepted, and neither stored nor duplicate nor dead-lettered. Anything but 0 is a fault.",
        width=4,
    ),
])  # fmt: skip

OVER_TIME = Row(9, [
    time_series(
        "What became of the accepted hits",
        "pipeline/over_time.sql",
        "Each point is a day of the reporting time zone and stands at its beginning.",
        names={
            "accepted": "Accepted",
            "stored": "Stored",
            "duplicate": "Duplicate",
            "dead_lettered": "Dead-lettered",
        },
        width=12,
    ),
    with_defaults(
        time_series(
            "Hits stored a minute",
            "pipeline/stored_a_minute.sql",
            "Hits of all sites by when they became rows (table ingest_minutes), in the last 24 hours, whatever the "
            "range: a mean over 5 minutes. Nothing for longer than your sites are ever quiet: "
            "look at the gaps, and at what waits on the stream.",
            names={"stored": "Stored a minute"},
            last="24h",
            width=12,
        ),
        decimals=1,
    ),
])  # fmt: skip

DELAYS = Row(9, [
    with_defaults(
        time_series(
            "Ingest delay",
            "pipeline/delay_over_time.sql",
            "From a pixel's receiving a hit to its row, of all sites, by when it was stored: the mean, and the "
            "longest (table ingest_minutes), in the last 24 hours, whatever the "
            "range: a point for 5 minutes. A peak is an outage that ended then: its hits came out of a spool or a "
            "backlog.",
            names={"mean": "Mean", "longest": "Longest"},
            last="24h",
            width=12,
        ),
        unit=SECONDS,
    ),
    with_defaults(
        time_series(
            "Late hits",
            "pipeline/late_over_time.sql",
            "Hits that were stored more than 60 s after a pixel had received them, by the hour in which they were "
            "received (table late_hits). Until they came, the figures of that hour were too small; now they are "
            "whole. Nothing to do, unless they go on: then Redis, PostgreSQL or the enricher is away again and "
            "again.",
            names={"late": "Late hits"},
            width=12,
        ),
        custom={"drawStyle": "bars", "fillOpacity": 60, "showPoints": "never", "lineWidth": 1},
        noValue="None came late",
    ),
])  # fmt: skip

GAPS = Row(9, [
    with_defaults(
        table(
            "Gaps",
            "pipeline/gaps.sql",
            "Times of 2 minutes and more in which no pixel could take a hit, the newest first: nobody was counted, "
            "and nobody can be. A pixel gives a sign of life every 30 s at least (view gaps); the machine was off or "
            "asleep, the pixel did not run, or it could make nothing durable. Not yet: none has been heard since; is "
            "a pixel running? While the enricher or Redis is away nothing is known, and no gap begins.",
            [
                Column("began", "From", width_px=140),
                Column("ended", "Until", width_px=140),
                Column("seconds", "Lasted", DURATION),
            ],
            width=12,
        ),
        noValue="No gap",
    ),
    table(
        "Left out",
        "pipeline/left_out.sql",
        "Requests that the pixel did not count, by reason: excluded on purpose, or refused. "
        f"A killed pixel may lack its last second of them. {NO_SITE}",
        [
            Column("outcome", "Outcome", width_px=80),
            Column("reason", "Reason", width_px=105),
            Column("site", "Site"),
            Column("requests", "Requests", COUNT, width_px=105, gauge=True),
        ],
        width=12,
    ),
])  # fmt: skip

LETTERS = Row(10, [
    with_defaults(
        table(
            "Dead letters",
            "pipeline/dead_letter_reasons.sql",
            "Hits that could not become rows, by reason, dropped ones too (view daily_ledger_reasons). too-late is "
            f"no fault; of the others make dead-letters says which, and what to do. {NO_SITE}",
            [
                Column("reason", "Reason", width_px=90),
                Column("site", "Site"),
                Column("newest", "Newest", width_px=100),
                Column("hits", "Hits", COUNT, width_px=90, gauge=True),
            ],
            width=12,
        ),
        noValue="None",
    ),
    table(
        "Installation",
        "pipeline/installation.sql",
        "What the database knows of this installation: the settings SITES and REPORT_TIMEZONE, the rules by which "
        "sources and bots are told (newer ones: make renormalise), sizes as of up to 5 minutes ago. The version is "
        "at the pixel's /version.",
        [Column("what", "What", width_px=180), Column("says", "Says")],
        width=12,
    ),
])  # fmt: skip

LISTS = Row(12, [
    table(
        "Ledger",
        "pipeline/ledger.sql",
        "What became of the hits of each day and site; pending ones are on the stream, as of some seconds ago. "
        f"{NO_SITE}",
        [
            Column("day", "Day", width_px=110),
            Column("site", "Site"),
            Column("accepted", "Accepted", COUNT, width_px=90),
            Column("stored", "Stored", COUNT, width_px=90),
            Column("duplicate", "Duplicate", COUNT, width_px=90),
            Column("dead_lettered", "Dead-lettered", COUNT, width_px=115),
            Column("pending", "Pending", COUNT, width_px=85),
            Column("unaccounted", "Unaccounted for", COUNT, width_px=130),
            Column("excluded", "Excluded", COUNT, width_px=90),
            Column("refused", "Refused", COUNT, width_px=85),
        ],
    ),
])  # fmt: skip

FEEDS = Row(6, [
    table(
        "Feeds",
        "pipeline/feeds.sql",
        "The feeds of the setting FEEDS, asked every 15 minutes; those with something wrong first. An entry without "
        f"a date or a link to one of the sites is skipped. {NOW}",
        [
            Column("feed", "Feed"),
            Column("last_ok", "Last read", width_px=160),
            Column("posts", "Posts", COUNT, width_px=80),
            Column("skipped", "Skipped", COUNT, width_px=80),
            Column("error", "What is wrong", width_px=300),
        ],
        empty="No feed: setting FEEDS",
    ),
])  # fmt: skip

JOBS = Row(7, [
    table(
        "Jobs",
        "pipeline/jobs.sql",
        "What the rollup does by the clock and for new hits, now: neither range nor site matters. One that fails is "
        "tried again after 1, 2, 4 … 60 s, the country database after a day; the log and the metrics say more. "
        "As of up to 10 s ago.",
        [
            Column("job", "Job", width_px=140),
            Column("last_done", "Last done"),
            Column("failures_in_a_row", "Failures in a row", COUNT, width_px=150),
            Column("last_error", "Last error"),
            Column("next_try", "Next try"),
        ],
    ),
])  # fmt: skip

PIPELINE = Dashboard(
    uid="pipeline",
    title="Pipeline",
    description="Whether every accepted hit is accounted for, what waits, and how the jobs are doing.",
    rows=[WAITING, HEALTH, LEDGER, OVER_TIME, DELAYS, GAPS, LETTERS, LISTS, JOBS, FEEDS],
)
