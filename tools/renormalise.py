"""`make renormalise`: reads the hits of the running stack again by the rules of this version, with progress."""

from __future__ import annotations

import sys
from typing import LiteralString

import psycopg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.enricher.renormalise import SKIPPED, OtherSites, days_to_read, renormalise
from services.rules import VERSION
from services.settings import SettingsError, load_settings
from tools.stack import NoStack, running_urls

# Shown on the curves: from then on sources and bots of earlier days may be others.
NOTE: LiteralString = "insert into annotations (begins_at, kind, text) values (now(), 'rules', %s)"


def main() -> int:
    """0, or 1 with an error that says what to do."""
    try:
        settings = load_settings()
        with psycopg.connect(running_urls()["OWNER_DATABASE_URL"], connect_timeout=5) as connection:
            days = days_to_read(connection, settings)
            rows = skipped = 0
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            with Progress(*columns, console=Console(stderr=True)) as progress:
                task = progress.add_task("sites' days", total=len(days))
                for step in renormalise(connection, settings, days):
                    rows += step.rows
                    skipped += step.is_skipped
                    progress.update(
                        task,
                        description=f"{step.day} {step.site}, {rows:,} hits changed",
                        advance=step.is_last,
                    )
            if rows:
                connection.execute(NOTE, [f"Earlier hits were read again by version {VERSION} of the rules"])
    except (NoStack, OtherSites) as error:
        print(error, file=sys.stderr)
        return 1
    except SettingsError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return 1
    except psycopg.Error as error:
        print(
            f"PostgreSQL: {type(error).__name__}. Run `make renormalise` again: it goes on where it was.",
            file=sys.stderr,
        )
        return 1
    print(f"rules {VERSION}: {len(days) - skipped} sites' days read, {rows:,} hits changed")
    if skipped:
        print(f"SITES: {skipped} sites' days were not read: {SKIPPED}", file=sys.stderr)
    return 1 if skipped else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted: `make renormalise` goes on where it was")
