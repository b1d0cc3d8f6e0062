"""For any hits, in any order, split, stored twice, counted by any worker, with a crash at any statement of any of
them, every rollup equals a plain GROUP BY, and a rebuild finds nothing to change.
"""

from __future__ import annotations

import datetime
import itertools
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from services.enricher.batch import Work
from services.enricher.store import Store
from services.hit import Hit
from services.rollup.compare import SESSIONS
from services.rollup.feeds import Post
from services.rollup.posts import put as put_posts
from services.rollup.rebuild import rebuild
from services.rollup.refresh import refresh
from tests.make import NOW, make_hit, moment_of
from tests.services.rollup.conftest import Parts
from tests.services.rollup.definition import EMPTY, differences, make_work
from tests.strategies import examples, row_lists

pytestmark = pytest.mark.servers
WORKERS = 3
# Counted by a job of their own.
SLOWER = {compared.name for compared in SESSIONS}


@dataclass(frozen=True)
class Step:
    """What happens next."""

    what: Literal["store", "store again", "refresh", "rebuild", "post"]
    worker: int
    hits: int  # to be stored, or at most to be counted; of a post: which page, and when it was published
    crash_at: int | None  # before which statement the worker's backend is killed; None: it is not


steps = st.lists(
    st.builds(
        Step,
        what=st.sampled_from(
            ["store", "store", "store again", "refresh", "refresh", "rebuild", "post", "post"]
        ),
        worker=st.integers(0, WORKERS - 1),
        hits=st.integers(1, 12),
        crash_at=st.none() | st.integers(0, 15),
    ),
    max_size=12,
)


