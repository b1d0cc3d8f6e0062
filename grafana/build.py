"""``python -m grafana.build`` writes the dashboards and the alert rules; ``--check`` fails where they differ.

The same definitions and SQL give the same bytes, so a test can want no difference.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from grafana import alerts
from grafana.dashboard import Dashboard
from grafana.definitions import DASHBOARDS
from grafana.definitions.alerts import ALERTS

FOLDER = Path(__file__).parent / "dashboards"


def rendered(dashboard: Dashboard) -> str:
    """The text of a dashboard's file."""
    return json.dumps(dashboard.to_json(), ensure_ascii=False, indent=2) + "\n"


def wanted(folder: Path) -> dict[Path, str]:
    """The dashboards that the folder must hold, and no other, and the alert rules beside it."""
    rules = folder.parent / "provisioning" / "alerting" / "footfall.yml"
    dashboards = {folder / f"{dashboard.uid}.json": rendered(dashboard) for dashboard in DASHBOARDS}
    return {**dashboards, rules: alerts.rendered(ALERTS)}


def differences(folder: Path) -> list[str]:
    """What is not as built, a line a file; empty: nothing."""
    files = wanted(folder)
    stale = [path for path, text in files.items() if not path.exists() or path.read_text("utf-8") != text]
    foreign = [path for path in sorted(folder.glob("*.json")) if path not in files]
    return [f"{path.name} differs" for path in stale] + [f"{path.name} is not built" for path in foreign]


def write(folder: Path) -> None:
    """Make the folder hold the files as built."""
    files = wanted(folder)
    for path in folder.glob("*.json"):
        if path not in files:
            path.unlink()
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def main(arguments: list[str]) -> int:
    """0, or 1 with what differs on standard error."""
    if arguments == ["--check"]:
        found = differences(FOLDER)
        for line in found:
            print(line, file=sys.stderr)
        if found:
            print("run: python -m grafana.build", file=sys.stderr)
        return 1 if found else 0
    write(FOLDER)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
