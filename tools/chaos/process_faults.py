"""What is done to processes: they are killed, stopped, frozen, and there is one more of them."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import time
from collections.abc import Iterator

from tools.chaos.scene import BACK_WITHIN_S, Fault, Scene, Work
from tools.servers import poll

PARTS = ("pixel", "enricher", "rollup", "redis", "postgres")


def signalled(name: str, number: int) -> Work:
    """A signal to a part, and the wait until it is started again."""

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


def one_more(service: str) -> Work:
    """A second process of a service for some seconds."""

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


def process_faults() -> Iterator[Fault]:
    """All of them."""
    for name in PARTS:
        yield Fault(f"{name} SIGKILL", name, 3, signalled(name, signal.SIGKILL))
        # SIGTERM would let PostgreSQL wait until its clients go by themselves.
        stop = signal.SIGINT if name == "postgres" else signal.SIGTERM
        yield Fault(f"{name} {stop.name}", name, 1, signalled(name, stop))
        yield Fault(f"{name} SIGSTOP", name, 2, _frozen(name))
    yield Fault("second enricher", "second enricher", 4, one_more("enricher"))
    yield Fault("second rollup", "second rollup", 2, one_more("rollup"))
