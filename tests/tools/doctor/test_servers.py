"""Redis, clocks, the country database, open ports, services and their settings, Grafana, keys."""

from __future__ import annotations

import contextlib
import datetime
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from services.metrics import EnricherMetrics, Metrics, PixelMetrics, RollupMetrics
from tests.conftest import Database, start_server
from tests.services.rollup.test_country import database as country_database
from tests.tools.doctor.conftest import Web, faults, outcome, serving
from tools.doctor.installation import Asked, Installation
from tools.doctor.ports import open_ports
from tools.servers import Redis, free_port, poll

pytestmark = pytest.mark.servers
DURABLE = {"redis.overcommit"}  # of this machine, not of the server


# Redis ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_redis(redis_server: Redis, servers_folder: Path) -> Iterator[Redis]:
    """A Redis as `make run` starts one."""
    server = Redis(
        redis_server.binaries, servers_folder / "redis-doctor", free_port(), "s3cret-7319", max_memory_mb=64
    )
    process = start_server(server, servers_folder / "redis-doctor.log")
    yield server
    process.kill()
    process.wait(10)


def redis_at(server: Redis) -> Installation:
    secret = f":{server.password}@" if server.password else ""
    return Installation(Asked(), {"REDIS_URL": f"redis://{secret}127.0.0.1:{server.port}/0"})


def test_a_redis_as_we_start_it_is_well(own_redis: Redis) -> None:
    assert faults("redis", redis_at(own_redis)) <= DURABLE
    assert own_redis.password not in str(outcome("redis", redis_at(own_redis)))


def test_a_redis_that_answers_before_it_has_written_is_found(redis_server: Redis) -> None:
    """The session's own was started with `appendfsync everysec`, without a bound and a password."""
    found = faults("redis", redis_at(redis_server)) - DURABLE
    assert found == {"redis.not-always", "redis.no-bound", "redis.no-password"}


@pytest.mark.parametrize(
    ("setting", "value", "found"),
    [
        ("appendonly", "no", {"redis.no-file"}),
        ("maxmemory-policy", "allkeys-lru", {"redis.throws-away"}),
        ("maxmemory", "1", {"redis.full"}),
    ],
)
def test_what_makes_redis_forget_is_found(
    own_redis: Redis, setting: str, value: str, found: set[str]
) -> None:
    client: Any = redis.Redis.from_url(redis_at(own_redis).urls["REDIS_URL"])
    [before] = client.config_get(setting).values()
    client.config_set(setting, value)
    try:
        assert faults("redis", redis_at(own_redis)) - DURABLE == found
    finally:
        client.config_set(setting, before)


def test_a_redis_that_cannot_write_its_file_is_found(own_redis: Redis) -> None:
    client: Any = redis.Redis.from_url(redis_at(own_redis).urls["REDIS_URL"])
    folders = own_redis.folder, own_redis.folder / "appendonlydir"
    assert poll(lambda: not client.info()["aof_rewrite_in_progress"], 10)
    for folder in folders:
        folder.chmod(0o555)  # the server is not root, whoever the tests are
    try:
        with contextlib.suppress(redis.ResponseError):
            client.bgrewriteaof()
        assert poll(lambda: "redis.cannot-write" in faults("redis", redis_at(own_redis)), 10)
    finally:
        for folder in folders:
            folder.chmod(0o755)
        with contextlib.suppress(redis.ResponseError):
            client.bgrewriteaof()
    assert poll(lambda: "redis.cannot-write" not in faults("redis", redis_at(own_redis)), 10)


