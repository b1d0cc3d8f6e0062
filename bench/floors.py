"""The least that storing can cost: a plain COPY of rows, and an XADD that nobody reads."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import psycopg

from bench.cpu import own_cpu_s
from bench.figures import Figures
from bench.stack import Stack

COPY_ROWS = 100_000
COPY_BLOCK_BYTES = 1 << 16
# The day with the most hits: open, with its indexes.
TODAY = b"select tableoid::regclass::text from stored_hits group by tableoid order by count(*) desc limit 1"
XADDS, PIPELINED, XADD_BYTES = 50_000, 64, 200
FLOOR_STREAM = "bench:floor"


class CopyFloor:
    """Rows of hits, encoded already, by one COPY BINARY into a table like today's; made by ``copy_floor``.

    Client and its backend, one transaction; unlike the enricher's way, a row that is there already fails it, and
    the texts that a hit names by number are there.
    """

    def __init__(self, connection: psycopg.Connection[Any], data: bytes) -> None:
        self._connection = connection
        self._data = data

    def us(self) -> float:
        """Microseconds of CPU a row."""
        connection = self._connection
        connection.execute("truncate bench.hits")
        backend = connection.info.backend_pid
        before = own_cpu_s(backend) + time.process_time()
        with connection.cursor() as cursor:
            with cursor.copy("copy bench.hits from stdin (format binary)") as copy:
                for start in range(0, len(self._data), COPY_BLOCK_BYTES):
                    copy.write(self._data[start : start + COPY_BLOCK_BYTES])
            rows = cursor.rowcount
        return (own_cpu_s(backend) + time.process_time() - before) / rows * 1e6

    def measure(self, figures: Figures) -> None:
        """And the enricher of this round over it."""
        floor_us = self.us()
        figures.add("copy_cpu_us_per_hit", floor_us)
        figures.add("enricher_vs_copy", figures.last("enricher_cpu_us_per_hit") / floor_us)


@contextlib.contextmanager
def copy_floor(stack: Stack) -> Iterator[CopyFloor]:
    """With rows that the stack has stored."""
    with stack.connect() as connection:
        connection.execute("create schema bench")
        try:
            row = connection.execute(TODAY).fetchone()
            connection.execute(
                f"create table bench.hits (like {row[0] if row else None} including all)".encode()
            )
            rows = f"copy (select * from stored_hits limit {COPY_ROWS}) to stdout (format binary)"
            with connection.cursor() as cursor, cursor.copy(rows.encode()) as copy:
                data = b"".join(copy)
            yield CopyFloor(connection, data)
        finally:
            connection.execute("drop schema bench cascade")


def xadd_us(stack: Stack) -> float:
    """Microseconds of Redis's CPU for an XADD, pipelined as `redis-benchmark -P 64` does; without its client's."""
    value = b"x" * XADD_BYTES
    with stack.redis_client() as client:
        before = stack.cpu().redis
        for _ in range(XADDS // PIPELINED):
            pipeline = client.pipeline(transaction=False)
            for _ in range(PIPELINED):
                pipeline.xadd(FLOOR_STREAM, {b"d": value})
            pipeline.execute()
        spent_s = stack.cpu().redis - before
        client.delete(FLOOR_STREAM)
    return spent_s / (XADDS // PIPELINED * PIPELINED) * 1e6
