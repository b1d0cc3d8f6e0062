"""docs/signs.md has every log action and every metric of the services, and none that is not there."""

from __future__ import annotations

import ast
import re
import urllib.request
from collections.abc import Iterator

import pytest

from services.metrics import EnricherMetrics, Metrics, PixelMetrics, RollupMetrics
from tests.docs.guide import ROOT, Guide, codes_of

SIGNS = Guide("signs.md")
LEVELS = {"debug", "info", "warning", "error", "critical", "exception", "log"}
OF = {"pixel": PixelMetrics, "enricher": EnricherMetrics, "rollup": RollupMetrics}
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def texts_of(node: ast.expr) -> set[str]:
    """The texts that an expression may be: a constant, or one of two. Empty: it cannot be told."""
    if isinstance(node, ast.IfExp):
        return texts_of(node.body) | texts_of(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def log_calls(source: str) -> Iterator[set[str]]:
    """The actions of each call of a logger."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        logger = ast.unparse(node.func.value).rpartition(".")[2]
        if node.func.attr in LEVELS and logger.strip("_") in ("log", "logger"):
            yield texts_of(node.args[1 if node.func.attr == "log" else 0])


def actions_in_the_code() -> dict[str, set[str]]:
    """The processes that log an action; files that are shared are of "any"."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "services").rglob("*.py")):
        first = path.relative_to(ROOT / "services").parts[0]
        for actions in log_calls(path.read_text()):
            assert actions, f"{path}: an action that is no constant cannot be compared with the page"
            for action in actions:
                found.setdefault(action, set()).add("any" if first.endswith(".py") else first)
    return found


def actions_in_the_page() -> dict[str, str]:
    """The column "of" of each action."""
    rows = [row for table in SIGNS.tables() if table[0][0] == "action" for row in table[1:]]
    listed = [(action, row[1]) for row in rows for action in codes_of(row[0])]
    assert len(listed) == len(dict(listed)), "an action has two rows"
    return dict(listed)


def test_every_log_action_is_explained_and_none_that_is_not_logged() -> None:
    in_code = actions_in_the_code()
    assert {"redis-away", "redis-back", "waiting", "started"} <= set(in_code), "the search is broken"
    assert set(actions_in_the_page()) - set(in_code) == set()
    assert set(in_code) - set(actions_in_the_page()) == set()


def test_every_log_action_names_who_logs_it() -> None:
    of = actions_in_the_page()
    wrong = {
        action: (of[action], processes)
        for action, processes in actions_in_the_code().items()
        if of[action] != "any"
        and set(re.findall(r"\b(?:door|enricher|migrate|pixel|rollup)\b", of[action])) != processes
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("call", "actions"),
    [
        ("self._log.info('a-b', x=1)", {"a-b"}),
        ("parts.log.error('a' if x else 'b')", {"a", "b"}),
        ("log.log(level, 'c')", {"c"}),
        ("log.info(name)", set()),
    ],
)
def test_a_log_call_would_be_found(call: str, actions: set[str]) -> None:
    assert list(log_calls(call)) == [actions]


def test_what_is_no_logger_is_not_taken_for_one() -> None:
    assert list(log_calls("math.log(2)\nself._redis.info('memory')")) == []


# Metrics --------------------------------------------------------------------------------------------------------


def served(metrics: Metrics) -> dict[str, str]:
    """Name and kind of each metric, as /metrics says them over HTTP."""
    port = metrics.serve("127.0.0.1", 0)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    return {name: kind for name, kind in kinds.items() if not name.endswith("_created")}


@pytest.fixture(scope="module")
def metrics() -> dict[str, dict[str, str]]:
    """By service."""
    return {name: served(make()) for name, make in OF.items()}


def test_every_metric_is_explained_and_none_that_is_not_served(metrics: dict[str, dict[str, str]]) -> None:
    in_code = {(name, service) for service, found in metrics.items() for name in found}
    each = {name for name in metrics["pixel"] if all(name in found for found in metrics.values())}
    wanted = {(name, service) for name, service in in_code if name not in each} | {
        (name, "each") for name in each
    }
    rows = SIGNS.table("metric", "of")
    listed = [(codes_of(row[0])[0], row[1]) for row in rows]
    assert set(listed) == wanted
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_metric_that_a_document_names_is_served(metrics: dict[str, dict[str, str]], path: object) -> None:
    names = {name: kind for found in metrics.values() for name, kind in found.items()}
    parts = {
        f"{name}_{part}"
        for name, kind in names.items()
        if kind == "histogram"
        for part in ("bucket", "count", "sum")
    }
    named = set(
        re.findall(r"\bfootfall_(?:pixel|enricher|rollup|country|stream|heartbeat)_\w+", path.read_text())
    )  # type: ignore[attr-defined]
    named = {name for name in named if "_" in name.removeprefix("footfall_")}
    assert named - set(names) - parts == set()
