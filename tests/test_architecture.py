"""Who may import whom, read from the sources: nothing is imported and nothing can be hidden behind a function."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.hit import Hit, RawHit

ROOT = Path(__file__).resolve().parents[1]
SERVICES = ROOT / "services"
PROCESSES = sorted(path.name for path in SERVICES.iterdir() if (path / "__init__.py").exists())
MODULES = sorted(SERVICES.rglob("*.py"))
# Modules whose package has another name on the index.
PACKAGES = {
    "crawleruseragents": "crawler-user-agents",
    "hypothesis": "hypothesis",
    "multidict": "aiohttp",  # a part of aiohttp's interface; aiohttp requires it
    "yarl": "aiohttp",  # likewise
    "prometheus_client": "prometheus-client",
    "re2": "google-re2",
    "ua_parser": "ua-parser",
    "user_agents": "user-agents",
}


def imports_in(tree: ast.AST) -> Iterator[str]:
    """Full names of everything that is imported anywhere in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def imported_by(path: Path) -> set[str]:
    """Names that a file imports."""
    return set(imports_in(ast.parse(path.read_text())))


def process_of(path: Path) -> str | None:
    """The process that a file belongs to; None: shared."""
    folder = path.relative_to(SERVICES).parts[0]
    return folder if folder in PROCESSES else None


def file_of(name: str) -> Path | None:
    """The file under services/ that an imported name comes from."""
    parts = name.split(".")
    if parts[0] != "services":
        return None
    for length in range(len(parts), 1, -1):
        stem = ROOT.joinpath(*parts[:length])
        for path in (stem.with_suffix(".py"), stem / "__init__.py"):
            if path.exists():
                return path
    return None


def reach_of(process: str) -> set[Path]:
    """The files that a process loads, its own and shared ones, followed through all imports."""
    todo = [path for path in MODULES if process_of(path) == process]
    seen: set[Path] = set()
    while todo:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            todo += [found for name in imported_by(path) if (found := file_of(name))]
    return seen


def third_party(paths: set[Path]) -> set[str]:
    """Top-level modules that are neither ours nor Python's."""
    names = {name.partition(".")[0] for path in paths for name in imported_by(path)}
    return names - set(sys.stdlib_module_names) - {"services"}


def requirements(*extras: str) -> set[str]:
    """Names of the packages that an installation with these extras asks for itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + [line for e in extras for line in project["optional-dependencies"][e]]
    return {line.partition(";")[0].partition(">=")[0].partition("[")[0].strip().lower() for line in lines}


def test_the_processes_are_known() -> None:
    assert PROCESSES == ["door", "enricher", "migrate", "pixel", "rollup"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_process_imports_another_and_what_is_shared_imports_none(path: Path) -> None:
    own = process_of(path)
    imported = {process_of(found) for name in imported_by(path) if (found := file_of(name))}
    assert imported <= {own, None}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_deployed_imports_what_is_not(path: Path) -> None:
    assert not {name.partition(".")[0] for name in imported_by(path)} & {"tools", "tests", "bench", "grafana"}


def test_the_pixel_cannot_reach_the_database() -> None:
    paths = reach_of("pixel")
    assert SERVICES / "settings.py" in paths, "the walk through imports works"
    assert not third_party(paths) & {"psycopg", "psycopg_binary", "asyncpg"}
    assert SERVICES / "database.py" not in paths


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_imports_only_what_its_image_installs(process: str) -> None:
    installed = requirements(process)
    wanted = {PACKAGES.get(name, name).lower() for name in third_party(reach_of(process))}
    assert wanted <= installed


def test_a_raw_hit_has_a_person_and_a_hit_cannot() -> None:
    assert {"address", "user_agent"} <= set(RawHit.__struct_fields__)
    telling = ("address", "agent", "ip", "ua", "client", "peer", "remote", "header", "cookie", "fingerprint")
    names = {part for name in Hit.__struct_fields__ for part in name.split("_")}
    assert not names & set(telling)
    assert "__dict__" not in dir(Hit), "no field can be added"


def reads_the_environment(tree: ast.AST) -> bool:
    """Whether a module reads os.environ or os.getenv, by whatever import."""
    names = {"environ", "environb", "getenv", "getenvb"}
    if any(name in {f"os.{word}" for word in names} for name in imports_in(tree)):
        return True
    return any(
        isinstance(node, ast.Attribute) and node.attr in names
        and isinstance(node.value, ast.Name) and node.value.id == "os"
        for node in ast.walk(tree)
    )  # fmt: skip


def test_the_environment_is_read_in_one_place() -> None:
    readers = [path for path in MODULES if reads_the_environment(ast.parse(path.read_text()))]
    assert readers == [SERVICES / "settings.py"]


@pytest.mark.parametrize(
    "source", ["import os\nx = os.environ['A']", "from os import getenv", "import os\nos.getenv('A')"]
)
def test_a_reader_of_the_environment_would_be_found(source: str) -> None:
    assert reads_the_environment(ast.parse(source))
