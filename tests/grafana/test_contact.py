"""Which contact points Grafana is started with: those of the settings, and what was set before is taken back."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from tests.grafana.dashboards import PROVISIONING

CONTACT = PROVISIONING.parent / "contact"
MAIL = {"ALERT_EMAIL": "me@blog.example, you@blog.example", "ALERT_SMTP_HOST": "127.0.0.1:25"}
HOOK = {"ALERT_WEBHOOK_URL": "https://hook.example/$a"}


def start(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run start.sh with `env` in Grafana's place."""
    environ = {
        "PATH": os.environ["PATH"],
        "GF_PATHS_DATA": str(folder),
        "FOOTFALL_WORK": str(folder / "started"),
    }
    return subprocess.run(
        ["sh", CONTACT / "start.sh", "env"],
        env={**environ, **settings}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def given(folder: Path) -> set[str]:
    """The files of alerting that Grafana would read, but for the rules."""
    found = {path.stem for path in (folder / "started/provisioning/alerting").iterdir()}
    assert "footfall" in found
    return found - {"footfall"}


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, set()),
        ({"ALERT_EMAIL": "", "ALERT_WEBHOOK_URL": ""}, set()),
        (MAIL, {"email", "policy"}),
        (HOOK, {"webhook", "policy"}),
        (MAIL | HOOK, {"email", "webhook", "policy"}),
    ],
)
def test_what_is_set_is_used(tmp_path: Path, settings: dict[str, str], wanted: set[str]) -> None:
    for _ in range(2):
        assert start(tmp_path, **settings).returncode == 0
        assert given(tmp_path) == wanted


def test_what_was_set_is_taken_back_once(tmp_path: Path) -> None:
    start(tmp_path, **MAIL, **HOOK)
    start(tmp_path, **HOOK)
    assert given(tmp_path) == {"no-email", "webhook", "policy"}
    start(tmp_path)
    assert given(tmp_path) == {"no-webhook", "no-policy"}
    start(tmp_path)
    assert given(tmp_path) == set()


def test_grafana_finds_dashboards_and_data_sources_where_it_is_told(tmp_path: Path) -> None:
    said = dict(line.split("=", 1) for line in start(tmp_path).stdout.splitlines())
    provisioning = Path(said["GF_PATHS_PROVISIONING"])
    for name in ("datasources/footfall.yml", "dashboards/footfall.yml", "alerting/footfall.yml"):
        assert (provisioning / name).read_text() == (PROVISIONING / name).read_text()
    assert (provisioning.parent / "dashboards/overview.json").is_file()


def test_mail_goes_by_the_server_that_is_set_and_the_password_stays_whole(tmp_path: Path) -> None:
    password = {"ALERT_SMTP_USER": "me", "ALERT_SMTP_PASSWORD": "a${PATH}$b"}
    said = dict(line.split("=", 1) for line in start(tmp_path, **MAIL, **password).stdout.splitlines())
    assert (said["GF_SMTP_ENABLED"], said["GF_SMTP_HOST"]) == ("true", "127.0.0.1:25")
    assert (said["GF_SMTP_FROM_ADDRESS"], said["GF_SMTP_USER"]) == ("me@blog.example", "me")
    assert said["GF_SMTP_PASSWORD"] == "$__env{ALERT_SMTP_PASSWORD}"
    assert said["ALERT_SMTP_PASSWORD"] == "a${PATH}$b"
    assert "GF_SMTP_ENABLED" not in start(tmp_path, **HOOK).stdout


def test_links_begin_with_the_address_that_is_set(tmp_path: Path) -> None:
    usual = {"GF_SERVER_ROOT_URL": "http://localhost:3000/"}
    public = {"GRAFANA_PUBLIC_URL": "https://stats.blog.example/grafana"}
    for settings, wanted in (
        (usual | {"GRAFANA_PUBLIC_URL": ""}, "http://localhost:3000/"),
        (usual | public, "https://stats.blog.example/grafana"),
    ):
        assert f"GF_SERVER_ROOT_URL={wanted}" in start(tmp_path, **settings).stdout.splitlines()
    assert "GF_SERVER_ROOT_URL" not in start(tmp_path).stdout


def test_mail_without_a_server_is_an_error_that_says_so(tmp_path: Path) -> None:
    answer = start(tmp_path, ALERT_EMAIL="me@blog.example")
    assert answer.returncode == 1
    assert answer.stderr == "ALERT_EMAIL: wants ALERT_SMTP_HOST with it\n"


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    for name in ("ALERT_SMTP_PASSWORD", "ALERT_WEBHOOK_URL", "ALERT_WEBHOOK_TOKEN"):
        secret = tmp_path / name
        secret.write_text(f"https://{name}.example/$(id) \"a b'${{PATH}}\n")
        said = start(tmp_path, **{f"{name}_FILE": str(secret), name: ""}).stdout.splitlines()
        assert f"{name}={secret.read_text().strip()}" in said
        assert f"{name}=set" in start(tmp_path, **{f"{name}_FILE": "/nowhere", name: "set"}).stdout
    assert given(tmp_path) == set()
    start(tmp_path, ALERT_WEBHOOK_URL_FILE=str(tmp_path / "ALERT_WEBHOOK_URL"))
    assert given(tmp_path) == {"webhook", "policy"}


def test_a_secret_s_file_that_cannot_be_read_is_an_error_that_says_so(tmp_path: Path) -> None:
    answer = start(tmp_path, **HOOK, ALERT_WEBHOOK_TOKEN_FILE=str(tmp_path / "none"))
    assert answer.returncode == 1
    assert answer.stderr == f"ALERT_WEBHOOK_TOKEN: cannot read the file {tmp_path / 'none'}\n"


def test_the_files_name_one_contact_point_and_two_ways_to_it() -> None:
    files = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in CONTACT.glob("*.yml")}
    for kind, setting in (("email", "addresses: $ALERT_EMAIL"), ("webhook", "url: $ALERT_WEBHOOK_URL")):
        [point] = files[kind]["contactPoints"]
        [receiver] = point["receivers"]
        assert point["name"] == files["policy"]["policies"][0]["receiver"]
        assert receiver["type"] == kind
        assert files[f"no-{kind}"]["deleteContactPoints"] == [{"orgId": 1, "uid": receiver["uid"]}]
        # Every other form than $NAME spoils an address that contains a $.
        assert re.search(rf"{re.escape(setting)}$", (CONTACT / f"{kind}.yml").read_text(), re.MULTILINE)
    # Of what Grafana keeps as a secret: viewers read every other setting.
    assert re.search(
        r"authorization_credentials: \$ALERT_WEBHOOK_TOKEN$",
        (CONTACT / "webhook.yml").read_text(),
        re.MULTILINE,
    )
    [policy] = files["policy"]["policies"]
    assert policy["group_by"] == ["alertname", "site"]
    assert policy["repeat_interval"] == "12h"
