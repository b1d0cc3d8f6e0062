"""The report for a terminal or a log: numbers stand left, texts of strangers at the end of a line.

So a title that a terminal draws wider than it should, or from right to left, moves nothing that stands behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from tools.report.shape import Figure, Report, with_texts
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
    bar,
    bars_of,
    first_sources,
    one_line,
    others_of,
    remark_of,
    sparkline,
    title_of,
)

LOG_WIDTH = 80  # where there is no terminal, and COLUMNS does not say
NARROW = 60  # below it: no second column of text
LABEL_WIDTH, NUMBER_WIDTH = 16, 11  # with the space behind
SO_FAR = " so far"
COLOURS = {"green": "green", "red": "red"}


def console_of(file: TextIO, environ: Mapping[str, str]) -> Console:
    """Where a report is printed; colours as rich finds them: on a terminal, and not with NO_COLOR.

    In a log a line has COLUMNS cells, or 80.
    """
    columns = environ.get("COLUMNS", "")
    log_width = int(columns) if columns.isascii() and columns.isdigit() and int(columns) else LOG_WIDTH
    return Console(
        file=file, width=None if file.isatty() else log_width, markup=False, emoji=False, highlight=False
    )


def show(report: Report, console: Console) -> None:
    """Print it, without the spaces that would fill each line."""
    report = with_texts(report, one_line)
    with console.capture() as captured:
        for part in _parts(report, console.width):
            console.print(part)
    console.file.write("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))


def _parts(report: Report, width: int) -> Iterator[RenderableType]:
    yield Text.assemble(("Footfall", "bold"), "  ", title_of(report))
    if report.is_empty:
        yield Group("", *NO_DATA)
    else:
        yield _muted(remark_of(report))
    yield from _problems(report)
    if report.is_empty:
        return
    yield ""
    yield _headline(report, width)
    yield from _section("By day", _days(report, width))
    yield from _section("Top pages", _pages(report, width))
    yield from _section("Sources and the pages they led to", _sources(report))
    yield from _section("Countries", _countries(report))
    yield from _section("Missing pages, to be mended", _missing(report))
    yield from _section("Newest posts", _posts(report))
    yield from _section("Bots, in no other figure", _bots(report))


def _section(title: str, body: RenderableType | None) -> Iterator[RenderableType]:
    if body is not None:
        yield ""
        yield Rule(Text(title, style="bold"), align="left", style="dim")
        yield body


def _muted(text: str) -> Text:
    return Text(text, style="dim")


def _table(*numbers: str, texts: Sequence[tuple[str, int]]) -> Table:
    """Columns of numbers with headings, then columns of text with their share of the rest of the line."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, expand=True, header_style="dim")
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    for heading, share in texts:
        table.add_column(heading, ratio=share, no_wrap=True, overflow="ellipsis")
    return table


def _headline(report: Report, width: int) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(ratio=1)
    for name, heading in FIGURES.items():
        figure = report.headline[name]
        if name in ("pageviews", "visitors") or figure.value or figure.before:
            table.add_row(
                heading, Text(f"{figure.value:,}", style="bold"), _change(report, name, figure, width)
            )
        if name == "visitors" and report.pageviews_a_visitor is not None:
            table.add_row("Pageviews a visitor", f"{report.pageviews_a_visitor:.2f}", "")
    return table


