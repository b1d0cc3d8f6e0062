"""Variables and macros are expanded as Grafana does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from grafana.expand import expand, variable_value
from grafana.variables import ALL

BEGIN = datetime(2024, 3, 9, 4, 30, tzinfo=UTC)
END = datetime(2024, 3, 12, 4, 30, 0, 250_000, tzinfo=UTC)

MULTI = {"name": "site", "multi": True, "includeAll": True, "allValue": "'__all__'"}
SINGLE = {"name": "site", "multi": False, "includeAll": False}


@pytest.mark.parametrize(("variable", "selected", "written"), [
    (MULTI, [ALL], "'__all__'"),
    (MULTI, ["a.example"], "'a.example'"),
    (MULTI, ["a.example", "o'b.example"], "'a.example','o''b.example'"),
    (SINGLE, ["o'b.example"], "o''b.example"),
])  # fmt: skip
def test_a_variable_is_written_as_the_data_source_does(
    variable: dict[str, object], selected: list[str], written: str
) -> None:
    assert variable_value(variable, selected) == written


@pytest.mark.parametrize(("sql", "expanded"), [
    ("a in ($site)", "a in ('x')"),
    ("a in (${site}, [[site]], ${site:raw})", "a in ('x', 'x', 'x')"),
    ("t >= $__timeFrom()", "t >= '2024-03-09T04:30:00Z'"),
    ("t < $__timeTo()", "t < '2024-03-12T04:30:00.250000Z'"),
    ("$__timeFilter(t)", "t BETWEEN '2024-03-09T04:30:00Z' AND '2024-03-12T04:30:00.250000Z'"),
    ("$__timeGroup(t, '1h')", "floor(extract(epoch from t)/3600)*3600"),
    ("$__timeGroupAlias(t, '5m')", 'floor(extract(epoch from t)/300)*300 AS "time"'),
    ("p ~ '^https?://[a-z]$'", "p ~ '^https?://[a-z]$'"),
])  # fmt: skip
def test_sql_is_expanded(sql: str, expanded: str) -> None:
    assert expand(sql, {"site": "'x'"}, BEGIN, END) == expanded


@pytest.mark.parametrize("sql", ["$__unixEpochFilter(t)", "a in ($host)", "a in (${host:raw})",
                                 "$__interval", "$__timeGroup(t, $__interval)"])  # fmt: skip
def test_what_is_not_known_is_refused(sql: str) -> None:
    with pytest.raises(ValueError, match=r"\$|interval"):
        expand(sql, {"site": "'x'"}, BEGIN, END)


def test_a_range_is_written_in_utc() -> None:
    berlin = timezone(timedelta(hours=1))
    assert expand("$__timeFrom()", {}, BEGIN.astimezone(berlin), END) == "'2024-03-09T04:30:00Z'"
