"""The rules on public lists of User-Agents that others labelled, read where the packages lie: nothing is copied.

What was used for what:

- fake-useragent (Apache-2.0): browsers of real visitors. No rule was made from it: held out.
- device-detector (fixtures of Matomo, LGPL-3): of each list the half whose CRC-32 is even was read while the rules
  were made (development), the other half was only measured (held out). Both halves must hold.

A new version of a package may add agents that nobody here has seen: that is what this test is for. Mend a miss by a
rule that is general, or write down here that the held-out half is no longer one.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from services.enricher.bots import Bots

BOTS = Bots()
MIN_RECALL = 0.97
MAX_FALSE = 0.005
MATOMO = Path("tests/fixtures/upstream")
HALVES = {"development": 0, "held out": 1}


def data_of(package: str) -> Path:
    spec = find_spec(package)  # not imported: its program is of no use here
    assert spec is not None, f"{package} is not installed: make test installs requirements/dev.txt"
    assert spec.origin is not None
    return Path(spec.origin).parent


def half(agents: Iterable[str], part: str) -> list[str]:
    return sorted({agent for agent in agents if zlib.crc32(agent.encode()) & 1 == HALVES[part]})


def matomo(name: str) -> list[dict[str, object]]:
    text = (data_of("device_detector") / MATOMO / name).read_text(encoding="utf-8")
    rows: list[dict[str, object]] = yaml.load(text, yaml.CSafeLoader)
    return rows


def share(said: list[str], agents: list[str]) -> str:
    some = "\n  ".join(said[:20])
    return f"{len(said)} of {len(agents)} ({len(said) / len(agents):.2%}), the first:\n  {some}"


@pytest.mark.parametrize("part", HALVES)
def test_matomos_bots_are_bots(part: str) -> None:
    agents = half((str(row["user_agent"]) for row in matomo("bots.yml")), part)
    assert len(agents) > 500
    missed = [agent for agent in agents if BOTS.bot_of(agent) is None]
    assert len(missed) <= (1 - MIN_RECALL) * len(agents), f"{part}: missed {share(missed, agents)}"


@pytest.mark.parametrize("part", HALVES)
@pytest.mark.parametrize("name", ["desktop.yml", "smartphone.yml"])
def test_matomos_browsers_are_people(name: str, part: str) -> None:
    agents = half(
        (
            str(row["user_agent"])
            for row in matomo(name)
            if isinstance(client := row.get("client"), dict) and client.get("type") == "browser"
        ),
        part,
    )
    assert len(agents) > 100
    wrong = [agent for agent in agents if BOTS.bot_of(agent) is not None]
    assert len(wrong) <= MAX_FALSE * len(agents), f"{part}: said to be bots {share(wrong, agents)}"


def test_real_visitors_are_people() -> None:
    lines = (data_of("fake_useragent") / "data/browsers.jsonl").read_text(encoding="utf-8").splitlines()
    agents = sorted({str(json.loads(line)["useragent"]) for line in lines})
    assert len(agents) > 500
    wrong = [agent for agent in agents if BOTS.bot_of(agent) is not None]
    assert len(wrong) <= MAX_FALSE * len(agents), f"held out: said to be bots {share(wrong, agents)}"