def _change(report: Report, name: str, figure: Figure, width: int) -> Text:
    words = Text(figure.words, style=COLOURS.get(figure.colour, ""))
    if name in APART:
        words.append(f"  {APART[name]}", style="dim")
    elif name in ("pageviews", "visitors") and width >= NARROW:
        line = sparkline([getattr(day, name) for day in report.by_day], min(31, width // 4))
        words.append(f"  {line}", style="blue" if name == "pageviews" else "green")
    return words


def _problems(report: Report) -> Iterator[RenderableType]:
    for problem in report.problems:
        yield Text.assemble(("! ", "bold red"), problem.words, ("\n  → " + problem.what_to_do, "dim"))


def _days(report: Report, width: int) -> RenderableType | None:
    step, bars = bars_of(report.by_day)
    if not bars:
        return None
    numbers = ("pageviews", "visitors")[: 2 if width >= NARROW else 1]
    table = _table("" if step == 1 else f"{step} days from", *numbers, texts=[("", 1)])
    most = max(found.pageviews for found in bars)
    room = max(5, width - LABEL_WIDTH - NUMBER_WIDTH * len(numbers) - len(SO_FAR))
    for found in bars:
        drawn = Text(bar(found.pageviews, most, room), style="blue")
        if found.is_open:
            drawn.append(SO_FAR, style="dim")
        table.add_row(found.label, *(f"{getattr(found, name):,}" for name in numbers), drawn)
    return table


def _pages(report: Report, width: int) -> RenderableType | None:
    is_wide = width >= NARROW
    texts = [("title", 3), ("page", 2)] if is_wide else [("title", 1)]
    table = _table("pageviews", "visitors", texts=texts)
    for page in report.pages[:PAGES]:
        where = [Text(page.page, style="dim")] if is_wide else []
        table.add_row(f"{page.pageviews:,}", f"{page.visitors:,}", Text(page.title), *where)
    return _with_rest(table, report.pages, others_of(report.pages, PAGES, MOST_PAGES))


def _with_rest(table: Table, items: Sequence[object], rest: str) -> RenderableType | None:
    """The table, and what it does not show; nothing where it is empty."""
    if not items:
        return None
    return Group(table, _muted(rest)) if rest else table


def _sources(report: Report) -> RenderableType | None:
    table = _table("pageviews", texts=[("", 1)])
    shown, others = first_sources(report, SOURCES, PAGES_OF_SOURCE)
    for source in shown:
        table.add_row(Text(f"{source.pageviews:,}", style="bold"), Text(source.source, style="bold"))
        for page in source.pages:
            table.add_row(f"{page.pageviews:,}", Text(f"  ↳ {page.title}"))
        if source.pages and source.other_pageviews:
            table.add_row(_muted(f"{source.other_pageviews:,}"), _muted("  ↳ other pages"))
    if others.sources:
        table.add_row(_muted(f"{others.pageviews:,}"), _muted(f"{others.sources:,} other sources"))
    return table if shown else None


def _countries(report: Report) -> RenderableType | None:
    table = _table("visitors", "share", "pageviews", texts=[("", 1)])
    for country in report.countries[:COUNTRIES]:
        table.add_row(
            f"{country.visitors:,}", f"{country.share:.1f} %", f"{country.pageviews:,}",
            Text(f"{country.flag} {country.name}"),
        )  # fmt: skip
    found = _with_rest(table, report.countries, others_of(report.countries, COUNTRIES))
    return Group(found, _muted(ELSEWHERE)) if found else None


def _missing(report: Report) -> RenderableType | None:
    table = _table("pageviews", "status", texts=[("page, and who leads there", 1)])
    for page in report.missing[:MISSING]:
        table.add_row(f"{page.pageviews:,}", page.status, Text(page.page))
        if page.referrer != "–":
            table.add_row("", "", Text(f"  ← {page.referrer}", style="dim"))
    return _with_rest(table, report.missing, others_of(report.missing, MISSING, MOST_MISSING))


def _posts(report: Report) -> RenderableType | None:
    table = _table("24 h", "7 days", "since then", "published", texts=[("", 1)])
    for post in report.posts[:POSTS]:
        table.add_row(
            f"{post.pageviews_24h:,}", f"{post.pageviews_7d:,}", f"{post.pageviews:,}", post.published,
            Text(post.title),
        )  # fmt: skip
    return table if report.posts else None


def _bots(report: Report) -> RenderableType | None:
    table = _table("hits", texts=[("", 1)])
    for bots in report.bots[:BOTS]:
        table.add_row(f"{bots.hits:,}", Text(bots.kind))
    return _with_rest(table, report.bots, others_of(report.bots, BOTS))


def text_of(report: Report, width: int = LOG_WIDTH) -> str:
    """As in a log."""
    file = StringIO()
    show(
        report, Console(file=file, width=width, color_system=None, markup=False, emoji=False, highlight=False)
    )
    return file.getvalue()
