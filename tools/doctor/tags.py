"""The tags of a page: which scripts and images of pixels stand in it, and what the page allows them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from services.settings import DEFAULT_ENDPOINT_NAME, DEFAULT_SCRIPT_NAME
from tools.doctor.web import joined

# A source of a Content-Security-Policy that names hosts.
_HOST_SOURCE = re.compile(r"(?:(https?)://)?(\*\.)?([a-z0-9._-]+)(?::(\*|[0-9]+))?(/[^?#]*)?", re.IGNORECASE)
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
    is_pinned: bool  # by integrity=
    is_for_no_script: bool  # in <noscript>

    @property
    def base(self) -> str:
        """The pixel's address, as ``base_of`` spells it."""
        return base_of(self.endpoint.partition("?")[0].rpartition("/")[0])


def base_of(address: str) -> str:
    """One spelling of a pixel's address: without a final slash, a usual port, capitals in the host."""
    parts = urlsplit(address)
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, usual) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"


class Page(NamedTuple):
    """What a page has of tags, and what it says of policies."""

    address: str
    tags: Sequence[Tag]
    csp: Sequence[str]  # of its headers and of meta elements
    policy: str  # Referrer-Policy, of a header or a meta element


class _Parser(HTMLParser):
    def __init__(self, address: str, scripts: Sequence[str], images: Sequence[str], here: str) -> None:
        super().__init__()
        self._base = address
        self._here = base_of(here) if here else ""
        self._scripts, self._images = scripts, images
        self.tags: list[Tag] = []
        self.csp: list[str] = []
        self.policy = ""
        self._no_script = 0

    def handle_endtag(self, tag: str) -> None:
        self._no_script -= tag == "noscript" and self._no_script > 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self._no_script += tag == "noscript"
        if tag == "base" and values.get("href"):
            self._base = joined(self._base, values["href"]) or self._base
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
        address = joined(self._base, values["src"])
        parts = urlsplit(address)
        folder, _, name = address.partition("?")[0].rpartition("/")
        # Under the pixel's own address a script may have any name that the proxy gives it.
        is_ours = is_script and bool(self._here) and base_of(folder) == self._here
        # The tracker's own rule: beside the script, unless the tag says where.
        endpoint = joined(self._base, values.get("data-endpoint") or joined(address, DEFAULT_ENDPOINT_NAME))
        if not endpoint or not (is_ours or name in (self._scripts if is_script else self._images)):
            return
        self.tags.append(
            Tag(
                is_script,
                address,
                endpoint if is_script else address,
                values.get("referrerpolicy", "").strip().lower(),
                not is_script and "url=" in parts.query,
                values.get("type", "").strip().lower() == "module",
                "integrity" in values,
                self._no_script > 0,
            )
        )


def page_of(
    address: str, html: str, headers: Mapping[str, str], script_name: str, endpoint_name: str, here: str
) -> Page:
    """The page behind an address, as a browser that runs no script reads it; ``here``: the pixel's address."""
    scripts = (DEFAULT_SCRIPT_NAME, script_name)
    images = (f"{DEFAULT_ENDPOINT_NAME}.gif", f"{endpoint_name}.gif")
    parser = _Parser(address, scripts, images, here)
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
    parts = _HOST_SOURCE.fullmatch(source)
    return parts is not None and _is_of(wanted, parts, own.scheme)


def _is_of(wanted: SplitResult, source: re.Match[str], own_scheme: str) -> bool:
    scheme, star, host, port, path = source.groups()
    scheme, host = (scheme or own_scheme).lower(), host.lower()
    found, has = wanted.hostname or "", wanted.port or (443 if wanted.scheme == "https" else 80)
    is_host = found.endswith("." + host) if star else found == host
    # What names http, or nothing on a page with http, lets https through as well.
    is_scheme = wanted.scheme in (scheme, "https")
    is_port = port == "*" or (str(has) == port if port else has in (80, 443))
    is_path = not path or (wanted.path.startswith(path) if path.endswith("/") else wanted.path == path)
    return is_host and is_scheme and is_port and is_path
