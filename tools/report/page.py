"""The report as one file of HTML, for a browser or a mail: no script, nothing fetched, tables and inline style.

Pictures are decoration: a mail program that takes SVG away takes no figure with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import escape

from tools.report.picture import curve
from tools.report.shape import Figure, Report, with_texts
from tools.report.styles import BLUE, FONT, GREEN, SHEET, look
from tools.report.texts import (
    APART,
    BOTS,
    COUNTRIES,
    ELSEWHERE,
    FIGURES,
    MISSING,
    MOST_MISSING,
    MOST_PAGES,
    NO_DATA,
    PAGES,
    PAGES_OF_SOURCE,
    POSTS,
    SOURCES,
    bars_of,
    first_sources,
    for_page,
    others_of,
    remark_of,
    title_of,
)

CHANGES = {"green": "good", "red": "bad", "text": "muted"}
DATA_TABLE = '<table width="100%" cellpadding="0" cellspacing="0" border="0"'
TABLE = DATA_TABLE + ' role="presentation"'


def page_of(report: Report) -> str:
    """The whole document."""
    report = with_texts(report, for_page)
    body = "\n".join(_empty() if report.is_empty else _body(report))
    title = escape(title_of(report))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark"><meta name="supported-color-schemes" content="light dark">
<meta name="referrer" content="no-referrer"><title>Footfall · {title}</title>
<style>
{SHEET}
</style></head>
<body{look("back text", f"margin:0;font-family:{FONT};font-size:14px;line-height:20px")}>
{TABLE}{look("back")}><tr><td align="center" style="padding:16px 8px">
{TABLE}{look("card text", "max-width:680px;border-radius:8px")}><tr><td style="padding:20px 20px 24px">
<h1 style="margin:0;font-size:20px;line-height:26px">Footfall</h1>
<p{look("muted", "margin:2px 0 0")}>{title}</p>
{body}
<p{look("muted", "margin:24px 0 0;font-size:12px;line-height:18px")}>Made {escape(report.made_at)} by make report. \
{_credit()}</p>
</td></tr></table>
</td></tr></table>
</body></html>
"""


def _empty() -> Iterator[str]:
    for line in NO_DATA:
        yield f'<p style="margin:16px 0 0">{escape(line)}</p>'


def _body(report: Report) -> Iterator[str]:
    yield from _problems(report)
    yield _cards(report)
    yield _others(report)
    dashed = " Dashed: the days before." if report.headline["pageviews"].before is not None else ""
    remark = escape(remark_of(report) + dashed)
    yield f"<p{look('muted', 'margin:8px 0 0;font-size:12px;line-height:18px')}>{remark}</p>"
    yield from _section("By day", ("", "Pageviews", "Visitors"), _days(report))
    yield from _section("Top pages", ("", "Pageviews", "Visitors"), _pages(report),
                        others_of(report.pages, PAGES, MOST_PAGES))  # fmt: skip
    yield from _section("Sources and the pages they led to", ("", "Pageviews"), _sources(report))
    yield from _section("Countries", ("", "Visitors", "Share", "Pageviews"), _countries(report),
                        others_of(report.countries, COUNTRIES))  # fmt: skip
    yield from _section("Missing pages, to be mended", ("", "Pageviews"), _missing(report),
                        others_of(report.missing, MISSING, MOST_MISSING))  # fmt: skip
    yield from _section("Newest posts", ("", "24 h", "7 days", "Since then"), _posts(report))
    yield from _section("Bots, in no other figure", ("", "Hits"), _bots(report),
                        others_of(report.bots, BOTS))  # fmt: skip


def _credit() -> str:
    """As the licence asks: it leads to where the countries come from."""
    address = "https://db-ip.com"
    return escape(ELSEWHERE).replace(
        address, f'<a href="{address}" rel="noreferrer"{look("link")}>{address}</a>'
    )


def _problems(report: Report) -> Iterator[str]:
    for problem in report.problems:
        yield (
            f'{TABLE}{look("alarm", "margin:12px 0 0;border-radius:6px")}><tr><td style="padding:8px 12px">'
            f"<b{look('bad')}>{escape(problem.words)}</b><br>{escape(problem.what_to_do)}</td></tr></table>"
        )


def _cards(report: Report) -> str:
    days = [day for day in report.by_day if not day.is_open]
    pageviews = curve([d.pageviews for d in days], [d.pageviews_before for d in days], BLUE)
    visitors = curve([d.visitors for d in days], [], GREEN)
    cards = _card("Pageviews", report.headline["pageviews"], pageviews, "0 5px 0 0")
    cards += _card("Visitors", report.headline["visitors"], visitors, "0 0 0 5px")
    return f'{TABLE} style="margin:16px 0 0"><tr>{cards}</tr></table>'


def _card(heading: str, figure: Figure, picture: str, padding: str) -> str:
    return (
        f'<td class="half" width="50%" valign="top" style="padding:{padding}">'
        f'{TABLE}{look("box", "border-radius:6px")}><tr><td style="padding:10px 12px">'
        f"<span{look('muted')}>{heading}</span><br>"
        f'<span style="font-size:28px;line-height:36px;font-weight:600">{figure.value:,}</span><br>'
        f"<span{look(CHANGES[figure.colour], 'font-size:13px')}>{escape(figure.words)}</span>"
        f'<div style="padding-top:6px">{picture}</div></td></tr></table></td>'
    )


