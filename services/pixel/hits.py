"""The pixel's own addresses: what becomes of a request that may be a hit, and what it is told.

One function decides, ``HitTaker.take``, for requests that come by themselves on a kept connection, which are nearly
all, and for those that aiohttp's own way brings (``app``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from multidict import CIMultiDictProxy

from services.metrics import PixelMetrics
from services.pixel import answers
from services.pixel.answers import pixel_answer, refusal
from services.pixel.client_address import ClientAddress
from services.pixel.collect import Accepted, Collector, Excluded, Headers
from services.pixel.fixed_answer import FixedAnswer
from services.pixel.group_commit import GroupCommit
from services.pixel.parameters import body_parameters, query_parameters, unpacked
from services.pixel.peers import Peers
from services.pixel.rate_limit import RateLimit

MAX_QUERY_BYTES = 8_000
MAX_BODY_BYTES = 64 * 1024
# Under SITES=* strangers choose the Origins that are echoed: 1,000 answers with them are about 2 MB.
MAX_CACHED_ANSWERS = 1_000
MAX_CACHED_ORIGIN = 300
IMAGE_METHODS = "GET, HEAD, OPTIONS"
METHODS = "GET, HEAD, POST, OPTIONS"

RequestHeaders = CIMultiDictProxy[str]
# Is given the answer, once.
Tell = Callable[[FixedAnswer], None]


class Endpoint(NamedTuple):
    """An address that takes hits."""

    is_image: bool

    @property
    def methods(self) -> str:
        return IMAGE_METHODS if self.is_image else METHODS

    def takes(self, method: str) -> bool:
        """Whether a request with this method may be a hit."""
        return method == "GET" or (method == "POST" and not self.is_image)


def _has_forwarding(headers: RequestHeaders) -> bool:
    """Whether a request has what only proxies send; whose address it names is not looked at."""
    found = headers.get("X-Forwarded-For") or headers.get("Forwarded") or headers.get("X-Real-IP")
    return found is not None


def _headers_of(headers: RequestHeaders) -> Headers:
    return Headers(
        referer=headers.get("Referer", ""),
        user_agent=headers.get("User-Agent", ""),
        accept_language=headers.get("Accept-Language", ""),
        cookie=headers.get("Cookie", ""),
        purpose=headers.get("Sec-Purpose", "") + headers.get("Purpose", "") + headers.get("X-Moz", ""),
        privacy_signal=headers.get("Sec-GPC") == "1" or headers.get("DNT") == "1",
    )


class HitTaker:
    """Decides under fixed settings. Built once by ``__main__`` from its parts."""

    def __init__(
        self,
        collector: Collector,
        commit: GroupCommit,
        client_address: ClientAddress,
        rate_limit: RateLimit,
        metrics: PixelMetrics,
        day_of: Callable[[int], str],
    ) -> None:
        self._collector = collector
        self._commit = commit
        self._client_address = client_address
        self._rate_limit = rate_limit
        self._metrics = metrics
        self._day_of = day_of
        self.peers = Peers()
        self._answers: dict[tuple[bool, str, str | None], FixedAnswer] = {}

    def take(
        self,
        endpoint: Endpoint,
        query: str,
        headers: RequestHeaders,
        body: bytes | None,
        peer: str | None,
        tell: Tell,
    ) -> None:
        """Have ``tell`` called with the answer: at once, or when the hit is on disk, or cannot be.

        ``body`` is a POST's as it was sent, None: of a GET. ``peer`` is the sender's address, None: the tools'
        own socket.
        """
        now_us = time.time_ns() // 1_000
        if len(query) > MAX_QUERY_BYTES:
            return tell(self.refuse(headers, 414, "query", answers.QUERY_LINE))
        parameters = query_parameters(query) if query else {}
        if body:
            body = unpacked(body, headers.get("Content-Encoding", ""), MAX_BODY_BYTES)
            if body is None:
                return tell(self.refuse(headers, 413, "body", answers.BODY_LINE))
            parameters.update(body_parameters(body))
        address = self._client_address.of(peer, headers.getall(self._client_address.header, ()))
        outcome = self._collector.collect(parameters, _headers_of(headers), address, now_us)
        if isinstance(outcome, Accepted):
            return self._accept(endpoint, headers, outcome, peer, tell)
        if isinstance(outcome, Excluded):
            self._leave_out(outcome.site, "excluded", outcome.reason)
            return tell(self._done(endpoint, f"excluded; reason={outcome.reason}", headers.get("Origin")))
        line = answers.ID_LINE if outcome.reason == "id" else answers.URL_LINE
        return tell(self.refuse(headers, 400, outcome.reason, line, outcome.site))

    def _accept(
        self,
        endpoint: Endpoint,
        headers: RequestHeaders,
        accepted: Accepted,
        peer: str | None,
        tell: Tell,
    ) -> None:
        hit = accepted.hit
        if peer is not None:
            self._note_peer(peer, hit.address, headers)
            if not self._rate_limit.allows(hit.address):
                wait = str(self._rate_limit.retry_after_s())
                return tell(
                    self.refuse(headers, 429, "rate-limit", answers.RATE_LINE, hit.site, Retry_After=wait)
                )
        origin = headers.get("Origin")
        dropped = f"; dropped={','.join(accepted.dropped)}" if accepted.dropped else ""
        answer = self._done(endpoint, f"accepted{dropped}", origin)
        if not self._commit.submit(hit, partial(self._tell, tell, answer, headers)):
            line = answers.UNAVAILABLE_LINE
            tell(self.refuse(headers, 503, "too-many", line, hit.site, Retry_After="5"))
        return None

    def _note_peer(self, peer: str, address: str, headers: RequestHeaders) -> None:
        proxy = self._client_address.proxy(peer)
        self.peers.note(
            peer,
            is_proxy=proxy is not None,
            is_named=address != proxy,
            has_forwarding=proxy is None and _has_forwarding(headers),
        )

    def _tell(self, tell: Tell, answer: FixedAnswer, headers: RequestHeaders, is_durable: bool) -> None:
        """Tell what became of the group, which has counted its hits if they are not on disk."""
        if is_durable:
            return tell(answer)
        return tell(self._refusal(headers, 503, "not-durable", answers.UNAVAILABLE_LINE, Retry_After="5"))

    # Answers -------------------------------------------------------------------------------------------------

    def cors(self, origin: str | None) -> dict[str, str]:
        """Headers for a page of this Origin, None: no page asks."""
        if not origin:
            return {}
        if not self._collector.allows_origin(origin):
            return {"Vary": "Origin"}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Credentials": "true",
            "Access-Control-Expose-Headers": "X-Footfall",
            "Vary": "Origin",
        }

    def _done(self, endpoint: Endpoint, outcome: str, origin: str | None) -> FixedAnswer:
        """The answer to a hit that is counted, or excluded on purpose."""
        key = (endpoint.is_image, outcome, origin)
        known = self._answers.get(key)
        if known is None:
            made = pixel_answer(is_image=endpoint.is_image, outcome=outcome, extra=self.cors(origin))
            known = FixedAnswer(made)
            if origin is None or len(origin) <= MAX_CACHED_ORIGIN:
                if len(self._answers) >= MAX_CACHED_ANSWERS:
                    self._answers.clear()
                self._answers[key] = known
        return known

    def _refusal(
        self, headers: RequestHeaders, status: int, reason: str, line: str, **extra: str
    ) -> FixedAnswer:
        answer = refusal(status, reason, line, **extra)
        answer.headers.update(self.cors(headers.get("Origin")))
        return FixedAnswer(answer)

    def refuse(
        self, headers: RequestHeaders, status: int, reason: str, line: str, site: str = "", **extra: str
    ) -> FixedAnswer:
        """Count a request that is not taken; its answer."""
        self._leave_out(site, "refused", reason)
        return self._refusal(headers, status, reason, line, **extra)

    def _leave_out(self, site: str, kind: str, reason: str) -> None:
        self._metrics.requests.labels(kind, reason).inc()
        self._commit.leave_out(site, self._day_of(time.time_ns() // 1_000), kind, reason)
