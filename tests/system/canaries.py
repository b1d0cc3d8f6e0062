"""Canaries: addresses and User-Agents that exist nowhere else, what they could look like on disk, and the search.

Four random bytes stand somewhere in every large file by chance: an address of IPv4 in packed form is searched with
what stands before it where programs write one (a length, the head of PostgreSQL's `inet`, of a mapped address, of a
`sockaddr_in`), and its eight hexadecimal digits with a mark that begins a value. Of a hash the first 48 bits are
searched, so that one that was cut short, or became a UUID, is found too: by chance once in 5,000 runs.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import io
import ipaddress
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple
from urllib.parse import quote

SITE = "blog.example"
SEPARATORS = ("", "|", ":", " ", ",", ";", "-", "_", "/", "\n", "\t", "\0")
HASHES: tuple[tuple[str, Callable[[bytes], bytes]], ...] = (
    ("MD5", lambda data: hashlib.md5(data, usedforsecurity=False).digest()),
    ("SHA-1", lambda data: hashlib.sha1(data, usedforsecurity=False).digest()),
    ("SHA-256", lambda data: hashlib.sha256(data).digest()),
    ("SHA-512", lambda data: hashlib.sha512(data).digest()),
    *(
        (f"BLAKE2b-{size * 8}", lambda data, size=size: hashlib.blake2b(data, digest_size=size).digest())
        for size in (8, 16, 32, 64)
    ),
)
HASH_BYTES = 6  # of a hash, from its beginning
# What a program writes before the four bytes of an address.
PACKED_HEADS = (b"\x04", b"\x0b", b"\x02\x20", b"\xff\xff", b"$4\r\n")
VALUE_HEADS = (b'"', b"'", b" ", b"=", b":", b",", b"\\x", b"0x")
BLOCK_BYTES = 8_192
ZEROS = re.compile(rb"\0{64,}")  # half of PostgreSQL's files; no needle has so many
LONGEST_INFLATED = 4 << 20


class Canary(NamedTuple):
    """One way through the product, with an address and a User-Agent of its own."""

    name: str
    address: str  # as it is sent: IPv4, IPv6, or IPv4 mapped into IPv6
    mark: str  # stands in the User-Agent, and nowhere else

    @property
    def agent(self) -> str:
        """What a browser would send."""
        return (
            f"Mozilla/5.0 (Windows NT 10.0; {self.mark}) AppleWebKit/537.36 (KHTML, like Gecko) "
            f"Chrome/142.0.0.0 Safari/537.36"
        )

    @property
    def bot_agent(self) -> str:
        """What a crawler would send."""
        return f"{self.mark}Bot/8.8 (+https://{self.mark.lower()}.example/about)"


def make_canary(name: str, kind: str = "v4") -> Canary:
    """The canary of a name; always the same. Kind peer: of this machine, a client may bind to it."""
    noise = hashlib.sha256(f"canary {name}".encode()).digest()
    a, b, c = (100 + byte % 155 for byte in noise[:3])
    address = {
        "v4": f"198.{18 + a % 2}.{b}.{c}",
        "peer": f"127.{a}.{b}.{c}",
        "v6": f"2001:db8:{noise[3:5].hex()}:{noise[5:7].hex()}:9{noise[7:8].hex()}:c{noise[8:9].hex()}:"
        f"{a:x}a:{noise[9:11].hex()}",
        "mapped": f"::ffff:198.{18 + a % 2}.{b}.{c}",
    }[kind]
    letters = "".join(chr(ord("a") + byte % 26) for byte in noise[11:21])
    return Canary(name, str(ipaddress.ip_address(address)) if kind == "v6" else address, f"Canary{letters}")


def _texts_of(address: str) -> set[str]:
    """How an address is written."""
    parsed = ipaddress.ip_address(address)
    mapped = getattr(parsed, "ipv4_mapped", None)
    if mapped or parsed.version == 4:
        v4 = mapped or parsed
        high, low = v4.packed[:2].hex(), v4.packed[2:].hex()
        turned = ".".join(reversed(str(v4).split(".")))
        return {str(v4), str(v4).replace(".", "-"), turned, f"::ffff:{high}:{low}", f'"{int(v4)}"'}
    return {str(parsed), parsed.exploded, parsed.reverse_pointer[:40], str(parsed).upper()}


def _texts(text: str) -> Iterator[tuple[str, bytes]]:
    """What a text could look like."""
    data = text.encode()
    yield "text", data
    yield "reversed", data[::-1]
    yield "UTF-16", text.encode("utf-16-le")
    yield "hex", data.hex().encode()
    yield "HEX", data.hex().upper().encode()
    yield "percent-encoded", quote(text, safe="").encode()
    yield "percent-encoded", "".join(f"%{byte:02X}" for byte in data).encode()
    for shift in range(3):
        # Without the ends, which depend on what stands beside it.
        packed = base64.b64encode(b"x" * shift + data + b"x" * (-(shift + len(data)) % 3))
        yield "base64", packed[4 if shift else 0 : -4 if (shift + len(data)) % 3 else None]


def _packed(address: str) -> Iterator[tuple[str, bytes]]:
    """An address in its 4 or 16 bytes, either way round."""
    parsed = ipaddress.ip_address(address)
    mapped = getattr(parsed, "ipv4_mapped", None)
    packed = (mapped or parsed).packed
    for turned in (packed, packed[::-1]):
        if len(packed) == 16:
            yield "packed", turned
            yield "packed, hex", turned.hex().encode()
            yield "packed, base64", base64.b64encode(turned)[:20]
            continue
        for head in PACKED_HEADS:
            yield "packed", head + turned
        for head in VALUE_HEADS:
            yield "packed, hex", head + turned.hex().encode()


def _hashed(canary: Canary, agent: str) -> Iterator[tuple[str, bytes]]:
    """Hashes without a key: of the address, of the User-Agent, of both, and with the site."""
    parsed = ipaddress.ip_address(canary.address)
    plain = getattr(parsed, "ipv4_mapped", None) or parsed
    subjects = {canary.address.encode(), str(plain).encode(), plain.packed, agent.encode()}
    for separator in SEPARATORS:
        for parts in (
            (str(plain), agent),
            (agent, str(plain)),
            (SITE, str(plain), agent),
            (SITE, str(plain)),
        ):
            subjects.add(separator.join(parts).encode())
    for name, function in HASHES:
        for subject in subjects:
            start = function(subject)[:HASH_BYTES]
            digits = start.hex()
            yield name, start
            yield name, digits.encode()
            yield name, f"{digits[:8]}-{digits[8:]}".encode()  # as a UUID
            yield name, base64.b64encode(start)


@functools.cache
def needles_of(canary: Canary) -> tuple[tuple[bytes, str], ...]:
    """What to search for a canary, and what to call it."""
    return tuple(_needles_of(canary))


def _needles_of(canary: Canary) -> Iterator[tuple[bytes, str]]:
    for text in _texts_of(canary.address):
        yield from ((needle, f"{canary.name}: address, {form}") for form, needle in _texts(text))
    yield from ((needle, f"{canary.name}: address, {form}") for form, needle in _packed(canary.address))
    for mark in (canary.mark, canary.mark.lower()):
        yield from ((needle, f"{canary.name}: User-Agent, {form}") for form, needle in _texts(mark))
    for agent in (canary.agent, canary.bot_agent):
        yield from ((needle, f"{canary.name}: {form}") for form, needle in _hashed(canary, agent))


def key_needles(name: str, key: bytes) -> Iterator[tuple[bytes, str]]:
    """What a key could look like."""
    yield key, f"key {name}: bytes"
    yield key[::-1], f"key {name}: reversed"
    for digits in (key.hex(), key.hex().upper()):
        yield digits.encode(), f"key {name}: hex"
    for shift in range(3):
        yield base64.b64encode(b"x" * shift + key + b"xxx")[4:40], f"key {name}: base64"


def inflated(data: bytes) -> Iterator[bytes]:
    """What is packed by zlib or gzip anywhere in data."""
    view = memoryview(data)
    for match in re.finditer(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]", data):
        try:
            plain = zlib.decompressobj(47).decompress(view[match.start() :], LONGEST_INFLATED)
        except zlib.error:
            continue
        if plain:
            yield plain


class Searcher:
    """Searches data for 100,000 needles at once, 10 MB in half a second.

    Every four bytes of the data, as a number, are looked up among the first four bytes of the needles: a set's
    intersection does it without a loop of Python's. What is left is compared.
    """

    def __init__(self, needles: Iterable[tuple[bytes, str]]) -> None:
        # By the first four bytes, as a number; there by length.
        self._by_start: dict[int, dict[int, dict[bytes, str]]] = {}
        for needle, label in needles:
            assert len(needle) >= 5, (label, needle)
            [start] = memoryview(needle[:4]).cast("I")
            same_length = self._by_start.setdefault(start, {}).setdefault(len(needle), {})
            same_length.setdefault(needle, label)
        self._starts = frozenset(self._by_start)

    def _search(self, data: bytes) -> set[str]:
        found: set[str] = set()
        for piece in ZEROS.split(data):
            for start in self._starts_in(piece):
                found.update(self._found_from(start, piece))
        return found

    def _found_from(self, start: int, piece: bytes) -> Iterator[str]:
        """What begins with these four bytes, wherever they stand."""
        first = start.to_bytes(4, sys.byteorder)
        by_length = self._by_start[start].items()
        place = piece.find(first)
        while place >= 0:
            for length, needles in by_length:
                label = needles.get(piece[place : place + length])
                if label:
                    yield label
            place = piece.find(first, place + 1)

    def _starts_in(self, piece: bytes) -> set[int]:
        starts: set[int] = set()
        for shift in range(min(4, len(piece))):
            whole = (len(piece) - shift) // 4 * 4
            starts |= self._starts.intersection(memoryview(piece)[shift : shift + whole].cast("I"))
        return starts

    def search(self, data: bytes) -> set[str]:
        """What is found in data, as it is and inflated."""
        found = self._search(data)
        for plain in inflated(data):
            found |= {f"{label}, inflated" for label in self._search(plain)}
        return found


class Before:
    """What was on disk before anybody came, in blocks of PostgreSQL's size: it cannot name anybody."""

    def __init__(self, written: Iterable[tuple[str, bytes]]) -> None:
        self._known = {hash(block) for _, data in written for block in _blocks(data)}

    def without(self, data: bytes) -> bytes:
        """The blocks that are new; those that stood apart are held apart."""
        parts = [b"\0" * BLOCK_BYTES if hash(block) in self._known else block for block in _blocks(data)]
        return b"".join(parts)


def _blocks(data: bytes) -> Iterator[bytes]:
    return (data[start : start + BLOCK_BYTES] for start in range(0, len(data), BLOCK_BYTES))


def gzipped(data: bytes) -> bytes:
    """For planting: data as gzip writes it."""
    written = io.BytesIO()
    with gzip.GzipFile(fileobj=written, mode="wb", mtime=0) as file:
        file.write(data)
    return written.getvalue()
