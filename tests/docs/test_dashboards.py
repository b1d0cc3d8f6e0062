"""docs/dashboards.md names every panel of every dashboard, and none that is not there."""

from __future__ import annotations

import re
from pathlib import Path

from grafana.definitions import DASHBOARDS

TEXT = (Path(__file__).resolve().parents[2] / "docs/dashboards.md").read_text("utf-8")
PANELS = {d.uid: {panel.body["title"] for row in d.rows for panel in row.panels} for d in DASHBOARDS}


def named(text: str) -> dict[str, set[str]]:
    """The panels that tables name, by dashboard: *Title*; *Title* behind `uid`."""
    found: dict[str, set[str]] = {uid: set() for uid in PANELS}
    for uids, titles in re.findall(r"((?:`\w+`(?:, )?)+)(?: \||:)((?:;? \*[^*]+\*)+)", text):
        for uid in re.findall(r"\w+", uids):
            found[uid] |= set(re.findall(r"\*([^*]+)\*", titles))
    return found


def test_every_panel_stands_in_the_list_and_no_other() -> None:
    assert named(TEXT.partition("## Every panel")[2]) == PANELS


def test_the_answers_of_the_yardstick_are_panels() -> None:
    part = TEXT.partition("## The questions")[2].partition("## Every panel")[0]
    answers = named(part)
    assert sum(map(len, answers.values())) > 12
    for uid, titles in answers.items():
        assert titles <= PANELS[uid], uid
