"""When a job is due: by the clock, by hits, after failures; and what the table is told of it."""

from __future__ import annotations

import pytest

from services.rollup.runs import (
    APART_S,
    ASK_AGAIN_S,
    ENDED_WITHIN_S,
    LONGEST_PAUSE_S,
    RECORD_EVERY_S,
    SLOW_WITHIN_S,
    WITHIN_S,
    Runs,
    When,
    apart_s,
    pause_after_s,
)


@pytest.fixture
def runs() -> Runs:
    return Runs(
        {
            "refresh": When(60, on_hits=True),
            "upkeep": When(3600, SLOW_WITHIN_S),
            "country": When(86400, backs_off=False),
        }
    )


def run(runs: Runs, name: str, at_s: float) -> None:
    """A run that ends well, in no time."""
    runs.asked(name, at_s)
    runs.started(name, at_s)
    runs.done(name, at_s, more=False)


def run_all(runs: Runs, at_s: float = 0) -> None:
    for name in runs.names:
        run(runs, name, at_s)


@pytest.mark.parametrize(
    ("failures", "longest_s"), [(1, 1), (2, 2), (3, 4), (4, 8), (6, 32), (7, 60), (8, 60), (100_000, 60)]
)
def test_pauses_double_up_to_a_minute_with_jitter(failures: int, longest_s: float) -> None:
    pauses = [pause_after_s(failures) for _ in range(200)]
    assert longest_s * 0.8 <= min(pauses) < max(pauses) <= longest_s


def test_all_are_due_at_the_start_and_then_by_the_clock(runs: Runs) -> None:
    assert runs.due(0) == ["refresh", "upkeep", "country"]
    run_all(runs)
    assert runs.due(59.9) == []
    assert runs.next_look_s(1) == 60
    assert runs.due(60) == ["refresh"]
    assert runs.due(3600) == ["refresh", "upkeep"]


def test_hits_wake_the_refresh_alone_and_those_that_come_soon_after_share_the_next(runs: Runs) -> None:
    run_all(runs, 10)
    runs.wake(10.01)
    assert runs.due(10.01) == []
    assert runs.due(10 + APART_S) == ["refresh"]
    run(runs, "refresh", 20)
    runs.wake(30)
    assert runs.due(30) == ["refresh"]


@pytest.mark.parametrize(
    ("hits", "apart"), [(0, 0.2), (1, 0.2003), (200, 0.26), (1_000, 0.5), (2_000, 0.8), (1_000_000, 0.8)]
)
def test_the_more_hits_came_the_further_apart_are_refreshes(hits: int, apart: float) -> None:
    assert apart_s(hits) == pytest.approx(apart)


def test_a_run_that_goes_on_sees_what_was_stored_until_then(runs: Runs) -> None:
    run_all(runs)
    runs.asked("refresh", 10)
    runs.started("refresh", 10)
    runs.wake(11)
    runs.goes_on("refresh", 11)
    runs.done("refresh", 12, more=False)
    assert runs.due(12) == []


def test_a_run_that_fails_after_it_did_a_part_well_has_failed_once(runs: Runs) -> None:
    for now_s in (10, 20, 30):
        runs.started("refresh", now_s)
        failures, _ = runs.failed("refresh", now_s, "Error")
    assert failures == 3
    runs.started("refresh", 40)
    runs.goes_on("refresh", 41)
    assert runs.failed("refresh", 42, "Error")[0] == 1
    [record] = [record for record in runs.news(43) if record.name == "refresh"]
    assert (record.done_ago_s, record.failed_ago_s) == (2, 1)
    runs.started("refresh", 50)
    assert runs.failed("refresh", 51, "Error")[0] == 2


def test_hits_stored_while_a_refresh_runs_are_seen_by_another_one(runs: Runs) -> None:
    run_all(runs)
    runs.asked("refresh", 10)
    runs.started("refresh", 10)
    runs.wake(11)
    assert runs.due(12) == []
    runs.done("refresh", 12, more=False)
    assert runs.due(12) == ["refresh"]


def test_a_job_that_ended_is_asked_for_once_rq_has_put_it_away(runs: Runs) -> None:
    run_all(runs)
    with runs.in_hand("refresh"):
        runs.asked("refresh", 10)
        runs.started("refresh", 10)
        runs.wake(11)
        runs.done("refresh", 12, more=False)
        assert runs.due(13) == []
        assert runs.is_any_running(["refresh"])
    assert runs.due(13) == ["refresh"]
    assert not runs.is_any_running(["refresh"])


def test_hits_stored_before_it_began_are_not(runs: Runs) -> None:
    run_all(runs)
    runs.asked("refresh", 10)
    runs.wake(10.1)
    runs.started("refresh", 10.2)
    runs.done("refresh", 10.3, more=False)
    assert runs.due(11) == []


def test_a_job_that_left_something_to_do_is_due_at_once(runs: Runs) -> None:
    run_all(runs)
    runs.asked("upkeep", 10)
    runs.started("upkeep", 10)
    runs.done("upkeep", 20, more=True)
    assert runs.due(20) == ["upkeep"]


