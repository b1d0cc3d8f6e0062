"""What docker-compose.yml promises, read from the file: needs no engine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.key_files import PASSWORDS_FOR
from services.settings import CATALOGUE

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOTS = {"passwords", "migrate"}
OWN_STOP_S = 10  # in which a service of ours stops by itself
# 1.29, and 2: a plug-in of the docker command.
COMPOSE_COMMANDS = [["docker-compose"], ["docker", "compose"]]


def environ() -> dict[str, str]:
    """This process's environment without what compose would take from it."""
    ours = {setting.name for setting in CATALOGUE}
    return {k: v for k, v in os.environ.items() if k not in ours and not k.startswith("COMPOSE_")}


def is_installed(command: list[str]) -> bool:
    """Whether this compose is there."""
    if not shutil.which(command[0]):
        return False
    return subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0


def need_compose(command: list[str]) -> None:
    """Skip where this compose is not installed."""
    if not is_installed(command):
        pytest.skip(f"skipped: {' '.join(command)} is not installed")


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_can_write_to_nothing_but_its_volumes_and_tmp(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all("size=" in mount for mount in service["tmpfs"])
    assert "privileged" not in service
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "https" else [])


@pytest.mark.parametrize("name", set(SERVICES) - ONE_SHOTS - {"door", "https"})
def test_a_container_reads_its_own_passwords_only(name: str) -> None:
    mounts = [mount for mount in SERVICES[name]["volumes"] if mount.startswith("passwords")]
    assert mounts == [f"passwords-{name}:/keys/passwords:ro"]
    assert f"passwords-{name}:/keys/for/{name}" in SERVICES["passwords"]["volumes"]
    assert name in PASSWORDS_FOR


def test_nobody_but_the_one_shots_sees_all_passwords() -> None:
    whole = {name: m for name, s in SERVICES.items() for m in s["volumes"] if m.startswith("passwords:")}
    assert whole == {"passwords": "passwords:/keys/passwords", "migrate": "passwords:/keys/passwords:ro"}


def test_only_those_who_seal_and_open_see_the_keys() -> None:
    assert {name for name, service in SERVICES.items() if "keys:/keys" in service["volumes"]} == {
        "pixel",
        "enricher",
    }


def test_the_rollup_writes_the_country_database_and_the_enricher_reads_it() -> None:
    mounts = {
        name: [mount for mount in service["volumes"] if mount.startswith("country:")]
        for name, service in SERVICES.items()
    }
    assert {name: mount for name, mount in mounts.items() if mount} == {
        "rollup": ["country:/country"],
        "enricher": ["country:/country:ro"],
    }
    path = SERVICES["enricher"]["environment"]["COUNTRY_DATABASE"]
    assert path == SERVICES["rollup"]["environment"]["COUNTRY_DATABASE"] == "/country/country.mmdb"


def test_the_country_database_is_refreshed_unless_that_is_turned_off() -> None:
    assert SERVICES["rollup"]["environment"]["COUNTRY_REFRESH"] == "${COUNTRY_REFRESH:-on}"


def test_only_the_rollup_gets_the_key_of_maxmind() -> None:
    with_key = {name for name, s in SERVICES.items() if "MAXMIND_LICENSE_KEY" in s.get("environment", {})}
    assert with_key == {"rollup"}
    passed = SERVICES["rollup"]["environment"]
    assert all(passed[name] == "${" + name + ":-}" for name in ("MAXMIND_ACCOUNT_ID", "MAXMIND_LICENSE_KEY"))


@pytest.mark.parametrize("name", ["enricher", "rollup"])
def test_a_service_works_as_a_role_of_its_own(name: str) -> None:
    assert (
        SERVICES[name]["environment"]["DATABASE_URL"]
        == f"postgresql://footfall_{name}@postgres:5432/footfall"
    )


