"""docs/commands.md and `make help-NAME`: made from the Makefile's help lines and each program's own text.

Of a program: the text at the top of its module, and its ``ARGUMENTS``.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tools.arguments import Argument

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/commands.md"
_TARGET = re.compile(r"^([a-z-]+):.*?## (.*)\n((?:\t.*\n)*)", re.MULTILINE)
_PROGRAM = re.compile(r"\$\(PY\) -m ([a-z_.]+)")
HEAD = """\
<!-- Made by `make generated` from the Makefile and the programs' own texts; do not edit. -->
# Commands

`make` alone lists them, `make help-NAME` prints what stands here of one, such as `make help-demo`.
Variables stand behind the command, `make demo DAYS=90`, or in the environment; a value arrives as it is written.
Those beside a running stack take the one of `DATA_DIR`; the settings are in [.env.example](../.env.example).
"""


class Command(NamedTuple):
    """A target of the Makefile. ``program`` is the module that it runs, where it is one that has a text."""

    name: str
    help: str
    program: str = ""


def commands(makefile: str) -> Iterator[Command]:
    """Those that have a help line, in their order."""
    for name, words, recipe in _TARGET.findall(makefile):
        programs = _PROGRAM.findall(recipe)
        yield Command(name, words, programs[0] if len(programs) == 1 else "")


def module_of(program: str) -> str:
    """The module that ``python -m`` runs."""
    package = ROOT.joinpath(*program.split("."), "__main__.py")
    return f"{program}.__main__" if package.exists() else program


def arguments_of(command: Command) -> tuple[Argument, ...]:
    """The variables that a command takes. Raises ImportError where its program's packages are not installed."""
    if not command.program:
        return ()
    module = module_of(command.program)
    request = module.replace(".__main__", ".request")  # where what is asked for has a module of its own
    found = next((name for name in (request, module) if importlib.util.find_spec(name)), module)
    return tuple(getattr(importlib.import_module(found), "ARGUMENTS", ()))


def text_of(command: Command) -> str:
    """What its program says of itself, without the line that repeats the command."""
    if not command.program:
        return ""
    text = importlib.import_module(module_of(command.program)).__doc__ or ""
    return re.sub(r"``([^`]+)``", r"`\1`", text.strip())


def section(command: Command) -> str:
    """Of one command, as Markdown."""
    lines = [f"## make {command.name}", f"{command.help}.", ""]
    if text := text_of(command):
        lines += [text, ""]
    if arguments := arguments_of(command):
        lines += ["| variable | default | |", "| --- | --- | --- |"]
        for name, words, default in arguments:
            lines.append(f"| `{name}` | {f'`{default}`' if default else ''} | {words} |")
        lines.append("")
    return "\n".join(lines)


def page(makefile: str) -> str:
    """The whole of docs/commands.md."""
    return "\n".join([HEAD, *(section(command) for command in commands(makefile))]).rstrip() + "\n"


def main(arguments: list[str]) -> int:
    """Write the page, or print what stands there of the command that is named; 1 where there is none."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    if not arguments:
        PAGE.write_text(page(makefile), "utf-8")
        return 0
    found = [command for command in commands(makefile) if command.name == arguments[0]]
    if not found:
        print(f"make {arguments[0]}: there is none; make lists all", file=sys.stderr)
        return 1
    print(section(found[0]).rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
