"""What the fuzz sends: requests good, nearly good and hostile, their bytes altered, and bytes that are none.

Whatever stands in a place that is about the page carries ``CANARY``: no answer and no log may quote it. Who sends it
is told by ``AGENT`` and ``addresses`` only, and only in headers that the pixel must not keep.
"""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, quote_plus

from hypothesis import strategies as st

CANARY = "Kuckuck7319"
AGENT = "KanariAgent"
# What the addresses and User-Agents of the fuzz look like, wherever they turn up: IPv6 also in full, IPv4 also
# mapped.
PERSONS = (AGENT, "203.0.113.", "2001:db8:cafe", "2001:0db8:cafe", "::ffff:cb00:71", "kanari-agent.example")
SITES = "blog.example,shop.example"
HIT_PATHS = ("/a", "/a.gif")
# Stands for an id in what is drawn: each request that is sent gets its own.
ID_MARK = "5ca1ab1e-feed-4000-8000-00000000cafe"


@dataclass(frozen=True)
class Case:
    """One request, or bytes that are none."""

    kind: str  # request, mutated, random; companion
    head: bytes
    body: bytes = b""
    framing: str = "none"
    coding: str = ""
    method: str = ""  # of a request
    path: str = ""  # the endpoint that a request surely means; empty: unknown
    own_wire: bool = True  # its connection serves nobody after it
    cut: bool = False  # the sender hangs up without reading
    has_id: bool = False  # an accepted hit surely has the id that stands for ID_MARK
    stranger: bool = True  # no Origin, or none that is counted: no CORS header may be in the answer
    seed: int = 0

    def __repr__(self) -> str:
        return f"Case({self.kind}, {self.head[:60]!r} …, {self.framing}, {self.coding or 'plain'})"

    @property
    def is_due(self) -> bool:
        """Whether an answer must come: the head is whole."""
        return self.kind in ("request", "companion") and not self.cut

    @property
    def is_soon(self) -> bool:
        """Whether that takes no longer than a hit takes: the pixel waits for the rest of a body."""
        return self.is_due and (self.framing == "none" or self.framing in GOOD_FRAMINGS)

    def bytes_for(self, hit_id: str) -> bytes:
        """What goes over the wire."""
        head, body = _with_id(self.head, hit_id), _with_id(self.body, hit_id)
        coded, extra = CODINGS[self.coding](body), b""
        if self.coding:
            extra = b"Content-Encoding: %s\r\n" % self.coding.partition(" ")[0].encode()
        headers, framed = FRAMINGS[self.framing](coded, random.Random(self.seed))
        if self.kind == "random":
            return head
        data = head + extra + headers + b"\r\n" + framed
        if self.kind != "mutated":
            return data
        # Twice the same id would be one hit; a body that ends elsewhere would take in who sends the next request.
        is_doubled = not body and hit_id.encode() not in head.lower()
        return mutated(data, random.Random(self.seed), is_doubled)


def _with_id(data: bytes, hit_id: str) -> bytes:
    for mark, text in ((ID_MARK, hit_id), (ID_MARK.upper(), hit_id.upper())):
        data = data.replace(mark.encode(), text.encode())
    return data


# Values -------------------------------------------------------------------------------------------------------

_HEX = "0123456789abcdef"
# Halves of characters, control characters, both directions, line ends, what a parser, a shell, a template or SQL
# would take for its own, and lengths around each limit.
HOSTILE = [
    "", " ", "\0", "\0" * 40, "a\0b", "\ud83d", "\udc00x", "\ufeff", "\uffff", "\x7f", "\x1b[31m", "\x85",
    "\u2028",
    "\u202egnirts", "שלום عالم", "é" * 600, "💩" * 300, "İ" * 300, "ß" * 253, "a" * 3_000, "a" * 511 + "💩",
    "%", "%zz", "%00", "%0d%0aX: y", "%u0041", "%ff%fe", "%25" * 400, "%c0%af", "\r\nSet-Cookie: a=b",
    "\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "\n", "<script>alert(1)</script>", "' or 1=1 --", "\\x", "\\", "\\u0000",
    "{{7*7}}", "${jndi:ldap://x/}", "$(id)", "../../../etc/passwd", "null", "true", "[]", "{}", "NaN", "-0",
    "0", "1e999",
    "9" * 5_000, "-1", "0x10", "٣", "=", "&", "&&==&", ";", ",", "a=b&url=https://other.example/", "\"", "'",
    "#", "?",
    "someone@mail.example", _HEX * 4, "%40" * 100, "." * 300, "/" * 2_000, "a." * 200, ("a" * 31 + "/") * 60,
    "\t\v\f",
]  # fmt: skip
DEEP = ["[" * 500, '{"a":' * 2_000, "[" * 5_000 + "]" * 5_000, '{"a":' * 900 + "1" + "}" * 900, "[[[[[]]]]]"]

