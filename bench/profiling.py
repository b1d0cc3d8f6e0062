"""``make profile STAGE=pixel|enricher|rollup|postgres``: where a stage spends its time under the bench's load.

A flame graph (SVG) of a Python stage, by py-spy, which reads the process from outside and changes nothing in it; for
PostgreSQL a table of its statements, by pg_stat_statements. HITS (default 100,000) are sent as fast as they are
answered, or RATE= a second. Both files go to bench/profiles.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from bench.driver import Driver, say
from bench.load import BenchError, find_wrk
from bench.settings import whole_number
from bench.stack import Stack, running_stack
from tools.arguments import Argument
from tools.servers import poll

FOLDER = Path(__file__).with_name("profiles")
PYTHON_STAGES = ("pixel", "enricher", "rollup")
STAGES = (*PYTHON_STAGES, "postgres")
SAMPLES_A_SECOND = 250
HITS = 100_000
WARM_HITS = 10_000
ARGUMENTS = (
    Argument("STAGE", "`pixel`, `enricher`, `rollup` or `postgres`"),
    Argument("HITS", "how many are sent", str(HITS)),
    Argument("RATE", "hits a second; 0: as fast as they are answered", "0"),
)
WRITES_WITHIN_S = 30.0
RESTARTS_WITHIN_S = 60.0
SHOWN = 25
ROOT_NEEDED = (
    "py-spy could not read the process: run it as root, or allow it (sysctl kernel.yama.ptrace_scope=0)"
)

# Elapsed time, not CPU: a statement that waits for the disk or a lock is charged for it.
STATEMENTS = """-- bench: statements by time
select total_exec_time, calls, rows, wal_bytes, shared_blks_hit + shared_blks_read,
       left(regexp_replace(query, '\\s+', ' ', 'g'), 90)
from pg_stat_statements
where query not like '%%pg_stat_%%'
order by total_exec_time desc
limit %s
"""


def find_py_spy() -> Path:
    """Beside this Python, else on the PATH. Raises ``BenchError``."""
    beside = Path(sys.executable).with_name("py-spy")
    found = beside if beside.exists() else shutil.which("py-spy")
    if found is None:
        raise BenchError("py-spy is not there: make profile installs it, or pip install py-spy")
    return Path(found)


@contextmanager
def recorded(pid: int, path: Path) -> Iterator[None]:
    """The samples of a process during the block, as a flame graph. Raises ``BenchError``."""
    command: list[str | Path] = [
        find_py_spy(), "record", "--pid", str(pid), "--output", path, "--rate", str(SAMPLES_A_SECOND),
        "--subprocesses", "--duration", "3600",
    ]  # fmt: skip
    spying = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield
    finally:
        spying.send_signal(signal.SIGINT)  # it writes what it has
        try:
            said, _ = spying.communicate(timeout=WRITES_WITHIN_S)
        except subprocess.TimeoutExpired:
            spying.kill()
            said, _ = spying.communicate()
    if not path.exists():
        raise BenchError(f"{ROOT_NEEDED}\n{said[-400:]}")


def with_statistics(stack: Stack) -> None:
    """PostgreSQL started anew with pg_stat_statements. Raises ``BenchError``."""
    before = stack.pid("postgres")
    stack.connection.execute("alter system set shared_preload_libraries = 'pg_stat_statements'")
    os.kill(before, signal.SIGINT)  # a fast shutdown: the supervisor starts it again

    def is_back() -> bool:
        if stack.pid("postgres") == before:
            return False
        try:
            stack.reconnect()
        except psycopg.OperationalError:
            return False
        return True

    if not poll(is_back, RESTARTS_WITHIN_S):
        raise BenchError("PostgreSQL did not come back with pg_stat_statements: install its contrib package")
    stack.connection.execute("create extension pg_stat_statements")


def statements(stack: Stack, hits: int) -> str:
    """The table, of what was run since the last reset."""
    rows = stack.connection.execute(STATEMENTS, [SHOWN]).fetchall()
    whole = sum(row[0] for row in rows) or 1
    lines = [
        f"{'share':>6} {'us a hit':>9} {'calls':>8} {'rows':>9} {'WAL a hit':>9} {'blocks':>10}  statement"
    ]
    lines += [
        f"{ms / whole:6.1%} {ms * 1000 / hits:9.2f} {calls:8} {number:9} {float(wal) / hits:9.1f} {blocks:10}  {text}"
        for ms, calls, number, wal, blocks, text in rows
    ]
    return "\n".join(lines) + "\n"


def profile(stack: Stack, stage: str, hits: int, rate: int) -> Path:
    """The file. Raises ``BenchError``."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{stage}.{'svg' if stage in PYTHON_STAGES else 'txt'}"
    path.unlink(missing_ok=True)
    if stage == "postgres":
        with_statistics(stack)
    driver = Driver(stack, say)
    say("warming up")
    driver.saturate(min(hits, WARM_HITS))
    stack.settle()
    say(f"{hits} hits, {f'{rate} a second' if rate else 'as fast as they are answered'}")

    def load() -> None:
        if rate:
            driver.pace(rate, hits / rate)
        else:
            driver.saturate(hits)
        stack.settle()

    _observe(stack, stage, path, load, hits)
    return path


def _observe(stack: Stack, stage: str, path: Path, load: Callable[[], None], hits: int) -> None:
    if stage in PYTHON_STAGES:
        with recorded(stack.pid(stage), path):
            load()
        return
    stack.connection.execute("select pg_stat_statements_reset()")
    load()
    path.write_text(statements(stack, hits))
    say(path.read_text())


def main() -> int:
    """0, or 1 with an error that says what to do."""
    try:
        stage = os.environ.get("STAGE", "")
        if stage not in STAGES:
            raise BenchError(f"STAGE: {stage!r} is none of {', '.join(STAGES)}: make profile STAGE=pixel")
        find_wrk()
        if stage in PYTHON_STAGES:
            find_py_spy()
        hits, rate = whole_number("HITS", HITS), whole_number("RATE", 0, 0)
        with running_stack() as stack:
            path = profile(stack, stage, hits, rate)
    except (BenchError, psycopg.Error) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    say(
        "open it in a browser"
        if path.suffix == ".svg"
        else "elapsed time by statement, as PostgreSQL counts it"
    )
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