def _others(report: Report) -> str:
    rows = []
    if report.pageviews_a_visitor is not None:
        rows.append(("Pageviews a visitor", f"{report.pageviews_a_visitor:.2f}", "", "muted"))
    for name, heading in list(FIGURES.items())[2:]:
        figure = report.headline[name]
        if figure.value or figure.before:
            words = f"{figure.words} · {APART[name]}" if name in APART else figure.words
            rows.append((heading, f"{figure.value:,}", words, CHANGES[figure.colour]))
    cells = "".join(
        f'<tr><td style="padding:2px 8px 2px 0;white-space:nowrap">{heading}</td>'
        f'<td align="right" style="padding:2px 12px 2px 0"><b>{value}</b></td>'
        f'<td width="100%"{look(kind, "padding:2px 0;font-size:13px")}>{escape(words)}</td></tr>'
        for heading, value, words, kind in rows
    )
    return f'{TABLE} style="margin:12px 0 0">{cells}</table>' if rows else ""


def _section(title: str, headings: tuple[str, ...], rows: Iterable[str], rest: str = "") -> Iterator[str]:
    """A table with its headings; nothing where it has no row."""
    found = "".join(rows)
    if not found:
        return
    first, *numbers = headings
    small = look("muted", "padding:0 0 4px 12px;font-size:12px;font-weight:400;white-space:nowrap")
    head = "".join(f'<th scope="col" align="right"{small}>{heading}</th>' for heading in numbers)
    yield (
        f'{DATA_TABLE} style="margin:24px 0 0"><tr><th scope="col" align="left" width="100%" style="padding:0 0 4px">'
        f'<h2 style="margin:0;font-size:15px;line-height:20px">{title}</h2>{first}</th>{head}</tr>{found}</table>'
    )
    if rest:
        yield f"<p{look('muted', 'margin:4px 0 0;font-size:12px')}>{escape(rest)}</p>"


def _row(first: str, *numbers: str, style: str = "", kind: str = "line") -> str:
    cells = "".join(
        f'<td align="right" valign="top"{look(kind, "padding:5px 0 5px 12px;white-space:nowrap")}>{number}</td>'
        for number in numbers
    )
    return f"<tr><td{look(kind, 'padding:5px 0;word-break:break-word;' + style)}>{first}</td>{cells}</tr>"


def _linked(text: str, address: str) -> str:
    """A text, turned as its own letters say, that leads to a page of the web where it has an address."""
    shown = f"<bdi>{escape(text)}</bdi>"
    if not re.match(r"https?://", address):
        return shown
    return f'<a href="{escape(address)}" rel="noreferrer"{look("link")}>{shown}</a>'


def _small(text: str) -> str:
    return f"<br><span{look('muted', 'font-size:12px;word-break:break-all')}><bdi>{escape(text)}</bdi></span>"


def _days(report: Report) -> Iterator[str]:
    step, bars = bars_of(report.by_day)
    most = max((found.pageviews for found in bars), default=0)
    for found in bars:
        share = max(1, round(100 * found.pageviews / most)) if found.pageviews else 0
        kind = "open" if found.is_open else "bar"
        drawn = f'<td width="{share}%"{look(kind, "height:10px;line-height:10px;font-size:1px")}>&nbsp;</td>'
        rest = f'<td width="{100 - share}%"></td>' if share < 100 else ""
        label = found.label + (", so far" if found.is_open else "") + (f", {step} days" if step > 1 else "")
        yield _row(
            f'{TABLE}><tr><td width="172" style="white-space:nowrap">{label}</td>'
            f"<td>{TABLE}><tr>{drawn if share else ''}{rest}</tr></table></td></tr></table>",
            f"{found.pageviews:,}", f"{found.visitors:,}",
        )  # fmt: skip


def _pages(report: Report) -> Iterator[str]:
    for page in report.pages[:PAGES]:
        yield _row(
            _linked(page.title, page.address) + _small(page.page), f"{page.pageviews:,}", f"{page.visitors:,}"
        )


def _sources(report: Report) -> Iterator[str]:
    shown, others = first_sources(report, SOURCES, PAGES_OF_SOURCE)
    for source in shown:
        yield _row(f"<b><bdi>{escape(source.source)}</bdi></b>", f"<b>{source.pageviews:,}</b>")
        for page in source.pages:
            yield _row(_linked(page.title, ""), f"{page.pageviews:,}", style="padding-left:16px", kind="text")
        if source.pages and source.other_pageviews:
            yield _row("Other pages", f"{source.other_pageviews:,}", style="padding-left:16px", kind="muted")
    if others.sources:
        yield _row(f"{others.sources:,} other sources", f"{others.pageviews:,}")


def _countries(report: Report) -> Iterator[str]:
    for country in report.countries[:COUNTRIES]:
        yield _row(
            f"{country.flag} {escape(country.name)}", f"{country.visitors:,}", f"{country.share:.1f} %",
            f"{country.pageviews:,}",
        )  # fmt: skip


def _missing(report: Report) -> Iterator[str]:
    for page in report.missing[:MISSING]:
        who = f" · ← {page.referrer}" if page.referrer != "–" else ""
        yield _row(_linked(page.page, page.address) + _small(page.status + who), f"{page.pageviews:,}")


def _posts(report: Report) -> Iterator[str]:
    for post in report.posts[:POSTS]:
        yield _row(
            _linked(post.title, post.address) + _small(post.published), f"{post.pageviews_24h:,}",
            f"{post.pageviews_7d:,}", f"{post.pageviews:,}",
        )  # fmt: skip


def _bots(report: Report) -> Iterator[str]:
    for bots in report.bots[:BOTS]:
        yield _row(escape(bots.kind), f"{bots.hits:,}")