GOOD: dict[str, list[Any]] = {
    "url": [
        f"https://blog.example/{CANARY}", "https://blog.example/",
    "https://blog.example/ä/ö?utm_source=x&ref=y#z",
        "https://www.blog.example:8443/a%20b/%F0%9F%92%A9/%ff",
    "http://shop.example/?page=2&utm_campaign=%F0%9F%92",
        f"HTTPS://BLOG.EXAMPLE./?q={CANARY}", "https://a.b.c.blog.example/x", "https://u:p@blog.example/",
        "https://blog.example/" + "ä" * 2_100, "https://blog.example/?utm_source=" + "q/" * 900,
        "https://blog.example/" + "%00" * 30, "https://blog.example//../..//%2e%2e", "https://blog.example?x",
    ],
    "referrer": [
        f"https://other.example/{CANARY}?q=1", "https://www.google.com/", "android-app://com.example.app/",
        "https://blog.example/before", "https://news.ycombinator.com/item?id=1", "https://[2001:db8::1]/", "",
        "https://other.example/" + "r/" * 1_200,
    ],
    "title": [CANARY, f"{CANARY} – Page not found", "404", "T" * 600, "日本語のタイトル", "mail me@mail.example", ""],
    "screen": ["1920x1080", "390x844", "1x1", "99999x99999"],
    "language": ["de", "en-GB", "zh-Hant-TW", "x-klingon", "sr-Latn-RS"],
    "event": ["pageview", "signup", CANARY, "e" * 64, "ä b", ""],
    "props": [
        {"plan": CANARY, "n": 1, "f": 1.5, "b": True}, {}, {f"k{n}": n for n in range(30)}, {"a": 2**63 - 1},
        {"t": "x" * 300}, {"é": "💩"},
    ],
    "status": ["200", 404, "410", 500, "100", "599"],
    "id": [ID_MARK, ID_MARK, ID_MARK.upper(), f" {ID_MARK}\t"],
}  # fmt: skip
NEARLY: dict[str, list[Any]] = {
    "url": [
        "blog.example/x", "//blog.example/x", "https:/blog.example", "https://", "http://[::1",
    "http://[v1.x]/",
        "http://localhost/", "http://127.0.0.1:3000/", "http://[::1]/", "file:///home/x",
    "https://other.example/",
        "https://blog.example:99999/", "https://blog.example:x/", "https://blög.example/",
    "https://blog。example/",
        "https://blog.example\\@other.example/", "https://evilblog.example/", "javascript:alert(1)", "data:,x",
        "\thttps://blog.example/", "ht\ntps://blog.example/", "https://blog.example/\0\0",
    "https://blog.example/\ud83d",
        "https://" + "a." * 120 + "blog.example/", "https://" + "ä" * 60 + ".blog.example/",
    "https://-.blog.example/",
        "https://xn--0.blog.example/", "https://0x7f.1/", "https://2130706433/",
    "https://blog.example%2f@x/", None,
        ["https://blog.example/"], {"a": 1}, 7, True, "https://＠blog.example/", "https://.blog.example/",
    ],
    "referrer": ["blog", "https://[", "//x", 7, None, [], "android-app://", "https://" + "r" * 3_000, "://", "a://b@c"],
    "title": [7, None, [CANARY], {"t": 1}, True, "\ud83d", "x" * 511 + "\ud83d"],
    "screen": ["0x0", "1920×1080", "1920x", "x", "100000x1", [1920, 1080], 1920, "1920X1080", "１９２０x１０８０"],
    "language": ["e", "en_GB", "de-", "*", "x" * 36, "de-" + "a-" * 20, 7, "d\u0435"],
    "event": ["e" * 65, "a\nb", 7, None, [], "\0", " ", "\ud83d"],
    "props": [
        {"a": {"b": 1}}, {"": 1}, {"k" * 65: 1}, {"a": "x" * 301}, {f"k{n}": n for n in range(31)}, {"a": None},
        {"a": 2**64}, {"a": 1e400}, [1], "x", 7, "{", '{"a":1}}', {"a": "\0"}, {"\ud83d": 1}, '{"a": NaN}',
        '{"a": 1, "a": 2}', '{"__proto__": 1}', '{"a": -0.0}', '{"a": 1e-400}',
    ],
    "status": ["99", "600", "4O4", 404.0, -404, 10**30, True, [404], "404 ", "４０４"],
    "id": [
        f"{{{ID_MARK}}}", ID_MARK.replace("-", ""), f"urn:uuid:{ID_MARK}", ID_MARK[:-1], f"{ID_MARK}0", 7,
    None, [],
        ID_MARK.replace("0", "٠"), f"{ID_MARK}\0", f"{ID_MARK}\n{ID_MARK}",
    ],
}  # fmt: skip
# An accepted hit whose id is one of these has it; of the others the pixel may have dropped or refused some.
SURE_IDS = frozenset(GOOD["id"])

