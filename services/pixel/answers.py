"""What the pixel answers with: fixed bytes and lines, none of which quotes what was sent."""

from __future__ import annotations

from aiohttp import web
from multidict import CIMultiDict

from services.pixel import pages

GIF = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")

# One fixed line for each error: what to change.
URL_LINE = "The page's address is missing or wrong: send url=https://... or a Referer header.\n"
ID_LINE = "The id is no UUID: send one as 8-4-4-4-12 hexadecimal digits, or none.\n"
QUERY_LINE = "The query is longer than 8,000 bytes: send the parameters by POST.\n"
BODY_LINE = "The body is longer than 64 KiB: send less.\n"
SLOW_LINE = "The body did not arrive in time: send it at once.\n"
RATE_LINE = "Too many hits from this client: send again later.\n"
UNAVAILABLE_LINE = "The hit cannot be stored now: send it again later.\n"
METHOD_LINE = "This address does not take this method: see the Allow header.\n"
NOT_FOUND_LINE = "There is nothing here.\n"
ORIGIN_LINE = "This Origin is none of the sites that are counted.\n"
MALFORMED_LINE = "This is no HTTP request.\n"
FAILED_LINE = "The request could not be answered: send it again later.\n"
SAME_ORIGIN_LINE = "Send this form from its own page.\n"


def answer(status: int, body: bytes, content_type: str, extra: dict[str, str]) -> web.Response:
    """Any answer; ``extra`` headers win."""
    headers: CIMultiDict[str] = CIMultiDict(
        {"Server": "footfall", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    )
    if body:
        headers["Content-Type"] = content_type
    headers.update(extra)
    return web.Response(status=status, body=body or None, headers=headers)


def text_answer(status: int, line: str, **headers: str) -> web.Response:
    """A fixed line of plain text."""
    extra = {name.replace("_", "-"): value for name, value in headers.items()}
    return answer(status, line.encode(), "text/plain; charset=utf-8", extra)


def refusal(status: int, reason: str, line: str, **headers: str) -> web.Response:
    """A hit that is not taken, and why."""
    return text_answer(status, line, X_Footfall=f"refused; reason={reason}", **headers)


def pixel_answer(*, is_image: bool, outcome: str, extra: dict[str, str]) -> web.Response:
    """What a hit is answered with: an image or nothing, and in ``X-Footfall`` what became of it."""
    # Pages under COEP: require-corp take only what says so.
    headers = {"Cross-Origin-Resource-Policy": "cross-origin", "X-Footfall": outcome, **extra}
    return answer(200, GIF, "image/gif", headers) if is_image else answer(204, b"", "", headers)


def page_answer(html: str) -> web.Response:
    """A page for people."""
    headers = {"Server": "footfall", **pages.page_headers()}
    return web.Response(body=html.encode(), headers=headers)
