"""The Grafana that `make run` starts beside the services, where its program is found."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

from tools.run_stack import ROOT, Stack
from tools.servers import ServerError, port_is_free, spawn
from tools.supervisor import Child, Supervisor, say

GRAFANA_PACKAGE = Path("/usr/share/grafana")
GRAFANA_NAMES = ("grafana", "grafana-server")
# Nothing is told to, or fetched from, anybody; as docker-compose.yml.
GRAFANA_ALONE = {
    "GF_ANALYTICS_REPORTING_ENABLED": "false",
    "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
    "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
    "GF_ANALYTICS_FEEDBACK_LINKS_ENABLED": "false",
    "GF_NEWS_NEWS_FEED_ENABLED": "false",
    "GF_PLUGINS_PREINSTALL_DISABLED": "true",
    "GF_SECURITY_DISABLE_GRAVATAR": "true",
    "GF_USERS_ALLOW_SIGN_UP": "false",
    "GF_USERS_DEFAULT_THEME": "light",
}


def find_grafana() -> Path | None:
    """Grafana's program on this machine.

    Rather the program of a package than what it puts on PATH: a script, which adds a configuration that only the
    package's user may read, and which Grafana outlives.
    """
    packaged = (GRAFANA_PACKAGE / "bin" / name for name in GRAFANA_NAMES)
    on_path = (shutil.which(name) for name in GRAFANA_NAMES)
    found = (*(path for path in packaged if path.exists()), *(Path(path) for path in on_path if path))
    return found[0] if found else None


def grafana_home(program: Path) -> Path:
    """Where Grafana's own files are."""
    homes = (program.resolve().parents[1], GRAFANA_PACKAGE)
    return next((home for home in homes if (home / "public").exists()), homes[-1])


def grafana_environ(stack: Stack, data_dir: Path) -> dict[str, str]:
    """What Grafana, and ``grafana/contact/start.sh`` before it, are told."""
    settings = stack.settings
    ours = {
        "FOOTFALL_WORK": str(data_dir / "started"),
        "GRAFANA_PUBLIC_URL": settings.grafana_public_url,
        "ALERT_EMAIL": ",".join(settings.alert_email),
        "ALERT_EMAIL_FROM": settings.alert_email_from,
        "ALERT_SMTP_HOST": settings.alert_smtp_host,
        "ALERT_SMTP_USER": settings.alert_smtp_user,
        "ALERT_SMTP_PASSWORD": settings.alert_smtp_password,
        "ALERT_WEBHOOK_URL": settings.alert_webhook_url,
        "ALERT_WEBHOOK_TOKEN": settings.alert_webhook_token,
        "GF_SERVER_HTTP_ADDR": "127.0.0.1",
        "GF_SERVER_HTTP_PORT": str(settings.grafana_port),
        "GF_PATHS_DATA": str(data_dir),
        "GF_PATHS_LOGS": str(data_dir / "log"),
        "GF_LOG_MODE": "console",  # not into a second file
        "GF_PATHS_PLUGINS": str(data_dir / "plugins"),
        "GF_SECURITY_ADMIN_PASSWORD": stack.password("grafana_admin"),
        "GF_DATE_FORMATS_DEFAULT_TIMEZONE": settings.report_timezone.key,
        "FOOTFALL_PG_HOST": f"127.0.0.1:{settings.postgres_port}",
        "FOOTFALL_PG_DATABASE": "footfall",
        "GF_FOOTFALL_READER_PASSWORD": stack.password("grafana_reader"),
        "GF_FOOTFALL_EXPLORER_PASSWORD": stack.password("grafana_explorer"),
        "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": str(ROOT / "grafana/dashboards/overview.json"),
    }
    return {**os.environ, **GRAFANA_ALONE, **ours}


def grafana_child(stack: Stack, program: Path, log: Path) -> Child:
    """Grafana, provisioned from ``grafana/``."""
    data_dir = stack.settings.data_dir.resolve() / "grafana"
    (data_dir / "plugins").mkdir(parents=True, exist_ok=True)
    command = ["server"] if program.name == "grafana" else []
    arguments: list[str | Path] = ["sh", ROOT / "grafana/contact/start.sh", program, *command]
    arguments += ["--homepath", grafana_home(program)]
    return Child(
        "grafana",
        lambda: spawn(arguments, environ=grafana_environ(stack, data_dir), log=log),
        signal.SIGTERM,
        lambda: not port_is_free(stack.settings.grafana_port),
    )


def add_grafana(stack: Stack, supervisor: Supervisor, log: Path) -> bool:
    """Whether Grafana runs. Hits are counted without it, so that it does not run ends nothing."""
    if not stack.grafana:
        say("no `grafana` program was found on this machine: install it, or use docker-compose up")
        return False
    if not port_is_free(stack.settings.grafana_port):
        say(f"GRAFANA_PORT: port {stack.settings.grafana_port} is taken on 127.0.0.1; Grafana is not started")
        return False
    child = grafana_child(stack, stack.grafana, log)
    try:
        supervisor.add(child)
    except ServerError as error:
        say(f"{error}. Everything else goes on")
        supervisor.drop(child)
        return False
    return True