_tenths = st.integers(0, 9)
_good = {name: st.sampled_from(values) for name, values in GOOD.items()}
_nearly = {name: st.sampled_from(values) for name, values in NEARLY.items()}
_hostile = (
    st.sampled_from(HOSTILE).map(lambda text: CANARY + text) | st.sampled_from(HOSTILE) | st.text(max_size=12)
)


def _value(draw: st.DrawFn, name: str) -> Any:
    """Good in seven of ten: a request with one bad value says more than one with nine."""
    tenth = draw(_tenths)
    return draw(_good[name] if tenth < 7 else _nearly[name] if tenth < 9 else _hostile)


# How likely a parameter is there, in tenths.
_WANTED = {
    "url": 9,
    "id": 7,
    "title": 5,
    "referrer": 5,
    "screen": 4,
    "language": 4,
    "event": 5,
    "props": 5,
    "status": 4,
}


def _wire_text(value: Any) -> str:
    """How a value stands in a query string or a form."""
    return value if isinstance(value, str) else json.dumps(value)


def _raw_bytes(text: str) -> bytes:
    """Unescaped, but for what would end the value or the line."""
    data = text.encode("utf-8", "surrogatepass")
    return bytes(byte if byte > 0x20 and byte not in b"&#\x7f" else 0x2B for byte in data)


ESCAPES: dict[str, Callable[[str], bytes]] = {
    "all": lambda text: quote(text.encode("utf-8", "surrogatepass"), safe="").encode(),
    "plus": lambda text: quote_plus(text.encode("utf-8", "surrogatepass")).encode(),
    "twice": lambda text: quote(quote(text.encode("utf-8", "surrogatepass"), safe="")).encode(),
    "none": _raw_bytes,
    "lower": lambda text: quote(text.encode("utf-8", "surrogatepass"), safe="-").lower().encode(),
}
_escapes = st.sampled_from(["all"] * 9 + ["plus"] * 3 + ["lower"] * 2 + ["none", "twice"])


def encoded(parameters: dict[str, Any], escape: str) -> bytes:
    """A query string or a form."""
    return b"&".join(
        name.encode() + b"=" + ESCAPES[escape](_wire_text(value)) for name, value in parameters.items()
    )


def multipart(parameters: dict[str, Any]) -> bytes:
    """What ``new FormData()`` is sent as."""
    parts = (
        b'--Grenze\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        % (name.encode(), _wire_text(value).encode("utf-8", "surrogatepass"))
        for name, value in parameters.items()
    )
    return b"".join(parts) + b"--Grenze--\r\n"


# Headers ------------------------------------------------------------------------------------------------------

