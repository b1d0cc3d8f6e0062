"""``python -m services.health URL``: exit 0 when the process behind it is well; for health checks of containers.

``/readyz`` must answer 200; ``/metrics`` must show a heartbeat of the last 30 s, and no enricher that has stopped
because too much would become dead letters. In the place of an address, the path of a Unix socket: somebody must
listen there.
"""

from __future__ import annotations

import socket
import sys
import time
import urllib.request

HEARTBEAT = "footfall_heartbeat_timestamp_seconds "
LONGEST_SILENCE_S = 30
STOPPED = "footfall_enricher_stopped_burying 1.0"


def problem_at(url: str, now_s: float) -> str | None:
    """What is wrong; None: nothing."""
    if url.startswith("/"):
        return _problem_on(url)
    try:
        with urllib.request.urlopen(url, timeout=3) as answer:  # noqa: S310 - of our own services
            text = answer.read().decode()
    except OSError as error:
        return f"{url} does not answer: {error}"
    if not url.endswith("/metrics"):
        return None
    beats = [line for line in text.splitlines() if line.startswith(HEARTBEAT)]
    age_s = now_s - float(beats[0].removeprefix(HEARTBEAT)) if beats else now_s
    if age_s > LONGEST_SILENCE_S:
        return f"{url}: no heartbeat for {age_s:.0f} s"
    return f"{url}: stopped, too many dead letters; see its log" if STOPPED in text.splitlines() else None


def _problem_on(path: str) -> str | None:
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(3)
            probe.connect(path)
    except OSError as error:
        return f"{path} does not answer: {error}"
    return None


if __name__ == "__main__":
    found = problem_at(sys.argv[1], time.time())
    if found:
        print(found, file=sys.stderr)
    sys.exit(1 if found else 0)
