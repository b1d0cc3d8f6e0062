"""What a command is asked for: variables of make, which reach its program by the environment and as written.

A program's module has them as ``ARGUMENTS``; docs/commands.md and `make help-NAME` are made from that.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Argument(NamedTuple):
    """A variable that a command takes."""

    name: str
    help: str
    default: str = ""  # as it would be written; empty: none


class BadRequest(Exception):
    """What was asked for cannot be; the text says what to change."""


def given(arguments: Iterable[Argument], environ: Mapping[str, str]) -> dict[str, str]:
    """What is asked for by name; empty is not asked. Raises ``BadRequest``."""
    names = [argument.name for argument in arguments]
    found = {name: environ[name] for name in names if environ.get(name)}
    for name, text in found.items():
        if text != text.encode(errors="ignore").decode():
            raise BadRequest(f"{name}: it is not UTF-8")
    return found


def words_given(arguments: Iterable[Argument]) -> list[str]:
    """NAME=value of each variable that is not empty, then what stands on the program's own command line.

    Who reads them takes the last of a name, so that ``python -m tools.demo DAYS=3`` beats a variable of the shell.
    """
    names = [argument.name for argument in arguments]
    return [*(f"{name}={os.environ[name]}" for name in names if os.environ.get(name)), *sys.argv[1:]]
