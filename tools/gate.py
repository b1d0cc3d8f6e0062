"""`make test`: everything that must be green to deploy. Ends with the test runner's own closing lines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent
STEPS: tuple[tuple[str, list[str]], ...] = (
    ("style", [str(BIN / "ruff"), "check", "--quiet", "services", "tools", "grafana", "bench", "tests"]),
    (
        "format",
        [str(BIN / "ruff"), "format", "--quiet", "--check", "services", "tools", "grafana", "bench", "tests"],
    ),
    ("types", [str(BIN / "mypy"), "--no-error-summary"]),
    ("tests", [sys.executable, "-m", "pytest", "-q"]),
)


def main(arguments: list[str]) -> int:
    """0 when all steps passed; all of them run, the tests last."""
    failed = []
    for name, command in STEPS:
        print(f"== {name}", flush=True)
        extra = arguments if name == "tests" else []
        if subprocess.run(
            [*command, *extra], check=False, env={**os.environ, "PYTHONUNBUFFERED": "1"}
        ).returncode:
            failed.append(name)
    if failed and "tests" not in failed:
        print(f"failed: {', '.join(failed)} (see above)", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
