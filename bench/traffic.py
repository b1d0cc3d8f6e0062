"""The visits that the load is made of: made up, the same for the same seed, in the shape of a real blog's.

100,000 addresses of visitors, 2,000 User-Agents (5 % bots), 500 pages drawn by Zipf's law, 200 referrers, titles.
A visitor has one User-Agent. Requests carry what the tracker sends, an id of their own included, and the headers
of a browser behind a proxy.
"""

from __future__ import annotations

import ipaddress
import random
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

VISITORS = 100_000
AGENTS = 2_000
BOT_SHARE = 0.05
PAGES = 500
REFERRERS = 200
DIRECT_SHARE = 0.4  # visits without a referrer
DRAWN_TARGETS = 20_000  # drawn once by their weights; the generators then draw evenly among them
PATH = "/a.gif"
SITE = "blog.example"

# {c} Chrome's major version, {f} Firefox's, {s} Safari's, {o} a minor version, {b} a build, {m} a phone's model.
PEOPLE = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{c}.0.{b}.{o}"
    " Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{c}.0.0.0 Safari/537.36"
    " Edg/{c}.0.{b}.{o}",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{f}.0) Gecko/20100101 Firefox/{f}.0",
    "Mozilla/5.0 (Windows NT 6.1; Win64; x64; rv:{f}.{o}) Gecko/20100101 Firefox/{f}.{o}",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{c}.0.0.0 Safari/537.36"
    " OPR/{f}.0.{b}.{o}",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{c}.0.{b}.{o}"
    " Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{s}.{o}"
    " Safari/605.1.15",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:{f}.{o}) Gecko/20100101 Firefox/{f}.{o}",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{c}.0.{b}.{o} Safari/537.36",
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:{f}.{o}) Gecko/20100101 Firefox/{f}.{o}",
    "Mozilla/5.0 (X11; CrOS x86_64 {b}.{o}.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{c}.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS {s}_{o} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/{s}.{o} Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPhone; CPU iPhone OS {s}_{o} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " CriOS/{c}.0.{b}.{o} Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPad; CPU OS {s}_{o} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{s}.{o}"
    " Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPhone; CPU iPhone OS {s}_{o} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " FxiOS/{f}.{o} Mobile/15E148 Safari/605.1.15",
    "Mozilla/5.0 (Linux; Android {a}; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{c}.0.{b}.{o} Mobile"
    " Safari/537.36",
    "Mozilla/5.0 (Linux; Android {a}; {m}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{c}.0.{b}.{o} Mobile"
    " Safari/537.36",
    "Mozilla/5.0 (Linux; Android {a}; {m}) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/{s}.{o}"
    " Chrome/{c}.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Android {a}; Mobile; rv:{f}.{o}) Gecko/{f}.{o} Firefox/{f}.{o}",
    "Mozilla/5.0 (Linux; Android {a}; {m}; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0"
    " Chrome/{c}.0.{b}.{o} Mobile Safari/537.36",
)
BOTS = (
    "Mozilla/5.0 (compatible; Googlebot/2.{o}; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/{c}.0.{b}.{o} Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.{o}; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; AhrefsBot/{s}.{o}; +http://ahrefs.com/robot/)",
    "Mozilla/5.0 (compatible; SemrushBot/{s}.{o}~bl; +http://www.semrush.com/bot.html)",
    "facebookexternalhit/1.{o} (+http://www.facebook.com/externalhit_uatext.php)",
    "curl/8.{o}.{s}",
    "python-requests/2.{o}.{s}",
    "Go-http-client/1.{o}",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.{o}; +https://openai.com/gptbot)",
)
PHONES = (
    "SM-S918B",
    "SM-A546B",
    "SM-G991U",
    "Pixel 8",
    "Pixel 9 Pro",
    "Redmi Note 13",
    "CPH2581",
    "moto g84 5G",
)
SCREENS = (
    "1920x1080",
    "2560x1440",
    "1536x864",
    "1440x900",
    "393x852",
    "390x844",
    "412x915",
    "360x800",
    "820x1180",
)
LANGUAGES = ("en-US", "en-GB", "de-DE", "fr-FR", "es-ES", "pt-BR", "nl-NL", "it-IT", "ja-JP", "pl-PL")
WORDS = (
    "notes", "small", "engine", "reading", "logs", "without", "pain", "what", "we", "learned", "from", "ten", "years",
    "running", "our", "own", "mail", "why", "the", "cache", "was", "never", "wrong", "how", "to", "measure", "before",
    "you", "change", "anything", "letters", "quiet", "server", "room",
)  # fmt: skip
NAMED_REFERRERS = (
    "https://www.google.com/", "https://www.bing.com/", "https://duckduckgo.com/", "https://news.ycombinator.com/",
    "https://www.reddit.com/", "https://t.co/", "https://lobste.rs/", "https://mastodon.social/",
    "https://github.com/", "https://www.linkedin.com/",
)  # fmt: skip


