"""docs/performance.md from the last results: tables from figures, prose from bench/performance.md.

``python -m bench.page`` writes it, as ``make generated`` and a run of ``make bench`` do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.catalogue import ENTRIES, PARTS, Entry, Part
from bench.compare import load_results, runs_of, verdict
from bench.figures import RESULTS, named_at, readable

TEMPLATE = Path(__file__).with_name("performance.md")
KEPT = Path(__file__).with_name("kept")
SOAK = KEPT / "soak.json"
PAGE = Path(__file__).parents[1] / "docs/performance.md"
GATED_AT_HITS = 10_000_000  # gates beside stored hits are for so many
HEAD = ("| figure | gate | aim | seen | spread | |", "| --- | --- | --- | --- | --- | --- |")
FULL_HITS, FULL_REPEATS = 200_000, 5
UNITS = {"us": "µs"}


def page(results: dict[str, Any]) -> str:
    """The whole page."""
    made: dict[str, Callable[[], str]] = {
        "@machine": lambda: machine_line(results),
        "@notes": lambda: "\n".join(f"- {note}" for note in results["notes"]),
        "@soak": soak_table,
        "@tables": lambda: tables(results["figures"]),
    }
    paragraphs = []
    for paragraph in TEMPLATE.read_text("utf-8").rstrip("\n").split("\n\n"):
        if paragraph.startswith("@kept "):
            paragraphs.append(kept_table(paragraph.removeprefix("@kept ")))
        else:
            paragraphs.append(made[paragraph]() if paragraph in made else paragraph)
    return "\n\n".join(filter(None, paragraphs)) + "\n"


def machine_line(results: dict[str, Any]) -> str:
    """On what, and how thoroughly, it was measured."""
    machine, hits, repeats = results["machine"], results["hits"], results["repeats"]
    versions = ", ".join(
        f"{name} {str(machine[name]).split()[0]}"
        for name in ("postgresql", "redis-server", "valkey", "python", "aiohttp", "wrk", "nginx", "caddy")
        if name in machine
    )
    text = (
        f"Measured by `make bench` on {results['measured_on']}: {machine['cores']} cores ({machine['cpu']}, "
        f"{machine['memory_mb'] / 1000:.0f} GB), the generator on board; {versions}.\n"
        f"Pipeline runs of {hits:,} hits, {repeats} rounds, saturated with keep-alive, `appendfsync always`, "
        f"sealing and ledger on unless said; others kept the machine {machine['busy_before_percent']} % busy before."
    )
    if hits < FULL_HITS or repeats < FULL_REPEATS:
        text += f"\nA shorter run than the usual {FULL_REPEATS} rounds of {FULL_HITS:,} hits."
    return text


def tables(figures: dict[str, Any]) -> str:
    """One for each part, and what the run did not measure."""
    stored = figures.get("stored_hits", {}).get("value", 0)
    texts = [part_table(part, figures, stored) for part in PARTS]
    missing = [name for entry in ENTRIES.values() if (name := named_at(entry.name, stored)) not in figures]
    if missing:
        texts.append(f"Not measured by this run: {', '.join(f'`{name}`' for name in missing)}.")
    return "\n\n".join(filter(None, texts))


def part_table(part: Part, figures: dict[str, Any], stored: float) -> str:
    """A heading and a table; empty when nothing of it was measured. ``stored``: how many hits were."""
    judged = part.name != "stored" or stored == GATED_AT_HITS
    lines = []
    for entry in part.figure:
        name = named_at(entry.name, stored)
        if name in figures:
            found, unit = figures[name], UNITS.get(entry.unit, entry.unit)
            cells = (
                f"{entry.words} (`{name}`, {unit})",
                *map(number, (entry.gate, entry.aim, found["value"])),
                spread_of(found),
                judgement(entry, found, figures, judged),
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([f"## {part.title}", *HEAD, *lines]) if lines else ""


def number(value: float | None) -> str:
    """Three digits, thousands apart; – for none."""
    if value is None:
        return "–"
    return f"{round(value):,}" if abs(value) >= 1_000 else f"{float(readable(value)):g}"


def spread_of(found: dict[str, Any]) -> str:
    """Least and greatest of the rounds."""
    runs = runs_of(found)
    return f"{number(min(runs))}–{number(max(runs))}" if len(runs) > 1 else "–"


def judgement(entry: Entry, found: dict[str, Any], figures: dict[str, Any], judged: bool) -> str:
    """Met or missed; or what the figure beside it says."""
    value = found["value"]
    if entry.beside and entry.beside in figures:
        other = figures[entry.beside]
        return f"beside {number(other['value'])}: {verdict(entry.name, other, found)}"
    if not judged or (entry.gate is None and entry.aim is None):
        return "–"
    for word, wanted in (("gate", entry.gate), ("aim", entry.aim)):
        if wanted is not None and not entry.meets(value, wanted):
            by = f" by {abs(value - wanted) / wanted:.0%}" if wanted else ""
            if word == "gate":
                return f"**gate missed{by}**"
            return f"aim missed{by}" if entry.gate is None else f"gate met, aim missed{by}"
    return "aim met"


def kept_table(name: str) -> str:
    """Figures of a run of their own: bench/kept/NAME.json has columns and, by figure, values. Empty without it."""
    path = KEPT / f"{name}.json"
    if not path.exists():
        return ""
    kept = json.loads(path.read_text("utf-8"))
    lines = [*_kept_lines(kept["columns"], kept["figures"])]
    findings = [f"- {finding}" for finding in kept.get("findings", ())]
    if findings:
        lines += ["", "More than doubles:", "", *findings]
    return "\n".join(lines)


def _kept_lines(columns: list[str], figures: dict[str, list[float | None]]) -> Iterator[str]:
    yield f"| figure | gate | aim | {' | '.join(columns)} |"
    yield "| --- | --- | --- |" + " --- |" * len(columns)
    for name, values in figures.items():
        entry = ENTRIES[name]
        cells = map(number, (entry.gate, entry.aim, *values))
        yield f"| {entry.words}, {UNITS.get(entry.unit, entry.unit)} | {' | '.join(cells)} |"


def soak_table() -> str:
    """The last soak of full length; empty when there was none."""
    if not SOAK.exists():
        return ""
    kept = json.loads(SOAK.read_text("utf-8"))
    lines = [
        "## In the long run",
        f"`make soak` on {kept['measured_on']}: {kept['minutes']} minutes at {kept['rate']:,} hits/s; "
        "medians of the middle and of the last third.",
        "",
        "| | middle third | last third |",
        "| --- | --- | --- |",
        *(
            f"| {name} | {number(before)} | {number(after)} |"
            for name, (before, after) in kept["rows"].items()
        ),
        "",
        *(f"- grows: {finding}" for finding in kept["findings"] or ()),
    ]
    return "\n".join(lines if kept["findings"] else [*lines, "Nothing grew."])


def write_page() -> None:
    """Raises ``BenchError``."""
    PAGE.write_text(page(load_results(RESULTS)), "utf-8")


if __name__ == "__main__":
    write_page()
