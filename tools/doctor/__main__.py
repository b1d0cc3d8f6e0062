"""`make doctor`: looks from outside for what goes wrong in practice, and says how to mend it; see docs/doctor.md.

A line a check, then what each fault means and what mends it. Reads only, and sends the outside address hits that are
not counted. Ends with 1 where something is wrong; what could not be asked is no fault.
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Iterator, Sequence

from services.settings import SettingsError
from tools.arguments import Argument, BadRequest
from tools.check import Progress
from tools.doctor.check import Outcome
from tools.doctor.checks import CHECKS
from tools.doctor.installation import (
    DEFAULT_HOURS,
    Installation,
    asked_of,
    find_installation,
)
from tools.stack import NoStack

ARGUMENTS = (
    Argument("URL", "the pixel's address as it stands in the tag, without `/a.js`; also PIXEL_PUBLIC_URL"),
    Argument("PAGE", "a page of yours that has the tag"),
    Argument("BACKUPS", "the folder in which your backups lie"),
    Argument("HOURS", "how far back readers are looked at", str(DEFAULT_HOURS)),
    Argument("HTTP_PORT", "where the outside address answers over plain HTTP", "80"),
    Argument("JSON", "1: what is found, for programs"),
)
COLOURS = {"ok": "32", "warning": "33", "wrong": "31", "not asked": "2"}
WIDTH = 110


def outcomes(installation: Installation) -> list[Outcome]:
    """What comes of all checks, with progress. Raises ``SettingsError``."""
    progress, found = Progress(), []
    for place, check in enumerate(CHECKS, 1):
        progress(f"{check.name} ({place} of {len(CHECKS)})")
        found.append(check.outcome(installation))
    progress.end()
    return found


def lines(found: Sequence[Outcome], *, is_coloured: bool) -> Iterator[str]:
    """A line a check, then what each fault means and how to mend it."""
    for outcome in found:
        state = f"{outcome.state:9}"
        if is_coloured:
            state = f"\033[{COLOURS[outcome.state]}m{state}\033[0m"
        yield f"{state}  {outcome.check:14}  {outcome.says}"
    for outcome in found:
        for fault in outcome.faults:
            yield ""
            yield f"{outcome.check}, {fault.name} ({fault.level})"
            yield from textwrap.wrap(fault.means, WIDTH, initial_indent="    ", subsequent_indent="    ")
            yield from textwrap.wrap(fault.mend, WIDTH, initial_indent="    → ", subsequent_indent="      ")


def summary(found: Sequence[Outcome]) -> str:
    """How many of each, in a line."""
    states = [outcome.state for outcome in found]
    verdict = "doctor found something wrong" if "wrong" in states else "doctor found nothing wrong"
    counts = ", ".join(f"{states.count(state)} {state}" for state in COLOURS if state in states)
    return f"{verdict}: {counts}"


def json_of(found: Sequence[Outcome]) -> str:
    """The same for programs."""
    checks = [
        {**outcome._asdict(), "faults": [fault._asdict() for fault in outcome.faults]} for outcome in found
    ]
    is_well = not any(outcome.state == "wrong" for outcome in found)
    return json.dumps({"passed": is_well, "checks": checks}, indent=2, ensure_ascii=False)


def main() -> int:
    """0 where nothing is wrong, 1 where something is, 2 where what was asked for cannot be."""
    try:
        asked = asked_of(os.environ)
        found = outcomes(find_installation(asked))
    except BadRequest as error:
        print(error, file=sys.stderr)
        return 2
    except (NoStack, SettingsError) as error:
        print(error, file=sys.stderr)
        return 1
    if asked.json:
        print(json_of(found))
    else:
        print("\n".join(lines(found, is_coloured=sys.stdout.isatty())))
        print(f"\n{summary(found)}")
    return 1 if any(outcome.state == "wrong" for outcome in found) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted; nothing was changed")
