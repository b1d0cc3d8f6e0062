"""``events``: what people did, told by custom events."""

from grafana.curves import time_series
from grafana.dashboard import Dashboard, Row
from grafana.definitions.columns import EVENT
from grafana.definitions.phrases import COMPARED, HUMAN
from grafana.panels import COUNT, PERCENT, compared, stat
from grafana.tables import Column, table

SESSIONS = "Sessions: those of a day in which it happened, summed over days."
EVENTS_COLUMN = Column("events", "Events", COUNT, width_px=150, gauge=True)
SESSIONS_COLUMN = Column("sessions", "Sessions", COUNT, width_px=110)

FIGURES = Row(4, [
    compared(
        "Events",
        "events/events.sql",
        f"Hits that are no pageview: what a page reports by name. {HUMAN} {COMPARED}",
        width=8,
    ),
    stat(
        "Events per 100 visitors",
        "events/per_100_visitors.sql",
        "Events by 100 visitors of the same days and sites. One visitor may do several.",
        width=8,
    ),
    stat(
        "Names of events",
        "events/events_seen.sql",
        "Events of different names that happened at least once.",
        width=8,
    ),
])  # fmt: skip

OVER_TIME = Row(10, [
    time_series(
        "Events over time",
        "events/over_time.sql",
        "Events a day of the eight most frequent names, and of all others together, on the days with any traffic.",
        drawn="bars",
        stacked=True,
        width=24,
    ),
])  # fmt: skip

LIST = Row(12, [
    table(
        "Events by name",
        "events/list.sql",
        f"The 1,000 most frequent events. {SESSIONS} Conversion: those sessions, of 100 visitors of the same days "
        "and sites, whether or not these could have done it. Events without a session are in no conversion.",
        [
            EVENT,
            EVENTS_COLUMN._replace(gauge=False),
            SESSIONS_COLUMN,
            Column("conversion", "Conversion", PERCENT, width_px=140, gauge=True),
        ],
    ),
])  # fmt: skip

PROPERTIES = Row(16, [
    table(
        "Properties of events",
        "events/properties.sql",
        "The 1,000 most frequent values of properties. An event counts once for each of its properties: never add "
        f"over them. {SESSIONS}",
        [
            EVENT._replace(width_px=150),
            Column("property", "Property", width_px=130),
            Column("value", "Value"),
            EVENTS_COLUMN._replace(width_px=130),
            SESSIONS_COLUMN,
        ],
    ),
])  # fmt: skip

EVENTS = Dashboard(
    uid="events",
    title="Events",
    description="What people did: custom events, their properties, and of how many visitors they are.",
    rows=[FIGURES, OVER_TIME, LIST, PROPERTIES],
)
