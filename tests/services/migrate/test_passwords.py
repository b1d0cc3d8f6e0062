"""Passwords are made once, each container gets its own, and one can be shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.key_files import PASSWORDS, PASSWORDS_FOR, make_passwords, read_password, share_passwords
from services.migrate.__main__ import main


@pytest.fixture
def key_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KEY_DIR", str(tmp_path))
    for name in ("redis", "enricher"):
        (tmp_path / "for" / name).mkdir(parents=True)
    return tmp_path


def shared(key_dir: Path, name: str) -> dict[str, str]:
    return {path.name: path.read_text() for path in (key_dir / "for" / name).iterdir()}


def test_each_container_gets_the_passwords_that_it_needs(key_dir: Path) -> None:
    assert main(["passwords"]) == 0
    assert shared(key_dir, "redis") == {"redis": read_password(key_dir, "redis")}
    assert shared(key_dir, "enricher").keys() == {"redis", "enricher"}
    assert not (key_dir / "for/pixel").exists(), "no volume, no passwords"
    assert {name for needed in PASSWORDS_FOR.values() for name in needed} | {"analyst"} == set(PASSWORDS)


def test_a_new_password_reaches_who_needs_it_and_the_others_stay(key_dir: Path) -> None:
    make_passwords(key_dir)
    share_passwords(key_dir)
    before = shared(key_dir, "enricher")
    (key_dir / "passwords/redis").unlink()
    make_passwords(key_dir)
    share_passwords(key_dir)
    after = shared(key_dir, "enricher")
    assert after["redis"] == read_password(key_dir, "redis") != before["redis"]
    assert after["enricher"] == before["enricher"]


def test_a_password_is_shown_and_nothing_else(key_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_passwords(key_dir)
    capsys.readouterr()
    assert main(["password", "analyst"]) == 0
    assert capsys.readouterr().out == read_password(key_dir, "analyst") + "\n"


@pytest.mark.parametrize(
    "arguments", [["password"], ["password", "../seal"], ["password", "analyst", "redis"]]
)
def test_what_is_no_password_is_refused(
    key_dir: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    make_passwords(key_dir)
    capsys.readouterr()
    assert main(arguments) == 1
    assert capsys.readouterr().out == ""


def test_an_unknown_word_migrates_nothing(key_dir: Path) -> None:
    assert main(["pasword", "analyst"]) == 1
