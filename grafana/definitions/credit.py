"""Where the countries come from: stands on each dashboard that shows them, as both licences ask."""

from grafana.dashboard import Row
from grafana.panels import text

CREDIT = Row(2, [
    text(
        "",
        "Countries: [IP Geolocation by DB-IP](https://db-ip.com), "
        "[CC BY 4.0](https://creativecommons.org/licenses/by/4.0/). "
        "Where a licence key of MaxMind is set instead: This product includes GeoLite Data created by MaxMind, "
        "available from [https://www.maxmind.com](https://www.maxmind.com).",
        "Where the countries come from; both licences ask for this.",
    ),
])  # fmt: skip
