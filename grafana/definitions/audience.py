"""``audience``: who came: countries, devices, browsers, systems, languages, screens, and when."""

from grafana.country_map import country_map
from grafana.dashboard import Dashboard, Row
from grafana.definitions.columns import PLAIN_PAGEVIEWS, SHARE, VISITORS
from grafana.definitions.credit import CREDIT
from grafana.definitions.phrases import COMPARED, SUMMED
from grafana.panels import COUNT, PERCENT, Panel, compared, stat
from grafana.tables import Column, table

SHARED = "Share: of the visitors in the list."
GATHERED = "The last row gathers the others, so that the shares add up."
UNKNOWN = "Unknown: the browser did not say."
NUMBERS = (VISITORS._replace(width_px=85), SHARE, PLAIN_PAGEVIEWS)

FIGURES = Row(4, [
    compared(
        "Visitors",
        "overview/visitors.sql",
        f"{SUMMED} A visitor is a distinct session of a day. {COMPARED}",
        width=9,
    ),
    stat(
        "Countries seen",
        "audience/countries_seen.sql",
        "Different countries with at least one pageview of a person. What is of no known country is left out.",
        width=5,
    ),
    stat(
        "Pages a session",
        "pages/pages_a_session.sql",
        "Pageviews that have a session by the number of sessions. A session ends with its day.",
        unit="none",
        width=5,
    ),
    stat(
        "Single-page sessions",
        "pages/single_page_sessions.sql",
        "Sessions with one pageview only, of 100 sessions. Counted every few minutes.",
        unit=PERCENT,
        width=5,
    ),
])  # fmt: skip

COUNTRIES = Row(18, [
    country_map(
        "Countries",
        "overview/countries_map.sql",
        f"Visitors of each country. {SUMMED} Dots are countries too small for a shape. "
        "Hits of an unknown country are in the list only.",
        value="visitors",
        heading="Visitors",
        width=13,
    ),
    table(
        "All countries",
        "audience/countries.sql",
        f"Visitors and pageviews of each country. {SUMMED} {SHARED} "
        "Unknown: the address is in no country's range. A click on a name explores it.",
        [
            Column("flag", " ", width_px=50),
            Column("name", "Country", explore="country", explore_field="country"),
            *NUMBERS,
        ],
        width=11,
    ),
])  # fmt: skip


def _list(title: str, sql: str, column: Column, more: str = "", width: int = 12) -> Panel:
    description = f"Visitors and pageviews of people. {SUMMED} {SHARED} {UNKNOWN}"
    return table(
        title, f"audience/{sql}.sql", f"{description} {more}".rstrip(), [column, *NUMBERS], width=width
    )


BROWSERS = Row(13, [
    _list("Browsers", "browsers", Column("browser", "Browser"), GATHERED),
    _list("Operating systems", "systems", Column("os", "System"), GATHERED),
])  # fmt: skip

SCREENS = Row(12, [
    _list("Devices", "devices", Column("device", "Device", explore="device"), "A click on a kind explores it."),
    _list(
        "Screens",
        "screens",
        Column("screen", "Screen"),
        "A screen's class, named by its commonest size: 390x844 is most telephones.",
    ),
])  # fmt: skip

LANGUAGES = Row(13, [
    _list(
        "Languages",
        "languages",
        Column("language", "Language"),
        f"The first language that the browser asks for. {GATHERED}",
        width=24,
    ),
])  # fmt: skip

HOURS = Row(10, [
    table(
        "When people come: hours of the week",
        "audience/hours_of_the_week.sql",
        "Visitors active in an hour of the reporting time zone, on average over the weekdays of the range. "
        "Hours that are still to come do not count. Someone who stays is active in several hours: never add them.",
        [
            Column("weekday", "Weekday", width_px=120),
            *(Column(f"hour_{hour:02}", str(hour), COUNT, heat=True) for hour in range(24)),
        ],
    ),
])  # fmt: skip

AUDIENCE = Dashboard(
    uid="audience",
    title="Audience",
    description="Who came: countries, devices, browsers, systems, languages, screens, and at which hours.",
    rows=[FIGURES, COUNTRIES, HOURS, BROWSERS, SCREENS, LANGUAGES, CREDIT],
)
