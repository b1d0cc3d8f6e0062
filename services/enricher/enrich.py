"""Where address and User-Agent end: a raw hit becomes a hit, which cannot hold either.

``enrich`` is a function of the raw hit, the clock and the look-ups that it was built with.
"""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol
from urllib.parse import unquote, unquote_plus

import msgspec

from services.enricher.agents import Agent, Agents
from services.enricher.client import language_of, screen_class
from services.enricher.sources import Sources, parameters_of
from services.hit import PAGEVIEW, Hit, RawHit
from services.page_address import Address, parse_address, path_of
from services.redact import redaction_of, without_private_parts
from services.settings import Settings

MAX_CACHED_TEXT = 300  # longer addresses are somebody's own
MAX_CACHED_PAGES = 8_000  # pages and referrers as sent; 8 MB at a blog's lengths, 40 at the worst
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MAX_ENCODED = 3  # times that an address may have been encoded too often
_STILL_ENCODED = re.compile(r"%[0-9a-f]{2}", re.IGNORECASE)


class CannotEnrich(Exception):
    """A raw hit that cannot become a hit, for a reason that is its own; a fixed word."""


class SessionIds(Protocol):
    """Derives session ids; see ``services.session_keys.SessionKeys``."""

    def session_id(
        self,
        day: str,
        site: str,
        address: str,
        user_agent: str,
        now: datetime.datetime,
        one_off_key: str | None = None,
    ) -> uuid.UUID | None: ...


class _Page(msgspec.Struct, frozen=True):
    """What the page's address says."""

    host: str
    path: str
    query: str | None
    parameters: dict[str, str]  # of that query: what is not stored decides nothing
    link_tag: str | None


