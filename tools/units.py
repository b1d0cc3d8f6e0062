"""Tells the tools where the services are that systemd keeps running (tools/systemd): writes DATA_DIR/run/stack.json.

`make run` writes the same file and holds a lock beside it; where no lock ever was, ``tools.stack`` believes it.
"""

from __future__ import annotations

import sys

from services.settings import SettingsError, load_settings
from tools.run import write_urls
from tools.run_grafana import find_grafana
from tools.run_stack import Stack
from tools.stack import LOCK_FILE

# METRICS_PORT of the units.
METRICS_PORTS = {"pixel": 9101, "enricher": 9102, "rollup": 9103}


def main() -> int:
    """0, or 1 with an error that says what to do."""
    try:
        settings = load_settings()
        if (settings.data_dir / "run" / LOCK_FILE).exists():
            print(
                f"DATA_DIR: {settings.data_dir} belongs to a `make run`; name that of the units",
                file=sys.stderr,
            )
            return 1
        write_urls(Stack(settings, METRICS_PORTS, find_grafana()))
    except SettingsError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return 1
    except OSError as error:
        print(f"DATA_DIR: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
