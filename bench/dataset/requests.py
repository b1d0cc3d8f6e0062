"""The requests that the made-up hits are of: pages, referrers, campaigns, clients, events, the same each time."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import NamedTuple

from crawleruseragents import CRAWLER_USER_AGENTS_DATA

from bench.dataset import shape
from bench.traffic import LANGUAGES, NAMED_REFERRERS, SCREENS, WORDS, make_traffic

# With those of the load: more languages than it needs, for so many different clients.
MORE_LANGUAGES = (
    "en", "de", "fr", "es-MX", "pt-PT", "sv-SE", "da-DK", "fi-FI", "nb-NO", "cs-CZ", "hu-HU", "ro-RO", "tr-TR",
    "uk-UA", "ru-RU", "el-GR", "he-IL", "ko-KR", "zh-CN", "zh-TW",
)  # fmt: skip
MEDIA = ("email", "social", "cpc", "referral", "print")
EVENTS: tuple[tuple[str, dict[str, str | int] | None], ...] = (
    ("download", {"file": "handbook.pdf"}),
    ("download", {"file": "slides.pdf"}),
    ("signup", {"plan": "small", "from": "header"}),
    ("signup", {"plan": "large", "from": "footer"}),
    ("outbound", {"host": "example.org"}),
    ("outbound", {"host": "example.net"}),
    ("search", {"results": 0}),
    ("search", {"results": 12}),
    ("play", None),
    ("copy", None),
)


class Page(NamedTuple):
    """A page of a site, and what it was called later."""

    path: str  # as it is stored: without a slash at its end
    title: str
    later_title: str


def pages_of(site: shape.Site) -> list[Page]:
    """The pages that are there, the most read first."""
    dice = random.Random(f"pages of {site.name}")
    pages = []
    for number in range(site.pages):
        words = dice.sample(WORDS, 5)
        title = " ".join(words).capitalize()
        later = f"{title}, revised" if number % shape.RENAMED_PAGE_EVERY == 0 else title
        folder = f"/{2015 + number % 12}/{number % 12 + 1:02d}"
        pages.append(Page(f"{folder}/{'-'.join(words)}-{number}", title, later))
    return pages


def missing_pages_of(site: shape.Site) -> list[Page]:
    """Those that are not."""
    title = f"Page not found – {site.name}"
    return [Page(f"/lost/{number}", title, title) for number in range(shape.MISSING_PAGES)]


def referrers() -> list[str]:
    """Other sites' addresses, the commonest first."""
    others = (f"https://reader-{n}.example/feed/{n}" for n in itertools.count())
    return [*NAMED_REFERRERS, *itertools.islice(others, shape.REFERRERS - len(NAMED_REFERRERS))]


def campaigns() -> Iterator[tuple[str, str]]:
    """Query and referrer of each; half of them are opened in a mail program, and have none."""
    known = referrers()
    for number in range(shape.CAMPAIGNS):
        query = f"utm_source=letter-{number // 4}&utm_medium={MEDIA[number % 5]}&utm_campaign=season-{number // 6}"
        if number % 3 == 0:
            query += f"&utm_content=button-{number % 7}"
        yield query, known[number] if number % 2 else ""


class Client(NamedTuple):
    """What a browser says of itself."""

    user_agent: str
    screen: str
    language: str


def clients() -> Iterator[Client]:
    """People's, without end."""
    dice = random.Random("looks")
    agents, languages = make_traffic(0, bots=False).agents, (*LANGUAGES, *MORE_LANGUAGES)
    while True:
        yield Client(dice.choice(agents), dice.choice(SCREENS), dice.choice(languages))


def bots() -> list[str]:
    """User-Agents of bots, one each."""
    agents = (known["instances"][0] for known in CRAWLER_USER_AGENTS_DATA if known["instances"])
    return list(itertools.islice(agents, shape.BOTS))