_JUNK_HEADERS = [
    b"", b" ", b"\xff\xfe", b"\xed\xa0\xbd", "ä💩".encode(), b"\x01", b"a\0b", b"\x7f", b"a\tb",
    b"a\r\nX-Other: b",
    b"a\r\n folded", b"a\nb", b"a\rb", b",", b";", b"=", b'"', b"\\", b"x" * 5_000, b"a=b; " * 800, b"%00",
    b"*",
    b",".join([b"x"] * 900), b"%s", b"{}",
]  # fmt: skip
_HEADERS: dict[bytes, list[bytes]] = {
    b"Referer": [
        b"https://blog.example/" + CANARY.encode(), b"https://shop.example/x?y=z",
    "https://blog.example/ä".encode(),
        b"https://other.example/", b"http://localhost/", b"about:blank",
    b"https://blog.example/" + b"p" * 3_000,
    ],
    b"Accept-Language": [b"de-CH,de;q=0.9", b"en", b"*", b"de;q=" + b"9" * 400, b"x" * 200, CANARY.encode()],
    b"Cookie": [
        b"isMe=true", b"a=b; isMe=true; c=d", b"isMe=false", b"isMe", b"isMe=true=true", b"isMe=\"true\"",
        b"isMe=%s" % CANARY.encode(), b"; ;;=;",
    ],
    b"Sec-Purpose": [b"prefetch", b"prefetch;prerender", b"Prefetch", CANARY.encode()],
    b"Purpose": [b"prefetch", b"preview"],
    b"X-Moz": [b"prefetch", b"x"],
    b"Sec-GPC": [b"1", b"0", b" 1 ", b"1,1", b"\xd9\xa1"],
    b"DNT": [b"1", b"0", b"yes"],
    b"Host": [b"pixel.example", b"pixel.example:80", b"[::1]:8000", b"", b"a b", CANARY.encode(),
        b"x:99999", b"\xff"],
    b"Content-Type": [
        b"application/json", b"text/plain", b"text/plain; charset=utf-16", b"application/x-www-form-urlencoded",
        b"multipart/form-data; boundary=x", b"multipart/form-data", b"x",
    b"text/plain; charset=" + CANARY.encode(),
    ],
    b"Expect": [b"100-continue", b"100-Continue", b"wonders"],
    b"If-None-Match": [b"*", b'"x"', b'W/"x"'],
    b"If-Modified-Since": [b"Sat, 29 Oct 2044 19:43:31 GMT", b"never"],
    b"Range": [b"bytes=0-0", b"bytes=-1", b"bytes=9-1", b"lines=1-2"],
    b"Sec-Fetch-Site": [b"same-origin", b"cross-site", b"none"],
    b"X-Forwarded-Proto": [b"https", b"http", b"https, http", CANARY.encode()],
    b"Connection": [b"keep-alive", b"close", b"Upgrade", b"close, keep-alive", b"X-Forwarded-For"],
    b"Upgrade": [b"websocket", b"h2c", CANARY.encode()],
    b"Accept-Encoding": [b"gzip", b"*;q=0"],
    b"X-" + CANARY.encode(): [CANARY.encode()],
    b"TE": [b"trailers"],
    b"Content-Length": [b"0", b"00", b"+0"],
}  # fmt: skip
# After these the answer, or what the connection is afterwards, depends on them.
_OWN_WIRE_HEADERS = {b"Connection", b"Upgrade", b"Content-Length", b"Host", b"Expect"}
_header_names = st.sampled_from(sorted(_HEADERS))
_good_headers = {name: st.sampled_from(values) for name, values in _HEADERS.items()}
_junk_headers = st.sampled_from(_JUNK_HEADERS)


def _header(draw: st.DrawFn, name: bytes) -> bytes:
    return draw(_junk_headers if draw(_tenths) == 5 else _good_headers[name])


OUR_ORIGINS = [
    b"https://blog.example",
    b"http://www.blog.example:8080",
    b"https://shop.example",
    b"HTTPS://A.BLOG.EXAMPLE",
    b"https://blog.example.",
]
STRANGE_ORIGINS = [
    b"http://pixel.example", b"null", b"https://other.example", b"https://blog.example.other.example", b"https://evilblog.example",
    b"http://localhost",
    b"https://blog.example@other.example", b"https://other.example/https://blog.example", b"file://", b"*", b"",
    b"https://other.example#blog.example", b"https://other.example\\.blog.example",
    b"https://blog.example%2eother.example",
    b"https://other.example?.blog.example", b"blog.example", b"https://", b"\xff", b"https://[::1]",
    b"https://[",
    b"https://blog.example other.example", b"https://" + CANARY.encode() + b".example", b"x" * 3_000,
    b"ftp://blog.example",
]  # fmt: skip
# A counted site's host, and more: no browser's. It may be refused; it must not be echoed.
ODD_ORIGINS = [
    b"https://blog.example/" + CANARY.encode(), b"https://blog.example:x", b"https://u:p@blog.example", b"https://shop.example?x",
    b"https://blog.example#" + CANARY.encode(), b"https://blog.example:80\xff", b"https://shop.example:",
]  # fmt: skip
_origins = st.sampled_from([b""] * 12 + OUR_ORIGINS * 2 + STRANGE_ORIGINS + ODD_ORIGINS)

