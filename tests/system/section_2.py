"""The pixel over HTTP (section 2 of the contract) as data: each sentence, and requests that show what it means.

``test_section_2.py`` sends every request to a running stack and looks at the answer and at the table ``hits``.
What holds for all answers (no-store, one line of plain text for an error, nothing echoed …) stands there, once.
"""

from __future__ import annotations

import gzip
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

# Three stacks show every setting that section 2 names.
OPEN, STRICT, PROXIED = "open", "strict", "proxied"
SETTINGS: dict[str, dict[str, str]] = {
    OPEN: {},
    STRICT: {
        "SITES": "example.com,blog.example.com,shop.example=example.com",
        "EXCLUDED_HOSTS": "*--preview.example.com",
        "TRUSTED_PROXIES": "127.0.0.1,10.0.0.0/8,fd00::/8",
        "CLIENT_ADDRESS_HEADER": "Forwarded",
        "PRIVACY_SIGNALS": "drop",
        "RATE_LIMIT": "150",
        "SCRIPT_NAME": "x.js",
        "ENDPOINT_NAME": "count",
        "MISSING_PAGE_TITLES": "^Oops",
    },
    PROXIED: {
        "TRUSTED_PROXIES": "127.0.0.1,10.0.0.0/8,fd00::/8",
        "PRIVACY_SIGNALS": "ignore",
        "RATE_LIMIT": "",
        "SPOOL_MAX_MB": "1",
        "REDACT": "off",
        "HASH_ROUTING": "on",
    },
}
PAGE = {OPEN: "https://blog.example/a", STRICT: "https://example.com/a", PROXIED: "https://blog.example/a"}
# Well-known addresses and the countries that every registry gives them.
COUNTRIES = {
    "8.8.8.8": "US",
    "193.0.6.139": "NL",
    "2001:67c:2e8:22::c100:68b": "NL",
    "2003::1": "DE",
}

ID = "@id@"  # in a target or a body: the case's own hit_id
SOMETHING = re.compile(r".+", re.DOTALL)  # a column that is not NULL
ALLOW = "GET, HEAD, POST, OPTIONS"
ALLOW_GIF = "GET, HEAD, OPTIONS"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A request, its answer, and what then stands in ``hits``."""

    name: str
    method: str = "GET"
    path: str = "/a"
    # Of /a and /a.gif: beside `url` (PAGE) and `id` (hit_id), which None takes away. As a text: all there is.
    query: dict[str, Any] | str = field(default_factory=dict)
    headers: tuple[str, ...] = ()  # lines in their order, after Host and User-Agent
    body: bytes | str | None = None
    version: str = "1.1"
    raw: bytes | None = None  # all that is sent, instead

    status: int | tuple[int, ...] = 0  # 0: 200 for a GIF or another address, else 204
    footfall: str | None = "accepted"  # X-Footfall; None: not looked at
    has: dict[str, str | re.Pattern[str]] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()
    cors: str = ""  # the Origin that is echoed; empty: no CORS header at all
    says: str = ""  # what the body must hold

    row: dict[str, Any] = field(default_factory=dict)  # columns of the row that an accepted hit becomes
    hit_id: str = ""  # empty: one of the case's own
    by_host: bool = False  # the sender names no id: the row is that of row["host"]
    client: str = ""  # whose request it is: the same session as all others of this client

    @property
    def is_hit(self) -> bool:
        return self.path in ("/a", "/a.gif", "/count", "/count.gif")

    @property
    def is_counted(self) -> bool:
        """Whether there must be a row."""
        return (self.footfall or "").startswith("accepted")

    @property
    def statuses(self) -> tuple[int, ...]:
        if self.status:
            return self.status if isinstance(self.status, tuple) else (self.status,)
        return (204,) if self.is_hit and not self.path.endswith(".gif") else (200,)


@dataclass(frozen=True)
class Section:
    """A sentence, in its own words."""

    words: str
    stack: str
    cases: tuple[Case, ...]


def refused(name: str, reason: str, **others: Any) -> Case:
    """A request that is no hit."""
    status, says = {
        "url": (400, "url="), "id": (400, "UUID"), "body": (413, "64 KiB"), "query": (414, "POST"),
        "method": (405, "Allow"), "origin": (403, "Origin"),
    }[reason]  # fmt: skip
    return Case(
        name=name, **{"status": status, "says": says, "footfall": f"refused; reason={reason}", **others}
    )


def excluded(name: str, reason: str, **others: Any) -> Case:
    """A request that is left out on purpose."""
    return Case(name=name, footfall=f"excluded; reason={reason}", **others)


def dropped(name: str, parameter: str, value: Any, **others: Any) -> Case:
    """A bad optional value: named, and the hit is counted without it."""
    query = {} if isinstance(value, (int, list, dict, bool)) else {parameter: value}
    body = None if query else json.dumps({parameter: value})
    return Case(
        name=name, method="POST" if body else "GET", query=query, body=body,
        footfall=f"accepted; dropped={parameter}", row={parameter: None}, **others,
    )  # fmt: skip


def kept(name: str, parameter: str, sent: Any, stored: Any) -> Case:
    """A good optional value, and how it is stored."""
    return Case(name=name, query={parameter: sent}, row={parameter: stored})


def other(path: str, name: str = "", **others: Any) -> Case:
    """A request to another address than the pixel's."""
    return Case(**{"name": name or path, "path": path, "footfall": None, **others})


def posted(name: str, body: Any, **others: Any) -> Case:
    """A POST of a JSON object."""
    return Case(name=name, method="POST", body=json.dumps(body), **others)


def at(url: str, name: str = "", **row: Any) -> Case:
    """A hit of a page, and columns of its row."""
    return Case(name=name or url or "empty", query={"url": url}, row=row)


def padded(size: int) -> str:
    """A query string of so many bytes."""
    start = f"url={quote(PAGE[OPEN], safe='')}&id={ID}&x="
    return start + "x" * (size - len(start) - len(str(uuid.UUID(int=0))) + len(ID))


def long_form(size: int) -> str:
    start = "title=long&x="
    return start + "x" * (size - len(start))


