"""``pipeline``: whether every accepted hit is accounted for, what waits, and how the jobs are doing."""

from grafana.curves import time_series
from grafana.dashboard import Dashboard, Row
from grafana.panels import COUNT, SECONDS, stat
from grafana.tables import Column, table

NO_SITE = "–: no site could be told."

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
    stat(
        "Waiting for the rollups",
        "pipeline/pending_hits.sql",
        "Hits stored and not yet counted in the rollups, now, of any day: the range does not matter.",
        width=4,
    ),
    stat(
        "Oldest waits",
        "pipeline/pending_seconds.sql",
        "How long the oldest of the waiting hits has waited, now: the range does not matter.",
        unit=SECONDS,
        width=4,
    ),
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
        width=16,
    ),
])  # fmt: skip

LISTS = Row(16, [
    table(
        "Ledger",
        "pipeline/ledger.sql",
        "What became of the hits of each day and site; pending ones are on the stream, as of some seconds ago. "
        f"{NO_SITE}",
        [
            Column("day", "Day", width_px=110),
            Column("site", "Site"),
            Column("accepted", "Accepted", COUNT),
            Column("stored", "Stored", COUNT),
            Column("duplicate", "Duplicate", COUNT),
            Column("dead_lettered", "Dead-lettered", COUNT),
            Column("pending", "Pending", COUNT),
            Column("unaccounted", "Unaccounted for", COUNT),
            Column("excluded", "Excluded", COUNT),
            Column("refused", "Refused", COUNT),
        ],
        width=15,
    ),
    table(
        "Left out",
        "pipeline/left_out.sql",
        "Requests that the pixel did not count, by reason: excluded on purpose, or refused. "
        f"A killed pixel may lack its last second of them. {NO_SITE}",
        [
            Column("outcome", "Outcome", width_px=100),
            Column("reason", "Reason"),
            Column("site", "Site"),
            Column("requests", "Requests", COUNT, width_px=130, gauge=True),
        ],
        width=9,
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
    rows=[LEDGER, OVER_TIME, LISTS, JOBS],
)