_AGENTS = [
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64; {AGENT}/%d) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36",
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Mobile Safari/604.1 {AGENT}/%d",
    f"{AGENT}Bot/%d (+https://kanari-agent.example/bot)", f"{AGENT}/%d CFNetwork/1.0 Darwin/24", f"{AGENT}/%d",
    f"Mozilla/5.0 (compatible; {AGENT}; %d)", f"{AGENT} %d " + "(" * 900, f"{AGENT} %d " + "Mozilla/5.0 " * 300,
    f"{AGENT}/%d ä💩", f"{AGENT}-%d\xff", f"{AGENT} %d \t ;;;()", f"curl/8.%d {AGENT}",
]  # fmt: skip
_ADDRESSES = [
    "203.0.113.%d", "2001:db8:cafe:%x::7", "[2001:db8:cafe:%x::7]:8080", "203.0.113.%d:4711",
    "::ffff:203.0.113.%d",
    "2001:0db8:cafe:%x:0000:0000:0000:0007", "203.0.113.%d, 127.0.0.1", "unknown, 203.0.113.%d",
    "203.0.113.%d, ::1, 127.0.0.1",
    '"203.0.113.%d"', "2001:db8:cafe:%x::7%%eth0", "203.0.113.%d, nonsense", "for=203.0.113.%d;proto=https",
    'for="[2001:db8:cafe:%x::7]:99";by=_x', "203.0.113.%d, " * 40, "203.0.113.%d\xff", "203.0.113.%d.9",
    "0203.0.113.%d",
]  # fmt: skip
_number = st.integers(0, 255)
_agents = st.tuples(st.sampled_from(_AGENTS), _number).map(lambda pair: pair[0] % pair[1])
_addresses = st.tuples(st.sampled_from(_ADDRESSES), _number).map(
    lambda pair: pair[0].replace("%x", "%d") % ((pair[1],) * pair[0].replace("%%", "").count("%"))
)
_person_headers = st.sampled_from(["X-Forwarded-For"] * 6 + ["Forwarded", "X-Real-IP", "x-forwarded-for"])

# Bodies -------------------------------------------------------------------------------------------------------

_ODD_BODIES = [
    b"--", b"--\r\n" * 9_000, b'--x\r\n; name="url' * 900,
    b'--x\r\n name="url"\r\n\r\nhttps://blog.example/', b"--\r\n--\r\n--",
    b"", b"{", b"}", b"[]", b"null", b"\xef\xbb\xbf{}", b"\xff\xfe{\0}\0", b"\0" * 300, bytes(range(256)),
    b"{}{}",
    b'{"url": "https://blog.example/\xff", "title": "\xed\xa0\xbd"}',
    b'{"url": "https://blog.example/\\ud83d"}',
    b'{"url": "https://blog.example/", "status": ' + b"9" * 5_000 + b"}", b'{"url": NaN}', b"url", b"&",
    b"=" * 900,
    b'{"url": "https://blog.example/", "url": "https://other.example/"}',
    b"url=https%3A%2F%2Fblog.example%2F&url=x",
    b'{"url": "https://blog.example/", "props": {"a": ' + b"[" * 3_000 + b"}}", b'{"' + b"k" * 9_000 + b'": 1}',
    b'{"url": "https://blog.example/", "props": ' + json.dumps({str(n): n for n in range(4_000)}).encode() + b"}",
    b"x" * 65_535, b'{"title": "' + b"x" * 65_536 + b'"}', b" " * 200_000, b"url=" + b"%" * 60_000,
    b"a&" * 32_000,
    b"a=" + CANARY.encode() + b"&" * 20_000,
    b'--x\r\nContent-Disposition: form-data; name="url"\r\n\r\nx\r\n--x--\r\n',
    *(text.encode() for text in DEEP), b'{"url": "https://blog.example/", "id": ' + b"[" * 2_000,
    b"\x1f\x8b\x08",
]  # fmt: skip
_odd_bodies = st.sampled_from([*_ODD_BODIES, b" " * 65_537, b"x" * 70_000, b"{" * 300_000]) | st.binary(
    max_size=30
)


def _bomb(_: bytes) -> bytes:
    """60 MB of one letter in 60 KB."""
    return _BOMB


_BOMB = gzip.compress(b'{"title": "' + b"x" * 60_000_000, 9, mtime=0)
# The first word is what Content-Encoding says.
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda body: body,
    "gzip": lambda body: gzip.compress(body, 1, mtime=0),
    "deflate": zlib.compress,
    "deflate raw": lambda body: zlib.compress(body)[2:-4],
    "gzip bomb": _bomb,
    "gzip cut": lambda body: gzip.compress(body, 1, mtime=0)[:-6],
    "gzip twice": lambda body: gzip.compress(gzip.compress(body, 1, mtime=0), 1, mtime=0),
    "gzip and-more": lambda body: gzip.compress(body, 1, mtime=0) * 2,
    "gzip not": lambda body: body,
    "deflate not": lambda body: body,
    "br not": lambda body: body,
    "zstd not": lambda body: body,
    "identity": lambda body: body,
    f"{CANARY} not": lambda body: body,
    "gzip, gzip": lambda body: gzip.compress(body, 1, mtime=0),
}
_GOOD_CODINGS = ("", "gzip", "deflate", "identity")
_codings = st.sampled_from([""] * 80 + ["gzip"] * 3 + [name for name in CODINGS if name])


