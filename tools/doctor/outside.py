"""The pixel as browsers reach it: certificate, redirect from HTTP, CORS, and what a proxy makes of the answers.

What is sent is marked as fetched in advance, so that the pixel answers it as any hit and counts none: a request of
each site is one more in the ledger under excluded, prefetch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from services.page_address import is_local
from tools.doctor import web
from tools.doctor.check import Judgement
from tools.doctor.installation import CannotAsk, Installation

ENDS_SOON_DAYS, MOST_SITES = 14, 10
STRANGER = "https://stranger.invalid"
CACHE_SIGNS = ("age", "x-cache", "x-cache-status", "cf-cache-status", "x-proxy-cache")
NOT_COUNTED = {"Sec-Purpose": "prefetch", "Content-Type": "text/plain;charset=UTF-8"}


class Certificate(NamedTuple):
    """How long readers can come by HTTPS, and whether they are led there."""

    is_tls: bool
    away: str  # why nothing answers there
    days_left: float
    problem: str  # why this machine does not believe it
    plain_status: int  # of the same address over HTTP; 0: nothing answers
    plain_place: str  # where it leads


def gather_certificate(installation: Installation) -> Certificate:
    """Raises ``CannotAsk``."""
    address = installation.outside()
    try:
        shown = web.certificate(address)
        web.ask(f"{address}/livez")
    except web.NoAnswer as error:
        return Certificate(False, str(error), 0.0, "", 0, "")
    if shown is None:
        return Certificate(False, "", 0.0, "", 0, "")
    days = (shown.ends_at_s - time.time()) / 86_400
    return Certificate(True, "", days, shown.problem, *_over_http(address, installation.asked.http_port))


def _over_http(address: str, port: int) -> tuple[int, str]:
    parts = urlsplit(address)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    try:
        answer = web.ask(f"http://{host}:{port}{parts.path}/livez")
    except web.NoAnswer:
        return 0, ""
    return answer.status, answer.headers.get("location", "")


def judge_certificate(found: Certificate) -> Judgement:
    """Whether a reader's browser takes it."""
    if found.away:
        return Judgement(f"nothing answers at URL: {found.away}", ("away",))
    if not found.is_tls:
        return Judgement("the address is plain HTTP", ("plain",))
    faults = []
    if found.problem:
        says = f"not believed: {found.problem}"
        faults.append("not-believed")
    else:
        says = f"good for {found.days_left:.0f} days"
        faults += ["ends-soon"] if found.days_left < ENDS_SOON_DAYS else []
    if found.plain_status and not (
        found.plain_status in web.REDIRECTS and found.plain_place.startswith("https:")
    ):
        faults.append("not-led-to-https")
        says += f"; over HTTP it answers {found.plain_status}"
    return Judgement(says, tuple(faults))


class Answers(NamedTuple):
    """What the outside address answers to a site's pages, and to nobody's."""

    by_origin: Mapping[str, tuple[web.Answer, web.Answer]]  # preflight, hit
    to_stranger: web.Answer | None  # a preflight; None where SITES=* takes everybody
    script: web.Answer
    is_under_path: bool


def origins(installation: Installation) -> list[str]:
    """Origins of pages that are to be counted: of each site, and of the page that was given; local ones never are."""
    hosts = [site.host for site in installation.settings.sites]
    if page := urlsplit(installation.asked.page).hostname:
        hosts.insert(0, page)
    return [f"https://{host}" for host in dict.fromkeys(hosts) if not is_local(host)][:MOST_SITES]


def gather_answers(installation: Installation) -> Answers:
    """Raises ``CannotAsk``."""
    base, settings = installation.outside(), installation.settings
    endpoint = f"{base}/{settings.endpoint_name}"
    try:
        asked = {origin: _as_a_page(endpoint, origin) for origin in origins(installation)}
        stranger = _preflight(endpoint, STRANGER) if settings.sites else None
        return Answers(asked, stranger, web.ask(f"{base}/{settings.script_name}"), bool(urlsplit(base).path))
    except web.NoAnswer as error:
        raise CannotAsk(f"URL: {error}") from None


def _preflight(endpoint: str, origin: str) -> web.Answer:
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    return web.ask(endpoint, "OPTIONS", {"Origin": origin, **asks})


def _as_a_page(endpoint: str, origin: str) -> tuple[web.Answer, web.Answer]:
    body = b'{"url": "%s/"}' % origin.encode()
    hit = web.ask(endpoint, "POST", {"Origin": origin, "Referer": f"{origin}/", **NOT_COUNTED}, body)
    return _preflight(endpoint, origin), hit


def judge_cors(answers: Answers) -> Judgement:
    """Whether pages of each site may send, and others may not read (contract, section 2)."""
    refused = [origin for origin, both in answers.by_origin.items() if not _may_send(origin, both)]
    faults = [*(["refused"] if refused else []), *(["strangers"] if _takes(answers.to_stranger) else [])]
    if not answers.by_origin:
        return Judgement("SITES=* names no site to ask for: give PAGE= of one", tuple(faults))
    says = f"{len(answers.by_origin) - len(refused)} of {len(answers.by_origin)} sites may send"
    return Judgement(says + (f"; not: {', '.join(refused)}" if refused else ""), tuple(faults))


def _may_send(origin: str, both: tuple[web.Answer, web.Answer]) -> bool:
    return all(
        answer.status == 204
        and answer.headers.get("access-control-allow-origin") == origin
        and answer.headers.get("access-control-allow-credentials") == "true"
        for answer in both
    )


def _takes(answer: web.Answer | None) -> bool:
    return answer is not None and "access-control-allow-origin" in answer.headers


def judge_proxy(answers: Answers) -> Judgement:
    """Whether the answers that come are the pixel's, as it made them."""
    hits = [hit for _, hit in answers.by_origin.values()]
    signs = list(_changes(hits))
    if not hits:
        # Of the pixel's own the script is left, which may be kept.
        hits = [answers.script]
    # Under a path of a site the script may have any name: the check `page` reads it from the tag.
    if not _is_tracker(answers.script) and not (answers.is_under_path and answers.by_origin):
        signs.append(("not-the-pixel", f"the script is answered {answers.script.status}"))
    if any("set-cookie" in answer.headers for answer in (*hits, answers.script)):
        signs.append(("cookies", "it sets a cookie"))
    says = "; ".join(text for _, text in signs) or "answers come as the pixel makes them"
    # What a log keeps cannot be seen from outside.
    return Judgement(f"{says}; whether it writes an access log cannot be seen", tuple(n for n, _ in signs))


def _is_tracker(answer: web.Answer) -> bool:
    return answer.status == 200 and "javascript" in answer.headers.get("content-type", "")


def _changes(hits: Sequence[web.Answer]) -> Iterator[tuple[str, str]]:
    if any("x-footfall" not in hit.headers for hit in hits):
        status = next(hit.status for hit in hits if "x-footfall" not in hit.headers)
        yield "not-the-pixel", f"no X-Footfall in an answer of {status}"
    elif any(hit.headers.get("cache-control") != "no-store" for hit in hits):
        yield "cached", "Cache-Control is not as the pixel sends it"
    elif any(sign in hit.headers for hit in hits for sign in CACHE_SIGNS):
        yield "cached", "a cache has signed the answer"
