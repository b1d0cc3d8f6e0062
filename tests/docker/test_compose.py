"""The product as it is deployed, from a fresh clone, on a real Docker engine: all but Grafana.

Once with each compose that is installed: docker-compose 1.29 and docker compose 2.

Wants an engine that answers and the base images, which it may pull; tests/docker/stand_ins.sh sees to both
on a CI machine. Everything here is made for the test and removed after it, except for the build cache.
"""

from __future__ import annotations

import json

import psycopg
import pytest

from services.key_files import PASSWORDS_FOR
from tests.docker.stack import AGENT, ONE_SHOTS, ROLLED_UP_WITHIN_S, SERVICES, Stack, docker, wait_until

pytestmark = pytest.mark.docker


def test_the_services_are_healthy_and_the_one_shots_are_done(stack: Stack) -> None:
    for name in SERVICES:
        assert stack.state(name)["Health"]["Status"] == "healthy"
        assert stack.inspect(name)["RestartCount"] == 0
    for name in ONE_SHOTS:
        assert (stack.state(name)["Status"], stack.state(name)["ExitCode"]) == ("exited", 0)


def test_a_hit_becomes_a_row_and_a_rollup(stack: Stack) -> None:
    page = "https://blog.example/x"
    assert stack.hit(page) == "accepted"
    wait_until(
        lambda: stack.pageviews(page) == (1, 1), ROLLED_UP_WITHIN_S, lambda: str(stack.pageviews(page))
    )
    [(site, pageviews, visitors)] = stack.query(
        "analyst", stack.password("analyst"), "select site, pageviews, visitors from daily_traffic"
    )
    assert (site, pageviews, visitors) == ("blog.example", 1, 1)


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_runs_as_root_or_with_rights(stack: Stack, name: str) -> None:
    processes = docker("top", stack.inspect(name)["Id"], "-eo", "uid,pid,args").splitlines()[1:]
    assert processes
    assert not [process for process in processes if int(process.split()[0]) == 0]
    status = dict(
        line.split(":", 1) for line in stack.execute(name, "cat", "/proc/1/status").stdout.splitlines()
    )
    assert {status[key].strip() for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"].strip() == "1"


@pytest.mark.parametrize("name", (*SERVICES, *ONE_SHOTS))
def test_root_file_systems_are_read_only(stack: Stack, name: str) -> None:
    assert stack.inspect(name)["HostConfig"]["ReadonlyRootfs"] is True
    if name in SERVICES:
        assert "Read-only file system" in stack.execute(name, "touch", "/written").stderr


@pytest.mark.parametrize("name", set(SERVICES) - {"postgres", "redis"})
def test_an_image_holds_its_own_service_only(stack: Stack, name: str) -> None:
    others = set(SERVICES) | {"migrate", "migrations", "tests", "requirements"}
    found = stack.execute(name, "find", "/app", "-maxdepth", "2", "-type", "d", "-printf", "%f\n").stdout
    assert set(found.split()) & others == {name}


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_to_this_machine_but_the_door_s(stack: Stack, name: str) -> None:
    published = stack.inspect(name)["NetworkSettings"]["Ports"]
    addresses = {binding["HostIp"] for bindings in published.values() for binding in bindings or []}
    everywhere = {"0.0.0.0", "::"}  # noqa: S104 - what the pixel's port is published on
    wanted = {"door": everywhere, "redis": {"127.0.0.1"}, "postgres": {"127.0.0.1"}}
    assert addresses <= wanted.get(name, set())
    assert bool(addresses) == (name in wanted)


def test_the_pixel_does_not_reach_postgresql(stack: Stack) -> None:
    address = next(iter(stack.inspect("postgres")["NetworkSettings"]["Networks"].values()))["IPAddress"]
    connect = "import socket, sys; socket.create_connection((sys.argv[1], 5432), timeout=2)"
    assert stack.execute("enricher", "python", "-c", connect, address).returncode == 0
    assert stack.execute("pixel", "python", "-c", connect, address).returncode != 0


def test_the_country_database_is_there_from_the_start_and_only_the_rollup_may_write_it(stack: Stack) -> None:
    found = stack.execute("enricher", "stat", "-c", "%u %a", "/country", "/country/country.mmdb").stdout
    assert found.split() == ["10001", "755", "10001", "644"]
    assert "Read-only file system" in stack.execute("enricher", "touch", "/country/x").stderr
    assert stack.execute("rollup", "touch", "/country/x").returncode == 0
    metrics = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9100/metrics').read().decode())"
    said = stack.execute("enricher", "python", "-c", metrics).stdout
    (built,) = (line for line in said.splitlines() if line.startswith("footfall_country_database_built_"))
    assert float(built.split()[1]) > 0


def test_history_is_read_again_by_new_rules(stack: Stack) -> None:
    page = "https://blog.example/renormalised"
    assert stack.hit(page) == "accepted"
    wait_until(lambda: stack.pageviews(page) == (1, 1), ROLLED_UP_WITHIN_S, lambda: "no pageview")
    owner = stack.password("database")
    wrong = (
        "with wrong as (insert into origins (referrer_id, channel, used_on)"
        " select referrer_id, 'Social', used_on from origins limit 1 returning origin_id)"
        " update stored_hits set origin_id = wrong.origin_id from wrong returning 1"
    )
    stack.query("footfall", owner, wrong)
    stack.compose("run", "--rm", "-T", "enricher", "renormalise")
    assert stack.query("footfall", owner, "select distinct channel from hits") == [("Direct",)]


def test_strangers_are_refused(stack: Stack) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        stack.query("footfall", "guessed", "select 1")
    assert "NOAUTH" in stack.execute("redis", "redis-cli", "ping").stdout


def test_passwords_are_in_their_volume_only(stack: Stack) -> None:
    passwords = {stack.password(name) for name in ("database", "redis", "analyst")}
    assert len(passwords) == 3 and all(len(password) == 48 for password in passwords)
    seen = stack.compose("logs", "--no-color")
    for name in SERVICES:
        container = stack.inspect(name)
        seen += json.dumps(container) + docker("top", container["Id"], "-eo", "pid,args")
    assert not [password for password in passwords if password in seen]


@pytest.mark.parametrize("name", sorted(PASSWORDS_FOR.keys() - {"grafana"}))
def test_a_container_sees_its_own_passwords_only(stack: Stack, name: str) -> None:
    seen = stack.execute(name, "ls", "/keys/passwords").stdout.split()
    assert sorted(seen) == sorted(PASSWORDS_FOR[name])


def test_nobody_is_in_the_logs(stack: Stack) -> None:
    logs = stack.compose("logs", "--no-color", "pixel", "enricher", "rollup", "postgres", "redis")
    gateways = {
        network["Gateway"] for network in stack.inspect("door")["NetworkSettings"]["Networks"].values()
    }
    assert logs
    assert AGENT not in logs
    assert not [address for address in gateways if address in logs]  # whom the pixel took for the visitor


def known_passwords(stack: Stack) -> list[str]:
    return [
        stack.execute(name, "cat", f"/keys/passwords/{password}").stdout
        for name, password in (("postgres", "database"), ("redis", "redis"), ("enricher", "enricher"))
    ]


def test_a_stop_is_in_time_and_the_next_start_finds_data_passwords_and_keys(stack: Stack) -> None:
    page = "https://blog.example/before"
    assert stack.hit(page) == "accepted"
    wait_until(lambda: stack.pageviews(page) == (1, 1), ROLLED_UP_WITHIN_S, lambda: "not rolled up")
    passwords = known_passwords(stack)
    keys = stack.keys()
    assert keys

    stack.compose("stop")
    # By themselves, not killed (137) when their time was up.
    assert {name: stack.state(name)["ExitCode"] for name in SERVICES} == dict.fromkeys(SERVICES, 0)
    stack.up()

    assert known_passwords(stack) == passwords
    assert keys & stack.keys()  # an hour may have ended meanwhile: not all of them
    assert stack.pageviews(page) == (1, 1)
    assert stack.hit(page) == "accepted"
    wait_until(
        lambda: stack.pageviews(page) == (2, 2), ROLLED_UP_WITHIN_S, lambda: str(stack.pageviews(page))
    )
