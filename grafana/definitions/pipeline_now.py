"""The figures of ``pipeline`` that say how it stands at this moment: what waits, and whether it is well."""

from grafana.dashboard import Row
from grafana.panels import SECONDS, stat, with_defaults

NOW = "Now: the range does not matter."
# Colours stand only where somebody has to do something.
LOOK_AT_IT, ACT = "orange", "red"
BYTES = "decbytes"
DAYS = "suffix: days"  # Grafana would make 8 weeks of 58

WAITING = Row(4, [
    stat(
        "Last hit",
        "pipeline/last_hit_seconds.sql",
        "How long ago the newest stored hit was received by a pixel, of any site (table ingest_minutes). Longer than "
        f"your site is ever quiet: look whether the tag is still in the page, then at the gaps below. {NOW}",
        unit=SECONDS,
        width=4,
    ),
    stat(
        "Last look",
        "pipeline/look_seconds.sql",
        "How long ago an enricher last looked at the stream; one does every 5 s (table stream_look). From 30 s on: "
        "is the enricher running, does it reach Redis and PostgreSQL? Until it does, hits are kept, and what stands "
        f"beside this is as old as this. {NOW}",
        unit=SECONDS,
        width=4,
        steps=((30, LOOK_AT_IT), (60, ACT)),
    ),
    stat(
        "On the stream",
        "pipeline/stream_hits.sql",
        "Accepted hits that wait in Redis for the enricher, as of its last look (view daily_ledger, pending); in a "
        "long backlog those of its first 500 entries. Some are always on their way. If they grow for minutes, the "
        f"enricher is too slow or stopped: its log says why. {NOW}",
        width=4,
    ),
    stat(
        "Oldest entry",
        "pipeline/stream_seconds.sql",
        "How long the oldest entry has waited in Redis (table stream_look). It is seconds. Minutes: the enricher "
        f"does not get on; see its log for waiting, stopped-burying. {NOW}",
        unit=SECONDS,
        width=4,
        steps=((30, LOOK_AT_IT), (300, ACT)),
    ),
    stat(
        "Uncounted",
        "pipeline/pending_hits.sql",
        "Hits stored and not yet counted in the rollups, of any day (table rollup_pending). They are counted within "
        f"seconds. If they grow: the job refresh below says why. {NOW}",
        width=4,
    ),
    stat(
        "Rollups behind",
        "pipeline/pending_seconds.sql",
        "How long the oldest of the waiting hits has waited to be counted, which is by how much the dashboards are "
        "behind (table rollup_pending). From 30 s on: is the rollup running? The job refresh below names the error. "
        f"{NOW}",
        unit=SECONDS,
        width=4,
        steps=((30, LOOK_AT_IT), (300, ACT)),
    ),
])  # fmt: skip

HEALTH = Row(4, [
    stat(
        "Mean delay",
        "pipeline/delay_mean_seconds.sql",
        "From a pixel's receiving a hit to its row in the database, as a mean of the five minutes up to the newest "
        "stored hit, of all sites (table ingest_minutes). Under a second in quiet. More: a backlog is being worked "
        f"off, or clocks of two machines differ. {NOW}",
        unit=SECONDS,
        width=4,
        steps=((10, LOOK_AT_IT), (60, ACT)),
    ),
    stat(
        "Longest delay",
        "pipeline/delay_longest_seconds.sql",
        "The longest of these five minutes. More than 60 s: these are late hits, see below; they came out of a spool "
        f"or a backlog, and count on the day on which they were received. {NOW}",
        unit=SECONDS,
        width=4,
    ),
    stat(
        "Open letters",
        "pipeline/open_letters.sql",
        "Hits that could not become rows and that nobody has replayed or dropped, of any site, without those that "
        "came too late, which are no fault (view open_letters). From 1 on: make dead-letters says which and why. "
        f"{NOW}",
        width=4,
        steps=((1, LOOK_AT_IT),),
    ),
    stat(
        "Ledger faults",
        "pipeline/differences.sql",
        "Days of sites on which accepted is not stored + duplicate + dead-lettered, or not what the dead letters "
        "say (view ledger_differences). Always 0, whatever crashes: from 1 on run make check and please report it, "
        f"unless rows were changed by hand. {NOW}",
        width=4,
        steps=((1, ACT),),
    ),
    with_defaults(
        stat(
            "Disk lasts",
            "pipeline/disk_days.sql",
            "Days until the disk of KEY_DIR is full (with Docker: that of Docker's volumes), by the pace of the last "
            "14 days at which the database grew or the disk filled, whichever is faster (view disk_outlook, a look "
            "every 5 minutes). Known after two days. Under 60: plan for more room, or a smaller RETENTION_DAYS; "
            f"under 14: now. {NOW}",
            unit=DAYS,
            width=4,
            steps=((0, ACT), (14, LOOK_AT_IT), (60, "text")),
        ),
        noValue="Known after two days",
        decimals=0,
        mappings=[
            {"type": "range", "options": {"from": 36_500, "to": None, "result": {"index": 0, "text": "Not growing"}}}
        ],
    ),
    stat(
        "Disk free",
        "pipeline/disk_free.sql",
        "Bytes that are free for the services on that disk, as of up to 5 minutes ago (view disk_outlook). When it "
        f"is full PostgreSQL and Redis stop, and hits go to the spool until that has no room either. {NOW}",
        unit=BYTES,
        width=4,
    ),
])  # fmt: skip
