"""Curves: numbers over time."""

from __future__ import annotations

from grafana.panels import COLOURS, COUNT, Json, Panel, make_panel, override

DASH = {"fill": "dash", "dash": [6, 6]}


def _line(field: str, name: str, dashed: bool) -> Json:
    # "pageviews_open" has the colour of "pageviews": the same line, on a day that is not over.
    of = field.removesuffix("_open")
    properties: Json = {"displayName": name}
    if of in COLOURS:
        properties["color"] = {"mode": "fixed", "fixedColor": COLOURS[of]}
    if dashed:
        properties |= {"custom.lineStyle": DASH, "custom.fillOpacity": 0, "custom.lineWidth": 1}
    if field != of:
        properties["custom.hideFrom"] = {"legend": True, "tooltip": False, "viz": False}
    return override(field, properties)


def time_series(
    title: str,
    sql: str,
    description: str,
    *,
    names: dict[str, str] | None = None,
    dashed: tuple[str, ...] = (),
    drawn: str = "line",
    stacked: bool = False,
    unit: str = COUNT,
    last: str = "",
    width: int = 12,
) -> Panel:
    """Lines over time: the SQL gives ``time`` and a number a line, or ``time``, ``metric`` and one number.

    ``names`` are the lines' names by their fields. A field with ``_open`` at its end is the dashed end of the
    field without, on days that are not over. ``drawn`` is "line" or "bars".
    ``last`` draws a time up to now ("2d") whatever the range of the dashboard.
    """
    options = {
        "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "none"},
    }
    custom: Json = {
        "drawStyle": drawn,
        "fillOpacity": 60 if drawn == "bars" else 10,
        "lineWidth": 1 if drawn == "bars" else 2,
        "pointSize": 5,
        # One point makes no line: it would not be seen.
        "showPoints": "auto",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if stacked else "none"},
    }
    overrides = [
        _line(field, name, field in dashed or field.endswith("_open"))
        for field, name in (names or {}).items()
    ]
    # Whole numbers have no half a pageview on the axis. Up to 5 at least: of a shorter axis 9.4 would mark the
    # halves, and write what it writes for no value.
    if unit == COUNT:
        custom["axisSoftMax"] = 5
    defaults = {"custom": custom, "min": 0, "unit": unit, **({"decimals": 0} if unit == COUNT else {})}
    panel = make_panel(
        "timeseries", title, sql, description, width=width, options=options,
        defaults=defaults, overrides=overrides, result="time_series",
    )  # fmt: skip
    if last:
        panel.body["timeFrom"] = last
    return panel
