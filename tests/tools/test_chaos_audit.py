"""The audit of a chaos run finds what it is there for: a hit that is lost, doubled, strange, late, never answered."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from tests.conftest import Database
from tests.history import store
from tests.make import NOW, SITE, make_hit, make_settings
from tools.chaos.audit import differences, slow_answers
from tools.chaos.load import Outcome, Sending

pytestmark = pytest.mark.servers
AT = NOW.timestamp()
IDS = [uuid.UUID(int=number) for number in range(1, 6)]


def sending(
    hit_id: uuid.UUID, outcome: Outcome = "accepted", *, at: float = AT, seconds: float = 0.1
) -> Sending:
    made = Sending(hit_id, SITE, is_poison=False)
    made.sent_at, made.answered_at, made.outcome = at - seconds / 2, at + seconds / 2, outcome
    return made


@pytest.fixture
def found(database: Database) -> Iterator[Callable[..., str]]:
    """What the audit says once five hits were answered and stored, and a statement tampered with them."""
    store(make_settings(DATABASE_URL=database.owner_url), [make_hit(id=item.int) for item in IDS])

    def audit(tamper: str = "select 1", *others: Sending) -> str:
        with database.connect() as connection:
            connection.execute(tamper.encode())
        ground = SimpleNamespace(connect=database.connect)
        return "; ".join(differences(ground, [*map(sending, IDS), *others]))  # type: ignore[arg-type]

    yield audit


def test_all_is_well(found: Callable[..., str]) -> None:
    assert found() == ""
    assert found("select 1", sending(IDS[0]), sending(uuid.uuid4(), "refused")) == "", "nor is one sent twice"


COPY = """
create temporary table other as select * from stored_hits where hit_id = '00000000-0000-0000-0000-000000000001';
update other set {};
insert into stored_hits select * from other
"""


@pytest.mark.parametrize(
    ("tamper", "what"),
    [
        (
            "delete from stored_hits where hit_id = '00000000-0000-0000-0000-000000000003'",
            "1 accepted and lost",
        ),
        ("truncate stored_hits", "5 accepted and lost"),
        (COPY.format("hit_id = gen_random_uuid()"), "1 stored and never sent"),
        (COPY.format("day = day - 1"), "1 counted twice"),
        (
            "update stored_hits set received_at = received_at + interval '1 minute'",
            "5 stored with another time",
        ),
    ],
)
def test_what_is_wrong_is_found(
    found: Callable[..., str], database: Database, tamper: str, what: str
) -> None:
    with database.connect() as connection:
        connection.execute("select open_hits_day(%s)", [NOW.date() - datetime.timedelta(days=1)])
    assert what in found(tamper)


def test_a_slow_answer_and_one_that_never_comes_are_found() -> None:
    quick, slow = sending(IDS[0]), sending(IDS[1], "refused", seconds=2.1)
    never, cut = sending(IDS[2], "unanswered", seconds=15), sending(IDS[3], "unanswered")
    longest, found = slow_answers([quick, slow, never, cut], [])
    assert found == [slow, never]
    assert longest == pytest.approx(15)
    assert slow_answers([slow, never], [(AT, AT + 1)]) == (0.0, []), "the pixel itself was away"
