"""Who visits the demo's sites: addresses of real countries, browsers, screens, languages; none of it is anybody."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from tools.demo.world import Weighted

WANTED_NETWORKS = 12  # of each country at least
MOST_NETWORKS = 500
MOST_TRIES = 400_000  # 1 s; a country of 400,000 addresses is met 37 times


class Visitor(NamedTuple):
    """One person with one browser."""

    address: str
    user_agent: str
    language: str
    screen: str


class Addresses:
    """Addresses by country, found by asking the country database of this machine."""

    def __init__(self, country_of: Callable[[str], str | None], countries: Iterable[str]) -> None:
        self._networks: dict[str, list[int]] = {country: [] for country in countries}
        self._anywhere: list[int] = []
        dice = random.Random("addresses")  # the same for every seed: the database says what they are
        lacking = set(self._networks)
        for tries in range(MOST_TRIES):
            network = _public_network(dice)
            country = country_of(_address(network, 1)) or ""
            if len(self._anywhere) < MOST_NETWORKS:
                self._anywhere.append(network)
            elif not lacking or (tries > MOST_NETWORKS and not any(self._networks.values())):
                break  # all are found, or there is no database
            found = self._networks.get(country)
            if found is not None and len(found) < MOST_NETWORKS:
                found.append(network)
                if len(found) >= WANTED_NETWORKS:
                    lacking.discard(country)

    def draw(self, dice: random.Random, country: str) -> str:
        """An address of a country; of anywhere, where the database knows none."""
        networks = self._networks[country] or self._anywhere
        return _address(dice.choice(networks), dice.randrange(1, 255))


def _public_network(dice: random.Random) -> int:
    """The first 24 bits of a public IPv4 address."""
    while True:
        network = dice.randrange(1 << 16, 224 << 16)
        if ipaddress.IPv4Address(network << 8).is_global:
            return network


def _address(network: int, host: int) -> str:
    return f"{network >> 16}.{network >> 8 & 255}.{network & 255}.{host}"


class Visitors:
    """Draws visitors."""

    def __init__(self, facts: dict[str, Any], addresses: Addresses) -> None:
        self._addresses = addresses
        self._countries = Weighted((name, row[0]) for name, row in facts["countries"].items())
        self._languages = {name: row[1:] for name, row in facts["countries"].items()}
        people = facts["people"]
        self._agents = Weighted(((kind, agent), weight) for kind, agent, weight in people["agents"])
        self._screens: dict[str, list[str]] = people["screens"]
        self._versions: dict[str, list[int]] = people["versions"]
        self._bots = Weighted((agent, weight) for agent, weight in facts["bots"]["agents"])

    def person(self, dice: random.Random) -> Visitor:
        """Somebody."""
        country = self._countries.draw(dice)
        kind, agent = self._agents.draw(dice)
        versions = {name: dice.choice(values) for name, values in self._versions.items()}
        return Visitor(
            self._addresses.draw(dice, country),
            agent.format(**versions),
            dice.choice(self._languages[country]),
            dice.choice(self._screens[kind]),
        )

    def bot(self, dice: random.Random) -> Visitor:
        """A program, most of them in the two countries with the largest data centres."""
        country = "US" if dice.random() < 0.75 else dice.choice(("DE", "FR", "SG", "CN", "RU", "NL"))
        return Visitor(self._addresses.draw(dice, country), self._bots.draw(dice), "", "")
