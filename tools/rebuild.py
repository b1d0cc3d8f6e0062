"""`make rebuild FROM=… TO=…`: counts days of the running stack anew, with progress."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence

import psycopg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.rollup.compare import days_known
from services.rollup.rebuild import Busy, Rebuilt, rebuild
from services.rollup.rebuild_command import GOES_ON, BadRange, range_of, why_not
from tools.stack import NoStack, running_urls


def main(arguments: Sequence[str]) -> int:
    """0, or 1 with an error that says what to do."""
    try:
        asked = range_of(arguments)
        with psycopg.connect(running_urls()["OWNER_DATABASE_URL"], connect_timeout=5) as connection:
            days = days_known(connection, *asked)
            found = with_progress(rebuild(connection, days), len(days))
    except (BadRange, Busy, NoStack) as error:
        print(error, file=sys.stderr)
        return 1
    except psycopg.Error as error:
        print(f"PostgreSQL: {type(error).__name__}. {GOES_ON.capitalize()}.", file=sys.stderr)
        return 1
    return report(found)


def with_progress(steps: Iterable[Rebuilt], number: int) -> list[Rebuilt]:
    """All of them, with a bar on standard error."""
    found = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("days", total=number)
        for rebuilt in steps:
            found.append(rebuilt)
            progress.update(task, description=str(rebuilt.day), advance=1)
    return found


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
        print(f"{table}: {number} cells were wrong")
    refused = sum(1 for rebuilt in found if rebuilt.gone)
    hits = sum(rebuilt.hits for rebuilt in found)
    print(
        f"{len(found) - refused} days counted anew, {hits:,} hits, {sum(cells.values()):,} cells were wrong"
    )
    return 1 if refused else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(f"interrupted: {GOES_ON}")
