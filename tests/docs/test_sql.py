"""The queries of docs/sql.md run as they stand, as an analyst, and the results under them are theirs."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator

import pytest

from tests.conftest import Database, cloned
from tests.history import settings_of
from tools.questions.days import fill
from tools.questions.page import PAGE, Question, ask, questions
from tools.servers import Postgres

pytestmark = pytest.mark.servers
PAGE_TEXT = PAGE.read_text(encoding="utf-8")
QUESTIONS = questions(PAGE_TEXT)


@pytest.fixture(scope="module")
def visited(postgres: Postgres, template_database: str) -> Iterator[Database]:
    """A database with the visits that the page is about."""
    with cloned(postgres, template_database) as database:
        deque(fill(settings_of(database.owner_url)), maxlen=0)
        yield database


def test_there_are_twenty_each_with_a_sentence_and_a_result() -> None:
    assert [question.number for question in QUESTIONS] == list(range(1, 21))
    assert PAGE_TEXT.count("```sql\n") == len(QUESTIONS), "no query stands outside of a question"
    for question in QUESTIONS:
        assert question.title.endswith("?")
        assert re.fullmatch(r"[^\n]+[.]", question.text), question.title
        assert question.query.rstrip().endswith(";")
        assert question.result.count("\n") > 2, f"{question.title}: make sql-results writes it"


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: str(question.number))
def test_a_result_is_current(visited: Database, question: Question) -> None:
    with visited.connect("analyst") as connection:
        connection.execute("set statement_timeout = '10s'")  # takes a tenth of a second
        assert ask(connection, question.query) == question.result, f"{question.title} make sql-results"
