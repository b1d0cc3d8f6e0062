"""`make chaos MINUTES= [SEED=] [RATE=] [OUTAGE=postgres|redis]`.

Starts a stack of its own in a folder of its own, sends hits, does faults (or takes one server away), waits until all
is counted, and audits. Prints seed and figures; ends with 1 when anything differs.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tools.arguments import Argument, words_given
from tools.chaos.load import Load
from tools.chaos.run import Run
from tools.chaos.scene import Scene
from tools.chaos.stack import Ground, take_environment
from tools.servers import ServerError

ARGUMENTS = (
    Argument("MINUTES", "how long faults are done, or a server is away", "1"),
    Argument("SEED", "the number by which faults are chosen; one is made up and printed"),
    Argument("RATE", "hits a second; 1,000 with OUTAGE", "200"),
    Argument("OUTAGE", "`postgres` or `redis`: takes this server away in place of other faults"),
    Argument("FAULTS", "names of faults, comma-separated: these alone, in this order"),
)


class Order(NamedTuple):
    """What is asked for."""

    minutes: float
    seed: int
    rate: float
    outage: str
    faults: tuple[str, ...]  # these alone, in this order; none: by the seed, until the time is over


def read_order(arguments: list[str]) -> Order:
    """From NAME=value. Raises ``ValueError`` that says what is wrong."""
    given = dict(argument.split("=", 1) for argument in arguments)
    names = [argument.name for argument in ARGUMENTS]
    outage = given.get("OUTAGE", "")
    if set(given) - set(names) or outage not in ("", "postgres", "redis"):
        raise ValueError(f"known are {', '.join(names)}; OUTAGE is postgres or redis")
    return Order(
        minutes=float(given.get("MINUTES", 1)),
        seed=int(given.get("SEED", int.from_bytes(os.urandom(3), "big"))),
        rate=float(given.get("RATE", 1_000 if outage else 200)),
        outage=outage,
        faults=tuple(name for name in given.get("FAULTS", "").split(",") if name),
    )


def say(text: str) -> None:
    """A line with the time."""
    print(f"{time.strftime('%H:%M:%S', time.gmtime())} {text}", flush=True)


def beside(work: Callable[[], bool], ground: Ground) -> bool:
    """Do the work in a thread while this one, the main one, keeps the stack running."""
    result: list[bool] = []

    def do() -> None:
        try:
            result.append(work())
        except Exception as error:
            say(f"ended: {error!r}")
            raise
        finally:
            ground.supervisor.stopping = True

    thread = threading.Thread(target=do, daemon=True)  # a Ctrl-C does not wait for it
    thread.start()
    ground.supervisor.watch(renew=lambda: None)  # nobody deploys here
    thread.join()
    return bool(result and result[0])


def main(arguments: list[str]) -> int:
    """0 when nothing was lost, doubled or late."""
    try:
        order = read_order(arguments)
    except ValueError as error:
        print(f"make chaos: {error}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="footfall-chaos-"))
    folder.chmod(0o755)  # the servers may run as another user
    ground = Ground(take_environment(folder))
    log = (folder / "services.log").open("ab")
    os.dup2(log.fileno(), 2)  # what services and supervisor say
    say(f"seed {order.seed}, {order.rate:.0f} hits/s, {order.minutes:g} min; services write to {log.name}")
    passed = False
    try:
        ground.start()
        run = Run(Scene(ground, Load(ground.settings.pixel_port, order.rate, order.seed)), say)
        if order.outage:
            passed = beside(lambda: run.outage(order.outage, order.minutes * 60), ground)
        else:
            passed = beside(lambda: run.faults(order.seed, order.minutes * 60, order.faults), ground)
    except (ServerError, KeyboardInterrupt) as error:
        say(f"ended: {error!r}")
    finally:
        ground.stop()
    say(f"{'passed' if passed else 'FAILED'}; seed {order.seed}")
    if passed:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(words_given(ARGUMENTS)))
