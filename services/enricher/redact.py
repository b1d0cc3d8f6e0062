"""Takes personal data out of addresses and titles (contract section 3).

Every pattern begins only where a run of its characters begins and never gives back what it took, so that a
hostile text costs linear time.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

ELLIPSIS = "…"

_EMAIL = re.compile(r"(?<![\w.+%-])(?:[\w.+-]|%(?!40))++(?:@|%40)[\w-]++(?:\.[\w-]++)+", re.IGNORECASE)
# A run of 32 or more letters and digits without a separator that holds a digit: a token, a hash, an id.
# ASCII only: in scripts without spaces 32 letters and a digit are a sentence.
_RUN = re.compile(r"[A-Za-z0-9]{32,}", re.ASCII)
_DIGIT = re.compile(r"[0-9]")


def _token(match: re.Match[str]) -> str:
    return ELLIPSIS if _DIGIT.search(match[0]) else match[0]


def _redact_plain(text: str) -> str:
    if "@" in text or "%40" in text:
        text = _EMAIL.sub(ELLIPSIS, text)
    if len(text) >= 32:
        text = _RUN.sub(_token, text)
    return text


def redact(text: str) -> str:
    """The text with e-mail addresses and tokens replaced by ``…``.

    As it stands; where percent-encoding hides one (even twice, as redirects do), as it reads.
    """
    text = plain = _redact_plain(text)
    for _ in range(3):
        if "%" not in plain:
            break
        plain = unquote(plain).replace("\0", "")
        redacted = _redact_plain(plain)
        if redacted != plain:
            return redacted
    return text
