"""Makes a database of made-up hits, with all that production would have made of them.

What differs from hits that came through the pixel: a day's hits stand in the order of their time also within a batch,
and are counted by some refreshes instead of hundreds, so that fewer rows of the rollups were written anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg

from bench.dataset import shape
from bench.dataset.day import Share, make_day, prepare, shares_of, vacuum
from bench.dataset.vocabulary import Vocabulary
from services.database import Connection, load_sql
from services.enricher.numbers import REFERRERS, TABLES
from services.migrate.__main__ import MIGRATIONS
from services.migrate.runner import migrate
from services.rollup.days import ANALYZE_HITS

WORKERS = 2  # each a connection; the cores of the machine that the figures are for
DAYS_AHEAD = 7  # as upkeep makes them
DAYS_A_VACUUM = 10  # about what autovacuum waits for: a fifth of a rollup's rows changed

FUNCTIONS = load_sql(Path(__file__).with_name("functions.sql"))
POSTS = load_sql(Path(__file__).with_name("posts.sql"))


def build(url: str, world: shape.World, folder: Path, made: Callable[[int], None]) -> None:
    """Fill the empty database at ``url``. ``made`` is told how many hits were made. Raises ``psycopg.Error``.

    ``folder``: an empty one, for what the enricher's code wants of it.
    """
    shares = shares_of(world.hits)
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        migrate(connection, MIGRATIONS)
        _drop_days(connection)
        connection.execute(FUNCTIONS)
        Vocabulary(connection, folder, shape.sites_of(world)).fill()
        connection.execute(POSTS, {"first_day": shape.FIRST_DAY})
        with ThreadPoolExecutor(WORKERS) as pool:
            # By turns, so that the days come in their order, or nearly.
            waiting = iter(shares)
            done = [pool.submit(_work, url, waiting, made) for _ in range(WORKERS)]
        for future in done:
            future.result()
        _finish(connection, shares)


def _drop_days(connection: Connection) -> None:
    """Those that the migrations made for today."""
    rows = connection.execute(
        "select inhrelid::regclass::text from pg_inherits where inhparent = 'stored_hits'::regclass"
    ).fetchall()
    for (partition,) in rows:
        connection.execute(f"drop table {partition}".encode())


def _work(url: str, waiting: Iterable[Share], made: Callable[[int], None]) -> None:
    """Make days until none is left."""
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        prepare(connection)
        for share in waiting:
            make_day(connection, share)
            made(share.hits)
            if (share.day - shape.FIRST_DAY).days % DAYS_A_VACUUM == DAYS_A_VACUUM - 1:
                vacuum(connection, "public", "rollup_%")


def _finish(connection: Connection, shares: list[Share]) -> None:
    """What is for all days together: numbers, the days to come, statistics as upkeep and autovacuum leave them."""
    _forget_unused(connection)
    connection.execute("drop schema bench cascade")
    connection.execute("select setval('hits_batch_id_seq', %s)", [shares[-1].batches[-1]])
    connection.execute(
        "select open_hits_day(%s::date + d) from generate_series(1, %s) as d", [shape.LAST_DAY, DAYS_AHEAD]
    )
    vacuum(connection, "public", "%")
    connection.execute(ANALYZE_HITS)


def _forget_unused(connection: Connection) -> None:
    """Numbers that no hit has; and which day each of the others was last used on."""
    for table in TABLES:
        number = table.number
        hits = "stored_hits join origins using (origin_id)" if table is REFERRERS else "stored_hits"
        connection.execute(
            f"create temporary table used as select {number}, max(day) as day from {hits} group by {number}"
        )
        connection.execute(
            f"delete from {table.name} t where not exists (select from pg_temp.used u where u.{number} = t.{number})"
        )
        connection.execute(
            f"update {table.name} t set used_on = u.day from pg_temp.used u"
            f" where u.{number} = t.{number} and t.used_on <> u.day"
        )
        connection.execute("drop table pg_temp.used")
        connection.execute(f"vacuum (full) {table.name}")