@dataclass(frozen=True)
class Traffic:
    """What requests are put together from. Texts are ready for the wire."""

    addresses: list[str]
    agents: list[str]
    targets: list[str]  # the parameters after the id, by weight

    def write(self, folder: Path) -> None:
        """As files of lines for load.lua."""
        for name in ("addresses", "agents", "targets"):
            lines: list[str] = getattr(self, name)
            (folder / name).write_text("\n".join(lines) + "\n")


BROWSER_HEADERS = (
    "Accept: image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8\r\n"
    "Accept-Language: en-US,en;q=0.9\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
    f"Referer: https://{SITE}/\r\n"
)


def make_traffic(part: int, site: str = SITE, bots: bool = True) -> Traffic:
    """The traffic of one measurement; each ``part`` has visitors of its own, as another day would."""
    dice = random.Random(f"footfall {part}")
    agents = _agents(random.Random("agents"), BOT_SHARE if bots else 0.0)
    return Traffic(_addresses(part), agents, _targets(dice, site))


def _addresses(part: int) -> list[str]:
    """Public IPv4 addresses, all different, also from those of other parts."""
    addresses = []
    for number in range(part * VISITORS, (part + 1) * VISITORS):
        # An odd factor modulo 2^24 gives every number once; the first byte stays among public ones.
        scattered = number * 11_184_811 % (1 << 24)
        first = (23, 46, 62, 78, 81, 93, 109, 134, 151, 176, 188, 203)[(number >> 24) % 12]
        addresses.append(str(ipaddress.IPv4Address(first << 24 | scattered)))
    return addresses


def _agent(dice: random.Random, template: str) -> str:
    return template.format(
        c=dice.randint(120, 142), f=dice.randint(115, 145), s=dice.randint(13, 26), o=dice.randint(0, 9),
        b=dice.randint(5000, 7500), a=dice.randint(10, 16), m=dice.choice(PHONES),
    )  # fmt: skip


def _agents(dice: random.Random, bot_share: float) -> list[str]:
    agents: dict[str, None] = {}
    bots = round(AGENTS * bot_share)
    while len(agents) < bots:
        agents[_agent(dice, dice.choice(BOTS))] = None
    while len(agents) < AGENTS:
        agents[_agent(dice, dice.choice(PEOPLE))] = None
    mixed = list(agents)
    dice.shuffle(mixed)
    return mixed


def _targets(dice: random.Random, site: str) -> list[str]:
    pages = []
    for number in range(PAGES):
        words = dice.sample(WORDS, 5)
        address = f"https://{site}/{2015 + number % 12}/{number % 12 + 1:02d}/{'-'.join(words)}-{number}/"
        pages.append((quote(address, safe=""), quote(" ".join(words).capitalize(), safe="")))
    referrers = [*NAMED_REFERRERS]
    referrers += [f"https://reader-{n}.example/feed/{n}" for n in range(REFERRERS - len(referrers))]
    weights = [1 / rank for rank in range(1, PAGES + 1)]
    referrer_weights = [1 / rank for rank in range(1, REFERRERS + 1)]
    targets = []
    for address, title in dice.choices(pages, weights, k=DRAWN_TARGETS):
        # The tracker leaves the language to its header, which is one for all requests here: rows are to differ.
        language = dice.choice(LANGUAGES)
        target = f"&screen={dice.choice(SCREENS)}&language={language}&event=pageview&url={address}"
        if dice.random() >= DIRECT_SHARE:
            target += f"&referrer={quote(dice.choices(referrers, referrer_weights)[0], safe='')}"
        targets.append(f"{target}&title={title}&props=")
    return targets
