"""What stored hits take on the disk."""

from __future__ import annotations

from typing import LiteralString

from services.database import Connection
from services.enricher.numbers import TABLES

HITS: LiteralString = """-- bench: bytes of the hits, with their indexes, and of the tables of numbers
select (select sum(pg_total_relation_size(relid)) from pg_partition_tree('stored_hits') where isleaf)
     + (select sum(pg_total_relation_size(name::regclass)) from unnest(%s::text[]) as name)
"""
ROLLUPS: LiteralString = """-- bench: bytes of the rollups, with their indexes
select sum(pg_total_relation_size(oid))
from pg_class
where relnamespace = 'public'::regnamespace and relkind = 'r'
  and (relname like 'rollup\\_%' or relname = 'sessions_pending')
"""
COUNT: LiteralString = "select count(*) from stored_hits"


def hits_bytes(connection: Connection) -> float:
    """Of all stored hits, with all indexes, and of the texts that they name by number."""
    return _number(connection, HITS, [[table.name for table in TABLES]])


def rollups_bytes(connection: Connection) -> float:
    """Of all rollups, which grow with days, pages and referrers, not with hits."""
    return _number(connection, ROLLUPS, None)


def stored_hits(connection: Connection) -> float:
    """How many."""
    return _number(connection, COUNT, None)


def _number(connection: Connection, statement: LiteralString, parameters: list[list[str]] | None) -> float:
    row = connection.execute(statement, parameters).fetchone()
    return float(row[0]) if row else 0.0
