"""A bar on standard error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


@contextlib.contextmanager
def progress_bar(what: str, whole: int) -> Iterator[Callable[[int], None]]:
    """A function that moves the bar on by so many, from any thread."""
    times = TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *times,
        console=Console(stderr=True),
    ) as progress:
        task = progress.add_task(what, total=whole)
        yield lambda number: progress.advance(task, number)
