"""Where a backup is written: for its owner alone, whole or not at all, and never over another."""

from __future__ import annotations

import datetime
import errno
import stat
from pathlib import Path

import pytest

from services.migrate import age_keys
from services.migrate.backup_command import BadRequest, identities_of, recipients_of
from services.migrate.backup_command import request_of as arguments_of
from tools.backup import PART, make_key, place_of, request_of, whole_file

NOW = datetime.datetime(2026, 11, 23, 18, 45, tzinfo=datetime.UTC)
NAME = "footfall-2026-11-23T184500Z.tar.gz"


def test_a_backup_has_the_time_in_its_name_or_the_name_that_is_given(tmp_path: Path) -> None:
    default = tmp_path / "data/backups"
    assert place_of("", default, NOW, encrypted=False) == default / NAME
    assert stat.S_IMODE(default.stat().st_mode) == 0o700
    assert place_of(str(tmp_path), default, NOW, encrypted=True) == tmp_path / f"{NAME}.age"
    assert place_of(str(tmp_path / "mine"), default, NOW, encrypted=True) == tmp_path / "mine"


def test_nothing_is_written_over_and_no_folder_made_up(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("another")
    with pytest.raises(BadRequest, match="mine is there already, and is left as it is"):
        place_of(str(tmp_path / "mine"), tmp_path, NOW, encrypted=False)
    for out in (f"{tmp_path}/none/x", f"{tmp_path}/none/"):
        with pytest.raises(BadRequest, match="there is no folder"):
            place_of(out, tmp_path, NOW, encrypted=False)


def test_a_file_has_its_name_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / NAME
    with whole_file(path) as file:
        file.write(b"rows")
        assert not path.exists()
        with whole_file(tmp_path / "another"):
            pass  # it leaves alone what is being written
    assert path.read_bytes() == b"rows"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {found.name for found in tmp_path.iterdir()} == {NAME, "another"}


def test_a_full_disk_and_a_kill_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left"), whole_file(tmp_path / NAME) as file:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / f".{NAME}{PART}").write_bytes(b"what a killed run left")
    with whole_file(tmp_path / "next"):
        pass
    assert [found.name for found in tmp_path.iterdir()] == ["next"]


def test_a_new_key_encrypts_and_opens(tmp_path: Path) -> None:
    path = tmp_path / "key"
    public = make_key(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    [private] = identities_of({"KEY_FILE": str(path)})
    assert not isinstance(private, str)
    assert private.public_key() == age_keys.public_key(public)
    with pytest.raises(FileExistsError):
        make_key(str(path))


def test_a_passphrase_is_the_text_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_text(" correct horse \n")
    request = {"PASSPHRASE_FILE": str(path)}
    assert recipients_of(request) == identities_of(request) == [" correct horse "]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"RECIPIENT": "age1nonsense"}, "RECIPIENT: "),
        ({"RECIPIENT": "ssh-ed25519 AAAA"}, "RECIPIENT: write a key that begins with age1"),
        ({"RECIPIENT": age_keys.make_key()[1], "PASSPHRASE_FILE": "x"}, "one of both"),
        ({"PASSPHRASE_FILE": "/nonexistent"}, "cannot read /nonexistent: No such file"),
        ({"PASSPHRASE_FILE": "/dev/null"}, "PASSPHRASE_FILE: /dev/null is empty"),
    ],
)
def test_what_cannot_encrypt_is_said(request_: dict[str, str], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        recipients_of(request_)


def test_what_is_not_understood_is_said() -> None:
    assert request_of({"OUT": "x", "RECIPIENT": "", "HOME": "/"}) == {"OUT": "x"}
    with pytest.raises(BadRequest, match="give it alone"):
        request_of({"OUT": "x", "NEW_KEY": "y"})
    with pytest.raises(BadRequest, match="OUT: not understood; it takes KEY_FILE=, PASSPHRASE_FILE="):
        arguments_of(["OUT=x"], ("KEY_FILE", "PASSPHRASE_FILE"))
    with pytest.raises(BadRequest, match="KEY_FILE: /dev/null: there is no key in it"):
        identities_of({"KEY_FILE": "/dev/null"})
