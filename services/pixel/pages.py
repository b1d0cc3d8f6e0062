"""What people read at the pixel: its pages in plain words, and the source of the tracker.

Pure functions of the settings, so that a page never promises what this installation does not do.
The pages have no script, no image and nothing from elsewhere; ``page_headers`` forbids it too.
A sentence here is a promise: change it together with docs/privacy.md and the code that keeps it.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from pathlib import Path

from services.settings import DEFAULT_ENDPOINT_NAME, Settings

TRACKER = Path(__file__).with_name("tracker.min.js")

_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:1.05rem/1.6 system-ui,sans-serif;max-width:42rem;margin:2rem auto;padding:0 1rem}"
    "button{font:inherit;padding:.4rem 1rem}"
)


def tracker_source(endpoint_name: str = DEFAULT_ENDPOINT_NAME) -> bytes:
    """The tracker as it is served, for an endpoint of this name in the script's own folder.

    Reads the generated file, whose first line says how it is made; call it once at start.
    """
    _, code = TRACKER.read_text(encoding="utf-8").split("\n", 1)
    return code.strip().replace('"ENDPOINT"', json.dumps(endpoint_name)).encode()


def page_headers() -> dict[str, str]:
    """Headers for every page of this module.

    ``same-origin`` and not ``no-referrer``: under the latter a browser sends ``Origin: null`` with a form,
    and POST /me could not tell the owner's click from another site's.
    """
    style = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    return {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-store",
        "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="robots" content="noindex">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<h1>{title}</h1>\n{body}\n</body>\n</html>\n"
    )


def _section(heading: str, *parts: str) -> str:
    return "\n".join((f"<h2>{heading}</h2>", *parts))


def _paragraph(text: str) -> str:
    return f"<p>{text.strip()}</p>"


def _list(*items: str) -> str:
    return "<ul>\n" + "\n".join(f"<li>{item}</li>" for item in items if item) + "\n</ul>"


# Facts that no setting changes. --------------------------------------------------------------------------

_SUMMARY = _list(
    """<b>Recorded:</b> which page was opened and when, where the visitor came from, the country, the families
of browser, operating system and device, the language and a class of the screen.""",
    """<b>Not recorded:</b> your IP address, your browser's full name and version (the User-Agent), or
anything else that says who you are or finds you again on another day or another site.""",
    "<b>No cookie</b> for visitors, and nothing stored in their browser.",
)

_NOT_RECORDED = _list(
    "Your IP address.",
    "Your browser's User-Agent, or a fingerprint of the browser.",
    "Your name, your account, what you type, where you move the mouse.",
    "Any number or name of you that lasts longer than a day, or that two sites share.",
    "Page views on a developer's own machine, and pages that a browser loads in advance.",
)

_ADDRESS = (
    _paragraph("A browser cannot ask for anything without sending both. They are used, and then dropped."),
    _list(
        """On arrival they are sealed: encrypted under a random key that serves for one hour. Only the
sealed form is passed on and written to a disk; no log has either.""",
        """A second program opens the seal and takes from them the country (from a list on the same machine:
nobody else is asked), the families of browser, operating system and device, whether it is a program (a
bot), and the session number. Then it drops both: they never reach the database.""",
        """Once the page views of an hour have gone through, the key of that hour is destroyed. From then on
every copy of the sealed form is unreadable, in backups too.""",
    ),
    _paragraph("""
Until the key is destroyed, whoever controls the machine and has both the sealed form and the key can
read it. The web site itself, and a proxy that the owner puts in front of this address, may keep logs of
their own; this program has no say in them."""),
)

_COOKIES = _paragraph("""
Visitors get none, and nothing is stored in their browser. The one cookie that exists here,
<code>isMe=true</code>, is set when somebody presses the button at <a href="/me">/me</a>: with it the
owner's own visits are left out of the figures. It is the same for everybody who has it.""")


# Facts that settings change. -----------------------------------------------------------------------------


def _signals(settings: Settings) -> str:
    signal = "If your browser sends the signal Global Privacy Control or Do Not Track,"
    return {
        "anonymous": f"{signal} your page view is counted without a session number: it is not connected with "
        "any other page view.",
        "drop": f"{signal} your page view is not recorded; all that is kept is how many such requests there "
        "were on a day.",
        "ignore": "This installation does not act on the signals Global Privacy Control and Do Not Track.",
    }[settings.privacy_signals]


