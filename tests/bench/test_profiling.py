"""What make profile leaves behind, on a real stack."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.load import BenchError
from bench.profiling import find_py_spy, profile
from bench.stack import Stack

ROOT = Path(__file__).parents[2]


def make_profile(stage: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.profiling"], env=os.environ | {"STAGE": stage} | settings, cwd=ROOT,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def has_py_spy() -> bool:
    try:
        return bool(find_py_spy())
    except BenchError:
        return False


@pytest.mark.parametrize(
    ("stage", "settings", "said"),
    [("", {}, "STAGE"), ("grafana", {}, "'grafana'"), ("postgres", {"HITS": "many"}, "HITS")],
)
@pytest.mark.skipif(shutil.which("wrk") is None, reason="no wrk on the PATH")
def test_a_wrong_setting_is_said_before_anything_is_started(
    stage: str, settings: dict[str, str], said: str
) -> None:
    done = make_profile(stage, **settings)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.system
def test_a_flame_graph_names_the_stage_s_own_functions(stack: Stack) -> None:
    if not has_py_spy():
        pytest.skip("no py-spy")
    try:
        path = profile(stack, "pixel", 4_000, 0)
    except BenchError as error:
        if "ptrace" in str(error):
            pytest.skip("this machine lets nobody read another process")
        raise
    text = path.read_text()
    assert "<svg" in text
    assert "services/pixel/" in text


@pytest.mark.system
def test_statements_stand_in_a_table_by_the_time_that_they_took(stack: Stack) -> None:
    lines = profile(stack, "postgres", 4_000, 2_000).read_text().splitlines()
    shares = [float(match[1]) for line in lines[1:] if (match := re.match(r" *([\d.]+)%", line))]
    assert len(shares) == len(lines) - 1 > 5
    assert shares == sorted(shares, reverse=True)
    for part in ("enricher", "rollup"):
        assert any(f"-- {part}: " in line for line in lines), "statements say whose they are"
