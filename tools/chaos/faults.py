"""The faults: each lasts for a moment, undoes what it did, and says in a few words what that was."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import psycopg
import redis

from services.hit_stream import STREAM
from tools.chaos.load import POISON_EVENT, Load
from tools.chaos.stack import WIRES, Ground
from tools.fault_proxy import Direction
from tools.servers import free_port, poll

PARTS = ("pixel", "enricher", "rollup", "redis", "postgres")
BACK_WITHIN_S = 60.0
CONSTRAINT = "chaos_refuses"
BACKENDS = "select pg_terminate_backend(pid) from pg_stat_activity where application_name like "
# What a server has done and its client does not hear of.
LOST_ANSWERS = (
    (("pixel", "redis"), b"XADD"),
    (("enricher", "redis"), b"XREADGROUP"),
    (("enricher", "redis"), b"XACK"),
    (("enricher", "postgres"), b"COMMIT"),
    (("enricher", "postgres"), b"copy staging"),
    (("rollup", "postgres"), b"COMMIT"),
)
LOCKABLE = ("stored_hits", "rollup_pending", "stream_groups", "ledger")


class Scene:
    """What a fault may touch: the stack, the load, and the times at which the pixel could not answer."""

    def __init__(self, ground: Ground, load: Load) -> None:
        self.ground = ground
        self.load = load
        self.pixel_away: list[
            tuple[float, float]
        ] = []  # by the wall clock, from the fault until it answers again

    @contextlib.contextmanager
    def pixel_fault(self) -> Iterator[None]:
        """The pixel itself is stopped or killed in the body."""
        began = time.time()
        self.pixel_away.append((began, float("inf")))
        place = len(self.pixel_away) - 1
        try:
            yield
        finally:
            if not poll(self._pixel_lives, BACK_WITHIN_S):
                raise TimeoutError("the pixel did not come back")
            self.pixel_away[place] = (began, time.time())

    def _pixel_lives(self) -> bool:
        url = self.ground.stack.urls()["PIXEL_URL"]
        try:
            with urllib.request.urlopen(f"{url}/livez", timeout=2) as answer:  # noqa: S310 - our own
                return bool(answer.status == 200)
        except OSError:
            return False


Work = Callable[[Scene, random.Random], str]


class Fault(NamedTuple):
    """One kind."""

    name: str
    target: str  # two faults of one target are not done at once
    weight: int
    work: Work


# Signals --------------------------------------------------------------------------------------------------------


def _signalled(name: str, number: int) -> Work:
    def work(scene: Scene, _: random.Random) -> str:
        with scene.pixel_fault() if name == "pixel" else contextlib.nullcontext():
            child = scene.ground.child(name)
            former = child.process
            scene.ground.send_signal(name, number)
            if not poll(lambda: child.process is not former and child.is_ready(), BACK_WITHIN_S):
                raise TimeoutError(f"{name} did not come back")
        return ""

    return work


def _frozen(name: str) -> Work:
    def work(scene: Scene, dice: random.Random) -> str:
        seconds = dice.uniform(0.3, 6)
        with scene.pixel_fault() if name == "pixel" else contextlib.nullcontext(), scene.ground.frozen(name):
            time.sleep(seconds)
        return f"{seconds:.1f} s"

    return work


# Wires ----------------------------------------------------------------------------------------------------------


def _wire(wire: tuple[str, str], do: Callable[[Any, random.Random], str], seconds: float) -> Work:
    """Do something to a wire, and heal it after at most so long."""

    def work(scene: Scene, dice: random.Random) -> str:
        proxy = scene.ground.wires[wire]
        lasts_s = dice.uniform(0.3, seconds)
        try:
            said = do(proxy, dice)
            time.sleep(lasts_s)
        finally:
            proxy.heal()
        return f"{said} {lasts_s:.1f} s".strip()

    return work


def _cut(proxy: Any, dice: random.Random) -> str:
    proxy.cut()
    return ""


def _stall(*directions: Direction) -> Callable[[Any, random.Random], str]:
    def do(proxy: Any, _: random.Random) -> str:
        proxy.stall(*directions)
        return ""

    return do


def _half_open(proxy: Any, _: random.Random) -> str:
    proxy.half_open()
    return ""


def _slow(proxy: Any, dice: random.Random) -> str:
    speed, latency_s = dice.choice((5_000, 50_000, 500_000)), dice.uniform(0, 0.3)
    proxy.slow(speed, latency_s)
    return f"{speed} bytes/s, {latency_s * 1000:.0f} ms"


def _cut_in_the_middle(proxy: Any, dice: random.Random) -> str:
    direction: Direction = dice.choice(("request", "answer"))
    size = dice.choice((1, 10, 300, 5_000, 60_000))
    proxy.cut_after(size, direction)
    return f"after {size} bytes of {direction}s"


def _lose_answer(pattern: bytes) -> Callable[[Any, random.Random], str]:
    def do(proxy: Any, dice: random.Random) -> str:
        then = dice.choice(("cut", "hold"))
        proxy.trap(pattern, "answer", then)
        return f"to {pattern.decode()}, {then}"

    return do


# More of a service ----------------------------------------------------------------------------------------------


def _one_more(service: str) -> Work:
    def work(scene: Scene, dice: random.Random) -> str:
        seconds, number = dice.uniform(2, 9), dice.choice((signal.SIGKILL, signal.SIGTERM))
        process = scene.ground.one_more(service)
        try:
            time.sleep(seconds)
            process.send_signal(number)
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return f"{seconds:.1f} s, then {number.name}"

    return work


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
    _signalled("redis", signal.SIGKILL)(scene, dice)
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
        return _one_more("enricher")(scene, dice)
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


# All ------------------------------------------------------------------------------------------------------------


def _signals() -> Iterator[Fault]:
    for name in PARTS:
        yield Fault(f"{name} SIGKILL", name, 3, _signalled(name, signal.SIGKILL))
        # SIGTERM would let PostgreSQL wait until its clients go by themselves.
        stop = signal.SIGINT if name == "postgres" else signal.SIGTERM
        yield Fault(f"{name} {stop.name}", name, 1, _signalled(name, stop))
        yield Fault(f"{name} SIGSTOP", name, 2, _frozen(name))


def _wires() -> Iterator[Fault]:
    for wire in WIRES:
        label = "-".join(wire)
        weight = 1 if label.startswith("rollup") else 2
        for what, do, seconds in (
            ("cut", _cut, 0.5),
            ("stall", _stall(), 5),
            ("stall of answers", _stall("answer"), 5),
            ("half-open", _half_open, 5),
            ("slow", _slow, 6),
            ("cut in the middle", _cut_in_the_middle, 3),
        ):
            yield Fault(f"{label} {what}", label, weight, _wire(wire, do, seconds))
    for wire, pattern in LOST_ANSWERS:
        label = "-".join(wire)
        yield Fault(f"{label} lost answer", label, 2, _wire(wire, _lose_answer(pattern), 3))


FAULTS = (
    *_signals(),
    *_wires(),
    Fault("second enricher", "second enricher", 4, _one_more("enricher")),
    Fault("second rollup", "second rollup", 2, _one_more("rollup")),
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
