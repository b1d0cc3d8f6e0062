"""What is done to the wires between services and servers."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Literal

from tools.chaos.scene import Fault, Scene, Work
from tools.chaos.stack import WIRES
from tools.fault_proxy import Direction, FaultProxy

# What a server has done and its client does not hear of.
LOST_ANSWERS = (
    (("pixel", "redis"), b"XADD"),
    (("enricher", "redis"), b"XREADGROUP"),
    (("enricher", "redis"), b"XACK"),
    (("enricher", "postgres"), b"COMMIT"),
    (("enricher", "postgres"), b"copy stored_hits"),
    (("rollup", "postgres"), b"COMMIT"),
)
Deed = Callable[[FaultProxy, random.Random], str]


def _wire(wire: tuple[str, str], do: Deed, seconds: float) -> Work:
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


def _cut(proxy: FaultProxy, dice: random.Random) -> str:
    proxy.cut()
    return ""


def _stall(*directions: Direction) -> Deed:
    def do(proxy: FaultProxy, _: random.Random) -> str:
        proxy.stall(*directions)
        return ""

    return do


def _half_open(proxy: FaultProxy, _: random.Random) -> str:
    proxy.half_open()
    return ""


def _slow(proxy: FaultProxy, dice: random.Random) -> str:
    speed, latency_s = dice.choice((5_000, 50_000, 500_000)), dice.uniform(0, 0.3)
    proxy.slow(speed, latency_s)
    return f"{speed} bytes/s, {latency_s * 1000:.0f} ms"


def _cut_in_the_middle(proxy: FaultProxy, dice: random.Random) -> str:
    direction: Direction = dice.choice(("request", "answer"))
    size = dice.choice((1, 10, 300, 5_000, 60_000))
    proxy.cut_after(size, direction)
    return f"after {size} bytes of {direction}s"


def _lose_answer(pattern: bytes) -> Deed:
    def do(proxy: FaultProxy, dice: random.Random) -> str:
        then: Literal["cut", "hold"] = dice.choice(("cut", "hold"))
        proxy.trap(pattern, "answer", then)
        return f"to {pattern.decode()}, {then}"

    return do


def wire_faults() -> Iterator[Fault]:
    """All of them."""
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
