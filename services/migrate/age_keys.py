"""The keys of the format age as text, in Bech32: `age1…` encrypts, `AGE-SECRET-KEY-1…` opens."""

from __future__ import annotations

import os

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

KEY_BYTES = 32
_LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_PUBLIC, _PRIVATE = "age", "age-secret-key-"


def _checksum(values: list[int]) -> int:
    found = 1
    for value in values:
        top = found >> 25
        found = (found & 0x1FFFFFF) << 5 ^ value
        for place, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            found ^= generator if top >> place & 1 else 0
    return found


def _spread(prefix: str) -> list[int]:
    return [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]


def _to_text(prefix: str, key: bytes) -> str:
    bits = int.from_bytes(key, "big") << 4  # 256 bits in 52 letters of 5
    values = [bits >> 5 * place & 31 for place in reversed(range(52))]
    check = _checksum([*_spread(prefix), *values, *[0] * 6]) ^ 1
    values += [check >> 5 * place & 31 for place in reversed(range(6))]
    return f"{prefix}1{''.join(_LETTERS[value] for value in values)}"


def _from_text(prefix: str, text: str) -> bytes:
    """Raises ``ValueError``."""
    if text not in (text.lower(), text.upper()) or not text.lower().startswith(f"{prefix}1"):
        raise ValueError(f"write a key that begins with {prefix}1")
    values = [_LETTERS.index(letter) for letter in text.lower()[len(prefix) + 1 :]]
    bits = 0
    for value in values[:-6]:
        bits = bits << 5 | value
    if len(values) != 58 or _checksum([*_spread(prefix), *values]) != 1 or bits & 15:
        raise ValueError("the key has a wrong letter, or is not whole")
    return (bits >> 4).to_bytes(KEY_BYTES, "big")


def public_key(text: str) -> X25519PublicKey:
    """A recipient by its text, ``age1…``. Raises ``ValueError``."""
    return X25519PublicKey.from_public_bytes(_from_text(_PUBLIC, text.strip()))


def private_keys(text: str) -> list[X25519PrivateKey]:
    """The keys of a file as `age-keygen` writes it: a key a line, and comments. Raises ``ValueError``."""
    lines = [line.strip() for line in text.splitlines()]
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise ValueError("there is no key in it")
    return [X25519PrivateKey.from_private_bytes(_from_text(_PRIVATE, key)) for key in keys]


def make_key() -> tuple[str, str]:
    """A new private key and its public one, as text."""
    private = os.urandom(KEY_BYTES)
    public = X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    return _to_text(_PRIVATE, private).upper(), _to_text(_PUBLIC, public)
