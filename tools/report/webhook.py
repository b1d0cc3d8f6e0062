"""Posts a report: as JSON, or as the words that chats take. The address is a secret and is in no error."""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from tools.report.shape import Report, json_of, with_texts
from tools.report.texts import NO_DATA, one_line, remark_of, title_of

TIMEOUT_S = 10.0  # of each wait for the receiver
PAUSES_S = (1.0, 4.0)  # before the second and the third try
TRIED_AGAIN = (408, 425, 429, 500, 502, 503, 504)
# Discord takes 2,000 characters.
MOST_CHARACTERS = 1_900
MOST_TITLE = 60
ROWS = 5


class NotPosted(Exception):
    """The receiver did not take it; the text says why, without the address."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The figures go to whom the owner named, and to nobody whom that one names."""

    def redirect_request(self, *_: Any) -> None:
        return None


def place_of(url: str) -> str:
    """Scheme, host and port. Raises ``NotPosted`` where it is no address."""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or not re.fullmatch(r"[!-~]+", url) or "@" in parts.netloc:
        raise NotPosted(
            "WEBHOOK: it is no address such as https://hooks.example.com/…, in ASCII and without a user"
        )
    return f"{parts.scheme}://{parts.netloc}"


def post(report: Report, url: str, form: str, pauses_s: Sequence[float] = PAUSES_S) -> str:
    """Where it was posted. A try that fails on the way may have arrived: `made_at` tells. Raises ``NotPosted``."""
    place = place_of(url)
    body = json.dumps({"text": chat_text(report)}) if form == "chat" else json_of(report)
    request = urllib.request.Request(  # noqa: S310 - http and https only, see place_of
        url, body.encode(), {"Content-Type": "application/json", "User-Agent": "Footfall"}
    )
    for pause_s in (*pauses_s, None):
        problem, again = _try(request)
        if not problem:
            return place
        if not again or pause_s is None:
            break
        time.sleep(pause_s)
    raise NotPosted(f"WEBHOOK: {place} {problem}")


def _try(request: urllib.request.Request) -> tuple[str, bool]:
    """What went wrong, if anything, and whether it may go well the next time."""
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(request, timeout=TIMEOUT_S):
            return "", False
    except urllib.error.HTTPError as error:
        error.close()
        if 300 <= error.code < 400:
            return (
                f"answered {error.code}: it leads elsewhere, which is not followed; name that address",
                False,
            )
        return f"answered {error.code}", error.code in TRIED_AGAIN
    except urllib.error.URLError as error:
        reason = error.reason
        words = getattr(reason, "strerror", None) or type(reason).__name__
        return f"cannot be reached: {words}", True
    except (OSError, http.client.HTTPException) as error:
        return f"did not answer: {type(error).__name__}", True


def chat_text(report: Report) -> str:
    """A few lines in the form that Slack, Mattermost, Rocket.Chat, and Discord at an address with /slack take."""
    report = with_texts(report, _harmless)
    lines = [f"*Footfall* {title_of(report)}"]
    if report.is_empty:
        return "\n".join([*lines, *NO_DATA])
    for problem in report.problems[:ROWS]:
        lines.append(f"⚠ {problem.words}: {problem.what_to_do}")
    for name in ("pageviews", "visitors", "missing_pageviews"):
        figure = report.headline[name]
        lines.append(f"{name.replace('_pageviews', ' pages')}: {figure.value:,} ({figure.words})")
    lines.append(remark_of(report))
    rows = ["```", *(f"{p.pageviews:>9,}  {p.title[:MOST_TITLE]}" for p in report.pages[:ROWS]), ""]
    rows += [f"{s.pageviews:>9,}  from {s.source[:MOST_TITLE]}" for s in report.sources[:ROWS]]
    return _cut("\n".join(lines)) + "\n" + "\n".join([*rows, "```"])


def _cut(text: str) -> str:
    room = MOST_CHARACTERS - 2 * ROWS * (MOST_TITLE + 20)
    return text if len(text) <= room else text[: room - 1] + "…"


def _harmless(text: str) -> str:
    """Without the signs by which a text would call everybody, be a link or end the block that it stands in."""
    return one_line(text).translate({ord("<"): "‹", ord(">"): "›", ord("`"): "'", ord("@"): "@\u200b"})
