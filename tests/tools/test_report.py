"""What strangers write into titles and paths breaks no report; what cannot be asked is said."""

from __future__ import annotations

import datetime
import email
import email.policy
import io
import json
import re
import unicodedata
from html.parser import HTMLParser
from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

import tests.strategies  # noqa: F401 - registers and loads hypothesis's profile
from tests.tools.reports import FIRST, make_report
from tools.arguments import BadRequest
from tools.report.__main__ import NotWritten, main, write_whole
from tools.report.mail import mail_of
from tools.report.page import page_of
from tools.report.request import NAMES, range_of, request_of
from tools.report.shape import json_of
from tools.report.sources import sources_of
from tools.report.terminal import console_of, text_of
from tools.report.texts import bar, bars_of, first_sources, for_page, one_line, sparkline
from tools.report.webhook import MOST_CHARACTERS, chat_text

HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07\x1b[31mred",
    "\x9b31mred \x9d0;owned\x9c",
    "two\nlines\r\x0b\x0c\x85 \u2028 \u2029 more",
    "\u202egnp.exe \u2066 \u2069 \u200f \u061c",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "\"'><b>& &amp; [bold red]markup[/] :smile:",
    "javascript:alert(1)",
    "日本語の題名がとても長くて一行には入りきらない場合の表示を確かめる",
    "עברית: כותרת מימין לשמאל 123, ועוד 456",
    "Z" + "\u0301\u0302\u0303\u0304\u0305\u0306" * 40,
    "👨‍👩‍👧‍👦 🏳️‍🌈 ❤️ 🇩🇪 family",
    "\ud800 \ue000 \ufdd0 \U000e0041 \ufeff\u00ad",
    "x" * 500,
    "",
)
TITLES = pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))


def check_terminal(text: str, width: int) -> None:
    lines = text_of(make_report(text), width).splitlines()
    for line in lines:
        odd = [character for character in line if unicodedata.category(character) in ("Cc", "Cf", "Cs")]
        assert not odd, line
        assert cell_len(line) <= width


@TITLES
@pytest.mark.parametrize("width", [30, 44, 80, 132])
def test_no_title_moves_a_terminals_cursor_or_is_wider_than_it(text: str, width: int) -> None:
    check_terminal(text, width)


@hypothesis.settings(max_examples=30)
@given(st.text(max_size=80), st.sampled_from([40, 80]))
def test_no_text_at_all_does(text: str, width: int) -> None:
    check_terminal(text, width)


@TITLES
def test_columns_stand_under_each_other_whatever_a_title_is(text: str) -> None:
    lines = text_of(make_report(text), 80).splitlines()
    at = next(number for number, line in enumerate(lines) if "Top pages" in line)
    heading, first, second = lines[at + 1 : at + 4]
    assert [cell_len(line[: line.index("blog.example/")]) for line in (first, second)] == [
        cell_len(heading[: heading.rindex("page")])
    ] * 2
    assert re.match(r"^ *12,345 +678  ", first)
    assert re.match(r"^ *9 +8  Plain", second)


def test_a_log_has_no_colour_and_a_terminal_only_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in text_of(make_report())
    console = console_of(io.StringIO(), {"COLUMNS": "100"})
    assert (console.width, console.color_system) == (100, None)
    assert console_of(io.StringIO(), {"COLUMNS": "x"}).width == 80
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert console_of(terminal, {}).color_system
    monkeypatch.setenv("NO_COLOR", "1")
    assert console_of(terminal, {}).no_color


def test_a_report_says_what_it_is_of() -> None:
    said = text_of(make_report(), 132)
    assert "all sites · 2026-11-17 to 2026-11-23 · 7 days, Europe/Berlin" in said
    assert "Compared: 2026-11-17 to 2026-11-22 with 2026-11-11 to 2026-11-16. Today is not over" in said
    assert re.search(r"2026-11-23 Mon +601 +300 +█+[▏▎▍▌▋▊▉]? so far", said)
    assert "! no pixel took hits" in said
    assert "No data yet" in text_of(make_report(known_sites=()))
    assert "make demo" in page_of(make_report(known_sites=()))


# As a page and a mail ---------------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """Reads a page strictly: what is opened is closed, and nothing leads to where it fetches."""

    VOID = ("meta", "br", "!doctype")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        assert not [
            name for name in names if name.startswith("on") or name in ("src", "background", "srcset")
        ]
        assert "url(" not in str(dict(attrs).get("style"))
        self.links += [str(value) for name, value in attrs if name == "href"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "title"):
            self.words.append(data)


