"""Columns that several tables have: the same field looks the same everywhere."""

from grafana.panels import COUNT, PERCENT
from grafana.tables import Column

HOST = Column("host", "Host", width_px=180)
PATH = Column("path", "Page", link="page_address", link_title="Open the page")
PAGE = Column("page", "Page", link="page_address", link_title="Open the page", explore="page")
TITLE = Column("title", "Title")
SOURCE = Column("source", "Source", explore="source")
CHANNEL = Column("channel", "Channel", width_px=110, explore="channel")
REFERRER = Column("referrer", "Referrer", link="referrer_address", link_title="Open the referrer")
SESSIONS = Column("sessions", "Sessions", COUNT, width_px=120, gauge=True)
PAGEVIEWS = Column("pageviews", "Pageviews", COUNT, width_px=120, gauge=True)
PLAIN_PAGEVIEWS = PAGEVIEWS._replace(gauge=False, width_px=90)
VISITORS = Column("visitors", "Visitors", COUNT, width_px=80)
SHARE = Column("share", "Share", PERCENT, gauge=True)
UTM_CAMPAIGN = Column("utm_campaign", "Campaign", explore="campaign")
UTM_SOURCE = Column("utm_source", "Source of the link")
UTM_MEDIUM = Column("utm_medium", "Medium")
EVENT = Column("event", "Event")
# Words: beside a number of seconds Grafana would draw the gauges of the table by the largest of both.
AGO = Column("ago", "Last, ago", width_px=80)
