"""Tables: lists with columns that link, to the page itself or to its detail on the dashboard *explore*."""

from __future__ import annotations

from typing import NamedTuple

from grafana.panels import COLOURS, DECIMALS, NO_DATA, PERCENT, Json, Panel, make_panel, override

# A click keeps the range and the chosen sites. Grafana replaces these before it opens the address.
KEPT = "${__url_time_range}&${site:queryparam}&${traffic:queryparam}"
# The variables of *explore* beside those two: there a click keeps the others.
FILTERS = ("page", "source", "channel", "country", "device", "campaign")
# Of columns without a width, which share what the others leave.
NARROWEST_PX = 80
NARROWEST_HEAT_PX = 50  # 9.4 makes none narrower

# Of a column of numbers: without a width Grafana gives it 150 and more.
NUMBER_PX = 95


class Column(NamedTuple):
    """A column of a table: the field of the SQL, its heading, and how it is shown."""

    field: str
    heading: str = ""
    unit: str = ""
    width_px: int = 0
    # The field that holds the address which a click opens, and the words for it.
    link: str = ""
    link_title: str = ""
    gauge: bool = False
    # Coloured by its number among those of all such columns of the table, and as narrow as 9.4 draws a column.
    heat: bool = False
    # The variable of *explore* that a click sets, to what the field ``explore_field`` holds, or this one.
    explore: str = ""
    explore_field: str = ""
    # Further variables that the click sets, each with the field that holds the value.
    explore_also: tuple[tuple[str, str], ...] = ()


def _column(column: Column, filters: tuple[str, ...]) -> Json:
    properties: Json = {"displayName": column.heading}
    if column.unit:
        properties |= {"unit": column.unit, **DECIMALS.get(column.unit, {})}
    if width := column.width_px or (NUMBER_PX if column.unit and not column.gauge and not column.heat else 0):
        properties["custom.width"] = width
    else:
        # 9.4's own 150 would push the numbers out of a table that is a third of a small screen.
        properties["custom.minWidth"] = NARROWEST_PX
    if column.gauge:
        # 9.4's word for a gauge in a cell; newer Grafana migrates it.
        properties |= {"custom.displayMode": "basic", "min": 0}
        properties["color"] = {"mode": "fixed", "fixedColor": COLOURS.get(column.field, "blue")}
        # Else the whole of a gauge is the greatest number of the table, in whichever column: of three hits, a share.
        if column.unit == PERCENT:
            properties["max"] = 100
    if column.heat:
        properties |= {"custom.displayMode": "color-background-solid", "min": 0, "decimals": 1}
        properties |= {
            "custom.minWidth": NARROWEST_HEAT_PX,
            "custom.align": "center",
            "color": {"mode": "continuous-blues"},
        }
    if links := _links(column, filters):
        properties["links"] = links
    return override(column.field, properties)


def _links(column: Column, filters: tuple[str, ...]) -> list[Json]:
    links: list[Json] = []
    if column.explore:
        chosen = ((column.explore, column.explore_field or column.field), *column.explore_also)
        kept = [name for name in filters if name not in dict(chosen)]
        values = [f"${{{name}:queryparam}}" for name in kept]
        values += [f"var-{name}=${{__data.fields.{field}:percentencode}}" for name, field in chosen]
        url = f"/d/explore?{KEPT}&{'&'.join(values)}"
        links.append({"title": "Explore", "url": url, "targetBlank": False})
    if column.link:
        # :raw, because the SQL gives an encoded address, which newer Grafana would encode again.
        url = f"${{__data.fields.{column.link}:raw}}"
        links.append({"title": column.link_title, "url": url, "targetBlank": True})
    return links


def _hidden(field: str) -> Json:
    # The first is 9.4's word, the second that of the newest; each ignores what it does not know.
    return override(field, {"custom.hidden": True, "custom.hideFrom.viz": True})


def table(
    title: str,
    sql: str,
    description: str,
    columns: list[Column],
    *,
    width: int = 24,
    filters: tuple[str, ...] = (),
    empty: str = NO_DATA,
) -> Panel:
    """A list: the SQL gives the columns, in this order, and the fields that links need, which are hidden.

    ``filters`` are the variables that a click keeps beside the sites and the traffic: the dashboard must have them.
    ``empty`` is said where the SQL gives no row.
    """
    shown = {column.field for column in columns}
    needed = [
        field
        for column in columns
        for field in (column.link, column.explore_field, *(field for _, field in column.explore_also))
        if field
    ]
    hidden = [field for field in dict.fromkeys(needed) if field not in shown]
    overrides = [_column(column, filters) for column in columns] + [_hidden(field) for field in hidden]
    options = {"footer": {"show": False}, "showHeader": True}
    return make_panel(
        "table", title, sql, description, width=width, options=options, overrides=overrides,
        defaults={"noValue": empty},
    )  # fmt: skip
