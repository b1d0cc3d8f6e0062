"""What is done to Redis and PostgreSQL by their own commands."""

from __future__ import annotations

import random
import signal
import time
from typing import Any

import psycopg
import redis

from services.hit_stream import STREAM
from tools.chaos.load import POISON_EVENT
from tools.chaos.process_faults import one_more, signalled
from tools.chaos.scene import BACK_WITHIN_S, Fault, Scene
from tools.chaos.stack import Ground
from tools.servers import free_port, poll

CONSTRAINT = "chaos_refuses"
BACKENDS = "select pg_terminate_backend(pid) from pg_stat_activity where application_name like "
LOCKABLE = ("stored_hits", "rollup_pending", "stream_groups", "ledger")

# Redis ----------------------------------------------------------------------------------------------------------


def _told(client: Any, *command: Any) -> Any:
    """Redis's answer; tried again while it is away, as what was done must be undone."""
    deadline = time.monotonic() + BACK_WITHIN_S
    while True:
        try:
            return client.execute_command(*command)
        except redis.RedisError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _out_of_memory(scene: Scene, dice: random.Random) -> str:
    client, seconds = scene.ground.redis, dice.uniform(1, 5)
    before = client.config_get("maxmemory")["maxmemory"]
    try:
        client.config_set("maxmemory", "1mb")
        time.sleep(seconds)
    finally:
        _told(client, "CONFIG", "SET", "maxmemory", before)
    return f"{seconds:.1f} s"


def _killed_while_rewriting(scene: Scene, dice: random.Random) -> str:
    after_s = dice.uniform(0, 0.15)
    scene.ground.redis.bgrewriteaof()
    time.sleep(after_s)
    signalled("redis", signal.SIGKILL)(scene, dice)
    return f"after {after_s * 1000:.0f} ms"


def _paused(scene: Scene, dice: random.Random) -> str:
    seconds = dice.uniform(0.5, 4)
    scene.ground.redis.execute_command("CLIENT", "PAUSE", int(seconds * 1000), dice.choice(("ALL", "WRITE")))
    time.sleep(seconds)
    return f"{seconds:.1f} s"


def _read_only(scene: Scene, dice: random.Random) -> str:
    """A replica of nobody: its port is closed, so nothing is ever loaded from it."""
    client, seconds = scene.ground.redis, dice.uniform(1, 5)
    try:
        client.execute_command("REPLICAOF", "127.0.0.1", free_port())
        time.sleep(seconds)
    finally:
        _told(client, "REPLICAOF", "NO", "ONE")
    return f"{seconds:.1f} s"


# PostgreSQL -----------------------------------------------------------------------------------------------------


def _backend_ended(scene: Scene, dice: random.Random) -> str:
    who = dice.choice(("footfall enricher", "footfall rollup", "footfall schedule", "footfall %"))
    with scene.ground.connect() as connection:
        connection.execute(f"{BACKENDS}%s and pid <> pg_backend_pid()", [who])
    return who


def _locked(scene: Scene, dice: random.Random) -> str:
    table, seconds = dice.choice(LOCKABLE), dice.uniform(0.5, 5)
    with scene.ground.connect() as connection, connection.transaction():
        connection.execute("set local lock_timeout = '10s'")
        connection.execute(f"lock table {table} in access exclusive mode")
        time.sleep(seconds)
    return f"{table} {seconds:.1f} s"


def _deadlock(scene: Scene, _: random.Random) -> str:
    """The enricher waits for us with what we ask for next: PostgreSQL ends the one that began to wait first."""
    with scene.ground.connect() as connection, scene.ground.connect() as eye, connection.transaction():
        connection.execute("set local deadlock_timeout = '60s'")
        connection.execute("set local lock_timeout = '10s'")
        connection.execute("lock table rollup_pending in share mode")
        waits = (
            "select 1 from pg_locks where not granted and relation = 'rollup_pending'::regclass"
            " and pid in (select pid from pg_stat_activity where application_name = 'footfall enricher')"
        )
        if not poll(lambda: eye.execute(waits).fetchone() is not None, 5, 0.02):
            return "nobody came"
        connection.execute("lock table ledger in access exclusive mode")
    return ""


def _serializable(scene: Scene, dice: random.Random) -> str:
    """Two enrichers whose transactions are serializable refuse each other's."""
    database = "alter database footfall "
    try:
        with scene.ground.connect() as connection:
            connection.execute(f"{database}set default_transaction_isolation = 'serializable'")
            connection.execute(f"{BACKENDS}'footfall enricher'")
        return one_more("enricher")(scene, dice)
    finally:
        with scene.ground.connect() as connection:
            connection.execute(f"{database}reset default_transaction_isolation")
            connection.execute(f"{BACKENDS}'footfall enricher'")


def _poisoned_row(scene: Scene, dice: random.Random) -> str:
    seconds = dice.uniform(2, 5)
    try:
        _altered(
            scene.ground,
            f"add constraint {CONSTRAINT} check (event is distinct from '{POISON_EVENT}') not valid",
        )
        scene.load.send_poison()
        time.sleep(seconds)
    finally:
        _altered(scene.ground, f"drop constraint if exists {CONSTRAINT}")
    return f"{seconds:.1f} s"


def _altered(ground: Ground, how: str) -> None:
    """Change stored_hits, in the end: whoever holds it is waited for, not for long at once."""
    deadline = time.monotonic() + BACK_WITHIN_S
    while True:
        try:
            with ground.connect() as connection:
                connection.execute("set lock_timeout = '2s'")
                connection.execute(f"alter table stored_hits {how}")
                return
        except psycopg.Error:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _garbage(scene: Scene, dice: random.Random) -> str:
    size = dice.choice((0, 1, 100, 10_000))
    _told(scene.ground.redis, "XADD", STREAM, "*", "g", dice.randbytes(size))
    return f"{size} bytes"


SERVER_FAULTS = (
    Fault("redis out of memory", "redis", 3, _out_of_memory),
    Fault("redis SIGKILL in a rewrite", "redis", 3, _killed_while_rewriting),
    Fault("redis CLIENT PAUSE", "redis", 2, _paused),
    Fault("redis read-only", "redis", 2, _read_only),
    Fault("postgres backend ended", "postgres", 4, _backend_ended),
    Fault("postgres table locked", "postgres", 3, _locked),
    Fault("postgres deadlock", "postgres", 2, _deadlock),
    Fault("postgres serializable", "postgres", 2, _serializable),
    Fault("poisoned row", "postgres", 2, _poisoned_row),
    Fault("garbage entry", "garbage", 2, _garbage),
)
