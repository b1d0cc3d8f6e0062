"""The map of countries, drawn without the internet from two files that ship with Grafana.

Grafana's own default is a tile server, which would tell a stranger who looks at the figures. Here a file
of countries is the ground; over it lies the same file coloured by the data, whose layer Grafana 9.4 marks
as alpha and draws all the same; and markers stand where that file has no shape: on small countries.
"""

from __future__ import annotations

from grafana.panels import COUNT, Json, Panel, make_panel, override

# By share of the country with the most: classes, as one country often has more than all others together.
CLASSES = ((0, "#cfe0fc"), (1, "#a3c4f7"), (5, "#74a4ee"), (15, "#4583e0"), (40, "#1f60c4"), (70, "#103d8a"))
SHAPES = "public/maps/countries.geojson"
PLACES = "public/gazetteer/countries.json"


def _ground() -> Json:
    style = {"color": {"fixed": "#808080"}, "lineWidth": 1, "opacity": 0.15}
    return {"type": "geojson", "name": "Countries", "config": {"src": SHAPES, "style": style, "rules": []}}


def _colours(code: str, value: str) -> Json:
    # Grafana never colours the row 0, so the SQL gives a row before the first country.
    return {
        "type": "dynamic-geojson",
        "name": "By country",
        "tooltip": True,
        "config": {
            "src": SHAPES,
            "idField": code,
            "dataStyle": {"color": {"field": value, "fixed": "dark-blue"}},
            "style": {"color": {"fixed": "transparent"}, "lineWidth": 1, "opacity": 0},
            "rules": [],
        },
    }


def _markers(code: str, value: str) -> Json:
    style = {
        "color": {"field": value, "fixed": "dark-blue"},
        "opacity": 0.9,
        "size": {"fixed": 6, "max": 10, "min": 4},
        "symbol": {"fixed": "img/icons/marker/circle.svg", "mode": "fixed"},
    }
    return {
        "type": "markers",
        "name": "Small countries",
        "tooltip": True,
        "location": {"mode": "lookup", "lookup": code, "gazetteer": PLACES},
        "config": {"showLegend": False, "style": style},
    }


def country_map(title: str, sql: str, description: str, *, value: str, heading: str, width: int) -> Panel:
    """A map: the SQL gives ``alpha_3``, ``small_country`` (alpha-2, NULL where the shape does), the value.

    Its first row is no country.
    """
    options = {
        "basemap": _ground(),
        "controls": {
            "mouseWheelZoom": False, "showAttribution": False, "showDebug": False,
            "showMeasure": False, "showScale": False, "showZoom": True,
        },
        "layers": [_colours("alpha_3", value), _markers("small_country", value)],
        "tooltip": {"mode": "details"},
        "view": {"allLayers": True, "id": "coords", "lat": 25, "lon": 10, "zoom": 1.3},
    }  # fmt: skip
    overrides = [override(value, {"displayName": heading})]
    steps = [{"color": colour, "value": percent or None} for percent, colour in CLASSES]
    thresholds = {"mode": "percentage", "steps": steps}
    defaults = {"color": {"mode": "thresholds"}, "thresholds": thresholds, "min": 0, "unit": COUNT}
    return make_panel(
        "geomap", title, sql, description, width=width, options=options,
        defaults=defaults, overrides=overrides,
    )  # fmt: skip
