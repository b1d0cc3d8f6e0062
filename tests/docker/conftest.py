"""The product in containers, once with each compose that is installed, shared by the tests of this folder."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.docker.stack import Stack, docker, need_engine
from tests.docker.test_compose_file import COMPOSE_COMMANDS, ROOT, environ, need_compose
from tools.servers import free_port


@pytest.fixture(scope="session", params=COMPOSE_COMMANDS, ids=" ".join)
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The product from a fresh clone of what is committed, on ports of its own; removed afterwards."""
    command: list[str] = request.param
    need_engine()
    need_compose(command)
    folder = tmp_path_factory.mktemp("clone") / "footfall"
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    ports = {name: str(free_port()) for name in ("PIXEL_PORT", "POSTGRES_PORT", "REDIS_PORT")}
    project = f"footfall-test-{ports['PIXEL_PORT']}"
    # A test asks nobody outside: the country database is the image's.
    ours = {"COMPOSE_PROJECT_NAME": project, "COUNTRY_REFRESH": "off", "RATE_LIMIT": "0"}
    stack = Stack(command, folder, environ() | ports | ours)
    try:
        stack.up()
        yield stack
    finally:
        logs = stack.compose("logs", "--no-color", "--tail", "50")
        stack.compose("down", "--volumes", "--remove-orphans")
        names = docker("images", "--format", "{{.Repository}}:{{.Tag}}").split()
        docker("rmi", *(name for name in names if name.startswith(project)))
        print(logs)  # pytest shows it with a failure only
