"""Bot or person, by the User-Agent: which bot, of which class, and for how many readers a feed fetcher asks.

A bot is what a rule of ``bots.toml`` names, what the maintained list crawler-user-agents names, and what the text
shows by its structure: a word for what bots do, an address, a program that is no browser, a browser on no system, an
attack. Telephones and in-app browsers whose names look like a bot's are passed over, and so are words that apps bear
too, where an app adds its name to a telephone's browser.

All patterns run as one set in RE2: some 3 µs for a person, 7 for a bot; no pattern can run away.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import re2
from crawleruseragents import CRAWLER_USER_AGENTS_DATA

BotClass = Literal["search", "AI", "feed", "preview", "monitor", "tool", "scraper"]
CLASSES: tuple[BotClass, ...] = get_args(BotClass)
OTHER_BOT = "other bot"
NO_AGENT = "no User-Agent"
MAX_NAME = 64
MAX_SUBSCRIBERS = 10_000_000  # Google Reader's largest feed had some 6 million in 2013; more is a joke

BOTS_FILE = Path(__file__).with_name("bots.toml")
RE2_MEMORY = 64 << 20

# Tags of crawler-user-agents, the first that a row has. What reads sites for others' ends is a scraper.
_CLASS_OF_TAG: dict[str, BotClass] = {
    "ai-crawler": "AI",
    "feed-reader": "feed",
    "social-preview": "preview",
    "monitoring": "monitor",
    "search-engine": "search",
    "http-library": "tool",
    "browser-automation": "tool",
}
_SUBSCRIBERS = re.compile(
    r"(?<![\d.,])(\d{1,3}(?:,\d{3}){1,2}|\d{1,9})[ _-]?(?:subscribers?|readers?|users?)\b",
    re.IGNORECASE | re.ASCII,
)
# The model of a telephone, chosen by its make: what stands behind Android's version, unless it says what it is.
_MODEL = re.compile(
    r"(?<=Android)([ /][\w.]+; ?(?:[a-z]{2}[-_][a-z]{2,4}; ?)?)"
    r"(?![^;()]*(?:bot/|spider/|crawl|http|google|screenshot))[^;()]*(?=[;)])",
    re.IGNORECASE,
)
# What a browser never says behind its own words.
_APPENDED = (r"(?i)\(KHTML,? like Gecko;", r"(?i)(?:safari|chrome|firefox|gecko)/[\d.]+ \(compatible;")
_ADDRESS = r"(?i)https?:/|www\.|[\w.-]+(?:@|\[at\]|\(at\))[\w-]+\.\w"
_NO_APPS = frozenset({"address", "appended", "compatible"})  # an app adds only its name


class Bot(NamedTuple):
    """What is known of a bot."""

    name: str  # stands in a rule
    bot_class: BotClass
    subscribers: int | None = None  # readers of the feed, as its fetcher says


class _Rule(NamedTuple):
    kind: str  # one of the sections below
    name: str
    bot_class: BotClass
    weight: int  # the length of the word
    word: str = ""  # of our own names: what to look for in the text


def pattern_of(word: str) -> str:
    """A word of ``bots.toml`` as RE2: plain text that does not stand within a longer word."""
    text, front, end = word, "(?:^|[^a-z0-9])", "(?:[^a-z]|$)"
    if text.startswith("^"):
        text, front = text[1:], "^"
    if text.startswith("*"):
        text, front = text[1:], "" if front != "^" else ".*"
    if text.endswith("$"):
        text, end = text[:-1], "$"
    elif text.endswith("*"):
        text, end = text[:-1], ""
    if text[-1:] in "/ (":
        end = ""
    return "(?i)" + front + ".*".join(map(re2.escape, text.split("*"))) + end


def name_in(pattern: str) -> str:
    """``[wW]get`` → ``wget``, ``Googlebot\\/2`` → ``Googlebot``, ``example\\.com/bots`` → ``example.com``."""
    text = re.sub(r"\[(\w)\w\]", r"\1", pattern)
    text = re.sub(r"\(\?[:!=<][^)]*\)|\\[bd]|[\^$()\[\]{}?*+|\\]", "", text)
    text = re.sub(r"^https?://(?:www\.)?|(?<=\S) https?://\S*", "", text)
    text = re.sub(r"(?<=\S)/+[\d.]+\b", "", text)  # a version
    text = re.sub(r"^([\w-]+(?:\.[\w-]+)+)/.*", r"\1", text)  # the path behind a host
    text = re.sub(r"\S+@|[/;]\.?", " ", text)
    return " ".join(text.split()).strip(" .-")[:MAX_NAME] or OTHER_BOT


def _class_of(tags: Iterable[str]) -> BotClass:
    present = set(tags)
    return next((kind for tag, kind in _CLASS_OF_TAG.items() if tag in present), "scraper")


def _classes_by_name(rules: Iterable[_Rule]) -> dict[str, BotClass]:
    """The class of each name: that of its first rule, our own before the package's."""
    found: dict[str, BotClass] = {}
    for rule in rules:
        if rule.name not in ("", OTHER_BOT):
            found.setdefault(rule.name, rule.bot_class)
    return found


