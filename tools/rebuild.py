"""`make rebuild FROM=… TO=…` or `TIMEZONE=1`: counts days of the running stack anew, with progress."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence

import psycopg
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from services.rollup.rebuild import Busy, Rebuilt
from services.rollup.rebuild_command import GOES_ON, BadRange, range_of, steps, why_not
from services.rollup.redate import Moved
from services.settings import SettingsError, load_settings
from tools.arguments import Argument, words_given
from tools.stack import NoStack, running_urls

ARGUMENTS = (
    Argument("FROM", "first day to count anew, 2026-11-01"),
    Argument("TO", "last day to count anew, 2026-11-07"),
    Argument("TIMEZONE", "1: all days, after another `REPORT_TIMEZONE`; stands alone"),
)


def main(arguments: Sequence[str]) -> int:
    """0, or 1 with an error that says what to do."""
    try:
        asked, settings = range_of(arguments), load_settings()
        with psycopg.connect(running_urls()["OWNER_DATABASE_URL"], connect_timeout=5) as connection:
            found = with_progress(steps(connection, asked, settings.retention_days))
    except (BadRange, Busy, NoStack) as error:
        print(error, file=sys.stderr)
        return 1
    except SettingsError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return 1
    except psycopg.Error as error:
        print(f"PostgreSQL: {type(error).__name__}. {GOES_ON.capitalize()}.", file=sys.stderr)
        return 1
    return report(found)


def with_progress(found: Iterable[Moved | Rebuilt]) -> list[Rebuilt]:
    """The days that were counted anew, each said on standard error when it is done."""
    moved, days = 0, []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("reading")
        for step in found:
            if isinstance(step, Moved):
                moved += step.hits
                said = f"{step.day}: {moved:,} hits moved to another day"
            else:
                days.append(step)
                said = f"{step.day}: {len(days)} days counted anew"
            progress.update(task, description=said)
    if moved:
        print(f"{moved:,} hits moved to their day in REPORT_TIMEZONE")
    return days


def report(found: list[Rebuilt]) -> int:
    """Say what changed and what did not; 1 where a day was refused."""
    cells: Counter[str] = Counter()
    for rebuilt in found:
        cells.update(rebuilt.cells)
        if rebuilt.titles:
            cells["rollup_titles"] += rebuilt.titles
        if rebuilt.partition_made:
            print(f"{rebuilt.day}: its partition was missing and is made again")
        if rebuilt.gone:
            print(f"{rebuilt.day} is not counted anew: {why_not(rebuilt)}", file=sys.stderr)
    for table, number in cells.items():
        print(f"{table}: {number:,} cells were wrong")
    refused = sum(1 for rebuilt in found if rebuilt.gone)
    hits = sum(rebuilt.hits for rebuilt in found)
    print(
        f"{len(found) - refused} days counted anew, {hits:,} hits, {sum(cells.values()):,} cells were wrong"
    )
    return 1 if refused else 0


if __name__ == "__main__":
    try:
        sys.exit(main(words_given(ARGUMENTS)))
    except KeyboardInterrupt:
        sys.exit(f"interrupted: {GOES_ON}")