@lru_cache(100)
def _day_of(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


class Enricher:
    """Enriches under fixed settings; remembers the last pages, titles and referrers in memory, beside no person."""

    def __init__(
        self,
        settings: Settings,
        agents: Agents,
        sources: Sources,
        country_of: Callable[[str], str | None],
        sessions: SessionIds,
    ) -> None:
        self._kept = frozenset(name.lower() for name in settings.query_parameters)
        self._redact = redaction_of(settings)
        self._hash_routing = settings.hash_routing
        self._missing = settings.missing_page_titles
        self._agents = agents
        self._sources = sources
        self._country_of = country_of
        self._sessions = sessions
        self._title_of = lru_cache(MAX_CACHED_PAGES)(self._read_title)
        self._pages: dict[str, _Page] = {}
        self._referrers: dict[tuple[str, str], str | None] = {}

    def agent_of(self, user_agent: str) -> Agent:
        """What a User-Agent says."""
        return self._agents.agent_of(user_agent)

    def enrich(self, raw: RawHit, now: datetime.datetime, one_off_key: str | None = None) -> Hit:
        """The hit; ``one_off_key`` names the key of the import that it is of. Raises ``CannotEnrich``."""
        page = self._page_of(raw.url)
        title, is_missing = self._title_of(raw.title)
        status = 404 if raw.status is None and is_missing else raw.status
        referrer = self._referrer_of(page.host, raw.referrer)
        source = self._sources.source_of(raw.site, page.host, page.parameters, referrer or "", page.link_tag)
        agent = self._agents.agent_of(raw.user_agent)
        session_id = None
        if not raw.anonymous:
            session_id = self._sessions.session_id(
                raw.day, raw.site, raw.address, raw.user_agent, now, one_off_key
            )
        parameters = page.parameters
        return Hit(
            hit_id=uuid.UUID(bytes=raw.hit_id),
            received_at=_EPOCH + datetime.timedelta(microseconds=raw.received_at_us),
            day=_day_of(raw.day),
            site=raw.site,
            host=page.host,
            path=page.path,
            query=page.query,
            title=title,
            event=raw.event if raw.event == PAGEVIEW else self._redact(raw.event),
            props=self._props_of(raw.props),
            status=status,
            referrer=referrer,
            source=source.name,
            source_detail=source.detail,
            channel=source.channel,
            utm_source=parameters.get("utm_source"),
            utm_medium=parameters.get("utm_medium"),
            utm_campaign=parameters.get("utm_campaign"),
            utm_term=parameters.get("utm_term"),
            utm_content=parameters.get("utm_content"),
            link_tag=page.link_tag,
            country=self._country_of(raw.address),
            session_id=session_id,
            is_bot=agent.is_bot,
            bot_name=agent.bot_name,
            bot_class=agent.bot_class,
            subscribers=agent.subscribers,
            is_me=raw.is_me,
            browser=agent.browser,
            os=agent.os,
            device=agent.device,
            language=language_of(raw.language),
            screen=screen_class(raw.screen),
        )

    def _read_title(self, title: str) -> tuple[str | None, bool]:
        """What is kept of a title, and whether it is that of a missing page."""
        kept = self._redact(title)
        return kept or None, bool(kept and self._missing.search(kept))

    def _props_of(self, props: dict[str, str | int | float | bool] | None) -> str | None:
        """The properties as JSON; an outbound link may hold what a page's address may."""
        if not props:
            return None
        kept = {self._redact(name): self._redact(v) if isinstance(v, str) else v for name, v in props.items()}
        return msgspec.json.encode(kept).decode()

    # The page -----------------------------------------------------------------------------------------------

    def _page_of(self, url: str) -> _Page:
        page = self._pages.get(url)
        if page is None:
            if len(self._pages) >= MAX_CACHED_PAGES:
                self._pages.clear()
            page = self._read_page(url)
            if len(url) <= MAX_CACHED_TEXT:
                self._pages[url] = page
        return page

    def _read_page(self, url: str) -> _Page:
        address = parse_address(url)
        if address is None:
            raise CannotEnrich("url")
        query = self._kept_query(address)
        return _Page(
            address.host,
            path_of(address, self._redact, hash_routing=self._hash_routing),
            query,
            parameters_of(query or "", self._redact),
            self._link_tag_in(address.query),
        )

    def _keeps(self, name: str) -> bool:
        return name in self._kept or name.startswith("utm_")

    def _kept_query(self, address: Address) -> str | None:
        """The allow-listed part of a query, as sent but for what is redacted."""
        parts = [
            self._redact(part).replace("&", "%26")
            for part in address.query.split("&")
            if part and self._keeps(unquote_plus(part.partition("=")[0]).lower())
        ]
        return "&".join(parts).replace("\0", "") or None

    def _link_tag_in(self, query: str) -> str | None:
        """The first parameter that a mailing or advertising service tags its links with; its value goes."""
        if not query:
            return None
        names = {unquote_plus(part.partition("=")[0]).lower() for part in query.split("&")}
        return next((tag for tag in self._sources.tags if tag in names), None)

    # The referrer -------------------------------------------------------------------------------------------

    def _referrer_of(self, page_host: str, referrer: str) -> str | None:
        if not referrer:
            return None
        key = (page_host, referrer)
        if key not in self._referrers:
            if len(referrer) > MAX_CACHED_TEXT:
                return self._read_referrer(page_host, referrer)
            if len(self._referrers) >= MAX_CACHED_PAGES:
                self._referrers.clear()
            self._referrers[key] = self._read_referrer(page_host, referrer)
        return self._referrers[key]

    def _read_referrer(self, page_host: str, referrer: str) -> str | None:
        """Without fragment, user and port, with the allow-listed part of its query; odd text is kept as text."""
        referrer = referrer.strip()
        address = parse_address(referrer)
        for _ in range(MAX_ENCODED):
            # Encoded once too often: its query would be kept, as text.
            if address is not None or "%" not in referrer:
                break
            referrer = unquote(referrer).replace("\0", "").strip()
            address = parse_address(referrer)
        if address is None and _STILL_ENCODED.search(referrer):
            referrer = referrer.partition("%")[0]
        if address is None:
            return self._redact(without_private_parts(referrer)).strip() or None
        host = f"[{address.host}]" if ":" in address.host else address.host
        if host != page_host:  # which the row has in clear, and by which the site itself is known
            host = self._redact(host)
        scheme = referrer.partition(":")[0].lower()
        query = self._kept_query(address)
        return f"{scheme}://{host}{self._redact(address.path)}" + (f"?{query}" if query else "")