def _length(body: bytes, number: bytes | int | None = None) -> bytes:
    return b"Content-Length: %s\r\n" % (str(len(body)).encode() if number is None else str(number).encode())


def _chunks(body: bytes, chance: random.Random, extension: bytes = b"") -> bytes:
    pieces, rest = [], body
    while rest:
        size = chance.choice((1, 7, 400, 20_000))
        piece, rest = rest[:size], rest[size:]
        pieces.append(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece))
    return b"".join(pieces) + b"0\r\n"


_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_Framed = tuple[bytes, bytes]  # headers, and what follows the head
FRAMINGS: dict[str, Callable[[bytes, random.Random], _Framed]] = {
    "none": lambda body, _: (b"", b""),
    "length": lambda body, _: (_length(body), body),
    "chunks": lambda body, chance: (_CHUNKED, _chunks(body, chance) + b"\r\n"),
    "chunks with extras": lambda body, chance: (
        _CHUNKED, _chunks(body, chance, b";x=" + CANARY.encode()) + b"X-Trailer: " + CANARY.encode() + b"\r\n\r\n"
    ),
    # From here on the connection is of no use afterwards.
    "longer than it says": lambda body, _: (_length(body), body + CANARY.encode() + b"\r\n\r\n"),
    "shorter than it says": lambda body, _: (_length(body, len(body) + 9), body),
    "cut off": lambda body, chance: (_length(body), body[: chance.randrange(len(body) + 1)][:-1]),
    "chunks without end": lambda body, chance: (_CHUNKED, _chunks(body, chance)[:-3]),
    "chunk too short": lambda body, _: (_CHUNKED, b"%x\r\n%s\r\n0\r\n\r\n" % (len(body) + 5, body)),
    "chunk too long": lambda body, _: (_CHUNKED, b"%x\r\n%sxx\r\n0\r\n\r\n" % (len(body), body)),
    "chunk is no number": lambda body, _: (_CHUNKED, CANARY.encode() + b"\r\n" + body),
    "negative chunk": lambda body, _: (_CHUNKED, b"-5\r\n" + body),
    "huge chunk": lambda body, _: (_CHUNKED, b"f" * 17 + b"\r\n" + body),
    "two lengths": lambda body, _: (_length(body) + _length(body, 3), body),
    "same length twice": lambda body, _: (_length(body) * 2, body),
    "length and chunks": lambda body, chance: (_length(body) + _CHUNKED, _chunks(body, chance) + b"\r\n"),
    "length is no number": lambda body, _: (b"Content-Length: " + CANARY.encode() + b"\r\n", body),
    "negative length": lambda body, _: (_length(body, -1), body),
    "huge length": lambda body, _: (_length(body, 10**30), body),
    "length beyond the limit": lambda body, _: (_length(body, 10**9), body),
    "unknown transfer": lambda body, _: (b"Transfer-Encoding: " + CANARY.encode() + b"\r\n", body),
    "two transfers": lambda body, chance: (
        b"Transfer-Encoding: gzip, chunked\r\n", _chunks(body, chance) + b"\r\n"
    ),
    "chunked not last": lambda body, chance: (
        b"Transfer-Encoding: chunked, gzip\r\n", _chunks(body, chance) + b"\r\n"
    ),
    "disguised transfer": lambda body, chance: (
        b"Transfer-Encoding: \x0bchunked\r\n", _chunks(body, chance) + b"\r\n"
    ),
}  # fmt: skip
GOOD_FRAMINGS = ("length", "chunks", "chunks with extras")
_framings = st.sampled_from(
    ["length"] * 120 + ["chunks"] * 12 + ["chunks with extras"] * 4 + list(FRAMINGS)[4:]
)

# Requests -----------------------------------------------------------------------------------------------------

