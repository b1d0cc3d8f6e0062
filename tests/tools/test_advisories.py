"""Known weaknesses of dependencies are found and named, by the real pip-audit where PyPI can be asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.advisories import IGNORED, NoAnswerError, ask, ignored, weaknesses

OLD = "jinja2==2.4.1 --hash=sha256:" + "0" * 64 + "\n"


def test_an_old_package_has_known_weaknesses_unless_they_are_ignored(tmp_path: Path) -> None:
    requirements = tmp_path / "old.txt"
    requirements.write_text(OLD)
    try:
        found = weaknesses(ask(requirements))
    except NoAnswerError as error:
        pytest.skip(f"PyPI's advisories cannot be asked here: {error}")
    assert found and all(line.startswith("jinja2 2.4.1: ") for line in found)
    names = [line.split()[2].rstrip(",") for line in found]
    assert weaknesses(ask(requirements, names)) == []


def test_who_cannot_be_asked_is_no_all_clear(tmp_path: Path) -> None:
    with pytest.raises(NoAnswerError):
        ask(tmp_path / "nothing.txt")


def test_a_weakness_is_named_with_what_mends_it() -> None:
    report = {
        "dependencies": [
            {
                "name": "a",
                "version": "1",
                "vulns": [{"id": "X-1", "fix_versions": ["1.1", "2"], "aliases": []}],
            },
            {"name": "b", "version": "2", "vulns": []},
            {"name": "c", "version": "3", "skip_reason": "not on PyPI"},
            {"name": "d", "version": "4", "vulns": [{"id": "X-2", "fix_versions": []}]},
        ]
    }
    assert weaknesses(report) == ["a 1: X-1, mended in 1.1, 2", "d 4: X-2, mended in no version"]


def test_ignored_weaknesses_have_a_reason() -> None:
    assert ignored("# why\n\nX-1  a parser that we do not use\nX-2 # later\n") == ["X-1", "X-2"]
    for line in IGNORED.read_text().splitlines():
        assert line.startswith("#") or not line or len(line.split()) > 3, f"say why: {line}"
