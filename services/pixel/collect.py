"""What becomes of a request: accepted, excluded on purpose, or refused. Pure functions of values.

The table of parameters is contract section 2. A bad optional value is dropped and named, it never loses a hit;
only the page's address and the id can be wrong enough to refuse one.
"""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import msgspec

from services.hit import (
    MAX_EVENT,
    MAX_PROP_TEXT,
    MAX_PROPS,
    MAX_TITLE,
    MAX_URL,
    MAX_USER_AGENT,
    PAGEVIEW,
    RawHit,
)
from services.page_address import host_of, is_file, is_local, parse_address
from services.pixel.parameters import clean
from services.settings import Settings
from services.sites import Sites

ExclusionReason = Literal["local-host", "excluded-host", "unknown-site", "prefetch", "privacy-signal"]
RefusalReason = Literal["url", "id", "body"]

MAX_CACHED_HOSTS = 10_000  # under SITES=* strangers choose the hosts; 10,000 are about 2 MB
# Of screens, languages and statuses there are few: a look-up takes 0.1 µs, the pattern 0.5.
MAX_CACHED_WORDS = 2_000
MAX_WORD = 60  # none of the three is longer
MAX_LANGUAGE = 35
MAX_ACCEPTED = 100  # of Accept-Language, whose first tag counts

_HEX = "[0-9A-Fa-f]"
_UUID = re.compile(f"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}")
_SCREEN = re.compile(r"[1-9][0-9]{0,4}x[1-9][0-9]{0,4}", re.ASCII)
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,5}", re.ASCII)
_STATUS = re.compile(r"[1-5][0-9]{2}", re.ASCII)
# An Origin is scheme, host and port; what has more is none, and would be echoed.
_ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[^\s/?#@:\[\]]+)(?::[0-9]{1,5})?", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
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
Parameters = Mapping[str, Any]


def is_owner(cookie: str) -> bool:
    """Whether the cookie ``isMe=true`` is there."""
    return "isMe=" in cookie and any(part.strip() == "isMe=true" for part in cookie.split(";"))


def _text(parameters: Parameters, name: str, longest: int) -> str | None:
    """A text parameter, cleaned and cut; empty when absent; None when it is no text."""
    value = parameters.get(name)
    if value is None or value == "":
        return ""
    if not isinstance(value, str):
        return None
    text = clean(value).strip()
    return text if len(text) <= longest else text[:longest]


def _event(parameters: Parameters) -> str:
    value = parameters.get("event")
    if value is None or value in ("", PAGEVIEW):
        return PAGEVIEW
    if not isinstance(value, str):
        return "invalid"
    name = value.strip()
    bad = not name or len(name) > MAX_EVENT or _CONTROL.search(name) or clean(name) != name
    return "invalid" if bad else name


def _prop(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_PROP_TEXT and clean(value) == value
    if isinstance(value, bool):
        return True
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return isinstance(value, float) and math.isfinite(value)


def _props(parameters: Parameters) -> tuple[dict[str, Any] | None, bool]:
    """The properties, and whether they were good."""
    value = parameters.get("props")
    if value is None or value == "":
        return None, True
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(clean(value))
        except (msgspec.DecodeError, RecursionError):
            return None, False
    if not isinstance(value, dict) or len(value) > MAX_PROPS:
        return None, False
    good = all(0 < len(key) <= MAX_EVENT and clean(key) == key and _prop(item) for key, item in value.items())
    return (value or None, True) if good else (None, False)


@lru_cache(MAX_CACHED_WORDS)
def _word(pattern: re.Pattern[str], text: str) -> str | None:
    text = text.strip()
    return text if pattern.fullmatch(text) else None


def _matching(pattern: re.Pattern[str], parameters: Parameters, name: str) -> str | None:
    """A parameter that must match a pattern; empty when absent, None when it is bad."""
    value = parameters.get(name)
    if value is None or value == "":
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1_000:
        value = str(value)  # JSON's 404; a number of very many digits would raise here
    if not isinstance(value, str):
        return None
    if len(value) > MAX_WORD:
        value = value.strip()
    return _word(pattern, value) if len(value) <= MAX_WORD else None


@lru_cache(MAX_CACHED_WORDS)
def _first_word(header: str) -> str:
    tag = header.split(",", 1)[0].split(";", 1)[0].strip()
    return tag if len(tag) <= MAX_LANGUAGE and _LANGUAGE.fullmatch(tag) else ""


def _first_language(accept_language: str) -> str:
    # No longer than what a cache may hold of each; a first tag within it stays whole, or is none.
    return _first_word(accept_language[:MAX_ACCEPTED])


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
        url = _text(parameters, "url", MAX_URL)
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

    def _identity(self, parameters: Parameters, now_us: int) -> bytes | None:
        """The hit's id: the sender's or one of ours; None when it is no UUID."""
        hit_id = parameters.get("id")
        if hit_id is None or hit_id == "":
            return self._make_id(now_us)
        if isinstance(hit_id, str) and _UUID.fullmatch(hit_id := hit_id.strip()):
            return bytes.fromhex(hit_id.replace("-", ""))  # 0.4 µs; uuid.UUID takes 2
        return None

    def _accept(
        self, parameters: Parameters, headers: Headers, address: str, now_us: int, url: str, site: str
    ) -> Outcome:
        identity = self._identity(parameters, now_us)
        if identity is None:
            return Refused(site, "id")
        title = _text(parameters, "title", MAX_TITLE)
        referrer = _text(parameters, "referrer", MAX_URL)
        screen = _matching(_SCREEN, parameters, "screen")
        language = _matching(_LANGUAGE, parameters, "language")
        if language and len(language) > MAX_LANGUAGE:
            language = None
        status = _matching(_STATUS, parameters, "status")
        props, good_props = _props(parameters)
        hit = RawHit(
            hit_id=identity,
            received_at_us=now_us,
            day=self._day_of(now_us),
            site=site,
            url=url,
            address=address[:45],
            user_agent=clean(headers.user_agent)[:MAX_USER_AGENT],
            referrer=referrer or "",
            title=title or "",
            event=_event(parameters),
            language=_first_language(headers.accept_language) if language == "" else language or "",
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