@contextmanager
def killed_before(connection: psycopg.Connection[Any], statement: int | None, eye: Any) -> Iterator[None]:
    """The server process of the connection is killed before it gets its n-th statement."""
    left = [statement]
    execute = connection.execute

    def count(*arguments: Any, **options: Any) -> Any:
        if left[0] == 0:
            eye.execute("select pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])
        left[0] = None if left[0] is None else left[0] - 1
        return execute(*arguments, **options)

    connection.execute = count  # type: ignore[method-assign]
    try:
        yield
    finally:
        connection.execute = execute  # type: ignore[method-assign]


class Run:
    """A database, writers and refreshers that may die at any statement. A context manager: they end with it."""

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.parts.close_all_but_first()

    def __init__(self, parts: Parts, hits: list[Hit]) -> None:
        self.parts = parts
        self.hits = hits
        self.rest = hits
        self.works: list[Work] = []  # what was handed to a writer, and may be again
        self.lost: list[Work] = []  # what a writer died with
        # By worker; made when they are first needed, and anew after a crash.
        self.stores: dict[int, tuple[psycopg.Connection[Any], Store]] = {}
        self.refreshers: dict[int, psycopg.Connection[Any]] = {}
        self.crashes = 0

    def _writer(self) -> tuple[psycopg.Connection[Any], Store]:
        store = self.parts.make_store()
        return self.parts.last_connection, store

    def do(self, step: Step) -> None:
        match step.what:
            case "store" if self.rest:
                work = make_work(self.rest[: step.hits])
                self.rest = self.rest[step.hits :]
                self._store(work, step)
            case "store again" if self.works:
                self._store(self.works[step.hits % len(self.works)], step)
            case "refresh":
                self._refresh(step)
            case "post":
                self._post(step)
            case "rebuild":
                rebuild_all(self.parts)

    def _store(self, work: Work, step: Step) -> None:
        self.works.append(work)
        if step.worker not in self.stores:
            self.stores[step.worker] = self._writer()
        connection, store = self.stores[step.worker]
        try:
            with killed_before(connection, step.crash_at, self.parts.eye):
                store.write([work])
        except psycopg.OperationalError:
            self.crashes += 1
            self.lost.append(work)
            del self.stores[step.worker]

    def _refresh(self, step: Step) -> None:
        if step.worker not in self.refreshers:
            self.refreshers[step.worker] = self.parts.make_refresher()
        connection = self.refreshers[step.worker]
        try:
            with killed_before(connection, step.crash_at, self.parts.eye):
                refresh(connection, step.hits)
        except psycopg.OperationalError:
            self.crashes += 1
            del self.refreshers[step.worker]

    def _post(self, step: Step) -> None:
        """Of the page of a hit, published with it or up to two days before. A feed is read again after a crash."""
        hit = self.hits[step.hits % len(self.hits)] if self.hits else make_hit(path="/unread")
        at = moment_of(hit) - datetime.timedelta(hours=step.worker * 24)
        post = Post(hit.site, hit.host, hit.path, "Title", f"https://{hit.host}{hit.path}", at)
        connection = self.parts.make_refresher()
        try:
            with killed_before(connection, step.crash_at, self.parts.eye):
                put_posts(connection, "feed", [post], sleep=lambda _: None)
        except psycopg.OperationalError:
            self.crashes += 1
            put_posts(self.parts.make_refresher(), "feed", [post], sleep=lambda _: None)

    def finish(self) -> None:
        """What was not acknowledged comes again, and everything is counted."""
        for work in [*self.lost, make_work(self.rest)] if self.rest else self.lost:
            self.parts.store.write([work])
        self.parts.refresh_all()


def days(parts: Parts) -> list[Any]:
    return [row[0] for row in parts.rows("select distinct day from stored_hits order by 1")]


def rebuild_all(parts: Parts) -> dict[str, int]:
    """Count every day anew; the cells that were wrong, by table."""
    wrong: dict[str, int] = {}
    for rebuilt in rebuild(parts.refresher, days(parts), sleep=lambda _: None):
        wrong |= {name: number for name, number in rebuilt.cells.items() if name not in SLOWER}
    return wrong


@given(hits=row_lists, plan=steps)
@hypothesis_settings(max_examples=examples(50))
def test_every_rollup_equals_a_plain_group_by_whatever_happens(
    parts: Parts, hits: list[Hit], plan: list[Step]
) -> None:
    parts.eye.execute(EMPTY)
    with Run(parts, hits) as run:
        for step in plan:
            run.do(step)
            if parts.waiting() == 0:
                assert differences(parts.eye) == {}, step
        run.finish()
    assert parts.waiting() == 0
    assert differences(parts.eye) == {}
    assert rebuild_all(parts) == {}, "a rebuild gives the rows that the increments gave"
    [(accepted, told, stored)] = parts.rows(
        "select sum(accepted), sum(stored + duplicate), sum(stored) from ledger"
    )
    assert accepted == told
    assert parts.rows("select count(*) from hits") == [(stored or 0,)]


def test_a_crash_before_each_statement_changes_nothing(parts: Parts) -> None:
    """Until one refresh goes through to its end."""
    hits = some_rows()
    undone = 0
    for crash_at in itertools.count():
        parts.eye.execute(EMPTY)
        parts.store.write([make_work(hits[:20])])
        parts.refresh_all()
        parts.store.write([make_work(hits[20:])])
        with Run(parts, []) as run:
            run.do(Step("refresh", 0, 20_000, crash_at))
            # All or nothing. Nothing waits either after a crash when only the lock was left to let go of.
            assert parts.waiting() in ((0, 20) if run.crashes else (0,))
            undone += parts.waiting() == 20
            run.finish()
        assert differences(parts.eye) == {}
        if not run.crashes:
            break
    assert undone > 8, "it was killed before each of its statements"


def some_rows() -> list[Hit]:
    """Forty hits of few sessions, so that each rollup has something to add to."""
    return [
        make_hit(
            session_id=uuid.uuid5(uuid.NAMESPACE_DNS, str(number % 7)),
            received_at=NOW + datetime.timedelta(minutes=number),
            path=f"/{number % 3}",
            title=f"T{number}",
            source="Search" if number % 2 else None,
            source_detail="Google" if number % 2 else None,
            referrer="https://x.example/" if number % 2 else None,
            utm_campaign="spring" if number % 5 == 0 else None,
            language="de" if number % 11 else "fr",
            status=404 if number % 4 == 0 else None,
            event="buy" if number % 6 == 0 else "pageview",
            props='{"plan": "pro"}' if number % 6 == 0 else None,
            is_bot=number % 13 == 0,
            bot_name="curl" if number % 13 == 0 else None,
        )
        for number in range(40)
    ]
