"""Lines of a web server's access log (common and combined format), and which of them are page views."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

_LINE = re.compile(
    r'(?P<address>\S+) \S+ \S+ \[(?P<time>[^\]]+)\] "(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) \S+'
    r'(?: "(?P<referrer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)")?'
)
_REQUEST = re.compile(r"(?P<method>[A-Z]+) (?P<target>\S+)(?: HTTP/[\d.]+)?$")
_ASSET = re.compile(
    r"\.(?:css|m?js|map|json|xml|rss|atom|txt|ico|png|jpe?g|gif|svg|webp|avif|bmp|woff2?|ttf|otf|eot|mp[34]|webm|"
    r"ogg|wav|mov|pdf|zip|gz|tgz|bz2|xz|tar|rar|7z|exe|dmg|deb|rpm|jar|iso|bin|sh|patch|diff|pcap|csv)$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Line:
    """A request that the log tells of."""

    address: str
    method: str
    target: str  # path and query
    status: int
    referrer: str
    user_agent: str

    @property
    def is_page_view(self) -> bool:
        """GET, answered 2xx or 404, no picture, script, feed or download."""
        answered = 200 <= self.status < 300 or self.status == 404
        return self.method == "GET" and answered and not _ASSET.search(self.target.partition("?")[0])


def _text(value: str | None) -> str:
    if value is None or value == "-":
        return ""
    return value.replace('\\"', '"').replace("\\\\", "\\")


def parse_line(text: str) -> Line | None:
    """The request of a line; None: no line of these formats."""
    match = _LINE.match(text)
    request = _REQUEST.match(match["request"]) if match else None
    if match is None or request is None:
        return None
    return Line(
        address=match["address"],
        method=request["method"],
        target=request["target"],
        status=int(match["status"]),
        referrer=_text(match["referrer"]),
        user_agent=_text(match["agent"]),
    )


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
