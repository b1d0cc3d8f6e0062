"""The report as a mail for sendmail: as text and as a page, with its headers."""

from __future__ import annotations

from email.message import EmailMessage
from email.utils import formatdate

from tools.report.page import page_of
from tools.report.shape import Report, with_texts
from tools.report.terminal import text_of
from tools.report.texts import one_line, title_of


def mail_of(report: Report, to: str) -> bytes:
    """The message. It names no sender: who hands it over does."""
    message = EmailMessage()
    message["To"] = to
    message["Date"] = formatdate()
    message["Subject"] = subject_of(with_texts(report, one_line))
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text_of(report), cte="quoted-printable")
    message.add_alternative(page_of(report), subtype="html", cte="quoted-printable")
    return message.as_bytes()


def subject_of(report: Report) -> str:
    """Whose figures, of when, and the first of them."""
    if report.is_empty:
        return "Footfall: no data yet"
    figure = report.headline["pageviews"]
    said = f"{figure.value:,} pageviews ({figure.words})"
    wrong = "something is wrong, " if report.problems else ""
    return f"Footfall: {wrong}{said}, {title_of(report)}"
