"""What stands behind `make NAME` reaches its program as written, for every target; and each command has its help."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.arguments import Argument, words_given
from tools.commands import PAGE, ROOT, arguments_of, commands, page

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
COMMANDS = {command.name: command for command in commands(MAKEFILE)}
TEXTS = (
    """it's "quoted" `id` ; exit 1 # é""",
    "$(shell touch {mark}) $(error no) $$ $1 ${{HOME}} $(TEXT)",
    """' ; touch {mark} ; '""",
    "`touch {mark}` \\ \\n \\",
    "first\n\ttouch {mark}\nlast",
    '" ; touch {mark} ; "',
)
# Stands in the place of the Python of .venv: what a program would be given is written down.
WRITES = f"""\
#!{sys.executable}
import json, os, sys
with open(os.environ["GIVEN"], "w") as file:
    json.dump([sys.argv[1:], dict(os.environ)], file)
"""


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the Makefile takes for its .venv."""
    folder = tmp_path_factory.mktemp("venv")
    (folder / "bin").mkdir()
    (folder / "bin/python").write_text(WRITES)
    (folder / "bin/python").chmod(0o755)
    (folder / "datasette").mkdir()
    for name in ("pyvenv.cfg", ".run", ".dev", ".export", "datasette/.installed"):
        (folder / name).touch()
    return folder


def given(venv: Path, tmp_path: Path, *arguments: str, **environ: str) -> tuple[list[str], dict[str, str]]:
    """Arguments and environment of the program that `make` starts."""
    file = tmp_path / "given"
    shell = {"PATH": "/usr/bin:/bin", "GIVEN": str(file), **environ}
    subprocess.run(["make", *arguments, f"VENV={venv}"], cwd=ROOT, env=shell, check=True, timeout=30)
    words, found = json.loads(file.read_text())
    return words, found


@pytest.mark.parametrize("name", [name for name in COMMANDS if COMMANDS[name].program])
def test_each_command_takes_any_text(venv: Path, tmp_path: Path, name: str) -> None:
    mark = tmp_path / "ran"
    # All texts for each command, though it may have fewer variables yet.
    names = [argument.name for argument in arguments_of(COMMANDS[name])] + [
        f"LATER_{n}" for n, _ in enumerate(TEXTS)
    ]
    texts = dict(zip(names, (text.format(mark=mark) for text in itertools.cycle(TEXTS)), strict=False))
    words, environ = given(venv, tmp_path, name, *(f"{variable}={text}" for variable, text in texts.items()))
    assert {variable: environ.get(variable) for variable in names} == texts
    assert words[0] == "-m", "nothing of it stands on the command line"
    assert len(words) == 2
    assert not mark.exists()


def test_a_variable_of_the_shell_arrives_too(venv: Path, tmp_path: Path) -> None:
    for text in TEXTS:
        _, environ = given(venv, tmp_path, "annotate", TEXT=text)
        assert environ["TEXT"] == text
    assert "TEXT" not in given(venv, tmp_path, "annotate")[1]


def test_what_is_given_is_read_before_the_programs_own_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYS", "90")
    monkeypatch.setenv("SEED", "")
    monkeypatch.setattr(sys, "argv", ["demo", "DAYS=3"])
    assert words_given([Argument("DAYS", ""), Argument("SEED", "")]) == ["DAYS=90", "DAYS=3"]


def test_each_variable_of_a_help_line_is_explained() -> None:
    named = {name: set(re.findall(r"\b([A-Z_]{2,})=", COMMANDS[name].help)) for name in COMMANDS}
    named["urls"].remove("NAME")  # what it prints
    assert named["demo"] >= {"DAYS", "SEED"}, "the search is broken"
    missing = {name: named[name] - {a.name for a in arguments_of(COMMANDS[name])} for name in COMMANDS}
    assert {name: variables for name, variables in missing.items() if variables} == {}


def test_no_recipe_names_a_variable_of_its_command() -> None:
    variables = {argument.name for command in COMMANDS.values() for argument in arguments_of(command)}
    assert [name for name in variables if re.search(rf"\$[({{]{name}[)}}]", MAKEFILE)] == []


def test_each_target_has_a_help_line() -> None:
    targets = set(re.findall(r"^([a-z-]+):(?!=)", MAKEFILE, re.MULTILINE))
    assert targets - set(COMMANDS) == set()
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony
    assert set(phony[1].split()) == targets


def test_the_page_of_the_commands_is_current() -> None:
    assert PAGE.read_text("utf-8") == page(MAKEFILE), "make generated"


def test_make_helps_with_one_command() -> None:
    def said(name: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["make", f"help-{name}"], cwd=ROOT, capture_output=True, text=True, check=False)

    demo = said("demo")
    assert demo.returncode == 0, demo.stderr
    assert "| `DAYS` | `0` |" in demo.stdout
    assert "| `SEED` | `1` |" in demo.stdout
    assert "make nonsense: there is none" in said("nonsense").stderr
