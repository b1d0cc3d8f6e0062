"""What each dashboard shows. A new one is a module beside these, its SQL, and a line here."""

from grafana.dashboard import Dashboard
from grafana.definitions.audience import AUDIENCE
from grafana.definitions.bots import BOTS
from grafana.definitions.campaigns import CAMPAIGNS
from grafana.definitions.events import EVENTS
from grafana.definitions.explore import EXPLORE
from grafana.definitions.missing import MISSING
from grafana.definitions.overview import OVERVIEW
from grafana.definitions.pages import PAGES
from grafana.definitions.pipeline import PIPELINE
from grafana.definitions.realtime import REALTIME
from grafana.definitions.sources import SOURCES

DASHBOARDS: tuple[Dashboard, ...] = (
    OVERVIEW, PAGES, SOURCES, AUDIENCE, CAMPAIGNS, EVENTS, MISSING, BOTS, REALTIME, EXPLORE, PIPELINE,
)  # fmt: skip

__all__ = ["DASHBOARDS"]
