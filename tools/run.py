"""`make run`: the whole product on one machine without Docker.

A supervisor: starts PostgreSQL and Redis from packages, migrates, gets a country database, starts pixel, enricher
and rollup (and Grafana where its program is found), starts again what dies, and stops all in order.
Its children end with it, also when it is killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace

import psycopg

from services.key_files import make_passwords
from services.settings import Settings, SettingsError, load_settings
from tools import country_data
from tools.run_grafana import add_grafana, find_grafana
from tools.run_stack import (
    Stack,
    check_ports,
    make_database,
    migrate,
    pixel_names,
    pixel_sockets,
    server_child,
    servers_of,
    service_child,
    take_folder,
)
from tools.servers import ServerError, die_with_parent, free_port, own_folder
from tools.stack import RENEWED_FILE, STACK_FILE, SUPERVISOR_FILE
from tools.supervisor import Supervisor, say, write_atomically


def start_all(settings: Settings, supervisor: Supervisor) -> Stack:
    """Everything up, in order. Raises ``ServerError``."""
    logs = settings.data_dir.resolve() / "log"
    logs.mkdir(exist_ok=True)
    settings.key_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_passwords(settings.key_dir)
    own_folder(settings.data_dir / "postgres")
    check_ports(settings)
    postgres, redis = servers_of(settings)
    ports = {name: free_port() for name in (*pixel_names(settings), "enricher", "rollup")}
    stack = Stack(settings, ports, find_grafana())
    supervisor.add(
        server_child(postgres, "postgres", signal.SIGINT, signal.SIGQUIT, logs / "postgres.log"),
        server_child(redis, "redis", signal.SIGTERM, signal.SIGKILL, logs / "redis.log"),
    )
    make_database(stack, postgres)
    migrate(stack)
    country_data.provide(settings.country_database, say)
    supervisor.add(*(service_child(stack, name, []) for name in ("enricher", "rollup")))
    supervisor.sockets = pixel_sockets(settings)
    supervisor.add(*(service_child(stack, name, supervisor.sockets) for name in pixel_names(settings)))
    if not add_grafana(stack, supervisor, logs / "grafana.log"):
        stack = replace(stack, grafana=None)
    write_atomically(supervisor.run_folder / SUPERVISOR_FILE, f"{os.getpid()}\n")
    write_urls(stack)
    return stack


def write_urls(stack: Stack) -> None:
    """For the tools that stand beside the stack."""
    path = stack.settings.data_dir / "run" / STACK_FILE
    write_atomically(path, json.dumps(stack.urls(), indent=2), mode=0o600)


def renew(stack: Stack, supervisor: Supervisor) -> Stack:
    """The services of what is in the checkout now, each started beside its former one: `make deploy`.

    Where one fails, it and those after it stay the former ones. The outcome is written for ``tools.deploy``.
    """
    problem = ""
    try:
        migrate(stack)
        pixels = pixel_names(stack.settings)
        for name in ("enricher", "rollup", *pixels):
            renewed = replace(stack, metrics_ports={**stack.metrics_ports, name: free_port()})
            supervisor.exchange(service_child(renewed, name, supervisor.sockets if name in pixels else []))
            stack = renewed
            write_urls(stack)
            say(f"{name} renewed")
    except (ServerError, OSError) as error:
        problem = str(error)
        say(problem)
    write_atomically(supervisor.run_folder / RENEWED_FILE, problem)
    return stack


def announce(stack: Stack) -> None:
    """Where each part answers."""
    urls = stack.urls()
    say("")
    say("Footfall is ready. Ctrl-C stops it; the data stay in " + str(stack.settings.data_dir.resolve()))
    say(f"  pixel     {urls['PIXEL_URL']}/a.gif   (what it records: {urls['PIXEL_URL']}/privacy/)")
    say(f'  tag       <script defer src="{urls["PIXEL_URL"]}/{stack.settings.script_name}"></script>')
    say(f"  SQL       psql {urls['DATABASE_URL']}")
    if urls["GRAFANA_URL"]:
        say(f"  Grafana   {urls['GRAFANA_URL']}   user admin, password {stack.password('grafana_admin')}")
    else:
        say("  Grafana   does not run: the reason stands above")
    say("  all addresses: make urls")
    say("")


def main() -> int:
    """0 after a stop that was asked for, 1 with an error that says what to do."""
    if os.environ.get("MAKELEVEL") and sys.platform == "linux":
        die_with_parent(os.getppid(), signal.SIGTERM)  # `make` was killed
    try:
        settings = load_settings()
        lock = take_folder(settings)
    except SettingsError as error:
        say("Some settings are wrong:\n  " + "\n  ".join(error.problems))
        return 1
    except ServerError as error:
        say(str(error))
        return 1
    supervisor = Supervisor(settings.data_dir / "run")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, supervisor.request_stop)
    signal.signal(signal.SIGUSR1, supervisor.request_renewal)
    try:
        stack = start_all(settings, supervisor)
        announce(stack)

        def renew_stack() -> None:
            nonlocal stack
            stack = renew(stack, supervisor)

        supervisor.watch(renew_stack)
    except KeyboardInterrupt:
        pass
    except (ServerError, OSError, psycopg.Error) as error:
        say(str(error))
        return 1
    finally:
        say("stopping")
        supervisor.stop()
        (settings.data_dir / "run" / STACK_FILE).unlink(missing_ok=True)
        lock.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
