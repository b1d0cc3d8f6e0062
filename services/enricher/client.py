"""Language and screen, as coarse as they are worth knowing: with all their digits they would tell people apart."""

from __future__ import annotations

import math
import re
from functools import lru_cache

# Width and height in CSS pixels, the longer side first: each class is named by its commonest size.
SCREENS = (
    (568, 320),  # small telephones
    (844, 390),  # telephones
    (1024, 768),  # tablets
    (1366, 1024),  # large tablets
    (1366, 768),  # small laptops
    (1440, 900),  # laptops
    (1536, 864),  # laptops, wider
    (1920, 1080),  # desktops
    (2560, 1440),  # large desktops
    (3440, 1440),  # wide desktops
    (3840, 2160),  # very large desktops
)
_PORTRAIT_UP_TO = 1024  # telephones and tablets are written upright, as they are held
_LANGUAGE = re.compile(
    r"([a-z]{2,3})(?:-[a-z]{3}){0,3}(?:-[a-z]{4})?(?:-([a-z]{2}|[0-9]{3}))?(?:-.*)?", re.IGNORECASE | re.ASCII
)
_SCREEN = re.compile(r"([0-9]{1,5})x([0-9]{1,5})", re.ASCII)


@lru_cache(1_000)
def language_of(tag: str) -> str | None:
    """Primary language and region of a BCP 47 tag: ``zh-Hant-TW`` → ``zh-TW``; None: it names none.

    https://www.rfc-editor.org/rfc/rfc5646#section-2.1
    """
    match = _LANGUAGE.fullmatch(tag.replace("_", "-"))
    if not match:
        return None
    language = match[1].lower()
    return f"{language}-{match[2].upper()}" if match[2] else language


@lru_cache(2_000)
def screen_class(size: str) -> str | None:
    """The class of a screen, named by its commonest size: ``1903x1071`` → ``1920x1080``; None: unknown.

    The class nearest by the ratios of both sides, whichever way the screen is turned.
    """
    match = _SCREEN.fullmatch(size)
    if not match:
        return None
    short, long = sorted((int(match[1]), int(match[2])))
    if short < 1:
        return None
    near = min(SCREENS, key=lambda s: math.hypot(math.log(long / s[0]), math.log(short / s[1])))
    return f"{near[1]}x{near[0]}" if near[0] <= _PORTRAIT_UP_TO else f"{near[0]}x{near[1]}"
