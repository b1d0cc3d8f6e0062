"""The source and channel of a hit: where it came from, by the page's address first, the referrer second.

The rules are data, ``sources.toml`` beside this file. A function of what is stored with the hit and nothing else, so
that new rules can be run over history (``make renormalise``) and give what they would have given then.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, unquote_plus

from services.page_address import Address, host_of, is_local, parse_address, without_www
from services.redact import redaction_of
from services.settings import Settings
from services.sites import Sites

DIRECT = "Direct"
SEARCH = "Search"
EMAIL = "Email"
REFERRAL = "Referral"
CAMPAIGN = "Campaign"
MAX_SOURCE = 128
NAMING_PARAMETERS = ("utm_source", "ref", "source", "via")

SOURCES_FILE = Path(__file__).with_name("sources.toml")
MAX_CACHED = 8_000  # referrers with a page's host; 4 MB at a blog's lengths, 30 at the worst
MAX_CACHED_TEXT = 300  # longer ones are somebody's own
# Second level of a country's ending: google.co.uk, yandex.com.tr.
_SECOND_LEVEL = frozenset(
    ("co", "com", "net", "org", "ne", "or", "ac", "edu", "gov", "gob", "go", "gen", "in", "nom")
)
_NOT_LETTERS = str.maketrans("", "", " _.-+")
_INTRANET = (".lan", ".internal", ".intranet", ".localdomain", ".home.arpa", ".corp", ".home", ".private")
# android-app://com.example.reader, and ios-app:// as some readers send it.
_APP_SCHEMES = ("android-app", "ios-app")
# about:blank, tel:, localhost:3000, /a/path.
_NO_HOST = re.compile(
    r"/(?!/)|(?:about|blob|data|file|https?|javascript|localhost|mailto|sms|tel|view-source):|[a-z+-]+-extension:",
    re.IGNORECASE,
)
# What follows a name or an address: ?a=b, ;a=b, &a=b, and a fragment; not R&D.
_PARAMETERS = re.compile(r"(?:\?|(?<=\S)[&;][\w.-]+=|(?<=\S)#).*", re.DOTALL)


class Source(NamedTuple):
    """A named origin, the kind that it is of, and which part of it, where that is known (the engine of Search)."""

    name: str | None  # None: direct, or the site itself
    channel: str
    detail: str | None = None


class Tag(NamedTuple):
    """What a parameter in the page's address says by being there."""

    source: Source
    is_ad: bool


NO_SOURCE = Source(None, DIRECT)  # nobody, or nobody's host
OWN_SITE = Source(None, DIRECT)  # a link within the site; told from NO_SOURCE by identity
OWN = "own"  # a medium that leaves a source its channel


def parameters_of(query: str, redact: Callable[[str], str] = str) -> dict[str, str]:
    """Names (lower case) and values of a row's ``query``; of a name given twice the first."""
    parameters: dict[str, str] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        name = unquote_plus(name).lower()
        text = unquote_plus(value).replace("\0", "").strip()
        if text and name not in parameters:
            parameters[name] = redact(text)
    return parameters


def key_of(text: str) -> str:
    """What a name is looked up by: ``Hacker-News``, ``hacker_news`` and ``hackernews`` are one."""
    return text.lower().translate(_NOT_LETTERS)


def split_ending(host: str) -> tuple[str, str]:
    """A host and its ending: ``www.google.co.uk`` → ``www.google``, ``co.uk``."""
    rest, _, last = host.rpartition(".")
    head, _, second = rest.rpartition(".")
    if head and len(last) == 2 and second in _SECOND_LEVEL:
        return head, f"{second}.{last}"
    return rest, last


def is_countrys(ending: str) -> bool:
    """Whether an ending is a country's, or ``com``."""
    return ending == "com" or len(ending.rpartition(".")[2]) == 2