def multipart(fields: dict[str, str]) -> str:
    """A FormData as browsers send it."""
    parts = (
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    return "".join(parts) + "--b--\r\n"


def chunked(body: bytes) -> bytes:
    pieces = [body[start : start + 5_000] for start in range(0, len(body), 5_000)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


FULL = {
    "url": "https://www.blog.example/full?utm_source=letter&utm_medium=mail&utm_campaign=may&utm_term=t"
    "&utm_content=c",
    "referrer": "https://news.ycombinator.com/item?id=1",
    "title": "Ä post & more",
    "screen": "1920x1080",
    "language": "de-CH",
    "event": "signup",
    "props": '{"plan":"free","seats":3,"trial":true}',
    "status": "410",
}
FULL_ROW = {
    "site": "blog.example", "host": "www.blog.example", "path": "/full", "title": "Ä post & more",
    "query": "utm_source=letter&utm_medium=mail&utm_campaign=may&utm_term=t&utm_content=c",
    "event": "signup", "props": {"plan": "free", "seats": 3, "trial": True}, "status": 410,
    "referrer": "https://news.ycombinator.com/item", "utm_source": "letter", "utm_medium": "mail",
    "utm_campaign": "may", "utm_term": "t", "utm_content": "c", "session_id": SOMETHING, "is_bot": False,
    "bot_name": None, "is_me": False, "browser": "Chrome", "os": "Windows", "device": "desktop", "language": "de-CH",
    "screen": "1920x1080",
}  # fmt: skip
BARE_ROW = {
    "site": "blog.example", "host": "blog.example", "path": "/a", "query": None, "title": None, "event": "pageview",
    "props": None, "status": None, "referrer": None, "source": None, "channel": "Direct", "utm_source": None,
    "utm_medium": None, "utm_campaign": None, "utm_term": None, "utm_content": None, "session_id": SOMETHING,
    "is_bot": False, "is_me": False, "language": None, "screen": None,
}  # fmt: skip
TYPES = ("application/json", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "nonsense", "")
FULL_JSON = json.dumps(
    {**FULL, "props": {"plan": "free", "seats": 3, "trial": True}, "status": 410, "id": ID}
)
SAME_ID = "0190a0b0-1c2d-7e3f-8a4b-5c6d7e8f9a0b"
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
JSON = "Content-Type: application/json"
PREFLIGHT = ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type")
PERSON = b"Host: p\r\nUser-Agent: Mozilla/5.0 canary\r\nX-Forwarded-For: 8.8.8.8\r\n"  # for a log to hold
GETS = tuple({"path": path} for path in ("/a", "/a.gif"))


def _typed(content_type: str) -> tuple[str, ...]:
    return (f"Content-Type: {content_type}",) if content_type else ()


# What answers, and what it takes ------------------------------------------------------------------------------

ANSWERS = (
    Section(
        "GET /a.gif answers 200 with a 1×1 GIF; GET /a and POST /a answer 204",
        OPEN,
        (
            Case(name="GIF", path="/a.gif", row=BARE_ROW, has={"Content-Type": "image/gif"}),
            Case(name="nothing", row=BARE_ROW),
            posted("POST", {"url": PAGE[OPEN], "id": ID}, query="", row=BARE_ROW),
            Case(name="HTTP/1.0", version="1.0", row=BARE_ROW),
            Case(name="GIF over HTTP/1.0", path="/a.gif", version="1.0", row=BARE_ROW),
            Case(name="connection closed", headers=("Connection: close",), has={"Connection": "close"}),
        ),
    ),
    Section(
        "All take the same parameters: in the query string, or for POST as a JSON object or a form in the body"
        " whatever Content-Type says (text/plain needs no CORS preflight)",
        OPEN,
        (
            *(Case(name=f"query of {get['path']}", query=FULL, row=FULL_ROW, **get) for get in GETS),
            Case(name="query of a POST", method="POST", query=FULL, row=FULL_ROW),
            *(
                Case(name=f"{kind} as {content_type or 'nothing'}", method="POST", query="", body=body,
                     headers=_typed(content_type), row=FULL_ROW)
                for content_type in TYPES
                for kind, body in (("JSON", FULL_JSON), ("form", urlencode({**FULL, "id": ID}, safe=ID)))
            ),
            Case(name="text/plain of an allowed Origin, without preflight", method="POST", body=json.dumps(FULL),
                 headers=("Content-Type: text/plain", "Origin: https://blog.example"), cors="https://blog.example",
                 row=FULL_ROW),
            Case(name="white space before JSON", method="POST", body="\r\n " + json.dumps(FULL), row=FULL_ROW),
            Case(name="byte order mark", method="POST", body="\ufeff" + json.dumps(FULL), row=FULL_ROW),
            Case(name="compressed", method="POST", body=gzip.compress(json.dumps(FULL).encode()),
                 headers=(JSON, "Content-Encoding: gzip"), row=FULL_ROW),
            Case(name="FormData", method="POST", body=multipart({**FULL, "id": ID}), row=FULL_ROW,
                 headers=("Content-Type: multipart/form-data; boundary=b",)),
            Case(name="in chunks", method="POST", body=chunked(json.dumps(FULL).encode()),
                 headers=(JSON, "Transfer-Encoding: chunked"), row=FULL_ROW),
            Case(name="after 100 Continue", method="POST", body=json.dumps(FULL), headers=("Expect: 100-continue",),
                 row=FULL_ROW),
            *(Case(name=f"a body of no parameters: {body!r}", method="POST", body=body, row=BARE_ROW)
              for body in ("", " ", "[1]", "null", "true", "{", "\0\xff", '"url"')),
        ),
    ),
    Section(
        "The body beats the query",
        OPEN,
        (
            posted("JSON", {"title": "body"}, query={"title": "query", "screen": "1x1"},
                   row={"title": "body", "screen": "320x568"}),
            Case(name="form", method="POST", body="title=body", query={"title": "query"}, row={"title": "body"}),
            posted("url", {"url": "https://body.example/"}, row={"host": "body.example"}),
            posted("null says nothing", {"title": None}, query={"title": "query"}, row={"title": "query"}),
            posted("empty", {"title": ""}, query={"title": "query"}, row={"title": None}),
            posted("bad value", {"screen": "big"}, query={"screen": "1x1"}, row={"screen": None},
                   footfall="accepted; dropped=screen"),
        ),
    ),
)  # fmt: skip


# The parameters -----------------------------------------------------------------------------------------------


def _pages(host: str, *spellings: str, path: str) -> tuple[Case, ...]:
    return tuple(at(url, host=host, path=path) for url in spellings)


LONG_URL = "https://blog.example/" + "x" * 3_000
PARAMETERS = (
    Section(
        "url: absolute http(s) address of the page",
        OPEN,
        (
            at("http://blog.example/plain", host="blog.example", path="/plain"),
            at("HTTPS://BLOG.EXAMPLE/Case", host="blog.example", path="/Case"),
            at(" https://blog.example/blanks ", path="/blanks"),
            at("https://user:password@blog.example:8443/p", host="blog.example", path="/p"),
            at("https://bücher.example/ü", host="xn--bcher-kva.example", path="/ü"),
            at("https://blog.example./dot", site="blog.example", host="blog.example"),
            at("https://blog.example?x", host="blog.example", path="/"),
            at("https://[2606:4700:4700::1111]/six", host="2606:4700:4700::1111", path="/six"),
            *(refused(f"no address: {url!r}", "url", query={"url": url})
              for url in ("canary", "/canary", "//blog.example/canary", "https://", "https:///canary", "https:canary",
                          "ftp://blog.example/canary", "javascript:canary", "about:blank", "data:,canary",
                          "https://[canary", "https://can ary/", "https://%63anary/", "https://-/canary",
                          "https://" + "canary" * 50 + ".example/")),
            *(posted(f"no text: {value!r}", {"url": value}, status=400, footfall="refused; reason=url", says="url=")
              for value in (5, ["https://blog.example/"], {"canary": 1}, True)),
        ),
    ),
    Section(
        "url, when absent: the Referer header is the page (a bare <img>); neither: 400",
        OPEN,
        (
            *(Case(name=f"Referer, {get['path']}", query={"url": None},
                   headers=("Referer: https://ref.example/r?x=1",),
                   row={**BARE_ROW, "site": "ref.example", "host": "ref.example", "path": "/r"}, **get)
              for get in GETS),
            Case(name="empty url", query={"url": ""}, headers=("Referer: https://ref.example/e",),
                 row={"path": "/e"}),
            Case(name="of a POST", method="POST", query={"url": None}, body="{}",
                 headers=("Referer: https://ref.example/p",), row={"path": "/p"}),
            at("https://blog.example/own", "url goes before Referer", path="/own"),
            *(refused(f"neither, {get['path']}", "url", query={"url": None}, **get) for get in GETS),
            refused("nothing at all", "url", query=""),
            refused("an empty POST", "url", query="", method="POST", body=""),
            refused("neither, empty", "url", query={"url": ""}, headers=("Referer: ",)),
            refused("a Referer that is no page", "url", query={"url": None}, headers=("Referer: canary",)),
            refused("a bad url is not mended by Referer", "url", query={"url": "canary"},
                    headers=("Referer: https://blog.example/",)),
        ),
    ),
    Section(
        "referrer: where the visitor came from; absent: direct",
        OPEN,
        (
            Case(name="absent", row={"referrer": None, "source": None, "channel": "Direct"}),
            Case(name="empty", query={"referrer": ""}, row={"referrer": None, "source": None, "channel": "Direct"}),
            Case(name="good", query={"referrer": "https://other.example/page"},
                 row={"referrer": "https://other.example/page", "source": "other.example", "channel": "Referral"}),
            Case(name="known", query={"referrer": "https://news.ycombinator.com/"},
                 row={"source": "Hacker News", "channel": "News"}),
            Case(name="searched", query={"referrer": "https://www.google.de/"},
                 row={"source": "Search", "channel": "Search"}),
            Case(name="the site itself", query={"referrer": "https://www.blog.example/b"}, row={"source": None}),
            Case(name="the Referer header is no referrer", headers=("Referer: https://other.example/",),
                 row={"referrer": None}),
            Case(name="odd text is kept", query={"referrer": "somewhere"}, row={"referrer": "somewhere"}),
            Case(name="overlong is cut", query={"referrer": "https://other.example/" + "x" * 3_000},
                 row={"referrer": "https://other.example/" + "x" * (2_048 - 22)}),
            dropped("no text", "referrer", 5),
        ),
    ),
    Section(
        "title: the page's title; absent: empty",
        OPEN,
        (
            Case(name="absent", row={"title": None}),
            kept("empty", "title", "", None),
            kept("good", "title", "Grüße — 你好 😀", "Grüße — 你好 😀"),
            Case(name="half an escaped character", method="POST", body='{"title": "cut \\ud83d"}',
                 row={"title": SOMETHING}),
            Case(name="bytes that are no UTF-8", query=f"url={quote(PAGE[OPEN])}&id={ID}&title=a%ff",
                 row={"title": "a\ufffd"}),
            dropped("no text", "title", 5),
            dropped("a list", "title", ["canary"]),
        ),
    ),
    Section(
        "screen: 1920x1080, CSS pixels; absent: unknown",
        OPEN,
        (
            Case(name="absent", row={"screen": None}),
            kept("empty", "screen", "", None),
            kept("good", "screen", "1920x1080", "1920x1080"),
            *(dropped(f"bad: {bad!r}", "screen", bad)
              for bad in ("canary", "1920", "1920X1080", "0x0", "-1x5", "1x", "100000x1", "1x" + "1" * 100,
                          "1920x1080x2", "１x１", 1920, [1920, 1080])),
        ),
    ),
    Section(
        "language: BCP 47 tag; absent: first of Accept-Language",
        OPEN,
        (
            Case(name="neither", row={"language": None}),
            kept("good", "language", "de-CH", "de-CH"),
            kept("long", "language", "zh-cmn-Hans-CN", "zh-CN"),
            Case(name="first of Accept-Language", headers=("Accept-Language: fr-CH, fr;q=0.9, en;q=0.8",),
                 row={"language": "fr-CH"}),
            Case(name="with a weight", headers=("Accept-Language: fr;q=0.9",), row={"language": "fr"}),
            Case(name="empty", query={"language": ""}, headers=("Accept-Language: fr",), row={"language": "fr"}),
            Case(name="goes before Accept-Language", query={"language": "de"}, headers=("Accept-Language: fr",),
                 row={"language": "de"}),
            *(Case(name=f"Accept-Language {bad!r}", headers=(f"Accept-Language: {bad}",), row={"language": None})
              for bad in ("*", "", "canary_", "a" * 40, "<b>")),
            *(dropped(f"bad: {bad[:12]!r}", "language", bad)
              for bad in ("de_CH", "d", "<b>", "en-" + "abcd-" * 8 + "x", "x" * 3_000)),
            dropped("no text", "language", 5),
        ),
    ),
    Section(
        "event: name of a custom event, at most 64 characters (a bad one is stored as `invalid`, never as a"
        " pageview); absent: pageview",
        OPEN,
        (
            Case(name="absent", row={"event": "pageview"}),
            kept("empty", "event", "", "pageview"),
            kept("good", "event", "Newsletter: signed up ✓", "Newsletter: signed up ✓"),
            kept("of 64 characters", "event", "ä" * 64, "ä" * 64),
            kept("of 65 characters", "event", "e" * 65, "invalid"),
            kept("of 4,000 characters", "event", "e" * 4_000, "invalid"),
            kept("blank", "event", "  ", "invalid"),
            kept("line break", "event", "a\nb", "invalid"),
            kept("NUL", "event", "a\0b", "invalid"),
            *(posted(f"no text: {bad!r}", {"event": bad}, row={"event": "invalid"}) for bad in (5, True, ["x"], {})),
        ),
    ),
    Section(
        "props: JSON object of at most 30 short strings, numbers or booleans; absent: none",
        OPEN,
        (
            Case(name="absent", row={"props": None}),
            kept("empty", "props", "", None),
            kept("empty object", "props", "{}", None),
            kept("each kind", "props", '{"s":"ä","i":-1,"f":1.5,"b":false}',
                 {"s": "ä", "i": -1, "f": 1.5, "b": False}),
            posted("as an object", {"props": {"a": "b", "n": 2}}, row={"props": {"a": "b", "n": 2}}),
            posted("as a text", {"props": '{"a": "b"}'}, row={"props": {"a": "b"}}),
            kept("of 30", "props", json.dumps({f"k{n}": n for n in range(30)}), {f"k{n}": n for n in range(30)}),
            dropped("of 31", "props", json.dumps({f"k{n}": n for n in range(31)})),
            dropped("long text", "props", json.dumps({"k": "v" * 1_000})),
            dropped("long name", "props", json.dumps({"k" * 1_000: 1})),
            *(dropped(f"bad: {bad}", "props", bad)
              for bad in ("canary", "[1]", "5", '"x"', '{"a":{}}', '{"a":[1]}', '{"a":null}', '{"a":1e999}',
                          '{"a":NaN}', '{"a":"\\u0000"}', '{"a":1', '{"":1}', "[" * 2_000)),
            dropped("a list", "props", ["canary"]),
            dropped("a nested object", "props", {"a": {"b": "canary"}}),
        ),
    ),
    Section(
        "status: HTTP status of the page where it is known; absent: recognise a 404 by a title pattern",
        OPEN,
        (
            Case(name="absent", query={"title": "A post"}, row={"status": None}),
            *(kept(code, "status", code, int(code)) for code in ("200", "404", "410", "503")),
            posted("a number", {"status": 404}, row={"status": 404}),
            *(Case(name=f"title {title!r}", query={"title": title}, row={"status": 404})
              for title in ("404", "404 – Blog", "Page not found", "Not Found | Blog", "PAGE NOT FOUND")),
            *(Case(name=f"title {title!r}", query={"title": title}, row={"status": None})
              for title in ("The 404 and I", "4040 steps", "Oops, gone")),
            Case(name="known, so not recognised", query={"title": "404", "status": "200"}, row={"status": 200}),
            *(dropped(f"bad: {bad!r}", "status", bad)
              for bad in ("canary", "0", "99", "600", "4041", "-404", "404.0", "4" * 100, 4_040, 404.5,
                          ["404"], True)),
        ),
    ),
    Section(
        "the tracker and the enricher recognise a 404 by a title pattern (setting)",
        STRICT,
        (
            Case(name="the pattern", query={"title": "Oops, gone"}, row={"status": 404}),
            Case(name="no longer the default", query={"title": "404"}, row={"status": None}),
        ),
    ),
    Section(
        "id: UUID made by the sender: becomes hit_id, lower case; the same id on the same site and day is one hit,"
        " the first stored wins; absent: made by the pixel (UUIDv7)",
        OPEN,
        (
            Case(name="good", query={"id": "b5d7f9a1-3C5E-4a7b-9d1f-0A2B4C6D8E9F"},
                 hit_id="b5d7f9a1-3c5e-4a7b-9d1f-0a2b4c6d8e9f"),
            Case(name="first", hit_id=SAME_ID, query={"title": "first"},
                 row={"site": "blog.example", "title": "first"}),
            Case(name="again", hit_id=SAME_ID, query={"title": "second"},
                 row={"site": "blog.example", "title": "first"}),
            Case(name="again in capitals, on another host of the site", hit_id=SAME_ID,
                 query={"id": SAME_ID.upper(), "url": "https://www.blog.example/b"},
                 row={"site": "blog.example", "host": "blog.example", "title": "first"}),
            posted("again by POST", {"id": SAME_ID, "title": "third"}, hit_id=SAME_ID,
                   row={"site": "blog.example", "title": "first"}),
            Case(name="on another site", hit_id=SAME_ID, query={"url": "https://same-id.example/", "title": "other"},
                 row={"site": "same-id.example", "title": "other"}),
            Case(name="absent", query={"id": None, "url": "https://no-id.example/"}, by_host=True,
                 row={"host": "no-id.example", "hit_id": UUID7}),
            Case(name="empty", query={"id": "", "url": "https://empty-id.example/"}, by_host=True,
                 row={"host": "empty-id.example", "hit_id": UUID7}),
            posted("null", {"id": None}, query={"id": None, "url": "https://null-id.example/"}, by_host=True,
                   row={"host": "null-id.example", "hit_id": UUID7}),
            Case(name="any UUID", hit_id="00000000-0000-0000-0000-000000000000"),
            *(refused(f"bad: {bad[:40]!r}", "id", query={"id": bad})
              for bad in ("canary", "b5d7f9a1", "b5d7f9a1-3c5e-4a7b-9d1f-0a2b4c6d8e9", "g" * 36, "x" * 2_000,
                          "b5d7f9a1-3c5e-4a7b-9d1f-0a2b4c6d8e9f-canary")),
            refused("bad, of a GIF", "id", query={"id": "canary"}, path="/a.gif"),
            *(refused(f"no text: {bad!r}", "id", method="POST", query={"id": None}, body=json.dumps({"id": bad}))
              for bad in (5, ["canary"], {}, True)),
        ),
    ),
)  # fmt: skip


# What the answers mean ----------------------------------------------------------------------------------------

MEANING = (
    Section(
        "X-Footfall: accepted, accepted; dropped=screen,props (bad optional values are dropped, never a reason to"
        " lose a hit) or excluded; reason=…",
        OPEN,
        (
            Case(name="dropped", query={"screen": "x", "props": "x", "title": "kept"},
                 footfall="accepted; dropped=screen,props", row={**BARE_ROW, "title": "kept"}),
            Case(name="dropped, of a GIF", path="/a.gif", query={"screen": "x", "props": "x"},
                 footfall="accepted; dropped=screen,props", row=BARE_ROW),
            posted("all that can be",
                   {"title": 5, "referrer": 5, "screen": 5, "language": 5, "status": "x", "props": 5},
                   footfall="accepted; dropped=title,referrer,screen,language,status,props",
                   row=BARE_ROW),
            Case(name="unknown parameters are nothing", query={"canary": "canary", "URL": "x"}, row=BARE_ROW),
            excluded("excluded", "local-host", query={"url": "http://localhost/"}),
            excluded("excluded, of a GIF", "local-host", path="/a.gif", query={"url": "http://localhost/"}),
            excluded("excluded before its id is looked at", "local-host",
                     query={"url": "http://localhost/", "id": "x"}),
        ),
    ),
    Section(
        "405 other methods",
        OPEN,
        (
            *(refused(f"{method} /a", "method", method=method, has={"Allow": ALLOW})
              for method in ("PUT", "DELETE", "PATCH", "TRACE", "PROPFIND")),
            *(refused(f"{method} /a.gif", "method", method=method, path="/a.gif", has={"Allow": ALLOW_GIF})
              for method in ("POST", "PUT", "DELETE")),
            refused("PUT of an allowed Origin", "method", method="PUT", headers=("Origin: https://blog.example",),
                    has={"Allow": ALLOW}, cors="https://blog.example"),
            *(other(path, f"{method} {path}", method=method, status=405, has={"Allow": allow}, says="Allow")
              for path, allow in (("/", "GET, HEAD"), ("/privacy/", "GET, HEAD"), ("/a.js", "GET, HEAD"),
                                  ("/me", "GET, HEAD, POST"), ("/robots.txt", "GET, HEAD"), ("/livez", "GET, HEAD"),
                                  ("/readyz", "GET, HEAD"), ("/version", "GET, HEAD"))
              for method in ("PUT", "DELETE")),
            other("/", "POST /", method="POST", body="", status=405, has={"Allow": "GET, HEAD"}),
        ),
    ),
    Section(
        "413 body over 64 KiB",
        OPEN,
        (
            Case(name="65,536 bytes", method="POST", body=long_form(65_536), row={"title": "long"}),
            refused("65,537 bytes", "body", method="POST", body=long_form(65_537)),
            refused("a megabyte", "body", method="POST", body=long_form(1_000_000)),
            refused("65,537 bytes in chunks", "body", method="POST", body=chunked(long_form(65_537).encode()),
                    headers=("Transfer-Encoding: chunked",)),
            Case(name="65,536 bytes in chunks", method="POST", body=chunked(long_form(65_536).encode()),
                 headers=("Transfer-Encoding: chunked",), row={"title": "long"}),
            refused("a bomb", "body", method="POST", body=gzip.compress(long_form(5_000_000).encode()),
                    headers=("Content-Encoding: gzip",)),
        ),
    ),
    Section(
        "414 (or 400 from the parser) query over 8,000 bytes",
        OPEN,
        (
            Case(name="8,000 bytes", query=padded(8_000)),
            *(refused(f"8,001 bytes of {get['path']}", "query", query=padded(8_001), **get) for get in GETS),
            refused("8,001 bytes of a POST", "query", method="POST", query=padded(8_001), body="{}"),
            Case(name="40,000 bytes", query=padded(40_000), status=(400, 414), footfall=None),
        ),
    ),
    Section(
        "Never a 500, on any bytes",
        OPEN,
        tuple(
            Case(name=name, path="/raw", raw=raw.replace(b"Host: p\r\n", PERSON), status=400, footfall=None)
            for name, raw in {
                "nonsense": b"canary\r\n\r\n",
                "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03canary\r\n\r\n",
                "an odd version": b"GET /a?url=canary HTTP/9.9\r\nHost: p\r\n\r\n",
                "NUL in the line": b"GET /a?url=\0canary HTTP/1.1\r\nHost: p\r\n\r\n",
                "NUL in a header": b"GET /a HTTP/1.1\r\nHost: p\r\nX: \0canary\r\n\r\n",
                "no colon": b"GET /a HTTP/1.1\r\nHost: p\r\ncanary\r\n\r\n",
                "a blank in a name": b"GET /a HTTP/1.1\r\nHost: p\r\nX canary: 1\r\n\r\n",
                "a long header": b"GET /a HTTP/1.1\r\nHost: p\r\nX: " + b"canary" * 10_000 + b"\r\n\r\n",
                "a length that is none": b"POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: canary\r\n\r\n",
                "two lengths": b"POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
                "a length and chunks": b"POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: 5\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "a chunk that is none": b"POST /a HTTP/1.1\r\nHost: p\r\n"
                b"Transfer-Encoding: chunked\r\n\r\ncanary\r\n",
                "a method that is none": b"CAN\xc3ARY /a HTTP/1.1\r\nHost: p\r\n\r\n",
            }.items()
        ),
    ),
    Section(
        "url is cut at 2,048 characters, title at 512; NUL is removed",
        OPEN,
        (
            at("https://blog.example/" + "x" * 2_027, "url of 2,048", path="/" + "x" * 2_027),
            at(LONG_URL, "url of 3,021", path="/" + "x" * 2_027),
            posted("url of 3,021 by POST", {"url": LONG_URL}, row={"path": "/" + "x" * 2_027}),
            Case(name="Referer of 3,021", query={"url": None}, headers=(f"Referer: {LONG_URL}",),
                 row={"path": "/" + "x" * 2_027}),
            kept("title of 512", "title", "t" * 512, "t" * 512),
            kept("title of 513", "title", "t" * 513, "t" * 512),
            posted("title of 10,000 characters, not bytes", {"title": "你" * 10_000}, row={"title": "你" * 512}),
            kept("NUL in a title", "title", "a\0b", "ab"),
            posted("NUL in a title by POST", {"title": "\0a\0b\0"}, row={"title": "ab"}),
            kept("nothing but NUL in a title", "title", "\0", None),
            at("https://blog.example/n\0ul", "NUL in a url", path="/nul"),
            at("https://blog.example/n%00ul", "encoded NUL in a url", path="/nul"),
            kept("NUL in a referrer", "referrer", "https://other.example/n\0ul", "https://other.example/nul"),
            at("https://blog.example/?ref=n%00ul", "NUL in a kept query", path="/", query=SOMETHING),
        ),
    ),
    Section(
        "HEAD counts nothing",
        OPEN,
        (
            excluded("/a", "head", method="HEAD"),
            excluded("/a.gif", "head", method="HEAD", path="/a.gif"),
            excluded("without a page", "head", method="HEAD", query=""),
            excluded("of an allowed Origin", "head", method="HEAD", headers=("Origin: https://blog.example",),
                     cors="https://blog.example"),
            *(other(path, method="HEAD") for path in ("/", "/privacy/", "/me", "/a.js", "/robots.txt", "/livez",
                                                      "/readyz", "/version")),
        ),
    ),
    Section(
        "No 304: Cache-Control: no-store",
        OPEN,
        tuple(
            Case(name=f"{header}, {get['path']}", headers=(header,), row=BARE_ROW, **get)
            for header in ("If-None-Match: *", 'If-None-Match: "x"',
                           "If-Modified-Since: Sat, 01 Jan 2050 00:00:00 GMT",
                           "If-Range: x", "Range: bytes=0-9", "If-Match: x", "Cache-Control: only-if-cached",
                           "If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT")
            for get in GETS
        ),
    ),
    Section(
        "OPTIONS 204 for an allowed Origin",
        OPEN,
        (
            excluded("/a", "preflight", method="OPTIONS", query="",
                     headers=("Origin: https://any.example", *PREFLIGHT), cors="https://any.example",
                     has={"Access-Control-Allow-Methods": re.compile(r".*\bPOST\b.*"),
                          "Access-Control-Allow-Headers": re.compile(r"(?i).*\bcontent-type\b.*")}),
            excluded("/a.gif", "preflight", method="OPTIONS", path="/a.gif", query="", status=204,
                     headers=("Origin: https://any.example", *PREFLIGHT), cors="https://any.example",
                     has={"Access-Control-Allow-Methods": re.compile(r".*\bGET\b.*")}),
            excluded("nobody's", "preflight", method="OPTIONS", query="", has={"Allow": ALLOW}),
            excluded("nobody's, of a GIF", "preflight", method="OPTIONS", path="/a.gif", query="", status=204,
                     has={"Allow": ALLOW_GIF}),
            *(refused(f"of {origin}", "origin", method="OPTIONS", query="", headers=(f"Origin: {origin}", *PREFLIGHT))
              for origin in ("null", "http://localhost:3000", "canary.example", "file://")),
        ),
    ),
    Section(
        "OPTIONS 204 for an allowed Origin, of sites that are listed",
        STRICT,
        (
            excluded("a listed site", "preflight", method="OPTIONS", query="",
                     headers=("Origin: https://www.example.com", *PREFLIGHT), cors="https://www.example.com"),
            refused("a stranger", "origin", method="OPTIONS", query="",
                    headers=("Origin: https://canary.example", *PREFLIGHT)),
        ),
    ),
)  # fmt: skip


# Who may read -------------------------------------------------------------------------------------------------

STRANGERS = ("https://evil.example", "https://notexample.com", "https://example.com.evil.example", "null",
             "example.com", "//example.com", "file://", "https://", "https://pr-7--preview.example.com", "http://localhost",
             "http://127.0.0.1:8000", "chrome-extension://abcdef", "https://example.com/canary",
             "https://example.com/", "https://canary@example.com", "https://example.com:canary",
             "https://example.com?canary", "https://example.com#canary")  # fmt: skip
CORS = (
    Section(
        "CORS only on /a, /a.gif: the Origin of an allowed site is echoed, with credentials",
        STRICT,
        (
            *(Case(name=f"{origin}, {get['path']}", headers=(f"Origin: {origin}",), cors=origin, **get)
              for origin in ("https://example.com", "https://www.example.com", "http://shop.example:8080",
                             "https://blog.example.com")
              for get in GETS),
            Case(name="POST", method="POST", body="{}", headers=("Origin: https://example.com",),
                 cors="https://example.com"),
            refused("an error too", "url", query={"url": "canary"}, headers=("Origin: https://example.com",),
                    cors="https://example.com"),
            excluded("what is excluded too", "unknown-site", query={"url": "https://evil.example/"},
                     headers=("Origin: https://example.com",), cors="https://example.com"),
        ),
    ),
    Section(
        "others get no CORS header",
        STRICT,
        (
            *(Case(name=f"{origin}, {get['path']}", headers=(f"Origin: {origin}",), **get)
              for origin in STRANGERS for get in GETS),
            Case(name="nobody"),
            *(other(path, f"another address, {path}", headers=("Origin: https://example.com",))
              for path in ("/", "/privacy/", "/me", "/a.js", "/robots.txt", "/livez", "/readyz", "/version")),
            other("/nothing", headers=("Origin: https://example.com",), status=404),
        ),
    ),
    Section(
        "others get no CORS header, under SITES=*",
        OPEN,
        (
            *(Case(name=origin, headers=(f"Origin: {origin}",))
              for origin in ("null", "blog.example", "http://localhost:3000", "http://10.0.0.1", "file://")),
            Case(name="anyone's site is allowed", headers=("Origin: https://any.example",),
                 cors="https://any.example"),
        ),
    ),
)  # fmt: skip


# What is left out ---------------------------------------------------------------------------------------------

LOCAL = (
    "http://localhost/", "http://localhost:3000/a", "http://LOCALHOST./", "http://app.localhost/",
    "http://a.b.localhost", "http://printer.local/", "http://app.test/", "http://user@localhost/",
    "http://127.0.0.1/", "http://127.0.0.1:8080/a", "http://127.8.9.1/", "http://10.1.2.3/", "http://172.16.0.1/",
    "http://172.31.255.254/", "http://192.168.0.1/", "http://169.254.1.1/", "http://0.0.0.0/",
    # As browsers read them: one to four numbers, decimal, octal or hexadecimal.
    "http://127.1/", "http://127.0.1/", "http://2130706433/", "http://0x7f000001/", "http://0x7f.1/",
    "http://0177.0.0.1/", "http://0/", "http://017700000001/", "http://10.1/", "http://3232235521/",
    "http://192.168.257/", "http://0xA000001/",
    "http://１２７.0.0.1/",
    "http://[::1]/", "http://[::1]:3000/", "http://[0:0:0:0:0:0:0:1]/", "http://[::]/", "http://[fc00::1]/",
    "http://[fd12:3456::1]/", "http://[fe80::1]/", "http://[::ffff:10.0.0.1]/", "http://[::ffff:7f00:1]/",
    "file:///home/me/index.html", "FILE:///c:/index.html", "file:index.html",
)  # fmt: skip
NOT_LOCAL = {
    "https://blog.example/": "blog.example", "https://blog.invalid/": "blog.invalid", "https://invalid/": "invalid",
    "http://203.0.113.5/": "203.0.113.5", "http://192.0.2.1/": "192.0.2.1", "http://198.51.100.7/": "198.51.100.7",
    "http://[2001:db8::1]/": "2001:db8::1", "http://8.8.8.8/": "8.8.8.8", "http://11.0.0.1/": "11.0.0.1",
    "http://172.15.0.1/": "172.15.0.1", "http://172.32.0.1/": "172.32.0.1", "http://192.169.0.1/": "192.169.0.1",
    "http://126.255.255.255/": "126.255.255.255", "http://128.0.0.1/": "128.0.0.1",
    "https://localhost.example/": "localhost.example", "https://contest/": "contest",
    "https://mylocalhost/": "mylocalhost",
    "https://127.0.0.1.example/": "127.0.0.1.example", "https://10.example/": "10.example",
    "https://test.example/": "test.example", "https://local.example/": "local.example",
}  # fmt: skip
EXCLUDED = (
    Section(
        "Excluded at the source: pages on localhost, *.localhost, *.local, *.test, private or loopback addresses,"
        " file:",
        OPEN,
        (
            *(excluded(url, "local-host", query={"url": url}) for url in LOCAL),
            excluded("by Referer", "local-host", query={"url": None}, headers=("Referer: http://localhost/",)),
            excluded("by POST", "local-host", method="POST", body='{"url": "http://127.1/"}'),
        ),
    ),
    Section(
        ".example and .invalid are not",
        OPEN,
        tuple(at(url, site=host, host=host) for url, host in NOT_LOCAL.items()),
    ),
    Section(
        "EXCLUDED_HOSTS patterns (deploy previews)",
        STRICT,
        (
            *(excluded(url, "excluded-host", query={"url": url})
              for url in ("https://pr-7--preview.example.com/", "https://PR-7--Preview.Example.Com:8443/x",
                          "https://a.b--preview.example.com./")),
            *(at(url, site="example.com")
              for url in ("https://preview.example.com/", "https://pr-7--preview.example.com.example.com/")),
        ),
    ),
    Section(
        "requests with Sec-Purpose: prefetch",
        OPEN,
        (
            *(excluded(f"{header}, {get['path']}", "prefetch", headers=(header,), **get)
              for header in ("Sec-Purpose: prefetch", "Sec-Purpose: prefetch;prerender",
                             "Sec-Purpose: prefetch;anonymous-client-ip", "Purpose: prefetch", "X-Moz: prefetch")
              for get in GETS),
            excluded("POST", "prefetch", method="POST", body="{}", headers=("Sec-Purpose: prefetch",)),
            *(Case(name=header, headers=(header,))
              for header in ("Sec-Purpose: ", "Purpose: preview", "X-Moz: livebookmarks")),
        ),
    ),
    Section(
        "excluded; reason=unknown-site",
        STRICT,
        tuple(
            excluded(url, "unknown-site", query={"url": url})
            for url in ("https://evil.example/", "https://notexample.com/", "https://example.com.evil.example/",
                        "https://example.org/", "https://com/", "https://example/", "http://8.8.8.8/")
        ),
    ),
    Section(
        "The site is the longest matching entry of SITES (an entry covers its subdomains)",
        STRICT,
        (
            at("https://example.com/", site="example.com", host="example.com"),
            at("https://EXAMPLE.com.:443/", site="example.com", host="example.com"),
            at("https://www.example.com/", site="example.com", host="www.example.com"),
            at("https://a.b.example.com/", site="example.com", host="a.b.example.com"),
            at("https://blog.example.com/", site="blog.example.com", host="blog.example.com"),
            at("https://x.blog.example.com/", site="blog.example.com", host="x.blog.example.com"),
            at("https://myblog.example.com/", site="example.com", host="myblog.example.com"),
            at("https://shop.example/", site="example.com", host="shop.example"),
            at("https://www.shop.example/", site="example.com", host="www.shop.example"),
        ),
    ),
    Section(
        "under * it is the page's host without www.",
        OPEN,
        (
            at("https://www.blog.example/", site="blog.example", host="www.blog.example"),
            at("https://WWW.Blog.Example/", site="blog.example", host="www.blog.example"),
            at("https://sub.blog.example/", site="sub.blog.example", host="sub.blog.example"),
            at("https://www2.blog.example/", site="www2.blog.example"),
            at("https://www.www.example/", site="www.example"),
        ),
    ),
)  # fmt: skip


# Whose request it is ------------------------------------------------------------------------------------------

V4, V4_OTHER, V6, V6_OTHER = COUNTRIES


def _of(client: str, *values: str, header: str = "X-Forwarded-For") -> Case:
    lines = tuple(f"{header}: {value}" for value in values)
    return Case(name=" + ".join(lines) or "no header", headers=lines, client=client)


def _forwarded(client: str, *values: str) -> Case:
    return _of(client, *values, header="Forwarded")


CLIENTS = (
    Section(
        "The client's address: the peer",
        OPEN,
        (
            _of("peer"),
            _of("peer", V4),
            _of("peer", V4_OTHER, V4),
            _forwarded("peer", f"for={V4}"),
            _of("peer", V4, header="CF-Connecting-IP"),
            _of("peer", V4, header="X-Real-IP"),
        ),
    ),
    Section(
        "when the peer is in TRUSTED_PROXIES, the first untrusted address from the right of the one header named by"
        " CLIENT_ADDRESS_HEADER (repeated lines joined)",
        PROXIED,
        (
            _of(V4, V4),
            _of(V4_OTHER, V4_OTHER),
            _of(V6, V6),
            _of(V6_OTHER, V6_OTHER),
            _of("172.16.0.9", "172.16.0.9"),  # private and yet not trusted: a client in the owner's network
            _of(V4, f" {V4} "),
            _of(V4, f"{V4}:52113"),
            _of(V4, f'"{V4}:52113"'),
            _of(V4, f"::ffff:{V4}"),
            _of(V4, f"[::ffff:{V4}]:80"),
            _of(V6, f"[{V6}]"),
            _of(V6, f"[{V6}]:443"),
            _of(V6, f'"[{V6}]:443"'),
            _of(V6, V6.upper()),
            _of(V6, "2001:067c:02e8:0022:0:0:c100:068b"),
            _of("fe80::1", "fe80::1"),
            _of("fe80::1", "fe80::1%eth0"),
            _of("fe80::1", "[fe80::1%25eth0]"),
            _of(V4, f"{V4_OTHER}, {V4}"),
            _of(V4, f"{V4_OTHER}, {V4}, 10.0.0.2"),
            _of(V4, f"{V4_OTHER},{V4},10.0.0.2 ,\t127.0.0.1"),
            _of(V4, f"{V4_OTHER}, {V4}, 10.0.0.2, fd00::7, 10.9.9.9"),
            _of(V4, f"garbage, {V4}"),
            _of(V4, V4_OTHER, V4),
            _of(V4, V4_OTHER, f"{V4}, 10.0.0.2", "10.0.0.3"),
            _of(V4, V4, "10.0.0.2"),
            Case(name="the one header that is named", headers=(f"Forwarded: for={V4_OTHER}", f"X-Forwarded-For: {V4}",
                 f"X-Real-IP: {V4_OTHER}"), client=V4),
            Case(name="in small letters", headers=(f"x-forwarded-for: {V4}",), client=V4),
            Case(name="of a POST", method="POST", body="{}", headers=(f"X-Forwarded-For: {V4}",), client=V4),
            Case(name="of a GIF", path="/a.gif", headers=(f"X-Forwarded-For: {V4}",), client=V4),
        ),
    ),
    Section(
        "garbage or none: the peer",
        PROXIED,
        (
            _of("peer"),
            _of("peer", ""),
            _of("peer", "unknown"),
            _of("peer", "_hidden"),
            _of("peer", f"{V4}, unknown"),
            _of("peer", f"{V4},"),
            _of("peer", f"{V4}, unknown, 10.0.0.2"),
            _of("peer", "8.8.8"),
            _of("peer", "8.8.8.256"),
            _of("peer", "08.8.8.8"),
            _of("peer", "8.8.8.8.example"),
            _of("peer", f"{V4} {V4_OTHER}"),
            _of("peer", f"for={V4}"),
            _of("peer", "10.0.0.2, 10.0.0.3"),
            _of("peer", "::ffff:10.0.0.2"),
            _of("peer", "<canary>"),
            _of("peer", ",".join(["x"] * 2_000)),
            _forwarded("peer", f"for={V4}"),
        ),
    ),
    Section(
        "Forwarded understood if named",
        STRICT,
        (
            _forwarded("peer"),
            _forwarded(V4, f"for={V4}"),
            _forwarded(V6, f'for="[{V6}]"'),
            _forwarded(V4, f"For={V4};proto=https;by=10.0.0.1"),
            _forwarded(V4, f"proto=https; for={V4}"),
            _forwarded(V4, f'for="{V4}:4711"'),
            _forwarded(V6, f'for="[{V6}]:4711"'),
            _forwarded(V4, f"for={V4_OTHER}, for={V4}, for=10.0.0.2"),
            _forwarded(V4, f"for={V4_OTHER}", f"for={V4}"),
            _forwarded("peer", "for=_hidden"),
            _forwarded("peer", "for=unknown"),
            _forwarded("peer", f"by={V4}"),
            _forwarded("peer", f"xfor={V4}"),
            _forwarded("peer", V4),
            _forwarded("peer", f"for={V4}, for=_hidden"),
            _of("peer", V4),
        ),
    ),
)  # fmt: skip
SIGNALS = (
    Section(
        "Sec-GPC: 1 or DNT: 1: PRIVACY_SIGNALS (anonymous: counted without a session)",
        OPEN,
        (
            *(Case(name=f"{header}, {get['path']}", headers=(header,),
                   row={"session_id": None, "is_me": False}, **get)
              for header in ("Sec-GPC: 1", "DNT: 1") for get in GETS),
            Case(name="and the owner", headers=("DNT: 1", "Cookie: isMe=true"),
                 row={"session_id": None, "is_me": True}),
            *(Case(name=header, headers=(header,), row={"session_id": SOMETHING})
              for header in ("Sec-GPC: 0", "DNT: 0", "DNT: null", "DNT: ")),
        ),
    ),
    Section(
        "Sec-GPC: 1 or DNT: 1: PRIVACY_SIGNALS=drop",
        STRICT,
        (
            *(excluded(f"{header}, {get['path']}", "privacy-signal", headers=(header,), **get)
              for header in ("Sec-GPC: 1", "DNT: 1") for get in GETS),
            excluded("and the owner", "privacy-signal", headers=("Sec-GPC: 1", "Cookie: isMe=true")),
            *(Case(name=header, headers=(header,), row={"session_id": SOMETHING})
              for header in ("Sec-GPC: 0", "DNT: 0")),
        ),
    ),
    Section(
        "Sec-GPC: 1 or DNT: 1: PRIVACY_SIGNALS=ignore",
        PROXIED,
        tuple(Case(name=header, headers=(header,), row={"session_id": SOMETHING})
              for header in ("Sec-GPC: 1", "DNT: 1")),
    ),
)  # fmt: skip


# The other addresses ------------------------------------------------------------------------------------------

HTML = {"Content-Type": re.compile(r"text/html; charset=utf-8", re.IGNORECASE)}
TEXT = {"Content-Type": re.compile(r"text/plain; charset=utf-8", re.IGNORECASE)}
SCRIPT = {"Content-Type": re.compile(r"text/javascript; charset=utf-8", re.IGNORECASE)}
COUNTED, LEFT_OUT = "counted like everybody", "left out of the figures"


def _switch(name: str, *headers: str, **others: Any) -> Case:
    values = {"method": "POST", "body": "", "status": 303, "has": {"Location": "/me"}, **others}
    return other("/me", name, headers=headers, **values)


SWITCHED_ON = re.compile(r"isMe=true; Path=/; Max-Age=[1-9][0-9]{6,7}; HttpOnly; SameSite=Lax")
SWITCHED_ON_HTTPS = re.compile(r"isMe=true; Path=/; Max-Age=[1-9][0-9]{6,7}; HttpOnly; SameSite=None; Secure")
SWITCHED_OFF = re.compile(r"isMe=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax")
OWN = ("Host: p.example", "Origin: http://p.example")
OTHERS = (
    Section("/a.js the tracker", OPEN, (other("/a.js", has=SCRIPT, says="footfall"),)),
    Section(
        "/a.js the tracker, under another name too",
        STRICT,
        (
            other("/a.js", has=SCRIPT, says="footfall"),
            other("/x.js", has=SCRIPT, says="footfall"),
            *(Case(name=f"{method} {path}", method=method, path=path, row={"site": "example.com"})
              for method, path in (("GET", "/a"), ("GET", "/a.gif"), ("GET", "/count"), ("GET", "/count.gif"),
                                   ("POST", "/a"), ("POST", "/count"))),
            excluded("HEAD /count", "head", method="HEAD", path="/count"),
            excluded("OPTIONS /count", "preflight", method="OPTIONS", path="/count", query="",
                     headers=("Origin: https://example.com", *PREFLIGHT), cors="https://example.com"),
            refused("/count without a page", "url", path="/count", query=""),
            refused("PUT /count", "method", method="PUT", path="/count", has={"Allow": ALLOW}),
            refused("POST /count.gif", "method", method="POST", path="/count.gif", has={"Allow": ALLOW_GIF}),
            Case(name="CORS of /count", path="/count", headers=("Origin: https://example.com",),
                 cors="https://example.com"),
        ),
    ),
    Section(
        "/ and /privacy/ say in plain words what is and is not recorded",
        OPEN,
        (
            other("/", has=HTML, says="Not recorded"),
            other("/privacy/", has=HTML, says="Not recorded"),
            other("/?canary", has=HTML, says="Recorded"),
            other("/privacy", status=308, has={"Location": "/privacy/"}),
            other("/me/", status=308, has={"Location": "/me"}),
        ),
    ),
    Section(
        "GET /me shows",
        OPEN,
        (
            other("/me", has=HTML, says=COUNTED, lacks=("Set-Cookie",)),
            other("/me", "switched", headers=("Cookie: a=b; isMe=true",), has=HTML, says=LEFT_OUT,
                  lacks=("Set-Cookie",)),
            other("/me", "another value", headers=("Cookie: isMe=canary",), says=COUNTED, lacks=("Set-Cookie",)),
        ),
    ),
    Section(
        "POST /me (same origin) switches the cookie isMe=true (SameSite=None; Secure on HTTPS)",
        PROXIED,
        (
            _switch("on", *OWN, has={"Location": "/me", "Set-Cookie": SWITCHED_ON}),
            _switch("on, Sec-Fetch-Site", *OWN, "Sec-Fetch-Site: same-origin",
                    has={"Location": "/me", "Set-Cookie": SWITCHED_ON}),
            _switch("off", *OWN, "Cookie: isMe=true", has={"Location": "/me", "Set-Cookie": SWITCHED_OFF}),
            _switch("on HTTPS", "Host: p.example", "Origin: https://p.example", "X-Forwarded-Proto: https",
                    has={"Location": "/me", "Set-Cookie": SWITCHED_ON_HTTPS}),
            _switch("on HTTPS, as the browser says", "Host: p.example", "Origin: https://p.example",
                    has={"Location": "/me", "Set-Cookie": SWITCHED_ON_HTTPS}),
            *(_switch(name, *headers, status=403, has={}, lacks=("Set-Cookie", "Location"), says="form")
              for name, headers in {
                  "nobody's": (), "another origin": ("Host: p.example", "Origin: https://canary.example"),
                  "null": ("Host: p.example", "Origin: null"),
                  "another port": ("Host: p.example", "Origin: http://p.example:81"),
                  "a subdomain": ("Host: p.example", "Origin: http://www.p.example"),
                  "cross-site": (*OWN, "Sec-Fetch-Site: cross-site"),
                  "same-site": (*OWN, "Sec-Fetch-Site: same-site"),
              }.items()),
        ),
    ),
    Section(
        "whose hits are stored with is_me and left out of every default figure",
        OPEN,
        (
            Case(name="owner", query={"url": "https://owner.example/"}, headers=("Cookie: isMe=true",),
                 row={"is_me": True}),
            Case(name="owner among other cookies", query={"url": "https://owner.example/"},
                 headers=("Cookie: a=1; isMe=true; b=2",), row={"is_me": True}),
            *(Case(name=f"Cookie {cookie}", query={"url": "https://owner.example/"}, headers=(f"Cookie: {cookie}",),
                   row={"is_me": False}) for cookie in ("isMe=false", "isMe=", "notisMe=true", "x=isMe=true")),
        ),
    ),
    Section(
        "/robots.txt is User-agent: * and Disallow: /; /livez; /readyz is 200 while a hit can be made durable;"
        " /version",
        OPEN,
        (
            other("/robots.txt", has={**TEXT, "Content-Length": "26"}, says="User-agent: *\nDisallow: /\n"),
            other("/livez", has=TEXT),
            other("/readyz", has={**TEXT, "Content-Length": "6"}, says="ready\n"),
            other("/version", has=TEXT, says="footfall "),
        ),
    ),
    Section(
        "/metrics answers on its own port only",
        OPEN,
        tuple(other(path, status=404) for path in ("/metrics", "/metrics/", "/nothing-canary", "/a/", "/A", "/a.gif/",
                                                   "/count", "/count.gif", "/x.js", "/.env")),
    ),
)  # fmt: skip


# How pages are written, and who must not be in them (section 3) -----------------------------------------------

HEX = "0123456789abcdef" * 2
PAGES = (
    Section(
        "a page is one (host, path), however it is spelled",
        OPEN,
        (
            *_pages("blog.example", "https://blog.example/a", "https://Blog.Example:443/a/",
                    "http://blog.example:80/a",
                    "https://blog.example/a/index.html", "https://blog.example/a/index.htm",
                    "https://blog.example/a/index.php", "https://blog.example/a?gclid=1&fbclid=2",
                    "https://blog.example/a/?x=1", "https://blog.example/a#part", "https://blog.example./a",
                    "https://blog.example/%61", path="/a"),
            *_pages("blog.example", "https://blog.example", "https://blog.example/",
                    "https://blog.example/index.html",
                    "https://blog.example/index.php?x", path="/"),
            *_pages("blog.example", "https://blog.example/a/b/", "https://blog.example/a/b/index.html", path="/a/b"),
            at("https://blog.example/A", path="/A"),
            at("https://blog.example/aindex.html", path="/aindex.html"),
            at("https://blog.example/index.html.txt", path="/index.html.txt"),
            at("https://blog.example/a.html", path="/a.html"),
        ),
    ),
    Section(
        "query and the referrer's query keep only allow-listed parameters (utm_*, ref, source, via, page)",
        OPEN,
        (
            at("https://blog.example/?q=canary&ref=r&source=s&via=v&page=2&utm_x=u&id=9",
               query="ref=r&source=s&via=v&page=2&utm_x=u", path="/"),
            at("https://blog.example/?password=canary&gclid=1&fbclid=2&email=a@b.example", "none of them",
               query=None),
            kept("of a referrer", "referrer", "https://other.example/p?q=canary&page=2#canary",
                 "https://other.example/p?page=2"),
            kept("a referrer's user", "referrer", "https://canary:canary@other.example:8443/p",
                 "https://other.example/p"),
        ),
    ),
    Section(
        "in paths, titles and referrers e-mail addresses, and runs of 32 or more letters and digits without a"
        " separator that contain a digit, become … (setting)",
        OPEN,
        (
            at("https://blog.example/u/jane@mail.example/x", path="/u/…/x"),
            at("https://blog.example/u/jane%40mail.example/x", path="/u/…/x"),
            at(f"https://blog.example/reset/{HEX}", path="/reset/…"),
            at(f"https://blog.example/reset/{HEX[:31]}", path=f"/reset/{HEX[:31]}"),
            at("https://blog.example/" + "a" * 32, "32 letters", path="/" + "a" * 32),
            at("https://blog.example/01234567-89ab-cdef-0123-456789abcdef",
               path="/01234567-89ab-cdef-0123-456789abcdef"),
            at("https://blog.example/?ref=jane@mail.example", query="ref=…"),
            kept("e-mail in a title", "title", "Mail of jane@mail.example!", "Mail of …!"),
            kept("token in a title", "title", f"Key {HEX}", "Key …"),
            kept("e-mail in a referrer", "referrer", "https://other.example/jane@mail.example",
                 "https://other.example/…"),
            kept("token in a referrer", "referrer", f"https://other.example/{HEX}/a", "https://other.example/…/a"),
        ),
    ),
    Section(
        "become … (setting); fragments go unless hash routing is on",
        PROXIED,
        (
            at("https://blog.example/u/jane@mail.example", path="/u/jane@mail.example"),
            kept("not redacted", "title", f"Key {HEX}", f"Key {HEX}"),
            at("https://blog.example/#/about", path="/#/about"),
            at("https://blog.example/a#/about?x=1", path="/a#/about"),
        ),
    ),
    Section(
        "path is percent-decoded where that gives valid UTF-8, else as sent",
        OPEN,
        (
            at("https://blog.example/caf%C3%A9", path="/café"),
            at("https://blog.example/café", path="/café"),
            at("https://blog.example/a%20b", path="/a b"),
            at("https://blog.example/%FF/%20", path="/%FF/%20"),
            at("https://blog.example/100%", path="/100%"),
        ),
    ),
)  # fmt: skip

SECTIONS = (*ANSWERS, *PARAMETERS, *MEANING, *CORS, *EXCLUDED, *CLIENTS, *SIGNALS, *OTHERS, *PAGES)


def all_cases() -> Iterator[tuple[Section, Case]]:
    """Every case, in the order in which it is sent."""
    for section in SECTIONS:
        for case in section.cases:
            yield section, case
