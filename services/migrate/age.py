"""Files in the format age (https://age-encryption.org/v1): encrypted, authenticated, in a stream of any length.

A file that was cut, altered or put together anew is refused, at the latest at its end. It opens with the private
key of one of its recipients, or with its passphrase; the program `age` opens it too.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import re
import secrets
from collections.abc import Sequence
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

VERSION = b"age-encryption.org/v1"
CHUNK_BYTES = 64 * 1024  # of the format
TAG_BYTES = 16
KEY_BYTES = 32
SCRYPT_LOG_N = 18  # 256 MB and about a second, to write and to guess; what `age` takes
MOST_SCRYPT_LOG_N = 22  # more in a file is refused: it says how much memory opening it takes
MOST_HEADER_BYTES = 64 * 1024
_ONCE = bytes(12)  # the nonce of a key that is used for one message


class CannotOpen(Exception):
    """A file is none in this format, is damaged, or is not for this key; the text says which."""


Recipient = X25519PublicKey | str  # a public key, or a passphrase
Identity = X25519PrivateKey | str  # a private key, or a passphrase


def _derived(secret: bytes, salt: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt, purpose).derive(secret)


def _stretched(passphrase: str, salt: bytes, log_n: int) -> bytes:
    return Scrypt(VERSION + b"/scrypt" + salt, KEY_BYTES, 1 << log_n, 8, 1).derive(passphrase.encode())


def _shared(secret: bytes, share: bytes, public: bytes) -> bytes:
    return _derived(secret, share + public, VERSION + b"/X25519")


def _text(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _data(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)


def _stanza(file_key: bytes, recipient: Recipient, log_n: int) -> bytes:
    """The lines by which one recipient finds the key of the file."""
    if isinstance(recipient, str):
        salt = secrets.token_bytes(16)
        key = _stretched(recipient, salt, log_n)
        words = b"scrypt " + _text(salt) + b" %d" % log_n
    else:
        once = X25519PrivateKey.generate()
        share = once.public_key().public_bytes_raw()
        key = _shared(once.exchange(recipient), share, recipient.public_bytes_raw())
        words = b"X25519 " + _text(share)
    return b"-> " + words + b"\n" + _text(ChaCha20Poly1305(key).encrypt(_ONCE, file_key, None)) + b"\n"


def _mac(file_key: bytes, header: bytes) -> bytes:
    return hmac.new(_derived(file_key, b"", b"header"), header, hashlib.sha256).digest()


def _nonce(number: int, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])


class Writer(io.RawIOBase):
    """Encrypts what is written into another file. Whole only once it is closed; the other file is left open."""

    def __init__(self, target: IO[bytes], recipients: Sequence[Recipient], log_n: int = SCRYPT_LOG_N) -> None:
        """For public keys, or for one passphrase alone."""
        file_key, nonce = secrets.token_bytes(16), secrets.token_bytes(16)
        stanzas = b"".join(_stanza(file_key, recipient, log_n) for recipient in recipients)
        header = VERSION + b"\n" + stanzas + b"---"
        target.write(header + b" " + _text(_mac(file_key, header)) + b"\n" + nonce)
        self._target = target
        self._cipher = ChaCha20Poly1305(_derived(file_key, nonce, b"payload"))
        self._waiting = bytearray()
        self._number = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Takes all of it."""
        self._waiting += data
        # The last chunk may be a full one, but is known as the last only when this is closed.
        while len(self._waiting) > CHUNK_BYTES:
            self._put(bytes(self._waiting[:CHUNK_BYTES]), is_last=False)
            del self._waiting[:CHUNK_BYTES]
        return len(data)

    def finish(self) -> None:
        """Write the end, without which the file is refused."""
        self._put(bytes(self._waiting), is_last=True)
        self._waiting.clear()

    def _put(self, chunk: bytes, *, is_last: bool) -> None:
        self._target.write(self._cipher.encrypt(_nonce(self._number, is_last), chunk, None))
        self._number += 1


