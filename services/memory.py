"""What is in a process's memory stays there: pixel and enricher hold addresses and User-Agents for a moment."""

from __future__ import annotations

import resource


def forbid_core_dumps() -> None:
    """Let no crash write this process's memory to disk, whatever the machine's limits are."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
