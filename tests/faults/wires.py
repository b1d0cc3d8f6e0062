"""Services as processes of their own, each server reached through a proxy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from services.settings import Settings
from tests.conftest import Database
from tests.make import make_settings
from tools.fault_proxy import FaultProxy
from tools.servers import spawn

ROOT = Path(__file__).resolve().parents[2]


class Wires:
    """Two proxies, and what runs behind them."""

    def __init__(self, settings: Settings, database: Database, redis_port: int) -> None:
        self.postgres = FaultProxy(database.port)
        self.redis = FaultProxy(redis_port)
        self._environ = {
            "DATA_DIR": str(settings.data_dir),
            "DATABASE_URL": Database(self.postgres.port, database.name).owner_url,
            "REDIS_URL": f"redis://127.0.0.1:{self.redis.port}/0",
        }
        self.settings = make_settings(**self._environ)
        self._processes: list[subprocess.Popen[bytes]] = []
        self.log = settings.data_dir / "services.log"

    def start(self, service: str, **environ: str) -> subprocess.Popen[bytes]:
        """``python -m services.…`` behind the proxies."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        process = spawn(
            [sys.executable, "-m", f"services.{service}"],
            environ={**kept, **self._environ, "PYTHONPATH": str(ROOT), **environ},
            log=self.log,
        )
        self._processes.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL; the servers hear at once that its connections ended, and everything passes again."""
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        for proxy in (self.postgres, self.redis):
            proxy.cut()
            proxy.heal()

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.wait(10)
        for proxy in (self.postgres, self.redis):
            proxy.close()