def _ends(host: str) -> Iterable[str]:
    """The host and each that it is a subdomain of, the longest first."""
    while host:
        yield host
        host = host.partition(".")[2]


class SourceList:
    """The list of ``sources.toml``, made ready to look up. Raises ``ValueError`` when it contradicts itself."""

    def __init__(self, path: Path = SOURCES_FILE) -> None:
        data = tomllib.loads(path.read_text())
        self._hosts: dict[str, Source] = {}
        self._alone: dict[str, Source] = {}
        self._any_country: dict[str, Source] = {}
        self._alone_any_country: dict[str, Source] = {}
        self._any_ending: dict[str, Source] = {}
        self._first_label: dict[str, Source] = {}
        self._pages: dict[str, list[tuple[str, Source]]] = {}
        self._names: dict[str, Source] = {}
        self._apps: dict[str, Source] = {}
        self._paths: list[tuple[re.Pattern[str], Source]] = []
        self.tags: dict[str, Tag] = {}
        media = [(word, channel) for channel, words in data["media"].items() for word in words]
        self._media = {key_of(word): channel for word, channel in media if "*" not in word}
        self._media_with = [(word.strip("*"), channel) for word, channel in media if "*" in word]
        self._nothing = frozenset(data["nothing"]["names"])
        self._through_hosts = tuple("." + host for host in data["through"]["hosts"])
        self._through_paths = [(row["host"], re.compile(row["path"])) for row in data["through"]["paths"]]
        for channel, rows in data["channels"].items():
            for row in rows:
                self._add(channel, row)

    def _add(self, channel: str, row: Mapping[str, Any]) -> None:
        whole = row.get("of", SEARCH if channel == SEARCH else None)
        source = Source(whole or row["name"], channel, row["name"] if whole else None)
        for host in row.get("hosts", ()):
            self._add_host(host, source)
        for app in row.get("apps", ()):
            _put(self._apps, app.lower(), source)
        for name in {key_of(row["name"]), *map(key_of, row.get("names", ()))}:
            _put(self._names, name, source)
        for kind, is_ad in (("tags", False), ("ad_tags", True)):
            for tag in row.get(kind, ()):
                _put(self.tags, tag, Tag(source, is_ad))
        self._paths += [(re.compile(path), source) for path in row.get("paths", ())]

    def _add_host(self, text: str, source: Source) -> None:
        host, slash, path = text.partition("/")
        alone = host.startswith("=")
        host = host.removeprefix("=")
        if slash:
            self._pages.setdefault(host, []).append((f"/{path}", source))
            self._pages[host].sort(key=lambda page: -len(page[0]))
        elif host.endswith(".**"):
            _put(self._first_label, host[:-3], source)
        elif host.endswith(".any"):
            _put(self._any_ending, host[:-4], source)
        elif host.endswith(".*"):
            _put(self._alone_any_country if alone else self._any_country, host[:-2], source)
        else:
            _put(self._alone if alone else self._hosts, host, source)

    def of_host(self, host: str, path: str = "/") -> Source | None:
        """The source that covers a host, or pages of it below a path; None: the list does not know it."""
        bare = host.removeprefix("www.").removeprefix("m.")
        for start, source in self._pages.get(bare, ()):
            if path == start or path.startswith(start + "/"):
                return source
        if found := self._alone.get(bare):
            return found
        for end in _ends(host):
            if found := self._hosts.get(end):
                return found
        return self._by_pattern(host, bare) or self._by_path(path)

    def _by_pattern(self, host: str, bare: str) -> Source | None:
        stem, ending = split_ending(bare)
        if is_countrys(ending):
            if found := self._alone_any_country.get(stem):
                return found
            for end in _ends(split_ending(host)[0]):
                if found := self._any_country.get(end):
                    return found
        if found := self._any_ending.get(stem):
            return found
        return self._first_label.get(stem.partition(".")[0]) if "." in stem else None

    def _by_path(self, path: str) -> Source | None:
        if len(path) < 2:
            return None
        return next((source for pattern, source in self._paths if pattern.search(path)), None)

    def of_app(self, name: str) -> Source | None:
        """The source of an app's id; None: unknown."""
        return self._apps.get(name.lower())

    def of_name(self, name: str) -> Source | None:
        """The source that a value of utm_source and its like names."""
        return self._names.get(key_of(name)) or self._apps.get(name.lower())

    def says_nothing(self, name: str) -> bool:
        """Whether a name is that of no source: ``(none)``, ``undefined``, ``-``."""
        key = key_of(name.strip("(){}[]<>'\""))
        return key in self._nothing or not any(map(str.isalnum, key))

    def channel_of_medium(self, medium: str) -> str:
        """A channel, or ``own``."""
        key = key_of(medium)
        found = self._media.get(key)
        return found or next((channel for word, channel in self._media_with if word in key), CAMPAIGN)

    def through(self, host: str, path: str) -> str | None:
        """The host that a translation or a cache shows; None: the host is none of these."""
        for end in self._through_hosts:
            if host.endswith(end):
                label = host.removesuffix(end)
                if "-" in label and "." not in label:
                    return host_of(label.replace("--", "\0").replace("-", ".").replace("\0", "-"))
        if len(path) > 4:
            for shown_by, pattern in self._through_paths:
                if self._covers(shown_by, host) and (match := pattern.search(path)):
                    return host_of(unquote(match["host"]))
        return None

    @staticmethod
    def _covers(entry: str, host: str) -> bool:
        bare = without_www(host)
        if not entry.endswith(".*"):
            return bare == entry
        stem, ending = split_ending(bare)
        return stem == entry[:-2] and is_countrys(ending)