@pytest.mark.parametrize("name", SERVICES)
def test_only_the_door_and_the_proxy_answer_other_machines(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert (name in ("door", "https")) != port.startswith("127.0.0.1:"), port


def test_the_door_reaches_nobody_and_lends_its_socket_to_the_pixel_only() -> None:
    with_socket = {name for name, s in SERVICES.items() if any(m.startswith("door:") for m in s["volumes"])}
    assert with_socket == {"door", "pixel"}
    assert [name for name, s in SERVICES.items() if "front" in s.get("networks", [])] == ["door", "https"]


def test_the_pixel_and_postgresql_share_no_network() -> None:
    assert not set(SERVICES["pixel"]["networks"]) & set(SERVICES["postgres"]["networks"])


@pytest.mark.parametrize("name", set(SERVICES) - ONE_SHOTS)
def test_a_service_is_watched_restarted_and_given_time_to_stop(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"]
    assert service["restart"] == "unless-stopped"
    assert int(service["stop_grace_period"].removesuffix("s")) > OWN_STOP_S


@pytest.mark.parametrize("name", SERVICES)
def test_logs_do_not_fill_the_disk(name: str) -> None:
    assert SERVICES[name]["logging"]["options"].keys() == {"max-size", "max-file"}


def test_the_proxy_is_there_only_when_it_is_asked_for() -> None:
    assert {name for name, service in SERVICES.items() if "profiles" in service} == {"https"}
    assert SERVICES["https"]["networks"] == ["front"]
    assert [mount for mount in SERVICES["https"]["volumes"] if "keys" in mount] == []


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, {"HTTPS_HOST", "TRUSTED_PROXIES", "PIXEL_PORT"}),
        ({"HTTPS_HOST": "pixel.example.com", "PIXEL_PORT": "127.0.0.1:8000"}, {"TRUSTED_PROXIES"}),
        (
            {"HTTPS_HOST": "a.example", "TRUSTED_PROXIES": "172.16.0.0/12", "PIXEL_PORT": "8000"},
            {"PIXEL_PORT"},
        ),
    ],
)
def test_the_proxy_does_not_start_while_readers_would_look_like_one(
    settings: dict[str, str], named: set[str]
) -> None:
    said = subprocess.run(
        ["sh", ROOT / "proxy/start.sh"], env={"PATH": "/usr/bin:/bin"} | settings, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert said.returncode == 1
    assert {line.partition(":")[0] for line in said.stderr.splitlines()[1:]} == named


def test_what_install_md_says_is_all_that_the_proxy_needs() -> None:
    (block,) = re.findall(
        r"```sh\n(COMPOSE_PROFILES=https\n.*?)```", (ROOT / "docs/install.md").read_text(), re.S
    )
    settings = dict(line.split("=", 1) for line in block.splitlines())
    said = subprocess.run(
        [shutil.which("sh") or "sh", ROOT / "proxy/start.sh"], env={"PATH": ""} | settings, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 127, "it comes as far as starting a program that is not on this PATH"
    assert "caddy" in said.stderr


def test_two_stacks_fit_on_one_machine() -> None:
    assert not any("container_name" in service for service in SERVICES.values())
    assert all(volume is None for volume in COMPOSE["volumes"].values())  # no fixed names


def test_every_setting_of_the_owner_reaches_the_services() -> None:
    passed = SERVICES["pixel"]["environment"]
    assert {s.name for s in CATALOGUE if s.group == "site"} <= passed.keys()
    assert passed.keys() <= {s.name for s in CATALOGUE}, "a setting that does not exist"


def test_redis_has_the_catalogue_s_memory() -> None:
    default = next(s.default for s in CATALOGUE if s.name == "REDIS_MAX_MEMORY_MB")
    script = SERVICES["redis"]["command"][2]
    assert f"maxmemory ${{REDIS_MAX_MEMORY_MB:-{default}}}mb\n" in script
    assert "maxmemory-policy noeviction\n" in script


def test_a_setting_that_is_not_set_gets_the_catalogue_s_default() -> None:
    for setting in CATALOGUE:
        if setting.group == "site":
            # `${NAME:-}`: empty, which means the default; but where empty means something, the default.
            default = ":-" if setting.empty is None else f"-{setting.default}"
            wanted = "${" + setting.name + default + "}"
            assert SERVICES["pixel"]["environment"][setting.name] == wanted


def test_grafana_gets_what_its_provisioning_asks_for() -> None:
    grafana = SERVICES["grafana"]
    given = {name.removesuffix("__FILE") for name in grafana["environment"]} | {"GF_PATHS_PROVISIONING"}
    alerts = [s for s in CATALOGUE if s.group == "alerts"]
    assert {s.name for s in alerts} | {f"{s.name}_FILE" for s in alerts if s.secret} <= given
    for path in [*(ROOT / "grafana/provisioning").rglob("*.yml"), *(ROOT / "grafana/contact").glob("*.yml")]:
        lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
        assert set(re.findall(r"\$\{?([A-Z_]+)", "\n".join(lines))) <= given, path
    folders = {mount.split(":")[0] for mount in grafana["volumes"] if mount.startswith("./")}
    assert folders and all((ROOT / folder).is_dir() for folder in folders)


@pytest.mark.parametrize("command", COMPOSE_COMMANDS, ids=" ".join)
def test_compose_accepts_the_file_without_a_warning(command: list[str], tmp_path: Path) -> None:
    need_compose(command)
    (tmp_path / "empty.env").touch()  # not the .env of whoever runs the tests
    answer = subprocess.run(
        [*command, "--file", ROOT / "docker-compose.yml", "--env-file", tmp_path / "empty.env", "config"],
        capture_output=True, text=True, check=False, env=environ(),
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