def is_encrypted(beginning: bytes) -> bool:
    """Whether a file that begins so is in this format."""
    return beginning.startswith(VERSION + b"\n")


class Reader(io.RawIOBase):
    """What is in an encrypted file. Raises ``CannotOpen``, at once or where the damage is."""

    def __init__(self, source: IO[bytes], identities: Sequence[Identity]) -> None:
        file_key = _open_header(source, identities)
        nonce = source.read(16)
        self._source = source
        self._cipher = ChaCha20Poly1305(_derived(file_key, nonce, b"payload"))
        self._number = 0
        self._ahead = source.read(CHUNK_BYTES + TAG_BYTES)
        self._clear = memoryview(b"")
        self._is_over = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """As a file does: 0 at the end."""
        if not self._clear and not self._is_over:
            self._next()
        size = min(len(buffer), len(self._clear))
        buffer[:size] = self._clear[:size]
        self._clear = self._clear[size:]
        return size

    def _next(self) -> None:
        chunk = self._ahead
        self._ahead = self._source.read(CHUNK_BYTES + TAG_BYTES)
        self._is_over = not self._ahead
        try:
            clear = self._cipher.decrypt(_nonce(self._number, self._is_over), chunk, None)
        except InvalidTag:
            raise CannotOpen("it is truncated or was altered") from None
        self._clear = memoryview(clear)
        self._number += 1


def _open_header(source: IO[bytes], identities: Sequence[Identity]) -> bytes:
    """The key of the file."""
    lines = _header_lines(source)
    try:
        file_key = _file_key(lines[1:-1], identities)
        mac = _data(lines[-1].removeprefix(b"--- "))
    except (ValueError, InvalidTag):
        raise CannotOpen("its header is damaged") from None
    if file_key is None:
        raise CannotOpen("it is not for this key, or the passphrase is another")
    header = b"\n".join([*lines[:-1], b"---"])
    if not hmac.compare_digest(mac, _mac(file_key, header)):
        raise CannotOpen("its header was altered")
    return file_key


def _header_lines(source: IO[bytes]) -> list[bytes]:
    lines = [source.readline(100).rstrip(b"\n")]
    if lines[0] != VERSION:
        raise CannotOpen("it is not encrypted in the format age v1")
    size = 0
    while not lines[-1].startswith(b"--- "):
        line = source.readline(MOST_HEADER_BYTES)
        size += len(line)
        if not line.endswith(b"\n") or size > MOST_HEADER_BYTES:
            raise CannotOpen("its header is damaged")
        lines.append(line[:-1])
    return lines


def _file_key(lines: list[bytes], identities: Sequence[Identity]) -> bytes | None:
    """From the first stanza that opens; None: none does. Raises ``ValueError`` for what is no stanza."""
    passphrases = [identity for identity in identities if isinstance(identity, str)]
    private_keys = [identity for identity in identities if not isinstance(identity, str)]
    for place, line in enumerate(lines):
        match line.split(b" "):
            case [b"->", b"X25519", share]:
                keys = [_key_of(private, _data(share)) for private in private_keys]
            case [b"->", b"scrypt", salt, log_n]:
                keys = [_stretched(words, _data(salt), _bounded(log_n)) for words in passphrases]
            case _:
                continue
        for key in keys:
            try:
                return ChaCha20Poly1305(key).decrypt(_ONCE, _data(lines[place + 1]), None)
            except InvalidTag:
                continue
    return None


def _key_of(private: X25519PrivateKey, share: bytes) -> bytes:
    secret = private.exchange(X25519PublicKey.from_public_bytes(share))
    return _shared(secret, share, private.public_key().public_bytes_raw())


def _bounded(log_n: bytes) -> int:
    if not re.fullmatch(rb"[1-9][0-9]?", log_n) or int(log_n) > MOST_SCRYPT_LOG_N:
        raise ValueError(log_n)
    return int(log_n)