def _put(table: dict[str, Any], key: str, value: Any) -> None:
    """Two sources may not claim the same thing."""
    if table.setdefault(key, value) != value:
        raise ValueError(f"sources.toml: {key} stands twice")


class Sources:
    """Finds the source of a hit.

    ``site_of`` tells which hosts are the site itself, ``redact`` takes out of a name what must not be kept.
    """

    def __init__(
        self,
        site_of: Callable[[str], str | None],
        redact: Callable[[str], str] = str,
    ) -> None:
        self._list = SourceList()
        self._site_of = site_of
        self._redact = redact
        self._known: dict[tuple[str, str, str], Source] = {}
        self._named_texts: dict[tuple[str, str], Source] = {}

    @property
    def tags(self) -> Mapping[str, Tag]:
        """The parameters whose presence, without their value, is worth keeping (``hits.link_tag``)."""
        return self._list.tags

    def source_of(
        self, site: str, page_host: str, query: Mapping[str, str], referrer: str, link_tag: str | None = None
    ) -> Source:
        """The source; all arguments are as the row stores them.

        ``query``: the page's kept parameters; ``referrer``: empty for none; ``link_tag``: the name of a parameter
        by which a service tags its links.
        """
        source = self._of_referrer(site, page_host, referrer) if referrer else NO_SOURCE
        tag = self._list.tags.get(link_tag) if link_tag else None
        if not query and tag is None:
            return source
        is_own = source is OWN_SITE
        named = self._named(site, query, is_own)
        if named is not None:
            source = named
        elif tag and not is_own and (source is NO_SOURCE or source.channel == tag.source.channel == EMAIL):
            source = tag.source
        channel = self._channel_of(query, source, tag)
        return source if channel == source.channel else source._replace(channel=channel)

    def _named(self, site: str, query: Mapping[str, str], is_own: bool) -> Source | None:
        """What the page's address names; None: nothing.

        A link within the site may say ?source=menu: that is no origin, but a campaign's tag is meant.
        """
        for name in NAMING_PARAMETERS[:1] if is_own else NAMING_PARAMETERS:
            value = query.get(name, "").strip()
            if value and not self._list.says_nothing(value):
                source = self._of_name(site, value)
                if source.name:
                    return source
        return None

    def _channel_of(self, query: Mapping[str, str], source: Source, tag: Tag | None) -> str:
        medium, campaign = query.get("utm_medium", ""), query.get("utm_campaign", "")
        if medium and not self._list.says_nothing(medium):
            channel = self._list.channel_of_medium(medium)
            return source.channel if channel == OWN else channel
        if (campaign and not self._list.says_nothing(campaign)) or (tag and tag.is_ad):
            return EMAIL if source.channel == EMAIL else CAMPAIGN
        return source.channel

    def _of_name(self, site: str, text: str) -> Source:
        source = self._named_texts.get((site, text))
        if source is None:
            if len(self._named_texts) >= MAX_CACHED:
                self._named_texts.clear()
            source = self._of_text(site, text)
            if len(text) <= MAX_CACHED_TEXT:
                self._named_texts[site, text] = source
        return source

    # What a text means -----------------------------------------------------------------------------------------

    def _of_text(self, site: str, text: str) -> Source:
        if "://" in text:
            address = parse_address(text)
            return self._of_address(site, address) if address else self._of_other_scheme(text)
        text = _PARAMETERS.sub("", text).strip()
        known = self._list.of_name(text)
        if known:
            return known
        if self._list.says_nothing(text) or _NO_HOST.match(text) or is_local(text.lower()):
            return NO_SOURCE
        # An address without its scheme.
        address = parse_address(f"https://{text.lstrip('/')}") if "." in text else None
        if address:
            return self._of_address(site, address)
        return self._called(text, EMAIL if "newsletter" in text.lower() else REFERRAL)

    def _called(self, text: str, channel: str = REFERRAL) -> Source:
        """A source that no line of the list names."""
        return Source(self._redact(_PARAMETERS.sub("", text)).strip()[:MAX_SOURCE] or None, channel)

    def _of_referrer(self, site: str, page_host: str, referrer: str) -> Source:
        key = (site, page_host, referrer)
        source = self._known.get(key)
        if source is None:
            source = self._read_referrer(site, page_host, referrer)
            if len(referrer) <= MAX_CACHED_TEXT:
                if len(self._known) >= MAX_CACHED:
                    self._known.clear()
                self._known[key] = source
        return source

    def _read_referrer(self, site: str, page_host: str, referrer: str) -> Source:
        address = parse_address(referrer)
        if address is None:
            return self._of_text(site, referrer)
        return OWN_SITE if address.host == page_host else self._of_address(site, address)

    def _of_other_scheme(self, text: str) -> Source:
        """``android-app://com.example.app/``, or an address whose host is none: that is kept as text."""
        scheme, _, rest = text.partition("://")
        name = rest.partition("/")[0].rpartition("@")[2].strip()
        host = name.partition(":")[0].lower()
        if not host or is_local(host):
            return NO_SOURCE
        if scheme.lower() in _APP_SCHEMES:
            return self._list.of_app(name) or self._called(name)
        return self._called(name) if scheme.lower() in ("http", "https") else NO_SOURCE

    def _of_address(self, site: str, address: Address) -> Source:
        shown = self._list.through(address.host, address.path)
        host, path = (shown, "/") if shown else (address.host, address.path)
        if self._site_of(host) == site:
            return OWN_SITE
        if _is_nobodys(host):
            return NO_SOURCE
        return self._list.of_host(host, path) or self._list.of_app(host) or self._called(without_www(host))


def _is_nobodys(host: str) -> bool:
    """Hosts that are local, numeric, without a dot."""
    numeric = ":" in host or host.replace(".", "").isdigit()
    return numeric or "." not in host or host.endswith(_INTRANET) or is_local(host)


def sources_of(settings: Settings) -> Sources:
    """The sources under these settings."""
    return Sources(Sites(settings.sites).site_of, redaction_of(settings))
