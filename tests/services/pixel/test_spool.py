"""The spool on disk: in order, whole or not at all, through crashes."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pixel.spool import (
    DAMAGED_NAME,
    FILE_NAME,
    HEAD,
    HOLDER_NAME,
    MAX_SLOTS,
    Spool,
    SpoolFull,
    SpoolUnusable,
    take_slot,
)

ROOMY = 1 << 20


def drain(spool: Spool) -> list[bytes]:
    """All that waits, taken as sent."""
    sent = []
    while groups := spool.next_groups(3, ROOMY):
        sent += groups
        spool.mark_sent(groups)
    return sent


@given(records=st.lists(st.binary(min_size=1, max_size=300), max_size=20))
def test_what_goes_in_comes_out_in_order(
    records: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    spool = Spool(tmp_path_factory.mktemp("spool"), ROOMY)
    for record in records:
        spool.append(record)
    assert drain(spool) == records
    assert spool.is_empty
    spool.close()


def test_what_was_not_sent_survives_a_crash_and_comes_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ROOMY)
    for record in (b"one", b"two", b"three"):
        spool.append(record)
    spool.mark_sent([b"one"])
    spool.close()
    # From the beginning: the enricher knows a group by its number.
    again = Spool(tmp_path, ROOMY)
    assert drain(again) == [b"one", b"two", b"three"]
    again.close()
    assert (tmp_path / FILE_NAME).stat().st_size == 0


@pytest.mark.parametrize("lost_bytes", range(1, HEAD.size + 6))
def test_a_torn_record_at_the_end_is_cut_off(tmp_path: Path, lost_bytes: int) -> None:
    spool = Spool(tmp_path, ROOMY)
    spool.append(b"whole")
    spool.append(b"torn!")
    spool.close()
    path = tmp_path / FILE_NAME
    os.truncate(path, path.stat().st_size - lost_bytes)
    again = Spool(tmp_path, ROOMY)
    again.append(b"next")
    assert drain(again) == [b"whole", b"next"]
    again.close()


def test_garbage_at_the_end_is_cut_off(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ROOMY)
    spool.append(b"whole")
    spool.close()
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(b"\xff" * 50)
    again = Spool(tmp_path, ROOMY)
    assert drain(again) == [b"whole"]
    again.close()


def test_zeros_at_the_end_are_no_groups(tmp_path: Path) -> None:
    """What a power cut leaves of a file that had just grown; they would be buried, one dead letter for 8 bytes."""
    spool = Spool(tmp_path, ROOMY)
    spool.append(b"whole")
    spool.close()
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(bytes(4_096))
    again = Spool(tmp_path, ROOMY)
    assert (drain(again), again.cut_bytes) == ([b"whole"], 4_096)
    again.close()


def test_on_a_full_disk_a_pixel_begins_with_what_was_written_whole(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ROOMY)
    spool.append(b"whole")
    spool.close()
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(b"torn, as the disk was full")
    (tmp_path / DAMAGED_NAME).symlink_to("/dev/full")
    again = Spool(tmp_path, ROOMY)
    again.append(b"next")
    assert drain(again) == [b"whole", b"next"]
    again.close()
    assert (tmp_path / FILE_NAME).stat().st_size == 0


def test_what_comes_after_a_spool_was_emptied_on_a_failing_disk_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    spool = Spool(tmp_path, ROOMY)
    spool.append(b"one")
    with monkeypatch.context() as patched, pytest.raises(OSError, match="Input/output"):
        patched.setattr(os, "fsync", failing)
        spool.mark_sent([b"one"])
    spool.append(b"two")
    spool.close()
    again = Spool(tmp_path, ROOMY)
    assert (drain(again), again.cut_bytes) == ([b"two"], 0)
    again.close()


def test_a_slot_that_cannot_be_used_is_not_kept_from_others(tmp_path: Path) -> None:
    (tmp_path / HOLDER_NAME).mkdir()
    with pytest.raises(SpoolUnusable, match="SPOOL_DIR"):
        Spool(tmp_path, ROOMY)
    (tmp_path / HOLDER_NAME).rmdir()
    Spool(tmp_path, ROOMY).close()


def test_what_is_cut_off_is_set_aside(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ROOMY)
    for record in (b"one", b"two", b"three"):
        spool.append(record)
    spool.close()
    path = tmp_path / FILE_NAME
    content = bytearray(path.read_bytes())
    content[HEAD.size + 3 + HEAD.size] ^= 1  # a flipped bit in "two"
    path.write_bytes(content)
    again = Spool(tmp_path, ROOMY)
    assert drain(again) == [b"one"]
    assert again.cut_bytes == len(content) - HEAD.size - 3
    assert (tmp_path / DAMAGED_NAME).read_bytes() == bytes(content[HEAD.size + 3 :])
    again.close()


def test_groups_are_given_out_by_number_and_size(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ROOMY)
    for record in (b"a" * 60, b"b" * 60, b"c" * 200, b"d"):
        spool.append(record)
    assert spool.next_groups(10, 130) == [b"a" * 60, b"b" * 60]
    assert spool.next_groups(1, 130) == [b"a" * 60]
    spool.mark_sent([b"a" * 60, b"b" * 60])
    large = spool.next_groups(10, 130)
    assert (large, spool.are_the_last(large)) == ([b"c" * 200], False)
    spool.mark_sent(large)
    assert spool.are_the_last(spool.next_groups(10, 130))
    spool.close()


def test_a_full_spool_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=100)
    spool.append(b"x" * 50)
    with pytest.raises(SpoolFull):
        spool.append(b"y" * 50)
    spool.append(b"z" * 10)
    assert drain(spool) == [b"x" * 50, b"z" * 10]
    spool.append(b"y" * 80)  # there is room again
    spool.close()


def test_one_folder_serves_one_pixel(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ROOMY)
    with pytest.raises(SpoolUnusable, match="SPOOL_DIR"):
        Spool(tmp_path, ROOMY)
    spool.close()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolUnusable, match="SPOOL_DIR"):
        Spool(tmp_path / "file" / "spool", ROOMY)


def test_the_holder_of_keys_is_the_same_after_a_restart(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ROOMY)
    holder = spool.holder
    spool.close()
    again = Spool(tmp_path, ROOMY)
    assert (again.holder, len(holder)) == (holder, 16)
    again.close()


def test_pixels_beside_each_other_have_a_slot_each(tmp_path: Path) -> None:
    first, second = take_slot(tmp_path, ROOMY), take_slot(tmp_path, ROOMY)
    assert first.directory == tmp_path, "where the version before had its only one"
    assert second.directory.parent == tmp_path
    assert first.holder != second.holder
    first.append(b"first")
    second.append(b"second")
    first.close()
    third = take_slot(tmp_path, ROOMY)
    assert (third.directory, drain(third), drain(second)) == (tmp_path, [b"first"], [b"second"])
    second.close()
    third.close()


def test_no_slot_left_is_an_error(tmp_path: Path) -> None:
    taken = [take_slot(tmp_path, ROOMY) for _ in range(MAX_SLOTS)]
    with pytest.raises(SpoolUnusable, match="SPOOL_DIR"):
        take_slot(tmp_path, ROOMY)
    for spool in taken:
        spool.close()
