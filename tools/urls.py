"""`make urls`: the addresses of the stack running in DATA_DIR, one a line, shell-quoted."""

from __future__ import annotations

import shlex
import sys

from tools.stack import NoStack, running_urls


def main() -> int:
    """0, or 1 when nothing runs."""
    try:
        urls = running_urls()
    except NoStack as error:
        print(error, file=sys.stderr)
        return 1
    for name, value in urls.items():
        print(f"{name}={shlex.quote(value)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
