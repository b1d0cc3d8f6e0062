"""What each dashboard shows. A new one is a module beside these, its SQL, and a line here."""

from grafana.dashboard import Dashboard
from grafana.definitions.bots import BOTS
from grafana.definitions.missing import MISSING
from grafana.definitions.overview import OVERVIEW
from grafana.definitions.pages import PAGES
from grafana.definitions.pipeline import PIPELINE
from grafana.definitions.realtime import REALTIME
from grafana.definitions.sources import SOURCES

DASHBOARDS: tuple[Dashboard, ...] = (OVERVIEW, PAGES, SOURCES, MISSING, BOTS, REALTIME, PIPELINE)

__all__ = ["DASHBOARDS"]
