"""Each link of each Markdown file leads to a file that is there, and to a heading of it."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.guide import ROOT

FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`[^`\n]*`")
NAMED = re.compile(r"\bdocs/[a-z0-9/-]+\.md(?:#[\w-]+)?")


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository, without those that are ignored."""
    said = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = [ROOT / line for line in said.stdout.splitlines() if (ROOT / line).is_file()]
    return found or [path for pattern in patterns for path in ROOT.glob(f"docs/**/{pattern}")]


@cache
def prose_of(path: Path) -> str:
    """A file without its fenced blocks."""
    return FENCED.sub("", path.read_text("utf-8"))


@cache
def anchors_of(path: Path) -> frozenset[str]:
    """What a heading is called in a link; one that comes again has a number behind it."""
    found: Counter[str] = Counter()
    names = []
    for heading in re.findall(r"^#+ (.*)$", prose_of(path), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w -]", "", plain.lower()).strip().replace(" ", "-")
        names.append(f"{name}-{found[name]}" if found[name] else name)
        found[name] += 1
    return frozenset(names)


def wrong_with(link: str, page: Path) -> str:
    """What is wrong with a link of a page; empty: nothing."""
    if re.match(r"[a-z]+:", link):
        return ""
    name, _, anchor = unquote(link).partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.exists():
        return f"{link}: there is no such file"
    if anchor and (target.suffix != ".md" or anchor not in anchors_of(target)):
        return f"{link}: there is no such heading"
    return ""


PAGES = tracked("*.md")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_link_leads_somewhere(path: Path) -> None:
    links = LINK.findall(CODE.sub("", prose_of(path)))
    assert [problem for link in links if (problem := wrong_with(link, path))] == []


def test_what_is_wrong_with_a_link_is_found() -> None:
    page = ROOT / "docs/operating.md"
    for link in ("none.md", "signs.md#none", "#none", "../Makefile#help"):
        assert wrong_with(link, page)
    for link in ("signs.md#metrics", "#by-symptom", "../README.md", "https://example.com/none", "../tools"):
        assert not wrong_with(link, page)


def test_the_pages_that_code_names_are_there() -> None:
    """In messages, comments and settings: `docs/operating.md`, with a heading or without."""
    sources = tracked(
        "*.py", "*.yml", "*.toml", "*.sql", "*.sh", "Makefile", "Dockerfile", "proxy/*", "tools/systemd/*"
    )
    named = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources if "tests" not in path.parts
        for name in NAMED.findall(path.read_text("utf-8", "replace")) if wrong_with(name, ROOT / "README.md")
    }  # fmt: skip
    assert named == set()


def test_every_page_is_reached_from_the_readme() -> None:
    reached, todo = set[Path](), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        names = [
            link.partition("#")[0]
            for link in LINK.findall(prose_of(page))
            if not re.match(r"[a-z]+:|#", link)
        ]
        todo += [target for name in names if (target := (page.parent / name).resolve()).is_file()]
    docs = {path for path in PAGES if path.parent == ROOT / "docs"}
    assert docs - reached == set()