def test_memory_that_a_rewrite_does_not_get_is_found(
    own_redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the kernel says of itself stands in a file; no test may set it."""
    said = tmp_path / "overcommit_memory"
    monkeypatch.setattr("tools.doctor.stream.OVERCOMMIT", said)
    for value, found in (("0\n", {"redis.overcommit"}), ("1\n", set())):
        said.write_text(value)
        assert faults("redis", redis_at(own_redis)) == found


# Clocks -----------------------------------------------------------------------------------------------------------


def test_clocks_that_agree_are_well(database: Database, own_redis: Redis, web: Web) -> None:
    web.page("/livez", "alive")
    urls = {**redis_at(own_redis).urls, "OWNER_DATABASE_URL": database.owner_url}
    installation = Installation(Asked(url=f"http://127.0.0.1:{web.port}"), urls)
    assert faults("clock", installation) == set()
    says = outcome("clock", installation).says
    assert all(whose in says for whose in ("PostgreSQL", "Redis", "outside"))


@pytest.mark.parametrize(
    ("off_s", "found"), [(10, {"clock.apart"}), (-10, {"clock.apart"}), (3_600, {"clock.far"})]
)
def test_a_clock_that_is_off_is_found(web: Web, off_s: float, found: set[str]) -> None:
    web.page("/livez", "alive")
    web.date_off_s = off_s
    assert faults("clock", Installation(Asked(url=f"http://127.0.0.1:{web.port}"), {})) == found


# The country database -----------------------------------------------------------------------------------------------


def with_database(path: Path) -> Installation:
    return Installation(
        Asked(), {}, {name: {"COUNTRY_DATABASE": str(path)} for name in ("pixel", "enricher")}
    )


def test_the_age_of_the_country_database_and_whether_it_knows_anybody(tmp_path: Path) -> None:
    path = tmp_path / "country.mmdb"
    assert faults("country", with_database(path)) == {"country.none"}
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0, second=0, minute=0)
    for days, found in ((3, set()), (70, {"country.old"}), (500, {"country.very-old"})):
        path.write_bytes(country_database(built=now - datetime.timedelta(days=days), networks=50))
        assert faults("country", with_database(path)) == found
    path.write_bytes(b"<html>")
    assert faults("country", with_database(path)) == {"country.knows-nothing"}


def test_a_database_that_is_not_here_is_asked_for_by_metrics() -> None:
    enricher, rollup = EnricherMetrics(), RollupMetrics()
    with reported(enricher=enricher, rollup=rollup) as installation:
        assert faults("country", installation) == {"country.none"}
        enricher.country_database.set(time.time() - 90 * 86_400)
        rollup.country_refresh.labels("done").set(1_000)
        rollup.country_refresh.labels("failed").set(2_000)
        assert faults("country", installation) == {"country.old", "country.not-refreshed"}


# Services ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def reported(**metrics: Metrics) -> Iterator[Installation]:
    """What doctor knows of services whose metrics answer; their threads end with the process."""
    ports = {name: found.serve("127.0.0.1", free_port()) for name, found in metrics.items()}
    urls = {f"{name.upper()}_METRICS_URL": f"http://127.0.0.1:{port}/metrics" for name, port in ports.items()}
    yield Installation(Asked(), urls)


def test_services_that_hang_stop_or_are_of_another_version_are_found() -> None:
    pixel, enricher, rollup = PixelMetrics(), EnricherMetrics(), RollupMetrics()
    with reported(pixel=pixel, enricher=enricher, rollup=rollup) as installation:
        assert faults("services", installation) == {"services.hangs"}, "no heartbeat ever"
        for metrics in (pixel, enricher, rollup):
            metrics.heartbeat.set_to_current_time()
        assert faults("services", installation) == set()
        rollup.heartbeat.set(time.time() - 60)
        enricher.stopped_burying.set(1)
        assert faults("services", installation) == {"services.hangs", "services.stopped"}
        assert "no heartbeat: rollup" in outcome("services", installation).says


def test_services_of_two_versions_are_found(web: Web) -> None:
    pixel = PixelMetrics()
    pixel.heartbeat.set_to_current_time()
    web.page(
        "/metrics",
        f'footfall_build_info{{version="0.0.9"}} 1.0\nfootfall_heartbeat_timestamp_seconds {time.time()}\n',
    )
    with reported(pixel=pixel) as installation:
        urls = {**installation.urls, "ENRICHER_METRICS_URL": f"http://127.0.0.1:{web.port}/metrics"}
        assert faults("services", Installation(Asked(), urls)) == {"services.versions"}


def test_parts_that_do_not_answer_or_are_degraded_are_found(web: Web) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    urls = {
        "PIXEL_METRICS_URL": f"http://{nobody}/metrics",
        "REDIS_URL": f"redis://{nobody}/0",
        "OWNER_DATABASE_URL": f"postgresql://footfall@{nobody}/footfall",
        "PIXEL_URL": f"http://127.0.0.1:{web.port}",
    }
    web.pages["/readyz"] = (200, {}, b"ready; degraded: redis, spool\n")
    installation = Installation(Asked(), urls)
    found = outcome("services", installation)
    assert [f"services.{fault.name}" for fault in found.faults] == ["services.away", "services.degraded"]
    assert all(
        part in found.says for part in ("pixel (", "Redis (", "PostgreSQL (", "degraded: redis, spool")
    )
    assert outcome("redis", installation).state == "not asked"


def test_settings_that_differ_between_processes_are_found(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    (tmp_path / "run").mkdir()
    processes = []

    def run(name: str, **environ: str) -> None:
        command = [sys.executable, "-c", "import time; time.sleep(60)"]
        processes.append(subprocess.Popen(command, env={**os.environ, **environ}))
        (tmp_path / f"run/{name}.pid").write_text(f"{processes[-1].pid}\n")

    def found() -> set[str]:
        from tools.stack import environ_of

        environs = {name: environ_of(name) or {} for name in ("pixel", "enricher")}
        return faults("settings", Installation(Asked(), {"OWNER_DATABASE_URL": database.owner_url}, environs))

    try:
        run("pixel", SITES="blog.example")
        run("enricher", SITES="blog.example")
        assert found() == set()
        run("enricher", SITES="*")
        assert found() == {"settings.differ"}
        run("enricher", SITES="blog.example", REPORT_TIMEZONE="Europe/Berlin")
        assert found() == {"settings.timezone"}
        for name in ("pixel", "enricher"):
            run(name, REPORT_TIMEZONE="Europe/Berlin")
        assert found() == {"settings.timezone"}, "the database has another"
    finally:
        for process in processes:
            process.kill()
            process.wait(10)


# Ports ------------------------------------------------------------------------------------------------------------


def test_a_port_that_other_machines_reach_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as inner, socket.create_server(("", 0)) as outer:
        urls = {
            "PIXEL_METRICS_URL": f"http://127.0.0.1:{inner.getsockname()[1]}/metrics",
            "PIXEL_URL": f"http://127.0.0.1:{outer.getsockname()[1]}",
        }
        behind = {"pixel": {"TRUSTED_PROXIES": "127.0.0.1"}}
        assert faults("ports", Installation(Asked(), urls)) == set()
        assert faults("ports", Installation(Asked(), urls, behind)) == {"ports.beside-proxy"}
        urls = {"OWNER_DATABASE_URL": f"postgresql://127.0.0.1:{outer.getsockname()[1]}/footfall"}
        assert faults("ports", Installation(Asked(), urls)) == {"ports.open"}
        assert outcome("ports", Installation(Asked(), urls)).says == "reached from other machines: postgres"
    if socket.has_dualstack_ipv6():
        with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as outer:
            urls = {"GRAFANA_URL": f"http://localhost:{outer.getsockname()[1]}"}
            assert faults("ports", Installation(Asked(), urls)) == {"ports.open"}


def test_who_listens_is_read_as_the_kernel_writes_it() -> None:
    table = (
        "  sl  local_address rem_address   st tx_queue\n"
        "   0: 0100007F:1F90 00000000:0000 0A 0\n"
        "   1: 00000000:0050 00000000:0000 0A 0\n"
        "   2: 00000000:0051 00000000:0000 01 0\n"
        "   3: 0000000000000000FFFF00000100007F:0052 0:0 0A 0\n"
        "   4: 00000000000000000000000001000000:0053 0:0 0A 0\n"
        "   5: 00000000000000000000000000000000:0054 0:0 0A 0\n"
    )
    assert open_ports(table) == {80, 84}


# Grafana and keys -------------------------------------------------------------------------------------------------


class Grafana(Web):
    """Answers `/api/user` as Grafana's documentation has it: 200 to who is known, else 401."""

    password = "admin"

    def reply(self, request: Any) -> Any:
        import base64

        given = request.headers.get("Authorization", "").removeprefix("Basic ")
        is_known = given == base64.b64encode(f"admin:{self.password}".encode()).decode()
        self.asked.append((request.command, request.path))
        if request.path != "/api/user":
            return 404, {}, b'{"message":"Not found"}'
        if is_known:
            return 200, {"Content-Type": "application/json"}, b'{"id":1,"login":"admin"}'
        return 401, {}, b'{"message":"Invalid username or password"}'


def test_the_password_that_everybody_knows_is_tried_once() -> None:
    with serving(Grafana()) as web:
        assert isinstance(web, Grafana)
        installation = Installation(Asked(), {"GRAFANA_URL": f"http://127.0.0.1:{web.port}/"})
        assert faults("grafana", installation) == {"grafana.default-password"}
        web.password = "made-up"
        assert faults("grafana", installation) == set()
        assert len(web.asked) == 2
        elsewhere = Installation(Asked(), {"GRAFANA_URL": f"http://127.0.0.1:{web.port}/x"})
        assert faults("grafana", elsewhere) == {"grafana.no-grafana"}


def test_keys_beside_or_in_the_backups_are_found(tmp_path: Path) -> None:
    keys, backups = tmp_path / "keys", tmp_path / "backups"
    keys.mkdir()
    backups.mkdir()
    installation = Installation(Asked(backups=str(backups)), {}, {"pixel": {"KEY_DIR": str(keys)}})
    assert faults("keys", installation) == {"keys.one-disk"}
    (backups / "seal-2026-11-23T18.key").write_bytes(b"x")
    assert faults("keys", installation) == {"keys.in-backups"}
    (backups / "seal-2026-11-23T18.key").unlink()
    # A disk of its own, which every Linux has.
    apart = Installation(Asked(backups=str(backups)), {}, {"pixel": {"KEY_DIR": "/proc/sys"}})
    assert faults("keys", apart) == set()
    assert (
        outcome("keys", Installation(Asked(backups="/none"), {}, installation.environs)).state == "not asked"
    )
