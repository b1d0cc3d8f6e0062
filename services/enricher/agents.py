"""What a User-Agent says: bot (see ``bots``) or person, and a person's families of browser, system and device.

user-agents asks ua-parser's slow back end (488 µs for an unseen agent); the subclass here asks the one in
Rust (34 µs). A bot is not asked for families.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import ua_parser
import user_agents.parsers
from ua_parser.loaders import load_lazy_builtins

from services.enricher.bots import BotClass, Bots

MAX_CACHED_AGENTS = 20_000  # about 10 MB; a large site sees some 5,000 in a day
MAX_CACHED_NAMES = 1_000
MAX_CACHED_TEXT = 400  # the longest in a public log of a year: 680; most have 70 to 200


class Agent(NamedTuple):
    """What is kept of a User-Agent: families, no versions."""

    is_bot: bool
    bot_name: str | None
    bot_class: BotClass | None
    subscribers: int | None  # readers of a feed, as its fetcher says
    browser: str | None
    os: str | None
    device: str | None  # desktop, mobile, tablet


class Vocabulary:
    """The words in the rules of ua-parser.

    Some rules take a name from the User-Agent itself (``(\\w+)bot``, ``(.+)/.* CFNetwork``): whoever sends hits could
    write any text into a column that way, and a rare program's name is as good as its User-Agent. Only names that
    stand in a rule are kept.
    """

    def __init__(self) -> None:
        agents, systems, _ = load_lazy_builtins()
        matchers: list[Any] = [*agents, *systems]
        rules = [matcher.regex for matcher in matchers]
        rules += [matcher.family for matcher in matchers if matcher.family]
        self._text = "\n".join(rules).replace("\\", "").lower()
        self.known = lru_cache(MAX_CACHED_NAMES)(self._known)  # looking through the rules takes 26 µs

    def _known(self, name: str | None) -> str | None:
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


class Agents:
    """Reads User-Agents, each once: the last ones are remembered in memory, without any address."""

    def __init__(self) -> None:
        self._bots = Bots()
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
        if not text.isascii():  # a lone surrogate, which neither RE2 nor Rust takes
            text = text.encode("utf-8", "replace").decode()
        bot = self._bots.bot_of(text)
        if bot is not None:  # no families: they would be what it pretends to be
            return Agent(True, bot.name, bot.bot_class, bot.subscribers, None, None, None)
        parsed = _FastUserAgent(text)
        known = self._vocabulary.known
        return Agent(
            False, None, None, None, known(parsed.browser.family), known(parsed.os.family), _device(parsed)
        )


def _device(parsed: Any) -> str | None:
    if parsed.is_tablet:
        return "tablet"
    if parsed.is_mobile:
        return "mobile"
    return "desktop" if parsed.is_pc else None
