"""What enriching alone costs, without reading and writing: the enricher's own function on the hits of the load."""

from __future__ import annotations

import datetime
import random
import tempfile
import time
import uuid
from pathlib import Path

from bench.load import BenchError
from bench.traffic import Traffic
from services.enricher.agents import Agents
from services.enricher.country import Countries
from services.enricher.enrich import Enricher
from services.enricher.sources import sources_of
from services.hit import RawHit
from services.logs import make_logger
from services.pixel.collect import Accepted, Collector, Headers
from services.pixel.parameters import query_parameters
from services.session_keys import SessionKeys
from services.settings import Settings, load_settings

HITS = 40_000
KNOWN_LOOKS = 200_000


def raw_hits(traffic: Traffic, settings: Settings, number: int) -> list[RawHit]:
    """The load's hits as the pixel would accept them now. Raises ``BenchError``."""
    now = datetime.datetime.now(datetime.UTC)
    collector = Collector(settings, lambda _: now.date().isoformat(), lambda _: uuid.uuid4().bytes)
    dice = random.Random(1)
    hits = []
    for _ in range(number):
        visitor = dice.randrange(len(traffic.addresses))
        parameters = query_parameters(dice.choice(traffic.targets))
        headers = Headers(user_agent=traffic.agents[visitor % len(traffic.agents)])
        outcome = collector.collect(
            parameters, headers, traffic.addresses[visitor], int(now.timestamp() * 1e6)
        )
        if not isinstance(outcome, Accepted):
            raise BenchError(f"the pixel would not accept the load: {outcome}")
        hits.append(outcome.hit)
    return hits


def measure_enrichment(traffic: Traffic, country_database: Path) -> tuple[float, float]:
    """Microseconds of CPU: a hit, all caches empty at first; a User-Agent that is known. Raises ``BenchError``."""
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings({"DATA_DIR": folder, "COUNTRY_DATABASE": str(country_database)})
        countries = Countries(country_database, make_logger("bench"))
        countries.refresh(0)
        sessions = SessionKeys(settings.key_dir, settings.report_timezone)
        hits = raw_hits(traffic, settings, HITS)
        agents = Agents()
        enricher = Enricher(settings, agents, sources_of(settings), countries.country_of, sessions)
        now = datetime.datetime.now(datetime.UTC)
        began = time.process_time()
        for hit in hits:
            enricher.enrich(hit, now)
        enriched = time.process_time()
        known = [hit.user_agent for hit in hits[: KNOWN_LOOKS // 10]] * 10
        looked = time.process_time()
        for text in known:
            agents.agent_of(text)
        return (enriched - began) / len(hits) * 1e6, (time.process_time() - looked) / len(known) * 1e6
