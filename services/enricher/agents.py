"""What a User-Agent says: bot or person, and the families of browser, system and device.

A bot is what any of three says: the package user-agents, the maintained list crawler-user-agents, or the
structure of the text (no browser at all, a program's bare name, an address in it).
user-agents asks ua-parser's slow back end (488 µs for an unseen agent); the subclass here asks the one in
Rust (34 µs). crawler-user-agents' patterns run as one set in RE2 (4 to 10 µs against 93 to 152).
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import re2
import ua_parser
import user_agents.parsers
from crawleruseragents import CRAWLER_USER_AGENTS_DATA
from ua_parser.loaders import load_lazy_builtins

MAX_CACHED_AGENTS = 20_000  # about 10 MB; a large site sees some 5,000 in a day
MAX_CACHED_TEXT = 400  # the longest in a public log of a year: 680; most have 70 to 200
OTHER_BOT = "other bot"
NO_AGENT = "no User-Agent"
# Names that rules put together, as in (Yandex|Turnitin)[Bb]ot.
PUT_TOGETHER = ("YandexBot", "linkdexbot", "amazonproductbot", "Alexabot", "TurnitinBot", "coccocbot", "FeedlyBot",
                "Feedspotbot", "SeekportBot")  # fmt: skip
_PRODUCT = re.compile(r"([A-Za-z][\w .-]{1,38}?)(?=[/;,)(\s]|$)")
_COMPATIBLE = re.compile(r"compatible;\s*([A-Za-z][\w.-]{1,38})")
RE2_MEMORY = 64 << 20

_BROWSER_TOKENS = ("Mozilla/", "Opera/", "Opera ", "Dalvik/", "UCWEB", "Nokia", "BlackBerry", "SonyEricsson",
                   "SAMSUNG", "Links (", "Lynx/", "w3m/", "ELinks", "Dillo/", "NetSurf/")  # fmt: skip
_ADDRESS = re.compile(r"https?://|www\.|[\w.-]+@[\w-]+\.\w", re.IGNORECASE)
_PEOPLES_PHONES = re.compile(r"\bCUBOT\b", re.IGNORECASE)


class Agent(NamedTuple):
    """What is kept of a User-Agent: families, no versions."""

    is_bot: bool
    bot_name: str | None
    browser: str | None
    os: str | None
    device: str | None  # desktop, mobile, tablet


class Vocabulary:
    """The words in the rules of ua-parser and of the crawler list.

    Some rules take a name from the User-Agent itself (``(\\w+)bot``, ``(.+)/.* CFNetwork``): whoever sends hits could
    write any text into a column that way, and a rare program's name is as good as its User-Agent. Only names that
    stand in a rule are kept.
    """

    def __init__(self) -> None:
        agents, systems, _ = load_lazy_builtins()
        matchers: list[Any] = [*agents, *systems]
        rules = [matcher.regex for matcher in matchers]
        rules += [matcher.family for matcher in matchers if matcher.family]
        rules += [CrawlerList.name_in(row["pattern"]) for row in CRAWLER_USER_AGENTS_DATA]
        rules += PUT_TOGETHER
        self._text = "\n".join(rules).replace("\\", "").lower()

    def known(self, name: str | None) -> str | None:
        """The name, where a rule has it; None: unknown, or taken from the User-Agent."""
        if not name or name == "Other":
            return None
        return name[:64] if name.lower() in self._text else None


class _FastUserAgent(user_agents.parsers.UserAgent):
    """The package's rules on the result of ua-parser's fast back end."""

    def __init__(self, text: str) -> None:
        result = ua_parser.parse(text).with_defaults()
        self.ua_string = text
        self.os = user_agents.parsers.parse_operating_system(
            result.os.family, result.os.major, result.os.minor, result.os.patch, result.os.patch_minor
        )
        agent = result.user_agent
        self.browser = user_agents.parsers.parse_browser(agent.family, agent.major, agent.minor, agent.patch)
        device = result.device
        self.device = user_agents.parsers.parse_device(device.family, device.brand, device.model)


class CrawlerList:
    """The patterns of crawler-user-agents as one set."""

    def __init__(self) -> None:
        options = re2.Options()
        options.max_mem = RE2_MEMORY
        self._names: list[str] = []
        self._set = re2.Set.SearchSet(options)
        self._others: list[tuple[str, re.Pattern[str]]] = []
        for row in CRAWLER_USER_AGENTS_DATA:
            pattern: str = row["pattern"]
            try:
                self._set.Add(pattern)
            except re2.error:  # a look-ahead, which RE2 does not know
                self._others.append((self.name_in(pattern), re.compile(pattern)))
            else:
                self._names.append(self.name_in(pattern))
        self._set.Compile()

    @staticmethod
    def name_in(pattern: str) -> str:
        """``[wW]get`` → ``wget``, ``Googlebot\\/`` → ``Googlebot``."""
        text = re.sub(r"\[(\w)\w\]", r"\1", pattern)
        text = re.sub(r"\(\?[:!=<][^)]*\)|\\[bd]|[\^$()\[\]?*+|\\]", "", text)
        return text.strip(" /.-") or pattern

    def name_of(self, text: str) -> str | None:
        """The name in the longest pattern that matches; None: none does."""
        names = [self._names[index] for index in self._set.Match(text) or []]
        names += [name for name, pattern in self._others if pattern.search(text)]
        return max(names, key=len) if names else None


def structural_bot(text: str) -> str | None:
    """What a program that no list knows calls itself, by the form of its User-Agent; None: a browser."""
    if not text.strip():
        return NO_AGENT
    has_address = _ADDRESS.search(text) is not None
    is_browser = text.startswith(_BROWSER_TOKENS) or "MIDP" in text  # MIDP: a feature phone
    if is_browser and not has_address:
        return None
    match = _COMPATIBLE.search(text) or _PRODUCT.search(text)
    return match[1].strip() if match else OTHER_BOT


class Agents:
    """Reads User-Agents, each once: the last ones are remembered in memory, without any address."""

    def __init__(self) -> None:
        self._crawlers = CrawlerList()
        self._vocabulary = Vocabulary()
        self._known: dict[str, Agent] = {}

    def agent_of(self, text: str) -> Agent:
        """What the User-Agent says."""
        known = self._known.get(text)
        if known is None:
            if len(self._known) >= MAX_CACHED_AGENTS:
                self._known.clear()
            known = self._read(text)
            if len(text) <= MAX_CACHED_TEXT:
                self._known[text] = known
        return known

    def _read(self, text: str) -> Agent:
        parsed = _FastUserAgent(text)
        name = self._bot_name(text, parsed)
        if name is not None:
            return Agent(True, name[:64], None, None, None)
        known = self._vocabulary.known
        return Agent(False, None, known(parsed.browser.family), known(parsed.os.family), _device(parsed))

    def _bot_name(self, text: str, parsed: Any) -> str | None:
        if parsed.is_bot:
            return self._vocabulary.known(parsed.browser.family) or self._crawlers.name_of(text) or OTHER_BOT
        if _PEOPLES_PHONES.search(text):
            return None
        listed = self._crawlers.name_of(text)
        if listed is not None:
            return listed
        name = structural_bot(text)
        return name if name in (None, NO_AGENT) else self._vocabulary.known(name) or OTHER_BOT


def _device(parsed: Any) -> str | None:
    if parsed.is_tablet:
        return "tablet"
    if parsed.is_mobile:
        return "mobile"
    return "desktop" if parsed.is_pc else None
