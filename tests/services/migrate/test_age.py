"""The format age: what another implementation writes is read and the other way round; damage is always noticed."""

from __future__ import annotations

import io

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.migrate import age, age_keys

PRIVATE, PUBLIC = age_keys.make_key()
LOG_N = 4  # weak and quick
CHUNK = age.CHUNK_BYTES
SIZES = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7)


def encrypted(clear: bytes, *recipients: age.Recipient) -> bytes:
    target = io.BytesIO()
    writer = age.Writer(target, recipients or [age_keys.public_key(PUBLIC)], LOG_N)
    writer.write(clear)
    writer.finish()
    return target.getvalue()


def decrypted(data: bytes, *identities: age.Identity) -> bytes:
    reader = age.Reader(io.BytesIO(data), identities or age_keys.private_keys(PRIVATE))
    return io.BufferedReader(reader).read()


@pytest.mark.parametrize("size", SIZES)
def test_another_implementation_reads_it(size: int) -> None:
    clear = bytes(range(256)) * (size // 256) + bytes(size % 256)
    assert pyrage.decrypt(encrypted(clear), [pyrage.x25519.Identity.from_str(PRIVATE)]) == clear
    assert pyrage.passphrase.decrypt(encrypted(clear, "correct horse"), "correct horse") == clear


@pytest.mark.parametrize("size", SIZES)
def test_what_another_implementation_writes_is_read(size: int) -> None:
    clear = bytes(size)
    assert decrypted(pyrage.encrypt(clear, [pyrage.x25519.Recipient.from_str(PUBLIC)])) == clear


def test_each_of_several_keys_opens_it_and_no_other() -> None:
    keys = [age_keys.make_key() for _ in range(3)]
    data = encrypted(b"clear", *(age_keys.public_key(public) for _, public in keys[:2]))
    for private, _ in keys[:2]:
        assert decrypted(data, *age_keys.private_keys(f"# a comment\n\n{private}\n")) == b"clear"
    with pytest.raises(age.CannotOpen, match="not for this key"):
        decrypted(data, *age_keys.private_keys(keys[2][0]), "a passphrase too")


def test_another_passphrase_opens_nothing() -> None:
    with pytest.raises(age.CannotOpen, match="passphrase is another"):
        decrypted(encrypted(b"clear", "one"), "two")


@given(st.integers(0, 2 * CHUNK + 400), st.integers(1, 255))
def test_a_changed_byte_is_noticed(place: int, change: int) -> None:
    data = bytearray(SAMPLE)
    data[place % len(data)] ^= change
    with pytest.raises(age.CannotOpen):
        decrypted(bytes(data))


@given(st.integers(0, 2 * CHUNK + 400))
def test_a_cut_file_is_noticed(length: int) -> None:
    with pytest.raises(age.CannotOpen):
        decrypted(SAMPLE[: length % len(SAMPLE)])


def test_chunks_in_another_order_or_left_out_are_noticed() -> None:
    sealed = CHUNK + age.TAG_BYTES
    data = encrypted(bytes(3 * CHUNK))
    header, chunks = data[: -3 * sealed], [data[-3 * sealed :][n * sealed :][:sealed] for n in range(3)]
    for order in ((1, 0, 2), (0, 2), (0, 1), (0, 1, 2, 2)):
        with pytest.raises(age.CannotOpen):
            decrypted(header + b"".join(chunks[place] for place in order))


def test_a_file_that_would_take_much_memory_to_open_is_refused() -> None:
    data = encrypted(b"clear", "words").replace(b" 4\n", b" 30\n", 1)
    with pytest.raises(age.CannotOpen, match="damaged"):
        decrypted(data, "words")


@pytest.mark.parametrize(
    "text", [PUBLIC[:-1], PUBLIC[:-1] + "!", PUBLIC.replace("1", "2", 1), PRIVATE, "", "age1"]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        age_keys.public_key(text)
    with pytest.raises(ValueError, match=r"."):
        age_keys.private_keys(PUBLIC)


def test_keys_are_those_of_the_other_implementation() -> None:
    assert str(pyrage.x25519.Identity.from_str(PRIVATE).to_public()) == PUBLIC
    identity = pyrage.x25519.Identity.generate()
    assert (
        decrypted(pyrage.encrypt(b"x", [identity.to_public()]), *age_keys.private_keys(str(identity))) == b"x"
    )


SAMPLE = encrypted(bytes(2 * CHUNK))
