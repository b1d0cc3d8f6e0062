"""Where a canary could have been written down: files, tables, metrics, Redis, what commands print. The live keys."""

from __future__ import annotations

import contextlib
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from services.sealing import hour_name
from tests.system.stack import Stack, wait_until


def client_of(stack: Stack) -> Any:
    """The stack's Redis."""
    return redis.Redis.from_url(stack.urls["REDIS_URL"], socket_timeout=10)


def spool_of(stack: Stack) -> Path:
    """The pixel's spool."""
    return stack.data_dir / "spool/groups"


def live_keys(stack: Stack) -> dict[str, bytes]:
    """The keys that are not destroyed, by name."""
    files = (stack.data_dir / "keys").glob("*.key")
    return {path.stem: path.read_bytes() for path in files if path.stat().st_size}


def overdue_keys(stack: Stack) -> list[str]:
    """Live keys of hours and days that are over, while nothing waits."""
    hours = {hour_name(time.time() - seconds) for seconds in (0, 60, 600)}
    days = {time.strftime("%Y-%m-%d", time.gmtime(time.time() - seconds)) for seconds in (0, 600)}
    young = {f"seal-{name}" for name in hours} | {f"session-{name}" for name in days}
    return sorted(set(live_keys(stack)) - young)


def files_of(stack: Stack) -> Iterator[tuple[str, bytes]]:
    """Every file of the data directory, but for programs and the country database, which were there before."""
    for path in sorted(stack.data_dir.rglob("*")):
        name = str(path.relative_to(stack.data_dir))
        if name.startswith("servers/") or path.suffix == ".mmdb" or not path.is_file():
            continue
        with contextlib.suppress(FileNotFoundError):  # PostgreSQL's own come and go
            yield name, path.read_bytes()


def tables_of(stack: Stack) -> Iterator[tuple[str, bytes]]:
    """Every table, and what the server tells of its own work."""
    tables = stack.query(
        "select quote_ident(schemaname) || '.' || quote_ident(tablename) from pg_tables"
        " where schemaname !~ '^(pg_|information)'"
    )
    for (name,) in [*tables, ("pg_stat_activity",)]:
        rows = stack.query(f"select coalesce(string_agg(t::text, E'\\n'), '') from {name} t")
        yield f"table {name}", rows[0][0].encode()


def metrics_of(stack: Stack) -> Iterator[tuple[str, bytes]]:
    """What each service says of itself."""
    for name, url in stack.urls.items():
        if name.endswith("METRICS_URL"):
            with urllib.request.urlopen(url, timeout=10) as answer:
                yield name, answer.read()


def redis_of(stack: Stack) -> Iterator[tuple[str, bytes]]:
    """Every key of Redis, of whatever type, and its slow log."""
    client = client_of(stack)
    readers = {
        b"string": lambda key: [client.get(key)],
        b"hash": lambda key: [part for pair in client.hgetall(key).items() for part in pair],
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1),
        b"stream": lambda key: [part for _, f in client.xrange(key) for pair in f.items() for part in pair],
    }
    for key in client.scan_iter(count=1_000):
        kind = client.type(key)
        if kind != b"none":  # a job that is done meanwhile
            values = [value for value in readers[kind](key) if value is not None]
            yield f"redis {key.decode(errors='replace')}", b"\n".join([key, *values])
    yield "redis slow log", repr(client.slowlog_get(1_000)).encode()


def rewritten_aof_of(stack: Stack) -> Iterator[tuple[str, bytes]]:
    """Redis's files after it has written them anew, without its own compression."""
    client = client_of(stack)
    client.config_set("rdbcompression", "no")
    client.bgrewriteaof()
    wait_until(lambda: not client.info("persistence")["aof_rewrite_in_progress"], 30)
    yield from (item for item in files_of(stack) if item[0].startswith("redis/"))


def outputs_of(stack: Stack) -> Iterator[tuple[str, bytes]]:
    """What a person sees: addresses, the audit of the figures, a dump where pg_dump fits the server."""
    for command in ("urls", "check"):
        done = stack.make(command, check=False)
        yield f"make {command}", (done.stdout + done.stderr).encode()
    try:
        dump = ["pg_dump", stack.urls["OWNER_DATABASE_URL"]]
        yield "pg_dump", subprocess.run(dump, capture_output=True, check=True, timeout=60).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        pass  # of another version than the server, or none


def everything_written(stack: Stack) -> Iterator[tuple[str, bytes]]:
    """All of it, by place, once nothing waits."""
    for part in (tables_of, metrics_of, redis_of, outputs_of, files_of):
        yield from part(stack)
