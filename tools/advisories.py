"""``make advisories``: known weaknesses of the dependencies that are shipped, by pip-audit (PyPI's advisories).

Asks PyPI, which is why it is no part of `make test`; CI runs it. A weakness that does not concern us is named with
its reason in requirements/advisories-ignored.txt, a line each: ``PYSEC-2026-1  why``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "requirements/run.txt"
IGNORED = ROOT / "requirements/advisories-ignored.txt"
WITHIN_S = 300


class NoAnswerError(Exception):
    """PyPI's advisories cannot be asked; the text says why."""


def ignored(text: str) -> list[str]:
    """The names of the weaknesses that do not concern us."""
    lines = (line.split("#", 1)[0].split() for line in text.splitlines())
    return [words[0] for words in lines if words]


def ask(requirements: Path, ignoring: Sequence[str] = ()) -> dict[str, Any]:
    """What pip-audit reports of locked requirements. Raises ``NoAnswerError``."""
    options = ["--disable-pip", "--format=json", "--progress-spinner=off"]
    options += [f"--ignore-vuln={name}" for name in ignoring]
    command = [sys.executable, "-m", "pip_audit", f"--requirement={requirements}", *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=WITHIN_S)
        report: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise NoAnswerError(f"no answer within {WITHIN_S} s") from None
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise NoAnswerError(last) from None
    if all("skip_reason" in item for item in report["dependencies"]):
        raise NoAnswerError("PyPI here has no advisories (a mirror?)")
    return report


def weaknesses(report: dict[str, Any]) -> list[str]:
    """A line for each weakness: the package, what it is called, and the version that mends it."""
    return [
        f"{item['name']} {item['version']}: {found['id']}, mended in "
        + (", ".join(found["fix_versions"]) or "no version")
        for item in report["dependencies"]
        for found in item.get("vulns", ())
    ]


def main() -> int:
    """0: none known, or nobody to ask, which is said; 1: there are some."""
    try:
        report = ask(SHIPPED, ignored(IGNORED.read_text()))
    except NoAnswerError as error:
        print(f"advisories: skipped: {error}")
        return 0
    not_asked = [item["name"] for item in report["dependencies"] if "skip_reason" in item]
    if not_asked:
        print(f"advisories: not known to PyPI: {', '.join(not_asked)}")
    found = weaknesses(report)
    for line in found:
        print(line)
    print(
        f"advisories: {len(report['dependencies']) - len(not_asked)} packages, {len(found)} known weaknesses"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