def _addresses(settings: Settings) -> str:
    names = ", ".join(f"<code>{html.escape(name)}</code>" for name in ("utm_*", *settings.query_parameters))
    fragment = "is kept too, as this site names its pages there" if settings.hash_routing else "is not kept"
    return (
        "The page: its site, address and title. Of what follows a <code>?</code> in the address only the "
        f"parameters {names} are kept. What follows a <code>#</code> {fragment}."
    )


def _recorded(settings: Settings) -> str:
    return _list(
        "The time.",
        _addresses(settings),
        """The address of the page that led there (the referrer), shortened in the same way, and what kind of
place that is: a search engine, a social network, a campaign.""",
        """That the link was tagged by a mailing or advertising service: the tag's name, such as
<code>gclid</code>, and never its value.""",
        "The country.",
        """The families of browser, operating system and device, such as “Firefox”, “Linux”, “desktop”,
without versions; and whether it was a program (a bot), and which.""",
        "The language and region that the browser asks for, and a class of the screen's size.",
        "The answer's status where it is known, so that missing pages are found.",
        "Where the owner counts an action, such as a download: its name, and a few short values with it.",
        "A session number, see below.",
        """E-mail addresses, and long runs of letters and digits such as links for a new password have, are
replaced by “…” in addresses, titles, referrers and the values of actions before they are stored."""
        if settings.redact
        else "",
    )


def _session(settings: Settings) -> str:
    zone = html.escape(settings.report_timezone.key)
    return _paragraph(f"""
It says that page views of one day and one site came from the same IP address and the same User-Agent:
that is how visitors are counted. It is computed from these three with a random key. The key serves
for one day (time zone {zone}) and is destroyed once the page views of the day have gone through, at the
latest 6 hours after the day's end. Without the key nobody can compute the number again, the owner
included. Tomorrow, or on another site, yours is another.""")


def _rate_limit(settings: Settings) -> str:
    if not settings.rate_limit:
        return ""
    return _paragraph("""
So that nobody floods the counter, the requests of an IP address are counted for one minute: in memory
only, under a hash with a random key that ends with the minute.""")


def _how_long(settings: Settings) -> str:
    return _paragraph(f"""
Single page views are deleted after {settings.retention_days} days. Sums, such as how often a page was
read on a day, are kept.""")


def home_page(settings: Settings) -> str:
    """``/``: what answers here, and the short form of the privacy page."""
    return _page(
        "Footfall",
        "\n".join(
            (
                _paragraph("""
This address counts page views for the owner of a web site. The owner runs it; no advertising network and
no analytics company gets the data."""),
                _SUMMARY,
                _paragraph(_signals(settings)),
                _paragraph("""
<a href="/privacy/">All of it, in plain words</a>. The owner can <a href="/me">leave out their own
visits</a>."""),
            )
        ),
    )


def privacy_page(settings: Settings) -> str:
    """``/privacy/``: what is and is not recorded under these settings, and how."""
    block = "A site works just the same when a browser or an extension blocks this address."
    return _page(
        "What is recorded, and what is not",
        "\n".join(
            (
                _section("Recorded, for each page view", _recorded(settings)),
                _section("Not recorded", _NOT_RECORDED),
                _section(
                    "What happens to your IP address and your User-Agent", *_ADDRESS, _rate_limit(settings)
                ),
                _section("The session number", _session(settings)),
                _section("Cookies", _COOKIES),
                _section("Your wishes", _paragraph(f"{_signals(settings)} {block}")),
                _section("How long", _how_long(settings)),
                _paragraph('<a href="/">Back</a>'),
            )
        ),
    )


def me_page(is_me: bool) -> str:
    """``/me``: whether this browser is marked as the owner's, and the button that switches it.

    The button sends POST /me. What that does is decided by the cookie that comes with it: the form is empty.
    """
    if is_me:
        state = "Page views of this browser are marked as the owner's and left out of the figures."
        button = "Count this browser again"
    else:
        state = "Page views of this browser are counted like everybody's."
        button = "This is me: leave me out"
    return _page(
        "Is this you?",
        "\n".join(
            (
                _paragraph(state),
                f'<form method="post" action="/me"><button type="submit">{button}</button></form>',
                _paragraph("""
The button sets or deletes one cookie, <code>isMe=true</code>, in this browser. The script on a site
sends it only where its tag says <code>data-owner</code>; a browser that refuses cookies of other sites
sends it only where site and counter share a domain."""),
                _paragraph('<a href="/">Back</a>'),
            )
        ),
    )
