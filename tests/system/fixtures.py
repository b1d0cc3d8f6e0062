"""Stacks for the tests that look from outside."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.stack import ROOT, Stack


@pytest.fixture(scope="session")
def make_stack() -> Iterator[Callable[..., Stack]]:
    """Starts stacks with settings of their own; all are stopped at the end."""
    stacks: list[Stack] = []

    def make(start: bool = True, root: Path = ROOT, **settings: str) -> Stack:
        # Not pytest's own folders: those are closed to the user that the servers run as.
        folder = Path(tempfile.mkdtemp(prefix="footfall-stack-"))
        folder.chmod(0o755)
        stack = Stack(folder, dict(settings), root=root)
        stacks.append(stack)
        if start:
            stack.start()
        return stack

    yield make
    for stack in stacks:
        if stack.process is not None:
            stack.stop()
        shutil.rmtree(stack.data_dir, ignore_errors=True)


@pytest.fixture(scope="session")
def stack(make_stack: Callable[..., Stack]) -> Stack:
    """One stack with the default settings, shared by tests that do not break it."""
    return make_stack()


@pytest.fixture(scope="session")
def grafana_stack(make_stack: Callable[..., Stack]) -> Stack:
    """A stack with a Grafana, where there is one, that tells its alerts to a webhook."""
    if not (shutil.which("grafana") or shutil.which("grafana-server")):
        pytest.skip("no program `grafana` on PATH")
    return make_stack(
        ALERT_WEBHOOK_URL="http://127.0.0.1:9/a$b",
        ALERT_WEBHOOK_TOKEN="s3cret$c",
        GRAFANA_PUBLIC_URL="https://stats.example/g",
    )