class Bots:
    """The rules, made ready to look up."""

    def __init__(self, path: Path = BOTS_FILE) -> None:
        options = re2.Options()
        options.max_mem = RE2_MEMORY
        options.log_errors = False  # it would print the pattern that it refuses
        self._rules: list[_Rule] = []
        self._set = re2.Set.SearchSet(options)
        self._others: list[tuple[_Rule, re.Pattern[str]]] = []
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        self._read_bots(data)
        self._read_list(frozenset(data["crawler_list"]["leave_out"]))
        self._read_people(data)
        self._set.Compile()
        rules = [*self._rules, *(rule for rule, _ in self._others)]
        self.names = frozenset(rule.name for rule in rules if rule.name) | {NO_AGENT}
        self._class_of_name = _classes_by_name(rules) | {NO_AGENT: "tool"}

    def _add(self, pattern: str, rule: _Rule) -> None:
        try:
            self._set.Add(pattern)
        except re2.error:  # a look-ahead, which RE2 does not know
            self._others.append((rule, re.compile(pattern)))
        else:
            self._rules.append(rule)

    def _read_bots(self, data: dict[str, Any]) -> None:
        for bot_class in CLASSES:
            for name, words in data["bots"].get(bot_class, {}).items():
                for word in words:
                    plain = word.strip("^*$").partition("*")[0].lower()
                    self._add(pattern_of(word), _Rule("bot", name, bot_class, len(word), plain))
        for kind, section in (("word", "words"), ("app's word", "apps_words")):
            for bot_class in CLASSES:
                for word in data[section].get(bot_class, []):
                    self._add(pattern_of(word), _Rule(kind, OTHER_BOT, bot_class, -CLASSES.index(bot_class)))

    def _read_list(self, left_out: frozenset[str]) -> None:
        for row in CRAWLER_USER_AGENTS_DATA:
            name = name_in(row["pattern"])
            if name not in left_out:
                bot_class = _class_of(row.get("tags") or ())
                self._add(row["pattern"], _Rule("listed", name, bot_class, len(name)))

    def _read_people(self, data: dict[str, Any]) -> None:
        people = data["people"]
        options = re2.Options()
        options.case_sensitive = False
        self._passed_over = re2.compile("|".join(people["passed_over"]), options)
        self._add(_ADDRESS, _Rule("address", OTHER_BOT, "scraper", 0))
        self._add(r"(?i)\(?compatible[;,) ]", _Rule("compatible", OTHER_BOT, "scraper", 0))
        for pattern in _APPENDED:
            self._add(pattern, _Rule("appended", OTHER_BOT, "scraper", 0))
        for pattern in data["absurd"]["patterns"]:
            self._add(f"(?i){pattern}", _Rule("absurd", OTHER_BOT, "scraper", 0))
        for section in ("browsers", "platforms", "compatible", "apps"):
            self._add("(?i)" + "|".join(people[section]), _Rule(f"people's {section}", "", "tool", 0))

    def class_of(self, name: str) -> BotClass | None:
        """The class of a bot by its name; None: no rule has the name, or it is ``other bot``."""
        return self._class_of_name.get(name)

    def bot_of(self, text: str) -> Bot | None:
        """The bot; None: a person."""
        if not text.strip():
            return Bot(NO_AGENT, "tool")
        found = self._found(text)
        bot = self._decide(found, found)
        if bot is None:
            return None
        # A name of our own list is meant; the other rules may mistake a telephone for a bot.
        if "bot" not in found:
            rest = self._without_peoples(text)
            if rest != text:
                bot = self._decide(self._found(rest), found)
        if bot is not None and bot.bot_class == "feed":
            return bot._replace(subscribers=_subscribers_in(text))
        return bot

    def _found(self, text: str) -> dict[str, _Rule]:
        """Of each kind of rule the weightiest that the text matches."""
        found: dict[str, _Rule] = {}
        named: list[_Rule] = []
        for index in self._set.Match(text) or ():
            rule = self._rules[index]
            if rule.kind == "bot":
                named.append(rule)
            elif rule.kind not in found or found[rule.kind].weight < rule.weight:
                found[rule.kind] = rule
        for rule, pattern in self._others:
            if pattern.search(text):
                found.setdefault(rule.kind, rule)
        if named:
            found["bot"] = named[0] if len(named) == 1 else _meant(named, text.lower())
        return found

    def _without_peoples(self, text: str) -> str:
        return str(self._passed_over.sub(" ", _MODEL.sub(r"\1", text)))

    def _decide(self, found: dict[str, _Rule], whole: dict[str, _Rule]) -> Bot | None:
        """``found`` speaks for a bot; ``whole``, with what was passed over, for a person."""
        rule = next(_speaking(found, whole), None)
        if rule is not None:
            return Bot(rule.name, self.class_of(rule.name) or rule.bot_class)
        if "people's browsers" not in whole:
            return Bot(OTHER_BOT, "tool")
        if "people's platforms" not in whole or (
            "compatible" in found and "people's compatible" not in whole
        ):
            return Bot(OTHER_BOT, "scraper")
        return None


