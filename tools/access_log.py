"""Lines of a web server's access log (common and combined format), and which of them are page views."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

_HEAD = (
    r'(?P<address>\S+) \S+ \S+ \[(?P<time>[^\]]+)\] "(?P<request>(?:[^"\\]|\\.)*)"'
    r" (?P<status>\d{3}) (?P<size>\S+)"
)
# Logs have lines that end within the User-Agent: it is taken as far as it goes.
_COMBINED = re.compile(_HEAD + r' "(?P<referrer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)(?:"|\s*\Z)')
# A combined line that was cut off is none of the common format.
_COMMON = re.compile(_HEAD + r'(?:\s(?!")|\Z)')
_REQUEST = re.compile(r"(?P<method>[A-Z]+) (?P<target>\S+)(?: HTTP/[\d.]+)?$")
_ASSET = re.compile(
    r"\.(?:css|m?js|map|json|xml|rss|atom|txt|ico|png|jpe?g|gif|svg|webp|avif|bmp|woff2?|ttf|otf|eot|mp[34]|webm|"
    r"ogg|wav|mov|pdf|zip|gz|tgz|bz2|xz|tar|rar|7z|exe|dmg|deb|rpm|jar|iso|bin|sh|patch|diff|pcap|csv)$",
    re.IGNORECASE,
)
# What Apache and nginx write in place of a byte that is not printable ASCII, and of a quotation mark.
_ESCAPED = re.compile(r"((?:\\x[0-9A-Fa-f]{2})+)|\\(.)")
_CONTROL = {"b": "\b", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "f": "\f"}
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True, slots=True)
class Line:
    """A request that the log tells of."""

    address: str
    method: str
    target: str  # path and query
    status: int
    referrer: str
    user_agent: str
    at_us: int | None = None  # Unix time; None: it cannot be read
    size: str = ""  # of the answer, as the log has it
    knows_agent: bool = True  # whether logs of this format have a User-Agent
    host: str = ""  # where the log names it
    language: str = ""  # Accept-Language, where the log has headers; so the next two
    purpose: str = ""
    privacy_signal: bool = False

    @property
    def why_no_page_view(self) -> str | None:
        """Why it is none; None for one: GET, answered 2xx or 404, no picture, script, feed or download."""
        if self.method != "GET":
            return "no page view: not GET"
        if not (200 <= self.status < 300 or self.status == 404):
            return "no page view: neither 2xx nor 404"
        if _ASSET.search(self.target.partition("?")[0]):
            return "no page view: a file, script or feed"
        return None

    @property
    def is_page_view(self) -> bool:
        """Whether somebody got a page, or was told that there is none."""
        return self.why_no_page_view is None


def _bytes_or_character(match: re.Match[str]) -> str:
    if match[1]:
        return bytes.fromhex(match[1].replace("\\x", "")).decode("utf-8", "replace")
    return _CONTROL.get(match[2], match[2])


def _text(value: str | None) -> str:
    if value is None or value == "-":
        return ""
    return _ESCAPED.sub(_bytes_or_character, value) if "\\" in value else value


def unix_us(moment: datetime.datetime) -> int | None:
    """Unix time of a moment that knows its zone; None: before 1970."""
    return max(0, (moment - _EPOCH) // datetime.timedelta(microseconds=1)) if moment >= _EPOCH else None


def time_us(text: str) -> int | None:
    """Unix time of ``17/May/2015:10:05:03 +0200`` or of ISO 8601 with an offset; None: it is neither."""
    try:
        if text[2:3] != "/":
            moment = datetime.datetime.fromisoformat(text)
            return unix_us(moment) if moment.tzinfo else None
        offset = datetime.timedelta(hours=int(text[22:24]), minutes=int(text[24:26]))
        zone = datetime.timezone(-offset if text[21] == "-" else offset)
        day = int(text[7:11]), _MONTHS.index(text[3:6]) // 4 + 1, int(text[:2])
        return unix_us(
            datetime.datetime(*day, int(text[12:14]), int(text[15:17]), int(text[18:20]), tzinfo=zone)
        )
    except (ValueError, IndexError, OverflowError):
        return None


def _line_of(match: re.Match[str] | None, *, knows_agent: bool) -> Line | None:
    request = _REQUEST.match(match["request"]) if match else None
    if match is None or request is None:
        return None
    return Line(
        address=match["address"],
        method=request["method"],
        target=_text(request["target"]),
        status=int(match["status"]),
        referrer=_text(match["referrer"]) if knows_agent else "",
        user_agent=_text(match["agent"]) if knows_agent else "",
        at_us=time_us(match["time"]),
        size=match["size"],
        knows_agent=knows_agent,
    )


def parse_combined(text: str) -> Line | None:
    """The request of a line in the combined format; None: it is none."""
    return _line_of(_COMBINED.match(text), knows_agent=True)


def parse_common(text: str) -> Line | None:
    """The request of a line in the common format; None: it is none."""
    return _line_of(_COMMON.match(text), knows_agent=False)


def parse_line(text: str) -> Line | None:
    """The request of a line; None: no line of these formats."""
    return parse_combined(text) or parse_common(text)


def page_of(line: Line, host: str) -> str:
    """Address of the page that was asked for, of this host where the log names none."""
    target = quote(line.target, safe="/%?&=+:;,@!$'()*~-._#[]")
    return target if target.startswith(("http://", "https://")) else f"https://{line.host or host}{target}"


def own_host(lines: Iterable[Line]) -> str | None:
    """The site's host, which an access log does not name: the one that most often refers to its own pages."""
    lines = list(lines)
    paths = {line.target.partition("?")[0] for line in lines}
    hosts: Counter[str] = Counter()
    for line in lines:
        try:
            parts = urlsplit(line.referrer)
        except ValueError:
            continue
        # The root is every site's page: it tells nothing.
        if parts.hostname and parts.path in paths and parts.path != "/":
            hosts[parts.hostname] += 1
    return hosts.most_common(1)[0][0] if hosts else None