def test_hits_do_not_shorten_the_pause_after_a_failure_and_a_success_ends_it(runs: Runs) -> None:
    run_all(runs)
    at_s = 10.0
    for failures in range(1, 9):
        runs.asked("refresh", at_s)
        runs.started("refresh", at_s)
        runs.wake(at_s)
        assert runs.failed("refresh", at_s, "UndefinedTable") == (
            failures,
            pytest.approx(runs.next_look_s(at_s) - at_s),
        )
        runs.wake(at_s)
        assert runs.due(at_s + 0.79) == []
        at_s = runs.next_look_s(at_s)
        assert runs.due(at_s)[0] == "refresh"
    runs.started("refresh", at_s)
    assert runs.done("refresh", at_s, more=False) == 8
    runs.wake(at_s + 1)
    assert runs.due(at_s + 1) == ["refresh"]


def test_upkeep_that_fails_does_not_wait_an_hour_and_the_country_job_waits_its_day(runs: Runs) -> None:
    run_all(runs)
    for name in ("upkeep", "country"):
        runs.started(name, 10)
        runs.failed(name, 10, "OperationalError")
    assert runs.due(11) == ["upkeep"]
    assert "country" not in runs.due(86_409)
    assert "country" in runs.due(86_410)


def test_failures_of_a_process_before_count(runs: Runs) -> None:
    runs.had_failed("upkeep", 6)
    assert "upkeep" in runs.due(0), "a start is a try"
    runs.started("upkeep", 0)
    failures, pause_s = runs.failed("upkeep", 0, "OperationalError")
    assert failures == 7
    assert pause_s >= LONGEST_PAUSE_S * 0.8


def test_what_the_table_does_not_know_yet_counts(runs: Runs) -> None:
    run_all(runs)
    assert runs.had_failed("refresh", 3) == 0, (
        "it recovered, and PostgreSQL went away before that was written"
    )
    runs.wake(30)
    assert runs.due(30) == ["refresh"]


def test_a_job_that_did_not_begin_or_did_not_end_is_asked_for_again(runs: Runs) -> None:
    run_all(runs)
    runs.asked("upkeep", 10)
    assert runs.due(10 + ASK_AGAIN_S - 0.1) == []
    assert runs.due(10 + ASK_AGAIN_S) == ["upkeep"]
    runs.started("upkeep", 20)
    runs.started("refresh", 20)
    for name, within_s in (("refresh", WITHIN_S), ("upkeep", SLOW_WITHIN_S)):
        assert name not in runs.due(20 + within_s + ENDED_WITHIN_S - 1)
        assert name in runs.due(20 + within_s + ENDED_WITHIN_S)


def test_a_job_that_could_not_be_asked_for_is_due_unless_it_began_all_the_same(runs: Runs) -> None:
    run_all(runs)
    runs.asked("refresh", 10)
    runs.not_asked("refresh", 10)
    assert runs.due(10) == ["refresh"]
    runs.asked("refresh", 11)
    runs.started("refresh", 11)
    runs.not_asked("refresh", 11)
    assert runs.due(12) == []


def told(runs: Runs, now_s: float) -> list[str]:
    """Names of what is news, which is recorded."""
    news = runs.news(now_s)
    for record in news:
        runs.recorded(record, now_s)
    return [record.name for record in news]


def test_a_busy_refresh_is_recorded_every_10_s_and_an_idle_one_not_at_all(runs: Runs) -> None:
    run_all(runs)
    assert told(runs, 0) == runs.names
    writes = 0
    for step in range(1, 201):  # 40 s
        run(runs, "refresh", step * APART_S)
        writes += len(told(runs, step * APART_S))
    assert writes == 40 / RECORD_EVERY_S
    assert told(runs, 100) == []


def test_a_failure_and_a_recovery_are_recorded_at_once(runs: Runs) -> None:
    run_all(runs)
    told(runs, 0)
    runs.started("refresh", 1)
    runs.failed("refresh", 1, "UndefinedTable")
    (record,) = runs.news(2)
    assert (record.failures, record.error, record.failed_ago_s, record.done_ago_s) == (
        1,
        "UndefinedTable",
        1,
        2,
    )
    assert told(runs, 2) == ["refresh"]
    runs.started("refresh", 3)
    runs.done("refresh", 3, more=False)
    assert [record.failures for record in runs.news(3)] == [0]


def test_what_happens_while_it_is_recorded_is_recorded_next(runs: Runs) -> None:
    run_all(runs)
    told(runs, 0)
    runs.started("refresh", 1)
    runs.failed("refresh", 1, "UndefinedTable")
    (record,) = runs.news(2)
    runs.started("refresh", 2)
    runs.failed("refresh", 2, "UndefinedTable")
    runs.recorded(record, 2)
    assert [record.failures for record in runs.news(3)] == [2]
