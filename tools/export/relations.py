"""What can be exported: `hits` and the reporting views, with the meaning of each column, as the database tells it."""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg

Connection = psycopg.Connection[Any]

_LIST = r"""-- export: what there is
select c.relname, obj_description(c.oid, 'pg_class'), a.attname, format_type(a.atttypid, null),
       col_description(c.oid, a.attnum)
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = 'public'::regnamespace and c.relkind = 'v'
  and (c.relname in ('hits', 'hourly_traffic') or c.relname like 'daily\_%')
  and has_table_privilege(c.oid, 'select')
order by c.relname, a.attnum
"""


class Column(NamedTuple):
    """A column; ``type`` is PostgreSQL's name of it, without a length."""

    name: str
    type: str
    meaning: str


class Relation(NamedTuple):
    """A view with a column ``day`` and a column ``site``."""

    name: str
    meaning: str
    columns: tuple[Column, ...]


def relations(connection: Connection) -> dict[str, Relation]:
    """Everything that can be exported, by name. Raises ``psycopg.Error``."""
    found: dict[str, Relation] = {}
    for name, meaning, *column in connection.execute(_LIST).fetchall():
        before = found.get(name, Relation(name, meaning or "", ()))
        column_name, type_name, column_meaning = column
        columns = (*before.columns, Column(column_name, type_name, column_meaning or ""))
        found[name] = before._replace(columns=columns)
    return found
