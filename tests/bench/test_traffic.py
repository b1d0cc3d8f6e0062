"""Whether the load is what it is said to be: real addresses, 2,000 User-Agents, Zipf pages, 5 % bots."""

from __future__ import annotations

import ipaddress
from collections import Counter
from urllib.parse import parse_qs

from bench.traffic import AGENTS, PAGES, VISITORS, make_traffic
from services.enricher.agents import Agents


def test_traffic_is_the_same_for_the_same_part_and_another_s_visitors_are_others() -> None:
    first, again, other = make_traffic(1), make_traffic(1), make_traffic(2)
    assert first == again
    assert len({*first.addresses, *other.addresses}) == 2 * VISITORS


def test_addresses_are_those_of_the_internet() -> None:
    assert all(ipaddress.ip_address(address).is_global for address in make_traffic(3).addresses[::100])


def test_one_user_agent_in_twenty_is_a_bot_s_by_the_product_s_own_rules() -> None:
    traffic, rules = make_traffic(1), Agents()
    assert len(set(traffic.agents)) == len(traffic.agents) == AGENTS
    bots = sum(rules.agent_of(agent).is_bot for agent in traffic.agents)
    assert bots == AGENTS // 20
    people = make_traffic(1, bots=False).agents
    assert not any(rules.agent_of(agent).is_bot for agent in people[::20])


def test_pages_are_read_by_zipf_s_law() -> None:
    """The first twice as often as the second, ten times as often as the tenth; nearly all are read."""
    targets = make_traffic(1).targets
    read = Counter(parse_qs(target)["url"][0] for target in targets).most_common()
    harmonic = sum(1 / rank for rank in range(1, PAGES + 1))
    for rank in (1, 2, 10):
        expected = len(targets) / rank / harmonic
        assert 0.8 * expected < read[rank - 1][1] < 1.25 * expected
    assert len(read) > 0.9 * PAGES
