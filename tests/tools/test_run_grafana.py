"""`make run` starts a Grafana that it finds, and goes on without one that does not start."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.key_files import make_passwords
from tests.make import make_settings
from tools import run_grafana
from tools.run_grafana import add_grafana, find_grafana
from tools.run_stack import Stack
from tools.servers import free_port
from tools.supervisor import Supervisor


def program(path: Path, script: str = "exit 1") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_a_package_s_program_is_taken_before_its_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_grafana, "GRAFANA_PACKAGE", tmp_path / "share")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert find_grafana() is None
    on_path = program(tmp_path / "bin/grafana-server")
    assert find_grafana() == on_path
    packaged = program(tmp_path / "share/bin/grafana")
    assert find_grafana() == packaged


def test_a_grafana_that_does_not_start_ends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_settings(DATA_DIR=str(tmp_path), GRAFANA_PORT=str(free_port()))
    (tmp_path / "keys").mkdir()
    make_passwords(settings.key_dir)
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    supervisor = Supervisor(run_folder)
    stack = Stack(settings, {}, program(tmp_path / "bin/grafana", "echo 'bad configuration'; exit 1"))
    log = tmp_path / "grafana.log"
    assert not add_grafana(stack, supervisor, log)
    # A webhook that is not reached stands in it with its address, which is a secret.
    assert log.stat().st_mode & 0o077 == 0
    assert supervisor.children == []
    assert not (run_folder / "grafana.pid").exists()
    said = capsys.readouterr().err
    assert "grafana did not start" in said
    assert "Everything else goes on" in said
