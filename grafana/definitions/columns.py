"""Columns that several tables have: the same field looks the same everywhere."""

from grafana.panels import COUNT
from grafana.tables import Column

HOST = Column("host", "Host", width_px=180)
PATH = Column("path", "Page", link="page_address", link_title="Open the page")
PAGE = Column("page", "Page", link="page_address", link_title="Open the page", explore="page")
TITLE = Column("title", "Title")
SOURCE = Column("source", "Source", explore="source")
CHANNEL = Column("channel", "Channel", width_px=110, explore="channel")
REFERRER = Column("referrer", "Referrer", link="referrer_address", link_title="Open the referrer")
SESSIONS = Column("sessions", "Sessions", COUNT, width_px=150, gauge=True)
PAGEVIEWS = Column("pageviews", "Pageviews", COUNT, width_px=150, gauge=True)
VISITORS = Column("visitors", "Visitors", COUNT, width_px=110)
