"""`make doctor` in the folder of a stack in containers: it finds them, their settings and their metrics by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from services.key_files import PASSWORDS
from tests.docker.stack import Stack

pytestmark = pytest.mark.docker
# What lies in volumes, and what was not given.
NOT_ASKED = {"grafana", "keys", "https", "cors", "proxy", "page"}


def test_a_stack_in_containers_is_asked_as_a_whole(stack: Stack) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "tools.doctor"],
        cwd=stack.folder,
        env={**os.environ, **stack.environ, "DATA_DIR": "none", "JSON": "1"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert said.stdout.startswith("{"), said.stderr
    checks = {check["check"]: check for check in json.loads(said.stdout)["checks"]}
    assert {name for name, check in checks.items() if check["state"] == "not asked"} == NOT_ASKED
    assert checks["services"]["says"] == "6 of 6 parts answer"
    assert checks["settings"]["says"] == "3 services agree"
    assert "hit" in checks["client-address"]["says"]
    for name in ("schema", "clock", "ports", "roles"):
        assert checks[name]["state"] == "ok", checks[name]
    for name in PASSWORDS:
        assert stack.password(name) not in said.stdout + said.stderr
