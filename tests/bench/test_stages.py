"""Two stages of make bench on a real stack, small: their figures are there, and the stack is as it was."""

from __future__ import annotations

import shutil

import pytest

from bench.figures import Figures
from bench.stack import Stack
from bench.stages import Bench

pytestmark = pytest.mark.system
HITS = 4_000


@pytest.fixture(scope="module")
def bench(stack: Stack) -> Bench:
    return Bench(stack, Figures(), HITS, lambda _: None, lambda _: None, repeats=1, with_data_set=False)


def fsync(stack: Stack) -> str:
    with stack.redis_client() as client:
        return str(client.config_get("appendfsync")["appendfsync"])


def test_the_pixel_stands_beside_what_it_is_held_against(stack: Stack, bench: Bench) -> None:
    bench.pixel()
    wanted = {
        "pixel_cpu_us_per_hit", "bare_aiohttp_cpu_us_per_hit", "pixel_vs_bare_aiohttp", "redis_xadd_cpu_us",
        "pixel_everysec_cpu_us_per_hit", "recovery_hits_per_s", "recovery_2_enrichers_hits_per_s",
    }  # fmt: skip
    if shutil.which("nginx"):
        wanted |= {"nginx_empty_gif_cpu_us_per_hit"}
    assert {line.split()[0] for line in bench.figures.lines()} == wanted
    assert fsync(stack) == "always"
    assert stack.number("select count(*) from pg_tables where schemaname = 'bench'") == 0


def test_everysec_is_measured_under_everysec(stack: Stack) -> None:
    with stack.everysec():
        assert fsync(stack) == "everysec"
    assert fsync(stack) == "always"


def test_a_hit_through_a_proxy_is_its_visitor_s(stack: Stack, bench: Bench) -> None:
    before = stack.number("select count(distinct session_id) from hits")
    bench.new_connections()
    names = {line.split()[0] for line in bench.figures.lines()}
    found = [name for name in ("nginx", "caddy") if shutil.which(name)]
    for name in found:
        assert f"pixel_behind_{name}_new_connection_cpu_us_per_hit" in names
    after = stack.number("select count(distinct session_id) from hits")
    # 1,000 hits of 100,000 visitors each: nearly as many visitors.
    assert after - before > 950 * (1 + len(found))