def _meant(named: list[_Rule], text: str) -> _Rule:
    """The name that is meant: no tool where another is named, then the first, then the longest.

    Feedly says "like FeedFetcher-Google", LinkedInBot tells its library, ClaudeBot its owner's address.
    """

    def rank(rule: _Rule) -> tuple[bool, int, int]:
        place = text.find(rule.word)
        return rule.bot_class == "tool", place if place >= 0 else len(text), -rule.weight

    return min(named, key=rank)


def _speaking(found: dict[str, _Rule], whole: dict[str, _Rule]) -> Iterator[_Rule]:
    """The rules that speak for a bot, the surest first."""
    ours, listed = found.get("bot"), found.get("listed")
    # A bot that tells its library is not the library.
    if ours and listed and ours.bot_class == "tool" != listed.bot_class:
        yield listed
    for rule in (ours, listed, found.get("absurd")):
        if rule:
            yield rule
    words = [found[kind] for kind in ("word", "app's word") if kind in found]
    if "people's apps" in whole and found.keys().isdisjoint(_NO_APPS):
        words = [rule for rule in words if rule.kind != "app's word"]
    if words:
        yield max(words, key=lambda rule: rule.weight)
    for kind in ("address", "appended"):
        if kind in found:
            yield found[kind]


def _subscribers_in(text: str) -> int | None:
    match = _SUBSCRIBERS.search(text)
    number = int(match[1].replace(",", "")) if match else None
    return number if number is not None and number <= MAX_SUBSCRIBERS else None