_METHODS = ["GET"] * 40 + ["POST"] * 48 + ["HEAD"] * 3 + ["OPTIONS"] * 5 + ["PUT", "DELETE", "PATCH", "TRACE"]
_JUNK_METHODS = [
    "CONNECT",
    "BREW",
    "get",
    "PRI",
    "",
    CANARY,
    "G\xe4T",
    "A" * 300,
    "GET\tx",
    "M-SEARCH",
    "PROPFIND",
]
_methods = st.sampled_from(_METHODS * 8 + _JUNK_METHODS)
# The target up to the query, and the endpoint that it surely means.
_TARGETS = [
    *[("/a", "/a")] * 120, *[("/a.gif", "/a.gif")] * 60, *[("/me", "/me")] * 12, ("/a.js", "/a.js"),
    ("/", "/"), ("/privacy/", ""),
    ("/privacy", ""), ("/me/", ""), ("/robots.txt", ""), ("/livez", ""), ("/readyz", ""), ("/version", ""),
    ("/metrics", ""),
    (f"/{CANARY}", ""),
    ("http://pixel.example/a", "/a"), ("https://pixel.example:8000/a.gif", "/a.gif"),
    ("http://pixel.example", ""),
    ("//a", ""), ("/a/", ""), ("/%61", ""), ("/a;x", ""), ("/A", ""), ("/a%00", ""), ("/a%2egif", ""),
    ("a", ""), ("*", ""),
    ("/../a", ""), ("/./a", ""), ("/a#x", ""), (f"http://{CANARY}:x/a", ""), ("http://[::1/a", ""),
    ("/" + "x" * 9_000, ""),
    ("/%zz", ""), ("/\xff\xfe", ""), ("/a\x01", ""), ("pixel.example:443", ""), ("http:///a", ""),
    ("///", ""), ("/a b", ""),
]  # fmt: skip
_targets = st.sampled_from(_TARGETS)
_versions = st.sampled_from(
    [b"HTTP/1.1"] * 150
    + [b"HTTP/1.0"] * 6
    + [b"HTTP/0.9", b"HTTP/2.0", b"HTTP/9.9", b"", b"HTTP/1.1 x", b"http/1.1"]
)
_hundredths = st.integers(0, 99)
_few = st.sampled_from([0, 0, 1, 1, 2, 3])
_seeds = st.integers(0, 2**32 - 1)
_bodies_as = st.sampled_from(["json", "json", "json", "form", "form", "multipart", "odd", "odd"])
_paddings = st.sampled_from([0] * 150 + [7_000, 7_990, 8_000, 8_001, 9_000, 20_000, 31_000])


def _rarely(draw: st.DrawFn) -> bool:
    """One in a hundred; not the first or last of them, which Hypothesis draws more often."""
    return draw(_hundredths) == 57


@st.composite
def _parameters(draw: st.DrawFn) -> dict[str, Any]:
    return {name: _value(draw, name) for name, tenths in _WANTED.items() if draw(_tenths) < tenths}


_parameter_sets = _parameters()


@st.composite
def requests(draw: st.DrawFn) -> Case:
    """A request."""
    method, (target, path), version = draw(_methods), draw(_targets), draw(_versions)
    parameters = draw(_parameter_sets)
    escape = draw(_escapes)
    query, body, framing, coding = encoded(parameters, escape), b"", "none", ""
    has_id = parameters.get("id") in SURE_IDS if isinstance(parameters.get("id"), str) else False
    has_id = has_id and escape != "twice" and len(query) < 8_000
    if method not in ("GET", "HEAD", "OPTIONS") or draw(_tenths) == 5:
        framing, coding = draw(_framings), draw(_codings)
        form = draw(_bodies_as)
        if form == "odd":
            body, has_id = draw(_odd_bodies), False
            query = encoded(parameters, escape) if draw(_tenths) < 5 else b""
        elif form == "json":
            query, body = (
                b"",
                json.dumps(parameters, ensure_ascii=draw(st.booleans())).encode("utf-8", "replace"),
            )
        elif form == "multipart":
            query, body = b"", multipart(parameters)
        else:
            query, body = b"", encoded(parameters, escape)
        # The value of a part keeps its spaces, and may hold what looks like the next part.
        sound = (
            form != "multipart"
            and framing in GOOD_FRAMINGS
            and coding in _GOOD_CODINGS
            and len(body) < 65_000
        )
        has_id = has_id and sound and method == "POST"
    padding = draw(_paddings)
    if padding:
        query, has_id = query + b"&x=" + b"p" * padding, False
    line = method.encode("latin-1") + b" " + target.encode("latin-1") + (b"?" + query if query else b"")
    # Persons come first: whatever an altered byte makes one header of, theirs swallows the next, and not one that is
    # stored theirs.
    lines = [line + (b" " + version if version else b"")]
    for _ in range(draw(_few)):
        lines.append(draw(_person_headers).encode() + b": " + draw(_addresses).encode("latin-1"))
    lines.append(b"User-Agent: " + draw(_agents).encode("utf-8", "replace"))
    names = [draw(_header_names) for _ in range(draw(_few))]
    if b"Host" not in names and not _rarely(draw):
        lines.append(b"Host: pixel.example")
    lines += [name + b": " + _header(draw, name) for name in names]
    origin = draw(_origins)
    if origin:
        lines.append(b"Origin: " + origin)
    plain = version == b"HTTP/1.1" and method in _METHODS and framing in ("none", *GOOD_FRAMINGS)
    return Case(
        kind="request",
        head=b"\r\n".join(lines) + b"\r\n",
        body=body,
        framing=framing,
        coding=coding,
        method=method,
        path=path,
        own_wire=not plain or bool(_OWN_WIRE_HEADERS & set(names)) or coding not in _GOOD_CODINGS,
        cut=has_id and draw(_tenths) == 5 and draw(_tenths) == 5,
        has_id=has_id,
        stranger=origin not in OUR_ORIGINS and origin not in ODD_ORIGINS,
        seed=draw(_seeds),
    )


