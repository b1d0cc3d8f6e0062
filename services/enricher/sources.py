"""The source and channel of a hit: where it came from, by the page's address first, the referrer second.

The list stands in ``sources.toml`` beside this file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from services.page_address import is_local, parse_address

DIRECT = "Direct"
REFERRAL = "Referral"
CAMPAIGN = "Campaign"
MAX_SOURCE = 128

SOURCES_FILE = Path(__file__).with_name("sources.toml")
_EMAIL_MEDIA = {"email", "e-mail", "e_mail", "mail", "newsletter"}
_SOCIAL_MEDIA = {"social", "social-media", "social_media", "sm"}
_NAMING_PARAMETERS = ("utm_source", "ref", "source", "via")


class Source(NamedTuple):
    """A named origin and the kind that it is of."""

    name: str | None  # None: direct, or the site itself
    channel: str


NO_SOURCE = Source(None, DIRECT)


class SourceList:
    """The list of ``sources.toml``, made ready to look up."""

    def __init__(self, path: Path = SOURCES_FILE) -> None:
        self._hosts: dict[str, Source] = {}
        self._any_country: dict[str, Source] = {}
        self._names: dict[str, Source] = {}
        for row in tomllib.loads(path.read_text())["source"]:
            source = Source(row["name"], row["channel"])
            for host in row["hosts"]:
                if host.endswith(".*"):
                    self._any_country[host[:-2]] = source
                else:
                    self._hosts[host] = source
            for name in row["names"]:
                self._names[name] = source
        words = "|".join(map(re.escape, sorted(self._any_country)))
        self._pattern = re.compile(rf"(?:^|\.)({words})\.(?:[a-z]{{2,3}}\.)?[a-z]{{2,6}}$")

    def of_host(self, host: str) -> Source | None:
        """The source that covers a host; None: the list does not know it."""
        rest = host
        while rest:
            source = self._hosts.get(rest)
            if source:
                return source
            rest = rest.partition(".")[2]
        match = self._pattern.search(host)
        return self._any_country[match[1]] if match else None

    def of_name(self, name: str) -> Source | None:
        """The source that a value of utm_source and its like names."""
        return self._names.get(name.lower())


class Sources:
    """Finds the source of a hit. ``site_of`` tells which hosts are the site itself."""

    def __init__(self, site_of: Callable[[str], str | None]) -> None:
        self._list = SourceList()
        self._site_of = site_of

    def source_of(self, site: str, page_host: str, query: Mapping[str, str], referrer: str) -> Source:
        """The source; ``query`` are the page's parameters, ``referrer`` the address as sent."""
        named = ""
        if query:
            values = (query.get(name, "").strip() for name in _NAMING_PARAMETERS)
            named = next(filter(None, values), "")
        medium = query.get("utm_medium", "").strip().lower()
        source = self._of_referrer(site, page_host, referrer) if referrer else NO_SOURCE
        # A link within the site may say ?source=menu: that is no origin.
        if named and not (referrer and source is NO_SOURCE and "utm_source" not in query):
            source = self._of_text(site, named)
        channel = self._channel_of(medium, query, source)
        return source if channel == source.channel else Source(source.name, channel)

    @staticmethod
    def _channel_of(medium: str, query: Mapping[str, str], source: Source) -> str:
        if medium in _EMAIL_MEDIA:
            return "Email"
        if medium in _SOCIAL_MEDIA:
            return "Social"
        if medium or query.get("utm_campaign"):
            return CAMPAIGN
        return source.channel

    def _of_text(self, site: str, text: str) -> Source:
        known = self._list.of_name(text)
        if known:
            return known
        address = parse_address(text if "://" in text else f"https://{text}") if "." in text else None
        if address:
            return self._of_host(site, address.host)
        return Source(text[:MAX_SOURCE], REFERRAL)

    def _of_referrer(self, site: str, page_host: str, referrer: str) -> Source:
        address = parse_address(referrer)
        if address is None:
            return self._of_odd_referrer(site, referrer)
        return NO_SOURCE if address.host == page_host else self._of_host(site, address.host)

    def _of_odd_referrer(self, site: str, referrer: str) -> Source:
        """``android-app://com.example.app/`` and text that is no address."""
        scheme, mark, rest = referrer.partition("://")
        if mark and scheme.lower() == "android-app":
            name = rest.partition("/")[0][:MAX_SOURCE]
            return Source(name, REFERRAL) if name else NO_SOURCE
        text = referrer.partition("?")[0].strip()
        return NO_SOURCE if mark or not text else self._of_text(site, text)

    def _of_host(self, site: str, host: str) -> Source:
        if is_local(host) or ":" in host or host.replace(".", "").isdigit() or self._site_of(host) == site:
            return NO_SOURCE
        return self._list.of_host(host) or Source(host.removeprefix("www.")[:MAX_SOURCE], REFERRAL)
