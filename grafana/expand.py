"""What Grafana makes of a panel's SQL before PostgreSQL sees it: variables first, then macros.

For tests and the bench, which run panels without Grafana. Knows the macros that our SQL may use and
raises ``ValueError`` on any other, so that a panel cannot use what is not tested.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from grafana.panels import Json
from grafana.variables import ALL

# Grafana's own forms of a variable: $name, [[name]], ${name} and ${name:format}.
_VARIABLE = re.compile(r"\$(\w+)|\[\[(\w+?)(?::\w+)?\]\]|\$\{(\w+)(?::\w+)?\}")
_MACRO = re.compile(r"\$(\w+)\(([^)]*)\)")


def variable_value(variable: Json, selected: Sequence[str]) -> str:
    """A variable as the PostgreSQL data source writes it into SQL.

    *All* gives ``allValue`` as it stands. A variable of several values is quoted; of a single one only
    the quotes in it are doubled, and the SQL must put quotes around it.
    """
    if list(selected) == [ALL]:
        return str(variable["allValue"])
    doubled = [value.replace("'", "''") for value in selected]
    if variable["multi"] or variable["includeAll"]:
        return ",".join(f"'{value}'" for value in doubled)
    return doubled[0]


def initial_value(variable: Json) -> str:
    """A variable as it stands in SQL when a dashboard is opened."""
    value = variable["current"]["value"]
    return variable_value(variable, value if isinstance(value, list) else [value])


def _moment(moment: datetime) -> str:
    return "'" + moment.astimezone(UTC).isoformat().replace("+00:00", "Z") + "'"


def _macro(name: str, arguments: list[str], begin: datetime, end: datetime) -> str:
    if name == "__timeFrom":
        return _moment(begin)
    if name == "__timeTo":
        return _moment(end)
    if name == "__timeFilter":
        return f"{arguments[0]} BETWEEN {_moment(begin)} AND {_moment(end)}"
    if name == "__timeGroup":
        seconds = _seconds(arguments[1])
        return f"floor(extract(epoch from {arguments[0]})/{seconds})*{seconds}"
    if name == "__timeGroupAlias":
        return _macro("__timeGroup", arguments, begin, end) + ' AS "time"'
    raise ValueError(f"${name}() is none of the macros that are tested")


def _seconds(interval: str) -> int:
    match = re.fullmatch(r"'(\d+)([smhdw])'", interval)
    if not match:
        raise ValueError(f"{interval} is no interval such as '1h'")
    return int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}[match[2]]


def with_variables(sql: str, variables: Mapping[str, str]) -> str:
    """SQL with ``variables`` replaced and macros left: what a browser sends to Grafana."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2] or match[3]
        return variables.get(name, match[0])

    return _VARIABLE.sub(value, sql)


def expand(sql: str, variables: Mapping[str, str], begin: datetime, end: datetime) -> str:
    """SQL with ``variables`` (from ``variable_value``) and macros for the range replaced."""

    def macro(match: re.Match[str]) -> str:
        return _macro(match[1], [part.strip() for part in match[2].split(",")], begin, end)

    expanded = _MACRO.sub(macro, with_variables(sql, variables))
    if left := re.search(r"\$\{?[a-z_]\w*", expanded):
        raise ValueError(f"{left[0]} stands in the SQL and Grafana would not replace it")
    return expanded
