"""Lines of Caddy's access log: JSON objects. https://caddyserver.com/docs/caddyfile/directives/log"""

from __future__ import annotations

import msgspec

from services.page_address import host_of
from tools.access_log import Line, time_us

# Unix times of today, as seconds, milliseconds, microseconds or nanoseconds: each is below the next one's bound.
_UNITS_US = ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0))


class _Request(msgspec.Struct):
    method: str
    uri: str
    host: str = ""
    remote_ip: str = ""
    client_ip: str = ""
    headers: dict[str, list[str]] = {}


class _Entry(msgspec.Struct):
    ts: float | str
    status: int
    request: _Request
    size: int = 0


_decoder = msgspec.json.Decoder(_Entry)


def _moment_us(value: float | str) -> int | None:
    """Unix time of a number in any unit, or of a text with an offset."""
    if isinstance(value, str):
        return time_us(value)
    if not 0 <= value < 1e20:
        return None
    return int(value * next((factor for bound, factor in _UNITS_US if value < bound), 1e-3))


def parse_caddy(text: str) -> Line | None:
    """The request of a line; None: it is none of Caddy's."""
    try:
        entry = _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    request = entry.request
    headers = {name.lower(): values[0] for name, values in request.headers.items() if values}
    return Line(
        address=request.client_ip or request.remote_ip,
        method=request.method,
        target=request.uri,
        status=entry.status,
        referrer=headers.get("referer", ""),
        user_agent=headers.get("user-agent", ""),
        at_us=_moment_us(entry.ts),
        size=str(entry.size),
        host=host_of(request.host) or "",
        language=headers.get("accept-language", ""),
        purpose=headers.get("sec-purpose") or headers.get("purpose") or headers.get("x-moz", ""),
        privacy_signal=headers.get("sec-gpc") == "1" or headers.get("dnt") == "1",
    )
