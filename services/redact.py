"""Takes personal data out of addresses and titles (contract section 3).

Every pattern begins only where a run of its characters begins and never gives back what it took, so that a
hostile text costs linear time.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from urllib.parse import unquote

from services.settings import Settings

ELLIPSIS = "…"
# One pass may lay bare what another hid. Bounded, so that a hostile text costs ten passes at most.
MAX_PASSES = 10

_EMAIL = re.compile(r"(?<![\w.+%'-])(?:[\w.+'-]|%(?!40))++(?:@|%40)[\w-]++(?:\.[\w-]++)+", re.IGNORECASE)
# User and password before a host.
_USER = re.compile(r"(?<=//)[^/?#\s]+@")
# A run of 32 or more letters and digits without a separator that holds a digit: a token, a hash, an id.
# ASCII only: in scripts without spaces 32 letters and a digit are a sentence.
_RUN = re.compile(r"[A-Za-z0-9]{32,}", re.ASCII)
# Full-width and small forms that read as ASCII.
_PLAIN_FORMS = {0xFF01 + n: 0x21 + n for n in range(94)} | {0xFE52: ".", 0xFE6B: "@"}
# User and password, query and fragment of an address of any scheme.
_PRIVATE_PARTS = re.compile(r"(?<=//)[^/?#]*@|[?#].*", re.DOTALL)
_DIGIT = re.compile(r"[0-9]")


def _token(match: re.Match[str]) -> str:
    return ELLIPSIS if _DIGIT.search(match[0]) else match[0]


def _redact_plain(text: str) -> str:
    if "@" in text or "%40" in text:
        text = _USER.sub(f"{ELLIPSIS}@", text)
        text = _EMAIL.sub(ELLIPSIS, text)
    if len(text) >= 32:
        text = _RUN.sub(_token, text)
    return text


def without_private_parts(address: str) -> str:
    """An address, or what is none, without user, password, query and fragment."""
    return _PRIVATE_PARTS.sub("", address)


def redaction_of(settings: Settings) -> Callable[[str], str]:
    """``redact``, or nothing where REDACT is off."""
    return redact if settings.redact else str


def redact(text: str) -> str:
    """The text with e-mail addresses and tokens replaced by ``…``, and users before a host.

    As it stands; where percent-encoding hides one (even twice, as redirects do), as it reads; where full-width forms
    or characters without width hide one, without these.
    """
    for _ in range(MAX_PASSES):
        redacted = _redact_once(text)
        if redacted == text:
            break
        text = redacted
    return text


def _redact_once(text: str) -> str:
    text = plain = _redact_plain(text)
    for _ in range(3):
        if "%" not in plain:
            break
        plain = unquote(plain).replace("\0", "")
        redacted = _redact_plain(plain)
        if redacted != plain:
            return redacted
    return text if plain.isascii() else _redact_disguised(text, plain)


def _redact_disguised(text: str, plain: str) -> str:
    """The text; where ``plain``, its readable form, hides something behind how it is written, that without it."""
    folded = plain.translate(_PLAIN_FORMS)
    if not folded.isprintable():  # what has no width is not printable: most titles are told at once
        folded = "".join(c for c in folded if unicodedata.category(c) != "Cf")
    if folded == plain:
        return text
    redacted = _redact_plain(folded)
    return text if redacted == folded else redacted