@TITLES
def test_no_title_is_more_than_text_in_a_page(text: str) -> None:
    found = Reader(page_of(make_report(text)))
    assert found.tags <= {
        "html", "head", "meta", "title", "style", "body", "table", "tr", "td", "th", "h1", "h2", "p", "b", "br",
        "a", "bdi", "span", "div", "svg", "polyline", "polygon",
    }  # fmt: skip
    assert all(re.match(r"https://(blog\.example/|db-ip\.com$)", link) for link in found.links)
    assert for_page(text) in found.words or not for_page(text)
    shown = "".join(found.words)
    assert not {c for c in shown if unicodedata.category(c) == "Cc"} - {"\n"}
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def test_an_address_that_is_not_of_the_web_is_no_link() -> None:
    page = make_report().pages[0]
    odd = make_report(pages=(type(page)("p", "t", "javascript:alert(1)", 1, 1),), missing=(), posts=())
    assert Reader(page_of(odd)).links == ["https://db-ip.com"]


def test_a_page_has_a_dark_form_and_says_so() -> None:
    page = page_of(make_report())
    assert '<meta name="color-scheme" content="light dark">' in page
    assert "prefers-color-scheme:dark" in page
    assert max(map(len, page.splitlines())) < 40_000


@TITLES
def test_a_mail_has_both_forms_and_short_lines(text: str) -> None:
    sent = mail_of(make_report(text), "me@example.com")
    assert max(map(len, sent.splitlines())) < 998
    read = email.message_from_bytes(sent, policy=email.policy.default)
    assert read["To"] == "me@example.com"
    assert read["Subject"].startswith(
        "Footfall: something is wrong, 1,234 pageviews (▲ 10 % · +100), all sites · 2026-"
    )
    plain, page = read.iter_parts()
    assert plain.get_content().rstrip() == text_of(make_report(text)).rstrip()
    assert page.get_content().rstrip() == page_of(make_report(text)).rstrip()


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_whole(path, "first")
    write_whole(path, "second")
    assert path.read_text() == "second"
    with pytest.raises(NotWritten, match=r"HTML: cannot write .*No such file"):
        write_whole(tmp_path / "nowhere/report.html", "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(NotWritten, match="Is a directory"):
        write_whole(tmp_path / "folder", "x")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["folder", "report.html"]


@TITLES
def test_a_chat_takes_it_and_calls_nobody(text: str) -> None:
    said = chat_text(make_report(f"@channel <!here> ``` {text}"))
    assert len(said) <= MOST_CHARACTERS
    assert said.count("```") == 2
    assert said.endswith("```")
    assert not re.search(r"[<>]|@\w", said)


def test_json_has_no_letter_that_a_terminal_obeys() -> None:
    for text in HOSTILE:
        assert json_of(make_report(text)).isascii()
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", json_of(make_report(text)))


# Parts ------------------------------------------------------------------------------------------------------------


def test_a_text_becomes_one_line() -> None:
    assert one_line("a\x1b[31mb\n\tc  d") == "a [31mb c d"
    assert one_line("e\u0301" + "\u0302" * 9) == "é" + "\u0302" * 4
    assert one_line("👨‍👩‍👧") == "👨👩👧"
    assert for_page("👨‍👩‍👧") == "👨‍👩‍👧"


def test_bars_and_sparklines() -> None:
    assert [bar(value, 800, 10) for value in (800, 400, 10, 1, 0)] == ["█" * 10, "█" * 5, "▏", "▏", ""]
    assert bar(0, 0, 10) == ""
    assert sparkline([0, 1, 2, 7], 10) == "▁▂▃█"
    assert sparkline([1, 1, 2, 2], 2) == "▅█"
    assert sparkline([], 5) == sparkline([1], 5) == sparkline([1, 2], 0) == ""
    step, bars = bars_of(make_report(days=90).by_day)
    assert (step, len(bars), bars[0].label, bars[-1].is_open) == (7, 13, "2026-11-17", True)
    assert sum(found.pageviews for found in bars) == sum(day.pageviews for day in make_report(days=90).by_day)


def test_what_is_not_shown_of_sources_is_in_the_others() -> None:
    [source] = make_report().sources
    many = make_report(sources=(source,) * 12)
    shown, others = first_sources(many, 8, 0)
    assert len(shown) == 8
    assert shown[0].other_pageviews == 30
    assert (others.sources, others.pageviews) == (4 + 4, 7 + 4 * 30)


def test_a_source_may_be_called_as_the_rows_that_are_none() -> None:
    def row(label: str, source: str, page: str = "All", pageviews: int = 1) -> dict[str, object]:
        return {"label": label, "source": source, "page": page, "pageviews": pageviews, "referrer": "–"}

    names = ["All", "↳ … others", "+ 3 other sources"]
    rows = [
        part
        for name in names
        for part in (
            row(name, name, pageviews=5),
            row("↳ T", name, "a/x", 3),
            row("↳ … others", name, pageviews=2),
        )
    ]
    found, others = sources_of([*rows, row("+ 9 other sources", "All", pageviews=7)])
    assert [source.source for source in found] == names
    assert [(source.pageviews, len(source.pages), source.other_pageviews) for source in found] == [
        (5, 1, 2)
    ] * 3
    assert (others.sources, others.pageviews) == (9, 7)


# What is asked ----------------------------------------------------------------------------------------------------

TODAY = FIRST + datetime.timedelta(days=6)


@pytest.mark.parametrize(("named", "first", "last"), [
    ({}, "2026-11-17", "2026-11-23"),
    ({"DAYS": "1"}, "2026-11-23", "2026-11-23"),
    ({"DAYS": "7", "TO": "yesterday"}, "2026-11-16", "2026-11-22"),
    ({"FROM": "2026-11-01"}, "2026-11-01", "2026-11-23"),
    ({"FROM": "yesterday", "TO": "2027-01-01"}, "2026-11-22", "2026-11-23"),
    ({"DAYS": "36500"}, "1970-01-01", "2026-11-23"),
])  # fmt: skip
def test_a_range(named: dict[str, str], first: str, last: str) -> None:
    assert [str(day) for day in range_of(request_of(named), TODAY)] == [first, last]


@pytest.mark.parametrize(("named", "words"), [
    ({"DAYS": "0"}, "DAYS: '0' is not a number from 1"),
    ({"DAYS": "٣"}, "DAYS: "),
    ({"DAYS": "9" * 5_000}, "DAYS: "),
    ({"DAYS": "7", "FROM": "today"}, "DAYS and FROM: give one"),
    ({"FROM": "tomorrow"}, "FROM: write a day as"),
    ({"FROM": "1969-12-31"}, "FROM: 1969-12-31 is before"),
    ({"FROM": "2026-11-24"}, "FROM: 2026-11-24 is to come; today is 2026-11-23"),
    ({"FROM": "2026-11-02", "TO": "2026-11-01"}, "FROM: 2026-11-02 is after TO"),
    ({"SITE": "\udcff"}, "SITE: it is not UTF-8"),
    ({"JSON": "1", "MAIL": "me@example.com"}, "only one of them"),
    ({"MAIL": "me@example.com\nBcc: x@y.example"}, "MAIL: "),
    ({"MAIL": "me"}, "MAIL: 'me' is not an address"),
    ({"WEBHOOK_FORMAT": "xml"}, "WEBHOOK_FORMAT: 'xml' is none of json, chat"),
    ({"WEBHOOK_FILE": "/nowhere/at-all"}, "WEBHOOK_FILE: cannot read /nowhere/at-all: No such file"),
])  # fmt: skip
def test_what_cannot_be_is_said(named: dict[str, str], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        range_of(request_of(named), TODAY)


@pytest.mark.parametrize(("named", "code", "words"), [
    ({"DAYS": "x"}, 2, "DAYS: 'x' is not a number"),
    ({"DATABASE_URL": "postgresql://me:secret@127.0.0.1:1/x"}, 1, "PostgreSQL: OperationalError: does it run"),
    ({"DATABASE_URL": "postgresql://me:secret@[/x"}, 1, "PostgreSQL: ProgrammingError: does it run"),
    ({"WEBHOOK": "hooks.example/secret"}, 1, "WEBHOOK: it is no address"),
    ({"DATA_DIR": "/nowhere"}, 1, "nothing runs in DATA_DIR /nowhere.*give DATABASE_URL"),
])  # fmt: skip
def test_what_goes_wrong_is_said_without_a_secret(
    named: dict[str, str],
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in (*NAMES, "DATABASE_URL"):
        monkeypatch.setenv(name, named.get(name, ""))
    monkeypatch.setenv("DATA_DIR", named.get("DATA_DIR", "/nowhere"))
    assert main() == code
    said = capsys.readouterr()
    assert re.search(words, said.err)
    assert "secret" not in said.err
    assert said.out == ""


# What is written of it --------------------------------------------------------------------------------------------

DOCUMENT = (Path(__file__).parents[2] / "docs/report.md").read_text()


def test_the_document_names_every_argument() -> None:
    asked = DOCUMENT.partition("## What can be asked")[2].partition("\n- ")[0]
    assert set(re.findall(r"`([A-Z_]+)=", asked)) == set(NAMES)


def test_the_document_names_every_key() -> None:
    def keys(value: object) -> set[str]:
        if isinstance(value, dict):
            return set(value).union(*(keys(item) for item in value.values()))
        return set().union(*(keys(item) for item in value)) if isinstance(value, list) else set()

    described = set(re.findall(r"`(\w+)`", DOCUMENT.partition("## JSON")[2]))
    assert keys(json.loads(json_of(make_report()))) <= described
