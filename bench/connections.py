"""A new connection for each hit, as most readers come: without a proxy, and behind one that keeps connections open.

Without TLS, which costs the proxy the same whoever stands behind it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.cpu import tree_cpu_s
from bench.driver import Driver, Say
from bench.figures import Figures
from bench.rivals import Rival, running_nginx, serving
from tools.servers import free_port

# What docs/tag.md has, without TLS; the generator's own word for its address is passed on.
NGINX = """
    upstream footfall {{ server 127.0.0.1:{pixel}; keepalive 64; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://footfall;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $http_x_forwarded_for;
        }}
    }}
"""
CADDY = """
{{
	admin off
	auto_https off
}}
http://127.0.0.1:{port} {{
	reverse_proxy 127.0.0.1:{pixel} {{
		header_up X-Forwarded-For {{http.request.header.X-Forwarded-For}}
		transport http {{
			keepalive_idle_conns_per_host 64
		}}
	}}
}}
"""


@contextlib.contextmanager
def behind_nginx(pixel_port: int) -> Iterator[Rival]:
    """nginx in front of the pixel. Raises ``BenchError``."""
    port = free_port()
    with running_nginx(port, NGINX.format(pixel=pixel_port, port=port)) as proxy:
        yield proxy


@contextlib.contextmanager
def behind_caddy(pixel_port: int) -> Iterator[Rival]:
    """Caddy in front of the pixel. Raises ``BenchError``."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="footfall-bench-") as folder:
        config = Path(folder) / "Caddyfile"
        config.write_text(CADDY.format(pixel=pixel_port, port=port))
        environ = os.environ | {"HOME": folder, "XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder}
        command: list[str | Path] = ["caddy", "run", "--config", config, "--adapter", "caddyfile"]
        with serving(command, port, environ) as proxy:
            yield proxy


PROXIES = {"nginx": behind_nginx, "caddy": behind_caddy}


class Connections:
    """Adds its figures to ``figures``. The enricher goes on: what it uses is not counted."""

    def __init__(self, driver: Driver, figures: Figures, hits: int, say: Say) -> None:
        self._driver = driver
        self._figures = figures
        self._hits = hits
        self._say = say

    def bare(self, rival: Rival) -> None:
        """The bare application."""
        before = tree_cpu_s(rival.process.pid)
        load = self._driver.saturate_rival(rival, self._hits, closing=True)
        spent_s = tree_cpu_s(rival.process.pid) - before
        self._add("bare_aiohttp_new_connection_cpu_us_per_hit", spent_s / load.answered)

    def pixel(self, proxy: Rival | None = None, name: str = "pixel") -> None:
        """The pixel and its Redis, with the proxy if there is one."""
        stack = self._driver.stack
        cpu, before = stack.cpu(), tree_cpu_s(proxy.process.pid) if proxy else 0.0
        load = self._driver.saturate(self._hits, proxy.port if proxy else None, closing=True)
        used = stack.cpu() - cpu
        spent_s = used.pixel + used.redis + (tree_cpu_s(proxy.process.pid) - before if proxy else 0.0)
        self._add(f"{name}_new_connection_cpu_us_per_hit", spent_s / load.answered)
        stack.settle()

    def _add(self, name: str, seconds: float) -> None:
        self._figures.add(name, seconds * 1e6)
        self._say(f"  {name} {seconds * 1e6:.0f}")


@contextlib.contextmanager
def proxies(pixel_port: int, missing: Say) -> Iterator[dict[str, Rival]]:
    """Those whose programs are there, in front of the pixel. Raises ``BenchError``."""
    with contextlib.ExitStack() as closing:
        found = {}
        for name, behind in PROXIES.items():
            if shutil.which(name) is None:
                missing(f"no {name} on the PATH (Debian: nginx-light, caddy): its figure is left out")
            else:
                found[name] = closing.enter_context(behind(pixel_port))
        yield found
