"""What becomes of a request: accepted, excluded on purpose, or refused. Pure functions of values.

The table of parameters is contract section 2. A bad optional value is dropped and named, it never loses a hit;
only the page's address and the id can be wrong enough to refuse one.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec

from services.hit import MAX_TITLE, MAX_URL, MAX_USER_AGENT, RawHit
from services.page_address import host_of, is_file, is_local, parse_address
from services.pixel.parameters import clean
from services.pixel.values import (
    LANGUAGE,
    MAX_LANGUAGE,
    SCREEN,
    STATUS,
    Parameters,
    event_of,
    first_language,
    identity_of,
    is_owner,
    matching,
    props_of,
    text_of,
)
from services.settings import Settings
from services.sites import Sites

ExclusionReason = Literal["local-host", "excluded-host", "unknown-site", "prefetch", "privacy-signal"]
RefusalReason = Literal["url", "id", "body"]

MAX_CACHED_HOSTS = 10_000  # under SITES=* strangers choose the hosts; 10,000 are about 2 MB

# An Origin is scheme, host and port; what has more is none, and would be echoed.
_ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[^\s/?#@:\[\]]+)(?::[0-9]{1,5})?", re.IGNORECASE)
# An address as pages have it, up to its host, which stands as it is kept: most are told by this and a look-up, in
# 0.5 µs of the 4 that taking an address apart costs.
_PLAIN_ADDRESS = re.compile(r"https?://([a-z0-9.-]+)(?=[/?#]|\Z)", re.ASCII)


class Headers(msgspec.Struct, frozen=True, gc=False):
    """The headers that decide."""

    referer: str = ""
    user_agent: str = ""
    accept_language: str = ""
    cookie: str = ""
    purpose: str = ""  # of Sec-Purpose, and of what Safari and older Firefox send instead
    privacy_signal: bool = False

    def __repr__(self) -> str:
        return "Headers(…)"


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """The hit, and the names of optional parameters that were dropped."""

    hit: RawHit
    dropped: tuple[str, ...]

    def __repr__(self) -> str:
        return "Accepted(…)"


@dataclass(frozen=True, slots=True)
class Excluded:
    """Not counted, on purpose."""

    site: str
    reason: ExclusionReason


@dataclass(frozen=True, slots=True)
class Refused:
    """Not counted, because of what was sent."""

    site: str
    reason: RefusalReason


Outcome = Accepted | Excluded | Refused


class Collector:
    """Decides under fixed settings."""

    def __init__(
        self, settings: Settings, day_of: Callable[[int], str], make_id: Callable[[int], bytes]
    ) -> None:
        self._sites = Sites(settings.sites)
        self._excluded = tuple(re.compile(fnmatch.translate(p)) for p in settings.excluded_hosts)
        self._signals = settings.privacy_signals
        self._day_of = day_of
        self._make_id = make_id
        self._hosts: dict[str, str | Excluded] = {}

    def site_of(self, host: str) -> str | Excluded:
        """The site of a page's host, or why it is not counted."""
        known = self._hosts.get(host)
        if known is None:
            if len(self._hosts) >= MAX_CACHED_HOSTS:
                self._hosts.clear()
            known = self._hosts[host] = self._decide_site(host)
        return known

    def _decide_site(self, host: str) -> str | Excluded:
        if is_local(host):
            return Excluded("", "local-host")
        site = self._sites.site_of(host)
        if any(pattern.fullmatch(host) for pattern in self._excluded):
            return Excluded(site or "", "excluded-host")
        return site or Excluded("", "unknown-site")

    def allows_origin(self, origin: str) -> bool:
        """Whether a page of this Origin may read answers: its site is counted."""
        parts = _ORIGIN.fullmatch(origin)
        host = host_of(parts[1]) if parts else None
        return host is not None and isinstance(self.site_of(host), str)

    def _site_of_page(self, url: str) -> str | Excluded | None:
        """The site of a page's address, or why it is not counted; None: it is no address."""
        plain = _PLAIN_ADDRESS.match(url)
        known = self._hosts.get(plain[1]) if plain else None
        if known is not None:
            return known
        if is_file(url):
            return Excluded("", "local-host")
        page = parse_address(url)
        return None if page is None else self.site_of(page.host)

    def collect(self, parameters: Parameters, headers: Headers, address: str, now_us: int) -> Outcome:
        """What becomes of a request with these parameters from this client."""
        url = text_of(parameters, "url", MAX_URL)
        if url == "":
            url = clean(headers.referer).strip()[:MAX_URL]
        if not url:
            return Refused("", "url")
        site = self._site_of_page(url)
        if site is None:
            return Refused("", "url")
        if isinstance(site, Excluded):
            return site
        if headers.purpose and "prefetch" in headers.purpose.lower():
            return Excluded(site, "prefetch")
        if headers.privacy_signal and self._signals == "drop":
            return Excluded(site, "privacy-signal")
        return self._accept(parameters, headers, address, now_us, url, site)

    def _accept(
        self, parameters: Parameters, headers: Headers, address: str, now_us: int, url: str, site: str
    ) -> Outcome:
        identity = identity_of(parameters)
        if identity is None:
            return Refused(site, "id")
        title = text_of(parameters, "title", MAX_TITLE)
        referrer = text_of(parameters, "referrer", MAX_URL)
        screen = matching(SCREEN, parameters, "screen")
        language = matching(LANGUAGE, parameters, "language")
        if language and len(language) > MAX_LANGUAGE:
            language = None
        status = matching(STATUS, parameters, "status")
        props, good_props = props_of(parameters)
        hit = RawHit(
            hit_id=identity or self._make_id(now_us),
            received_at_us=now_us,
            day=self._day_of(now_us),
            site=site,
            url=url,
            address=address[:45],
            user_agent=clean(headers.user_agent)[:MAX_USER_AGENT],
            referrer=referrer or "",
            title=title or "",
            event=event_of(parameters),
            language=first_language(headers.accept_language) if language == "" else language or "",
            screen=screen or "",
            status=int(status) if status else None,
            props=props,
            is_me=is_owner(headers.cookie),
            anonymous=headers.privacy_signal and self._signals == "anonymous",
        )
        if good_props and None not in (title, referrer, screen, language, status):
            return Accepted(hit, ())
        values = {
            "title": title,
            "referrer": referrer,
            "screen": screen,
            "language": language,
            "status": status,
        }
        dropped = [name for name, value in values.items() if value is None]
        return Accepted(hit, (*dropped, *(() if good_props else ("props",))))
