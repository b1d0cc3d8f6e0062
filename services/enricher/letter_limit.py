"""How many of the last hits may become dead letters: after a bad deploy the enricher stops instead of burying all.

Counted over the last hits and not over minutes, because a quiet blog has a hit in ten minutes. Each run of an
enricher begins with an empty window: what is started anew is tried anew. See docs/decisions/0018.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from services.enricher.batch import TOO_LATE, DeadLetter

# The share is that of so many hits, or of those since the start.
WINDOW_HITS = 1_000
# So many may be buried in a window whatever their share: one bad hit is half of what a quiet hour has.
FREE_LETTERS = 20
NO_LIMIT_PERCENT = 100


class TooManyLetters(Exception):
    """Storing the batch would bury more than is allowed: nothing of it is stored, and its entries stay pending."""

    def __init__(self, letters: int, hits: int, reasons: Counter[str]) -> None:
        super().__init__(f"{letters} of {hits} hits")
        self.letters = letters
        self.hits = hits
        self.reasons = reasons


class LetterLimit:
    """Counts for one run of an enricher. Hits of sealed days are left out: that is the retention at work."""

    def __init__(self, percent: int) -> None:
        self._percent = percent
        self._window: deque[tuple[int, int]] = deque()  # hits and letters of each batch
        self._hits = self._letters = 0
        self._checked = (0, 0)

    def check(self, letters: Iterable[DeadLetter], stored_or_duplicate: int) -> None:
        """Whether a transaction may bury these beside that many good hits. Raises ``TooManyLetters``."""
        reasons: Counter[str] = Counter()
        for letter in letters:
            if letter.reason != TOO_LATE:
                reasons[letter.reason] += letter.hits
        buried = reasons.total()
        self._checked = (buried + stored_or_duplicate, buried)
        in_window = self._letters + buried
        hits = self._hits + self._checked[0]
        if not buried or self._percent >= NO_LIMIT_PERCENT or in_window <= FREE_LETTERS:
            return
        if 100 * in_window > self._percent * hits:
            raise TooManyLetters(in_window, hits, reasons)

    def committed(self) -> None:
        """What was checked last is committed."""
        self._window.append(self._checked)
        self._hits += self._checked[0]
        self._letters += self._checked[1]
        while self._hits - self._window[0][0] >= WINDOW_HITS:
            hits, letters = self._window.popleft()
            self._hits -= hits
            self._letters -= letters