def companion(number: int) -> Case:
    """A good hit that travels beside a case: whatever that is, this one is accepted."""
    target = f"/a?url=https%3A%2F%2Fblog.example%2F{number % 50}&id={ID_MARK}"
    head = f"GET {target} HTTP/1.1\r\nUser-Agent: {_AGENTS[0] % 1}\r\nHost: pixel.example\r\n"
    return Case("companion", head.encode(), method="GET", path="/a", own_wire=False, has_id=True)


# Bytes --------------------------------------------------------------------------------------------------------

_PIECES = [
    b"GET ", b"POST ", b"HEAD ", b"OPTIONS ", b"/a", b"/a.gif", b"/me", b"?url=", b"https://blog.example/",
    b"&title=",
    b"&props=", b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\r\n", b"\r\n\r\n", b"Host: p\r\n",
    b"Content-Length: 7\r\n", b"%00",
    b"\0", b"\n", b"\r", b"Transfer-Encoding: chunked\r\n", b"Origin: ", b"Cookie: isMe=true\r\n",
    b"Referer: ", b": ", b"\xff",
    b"Content-Encoding: gzip\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b'{"url": "', b'"}', b"\xf0\x9f\x92\xa9",
    b"Connection: close\r\n", b"Connection: Upgrade\r\n", b"Expect: 100-continue\r\n", b" ", b"\t",
    CANARY.encode(),
]  # fmt: skip
_TLS = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def random_bytes(chance: random.Random) -> bytes:
    """Pieces of HTTP in any order, or bytes of any kind."""
    match chance.randrange(8):
        case 0:
            return chance.choice((_TLS, _HTTP2, b"", b"\r\n")) + chance.randbytes(
                chance.choice((1, 30, 2_000, 40_000))
            )
        case 1 | 2:
            start = b"%s /a?url=https://blog.example/ HTTP/1.1\r\n" % chance.choice((b"GET", b"POST"))
            return start + b"".join(chance.choices(_PIECES, k=chance.randrange(12))) + b"\r\n\r\n"
        case 3:
            body = b"".join(chance.choices(_PIECES, k=chance.randrange(12))) + chance.randbytes(
                chance.randrange(40)
            )
            return b"POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        case _:
            pieces = chance.choices(_PIECES, k=chance.randrange(24))
            return b"".join(pieces) + chance.randbytes(chance.randrange(6))


def mutated(data: bytes, chance: random.Random, doubled: bool) -> bytes:
    """Bytes with some flipped, cut off, taken out, put in, or (``doubled``) sent again behind."""
    altered = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        place = chance.randrange(len(altered) + 1)
        match chance.choice(("flip", "flip", "cut", "insert", "insert", "take", "double", "byte")):
            case "flip" if place < len(altered):
                altered[place] ^= 1 << chance.randrange(8)
            case "byte" if place < len(altered):
                altered[place] = chance.randrange(256)
            case "cut":
                del altered[place:]
            case "take":
                del altered[place : place + chance.choice((1, 2, 9))]
            case "insert":
                altered[place:place] = chance.choice((chance.randbytes(3), chance.choice(_PIECES)))
            case "double" if doubled:
                altered += bytes(altered)
            case _:
                pass
    return bytes(altered)


def altered(case: Case, seed: int) -> Case:
    """The same request with bytes altered; it keeps no promise."""
    return replace(case, kind="mutated", own_wire=True, cut=False, has_id=False, seed=seed)


def nonsense(seed: int) -> Case:
    """Bytes that are no request, or hardly one."""
    return Case("random", random_bytes(random.Random(seed)), seed=seed)
