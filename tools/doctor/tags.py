"""The tags of a page: which scripts and images of pixels stand in it, and what the page allows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

from services.settings import DEFAULT_ENDPOINT_NAME, DEFAULT_SCRIPT_NAME

QUIET_POLICIES = ("no-referrer",)
SHORT_POLICIES = ("", "origin", "strict-origin", "origin-when-cross-origin", "strict-origin-when-cross-origin",
                  "same-origin", "no-referrer")  # fmt: skip


class Tag(NamedTuple):
    """A tag as it stands in a page, its addresses made whole."""

    is_script: bool
    address: str
    endpoint: str  # where hits go
    policy: str  # referrerpolicy of an image
    names_page: bool  # an image with url=
    is_module: bool

    @property
    def base(self) -> str:
        """The pixel's address, without a final slash."""
        return self.endpoint.partition("?")[0].rpartition("/")[0]


class Page(NamedTuple):
    """What a page has of tags, and what it says of policies."""

    address: str
    tags: Sequence[Tag]
    csp: Sequence[str]  # of its headers and of meta elements
    policy: str  # Referrer-Policy, of a header or a meta element


class _Parser(HTMLParser):
    def __init__(self, address: str, scripts: Sequence[str], images: Sequence[str]) -> None:
        super().__init__()
        self._base = address
        self._scripts, self._images = scripts, images
        self.tags: list[Tag] = []
        self.csp: list[str] = []
        self.policy = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "base" and values.get("href"):
            self._base = urljoin(self._base, values["href"])
        elif tag == "meta":
            self._meta(values)
        elif tag in ("script", "img") and values.get("src"):
            self._source(tag == "script", values)

    def _meta(self, values: Mapping[str, str]) -> None:
        if values.get("http-equiv", "").lower() == "content-security-policy":
            self.csp.append(values.get("content", ""))
        elif values.get("name", "").lower() == "referrer":
            self.policy = values.get("content", "").strip().lower()

    def _source(self, is_script: bool, values: Mapping[str, str]) -> None:
        address = urljoin(self._base, values["src"].strip())
        parts = urlsplit(address)
        name = parts.path.rpartition("/")[2]
        if name not in (self._scripts if is_script else self._images):
            return
        endpoint = address
        if is_script:
            # The tracker's own rule: beside the script, unless the tag says where.
            endpoint = urljoin(self._base, values.get("data-endpoint", "")) if values.get("data-endpoint") else (
                urljoin(address, DEFAULT_ENDPOINT_NAME))  # fmt: skip
        self.tags.append(
            Tag(
                is_script,
                address,
                endpoint,
                values.get("referrerpolicy", "").strip().lower(),
                not is_script and "url=" in parts.query,
                values.get("type", "").strip().lower() == "module",
            )
        )


def page_of(
    address: str, html: str, headers: Mapping[str, str], script_name: str, endpoint_name: str
) -> Page:
    """The page behind an address, as a browser that runs no script reads it."""
    scripts = (DEFAULT_SCRIPT_NAME, script_name)
    images = (f"{DEFAULT_ENDPOINT_NAME}.gif", f"{endpoint_name}.gif")
    parser = _Parser(address, scripts, images)
    parser.feed(html)
    parser.close()
    header = headers.get("content-security-policy")
    policy = parser.policy or headers.get("referrer-policy", "").rpartition(",")[2].strip().lower()
    return Page(address, parser.tags, [*([header] if header else []), *parser.csp], policy)


def allows(policies: Sequence[str], directive: str, address: str, page: str) -> bool:
    """Whether all Content-Security-Policies of a page let it load an address by a directive (`script-src` …).

    Sources as pages have them are told: `*`, `'self'`, schemes, hosts with `*.` and a port. What a nonce or a hash
    lets through is not, and counts as forbidden only where no other source is there.
    """
    return all(_allows(part, directive, address, page) for text in policies for part in text.split(","))


def _allows(policy: str, directive: str, address: str, page: str) -> bool:
    sources: dict[str, list[str]] = {}
    for part in policy.split(";"):
        name, *values = part.split() or [""]
        sources.setdefault(name.lower(), values)
    known = next(
        (sources[name] for name in (f"{directive}-elem", directive, "default-src") if name in sources), None
    )
    if known is None:
        return True
    return any(_matches(source, address, page) for source in known)


def _matches(source: str, address: str, page: str) -> bool:
    if source.startswith(("'nonce-", "'sha256-", "'sha384-", "'sha512-", "'strict-dynamic'")):
        return True  # which element it lets through is not told: nothing wrong is claimed
    wanted, own = urlsplit(address), urlsplit(page)
    if source == "*":
        return True
    if source == "'self'":
        return (wanted.scheme, wanted.netloc) == (own.scheme, own.netloc)
    if source.endswith(":"):
        return source[:-1].lower() == wanted.scheme
    if source.startswith("'"):
        return False
    given = urlsplit(source if "://" in source else f"{own.scheme}://{source}")
    host, pattern = wanted.hostname or "", (given.hostname or "").lower()
    is_host = host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
    schemes = {given.scheme, "https"}  # what names http allows https too
    is_path = given.path in ("", "/") or wanted.path.startswith(given.path)
    return is_host and wanted.scheme in schemes and is_path and _same_port(given.netloc, wanted)


def _same_port(netloc: str, wanted: SplitResult) -> bool:
    port = netloc.rpartition("]")[2].partition(":")[2]
    found = wanted.port or (443 if wanted.scheme == "https" else 80)
    if port == "*":
        return True
    return port == str(found) if port else found in (80, 443)
