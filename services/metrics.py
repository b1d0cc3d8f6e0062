"""The one catalogue of metrics, and the port on which they answer.

No label ever holds something that a visitor sent: only fixed words, and what the country database calls itself.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, start_http_server

from services.version import VERSION

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300)


class Metrics:
    """What every process reports. Each process makes one, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        Info("footfall_build", "The version of Footfall.", registry=self.registry).info({"version": VERSION})
        self.heartbeat = Gauge(
            "footfall_heartbeat_timestamp_seconds",
            "Unix time of the last round of the process's main loop.",
            registry=self.registry,
        )

    def serve(self, host: str, port: int) -> int:
        """Answer ``/metrics`` from a thread; the port, which matters when 0 was asked for. Raises OSError."""
        server, _ = start_http_server(port, host, registry=self.registry)
        return int(server.server_port)


class PixelMetrics(Metrics):
    """The pixel's: most are read from the process's own counters when asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = Counter(
            "footfall_pixel_outcomes", "Requests for the pixel by outcome.", ["outcome", "reason"],
            registry=self.registry,
        )  # fmt: skip
        self.groups = Gauge(
            "footfall_pixel_groups_written", "Groups made durable since start.", registry=self.registry
        )
        self.hits = Gauge(
            "footfall_pixel_hits_accepted", "Hits made durable since start.", registry=self.registry
        )
        self.durable = Gauge(
            "footfall_pixel_durable", "1 while hits can be made durable.", registry=self.registry
        )
        self.spool_bytes = Gauge(
            "footfall_pixel_spool_bytes", "Bytes that wait in the spool for Redis.", registry=self.registry
        )
        self.peers = Gauge(
            "footfall_pixel_peers",
            "Hits since start by how the client's address was found: direct; forwarded: the same, with a header of a "
            "proxy that is not trusted; private and private-forwarded: likewise, from this machine or its network; "
            "proxy: named by a trusted one; silent-proxy: a trusted one named nobody.",
            ["found"], registry=self.registry,
        )  # fmt: skip
        self.most_clients = Gauge(
            "footfall_pixel_most_clients",
            "Clients that sent hits in the fullest minute since start; 0: none, or RATE_LIMIT is off.",
            registry=self.registry,
        )


class EnricherMetrics(Metrics):
    """The enricher's."""

    def __init__(self) -> None:
        super().__init__()
        registry = self.registry
        self.hits = Counter(
            "footfall_enricher_hits", "Hits by what became of them.", ["fate"], registry=registry
        )
        self.batches = Counter("footfall_enricher_batches", "Transactions committed.", registry=registry)
        self.redelivered = Counter(
            "footfall_enricher_redelivered_groups",
            "Groups that had been processed before.",
            registry=registry,
        )
        self.ahead = Counter(
            "footfall_enricher_ahead_hits",
            "Hits whose pixel's clock was ahead, stored as received when they came here.",
            registry=registry,
        )
        self.retries = Counter(
            "footfall_enricher_retries", "Tries that failed and were repeated.", ["what"], registry=registry
        )
        self.stopped_burying = Gauge(
            "footfall_enricher_stopped_burying",
            "1 while the share of dead letters is above MAX_DEAD_LETTER_PERCENT and hits wait because of it.",
            registry=registry,
        )
        self.batch_seconds = Histogram(
            "footfall_enricher_batch_seconds", "Time from read to commit.", registry=registry,
            buckets=LATENCY_BUCKETS_S,
        )  # fmt: skip
        self.delay_seconds = Histogram(
            "footfall_enricher_ingest_delay_seconds", "From the pixel's answer to the committed row.",
            registry=registry, buckets=LATENCY_BUCKETS_S,
        )  # fmt: skip
        self.backlog = Gauge(
            "footfall_stream_entries", "Entries on the stream, read or not.", registry=registry
        )
        self.country_database = Gauge(
            "footfall_country_database_built_timestamp_seconds",
            "When the country database was built; 0: there is none.", registry=registry,
        )  # fmt: skip
        self.country_database_type = Info(
            "footfall_country_database", "What the country database calls itself.", registry=registry
        )


class RollupMetrics(Metrics):
    """The rollup's."""

    def __init__(self) -> None:
        super().__init__()
        registry = self.registry
        self.hits = Counter("footfall_rollup_hits", "Hits counted into the rollups.", registry=registry)
        self.jobs = Counter(
            "footfall_rollup_jobs", "Jobs by name and end.", ["job", "end"], registry=registry
        )
        self.job_seconds = Histogram(
            "footfall_rollup_job_seconds", "Time that a job takes.", ["job"], registry=registry,
            buckets=LATENCY_BUCKETS_S,
        )  # fmt: skip
        self.job_done = Gauge(
            "footfall_rollup_job_done_timestamp_seconds", "When a job last ended well; 0: not since the start.",
            ["job"], registry=registry,
        )  # fmt: skip
        self.job_failures = Gauge(
            "footfall_rollup_job_failures_in_a_row", "How often a job has failed since it last ended well.",
            ["job"], registry=registry,
        )  # fmt: skip
        self.works = Gauge(
            "footfall_rollup_works", "1 while this process runs the jobs, 0 while it stands by.",
            registry=registry,
        )  # fmt: skip
        self.pending = Gauge(
            "footfall_rollup_pending_seconds",
            "Age of the oldest batch that is not counted yet.",
            registry=registry,
        )
        self.sessions_pending = Gauge(
            "footfall_rollup_sessions_pending_seconds",
            "Age of the oldest mark of a day whose sessions are to be counted anew.",
            registry=registry,
        )
        self.sessions_seconds = Histogram(
            "footfall_rollup_sessions_seconds", "Time that counting the sessions of the marked days takes.",
            registry=registry, buckets=LATENCY_BUCKETS_S,
        )  # fmt: skip
        self.days_closed = Counter("footfall_rollup_days_closed", "Days closed.", registry=registry)
        self.days_not_proven = Gauge(
            "footfall_rollup_days_not_proven",
            "Days kept beyond the retention because their rollups are not proven to equal their hits.",
            registry=registry,
        )
        self.rows_forgotten = Counter(
            "footfall_rollup_rows_forgotten", "Rows deleted that no kept hit has, by table.", ["table"],
            registry=registry,
        )  # fmt: skip
        self.country_refresh = Gauge(
            "footfall_country_refresh_timestamp_seconds",
            "When looking for a newer country database last ended so (`done` or `failed`).",
            ["end"],
            registry=registry,
        )
