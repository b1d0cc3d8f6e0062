"""`make audit`: what this installation takes, keeps and shows to whom, against docs/privacy.md, as a report to file.

Reads only. Ends with 1 when something is not as the document says. What a setting weakens is in the report, as the
document says it too, and is no failure.
"""

from __future__ import annotations

import datetime
import json
import os
import stat
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import psycopg
import redis

from services.hit_stream import STREAM, entry_time_s
from services.retention import first_kept_day
from services.sealing import SEALING_GRACE_SECONDS, KeyFiles, hour_end_s
from services.session_keys import ONE_OFF_KEY_LATEST, SESSION_KEY_LATEST, SessionKeys, one_off_key_end
from services.settings import CATALOGUE, Settings, SettingsError, load_settings
from tools.arguments import Argument, words_given
from tools.audit_catalogue import Catalogue, load_catalogue, matches
from tools.stack import NoStack, environ_of, running_urls

ARGUMENTS = (Argument("JSON", "1: the report for programs"),)
Connection = psycopg.Connection[Any]
# Keys are destroyed every 5 s, days dropped every hour: what is a little late is on its way.
LATE_S = 60
# Of PostgreSQL: with other values texts of hits (never an address) could stand in the server's log.
QUIET_LOG = {"log_statement": ("none", "ddl"), "log_min_duration_statement": ("-1",),
             "log_min_error_statement": ("fatal", "panic")}  # fmt: skip
RELATIONS = """
select c.relname, c.relkind in ('v', 'm'), array_agg(a.attname::text order by a.attnum)
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
group by c.oid order by c.relkind in ('v', 'm'), c.relname
"""
# Where nothing of ours stands, a copy of hits could.
ELSEWHERE = """
select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not in ('public', 'information_schema')
  and n.nspname !~ '^pg_' and not (n.nspname = 'hits_days' and c.relispartition)
order by 1
"""
# What each login role but the owner may do with each table or view, whoever gave it the right.
RIGHTS = """
select r.rolname, case when c.relispartition then c.oid::regclass::text else c.relname end,
       has_table_privilege(r.oid, c.oid, 'insert, update, delete, truncate')
       or has_any_column_privilege(r.oid, c.oid, 'insert, update') as writes
from pg_roles r, pg_class c
where c.relnamespace in ('public'::regnamespace, 'hits_days'::regnamespace)
  and c.relkind in ('r', 'p', 'v', 'm', 'f')
  and r.rolcanlogin and not r.rolsuper and r.oid <> c.relowner and r.rolname !~ '^pg_'
  and (has_any_column_privilege(r.oid, c.oid, 'select') or has_any_column_privilege(r.oid, c.oid, 'insert, update')
       or has_table_privilege(r.oid, c.oid, 'insert, update, delete, truncate'))
"""


class Item(NamedTuple):
    """A line of the report. ``problem`` is empty where all is as the document says."""

    section: str
    name: str
    value: str
    problem: str = ""


def versions(connection: Connection, client: Any, pixel_url: str) -> Iterator[Item]:
    """What runs."""
    with urllib.request.urlopen(f"{pixel_url}/version", timeout=5) as answer:  # noqa: S310 - our own
        yield Item("versions", "pixel", answer.read().decode().strip())
    [(server, migration)] = connection.execute(
        "select current_setting('server_version'), (select max(name) from schema_migrations)"
    ).fetchall()
    facts = client.info("server")
    yield Item("versions", "PostgreSQL", server)
    yield Item("versions", "last migration", str(migration))
    yield Item("versions", "Redis", str(facts.get("valkey_version") or facts.get("redis_version")))


def running_environ() -> tuple[str, dict[str, str]]:
    """Whose environment it is, and the environment: the running pixel's, or this shell's where that is not ours."""
    environ = environ_of("pixel")
    if environ is None:
        return "this shell (the pixel's own cannot be read)", dict(os.environ)
    return "the running pixel", environ


def settings_that_matter(catalogue: Catalogue, environ: dict[str, str]) -> Iterator[Item]:
    """Their values; secrets are said to be set, no more."""
    for setting in CATALOGUE:
        if setting.name not in catalogue["settings"]:
            continue
        given = environ.get(setting.name, "").strip()
        value = given or setting.default or "(empty)"
        if setting.secret:
            value = "(set)" if given or environ.get(f"{setting.name}_FILE") else "(not set)"
        elif value in catalogue["settings_weaker"].get(setting.name, ()):
            value += " — promises less than the default"
        yield Item("settings", setting.name, value)


def relations(connection: Connection, catalogue: Catalogue) -> Iterator[Item]:
    """Tables, views and columns of the schema against the catalogue."""
    tables, views = catalogue["tables"], catalogue["views"]
    known = {*catalogue["columns"], *views["columns"]}
    found = connection.execute(RELATIONS).fetchall()
    for name, is_view, columns in found:
        if is_view:
            strange = [] if matches(name, views["names"]) else ["the view itself"]
            strange += [column for column in columns if column not in known]
        else:
            wanted = tables.get(name, {}).get("columns", [])
            strange = sorted(set(columns) ^ set(wanted))
        problem = f"not as in the catalogue: {', '.join(strange)}" if strange else ""
        yield Item("views" if is_view else "tables", name, f"{len(columns)} columns", problem)
    for name in sorted(set(tables) - {name for name, _, _ in found}):
        yield Item("tables", name, "not there", "in the catalogue, not in the database")
    for (name,) in connection.execute(ELSEWHERE).fetchall():
        yield Item("tables", name, "outside of our schemas", "not in the catalogue")


def _more_than_works(has: Mapping[str, bool]) -> list[str]:
    """What a service's role may write that it should not."""
    return [f"writes {name}" for name in ("schema_migrations",) if has.get(name)]


def _other_than_named(
    has: Mapping[str, bool], reads: Sequence[str], writes: Sequence[str], relations: Sequence[str]
) -> list[str]:
    """What a role may do beyond reading and writing these, or may not do."""
    wanted = {name for name in relations if matches(name, (*reads, *writes))}
    written = {name for name, is_written in has.items() if is_written}
    return [
        *(f"writes {name}" for name in sorted(written - set(writes))),
        *(f"does not write {name}" for name in sorted(set(writes) - written)),
        *(f"reads {name}" for name in sorted(set(has) - wanted - written)),
        *(f"does not read {name}" for name in sorted(wanted - set(has) - set(writes))),
    ]


def roles(connection: Connection, catalogue: Catalogue) -> Iterator[Item]:
    """Who may log in, and what each may read and write."""
    rights: dict[str, dict[str, bool]] = {}
    for role, relation, writes in connection.execute(RIGHTS).fetchall():
        rights.setdefault(role, {})[relation] = writes
    relations = [name for name, _, _ in connection.execute(RELATIONS).fetchall()]
    for role in sorted({*rights, *catalogue["roles"]}):
        has = rights.get(role, {})
        known = catalogue["roles"].get(role, {"reads": ()})
        reads = f"reads {', '.join(sorted(has))}" if "reads" in known else str(known["works"])
        found = (
            _more_than_works(has)
            if "works" in known
            else _other_than_named(has, known["reads"], known.get("writes", ()), relations)
        )
        if role not in catalogue["roles"]:
            found = ["is not in the catalogue", *found]
        yield Item("roles", role, reads, "; ".join(found))
    for (name,) in connection.execute(
        "select rolname from pg_roles where rolsuper and rolcanlogin order by 1"
    ):
        yield Item("roles", name, "superuser: reads everything")


def retention(connection: Connection, settings: Settings) -> Iterator[Item]:
    """The oldest hit and dead letter against RETENTION_DAYS."""
    [(today, oldest_hit, oldest_letter, letters_late)] = connection.execute(
        "select (now() at time zone report_timezone)::date, (select min(day) from stored_hits),"
        " (select min(buried_at)::date from dead_letters where hit is not null),"
        " (select count(*) from dead_letters where hit is not null"
        "  and buried_at < now() - make_interval(days => %s, hours => 2)) from installation",
        [settings.retention_days],
    ).fetchall()
    first = first_kept_day(today, settings.retention_days)
    # A day is dropped within an hour of its end.
    late = oldest_hit is not None and oldest_hit < first - datetime.timedelta(days=1)
    problem = (
        f"older than RETENTION_DAYS allows ({first}): see day-not-proven in docs/operating.md" if late else ""
    )
    yield Item("retention", "RETENTION_DAYS", str(settings.retention_days))
    yield Item("retention", "oldest hit", str(oldest_hit or "none"), problem)
    problem = f"{letters_late} are older than RETENTION_DAYS allows" if letters_late else ""
    yield Item("retention", "oldest dead letter with a hit", str(oldest_letter or "none"), problem)


def waiting(client: Any, settings: Settings) -> Iterator[Item]:
    """What is sealed and not stored yet."""
    oldest = client.xrange(STREAM, count=1)
    age = f", the oldest since {_moment(entry_time_s(oldest[0][0].decode()))}" if oldest else ""
    yield Item("waiting", "entries on the stream", f"{client.xlen(STREAM)}{age}")
    path = settings.spool_dir / "groups"
    yield Item("waiting", "bytes in the spool", str(path.stat().st_size if path.exists() else 0))


def _moment(at_s: float) -> str:
    return datetime.datetime.fromtimestamp(at_s, datetime.UTC).isoformat(timespec="seconds")


def keys(client: Any, settings: Settings, now: datetime.datetime) -> Iterator[Item]:
    """Keys that are alive, their ages, and whether any has outlived what it is for."""
    oldest = client.xrange(STREAM, count=1)
    enriched_until_s = entry_time_s(oldest[0][0].decode()) if oldest else now.timestamp()
    for files, end_of, latest, latest_is in (
        (KeyFiles(settings.key_dir, "seal"), hour_end_s, None, ""),
        (
            KeyFiles(settings.key_dir, "session"),
            _day_end_s(settings),
            SESSION_KEY_LATEST,
            "6 h after its day",
        ),
        (KeyFiles(settings.key_dir, "import"), _made_until_s, ONE_OFF_KEY_LATEST, "6 h after its hour"),
    ):
        for path in sorted(settings.key_dir.glob(f"{files.path('*').name}")):
            name = path.stem.partition("-")[2]
            if not files.is_alive(name):
                continue
            over_s = now.timestamp() - end_of(name)
            is_enriched = enriched_until_s > end_of(name) + SEALING_GRACE_SECONDS + LATE_S
            problem = ""
            is_for_an_import = end_of is _made_until_s  # which ends when it ends, not with the hour
            is_over = is_enriched and over_s > SEALING_GRACE_SECONDS + LATE_S and not is_for_an_import
            if is_over and not files.is_held(name):
                problem = "alive although its time is over and nothing of it waits"
            if latest and over_s > latest.total_seconds() + LATE_S:
                problem = f"alive more than {latest_is}"
            state = f"over for {over_s / 3_600:.1f} h" if over_s > 0 else "in use"
            held = ", held for a spool" if files.is_held(name) else ""
            yield Item("keys", path.stem, f"made {_moment(path.stat().st_mtime)}, {state}{held}", problem)
    for path, wanted in ((settings.key_dir, 0o077), *((p, 0o077) for p in settings.key_dir.glob("*.key"))):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & wanted:
            yield Item("keys", path.name, f"mode {mode:o}", "others than its owner can get at it")


def _made_until_s(name: str) -> float:
    return one_off_key_end(name).timestamp()


def _day_end_s(settings: Settings) -> Callable[[str], float]:
    end_of = SessionKeys(settings.key_dir, settings.report_timezone).end_of
    return lambda day: end_of(day).timestamp()


def servers(connection: Connection, client: Any) -> Iterator[Item]:
    """How Redis writes, and what PostgreSQL puts into its log."""
    try:
        for name, wanted in (("appendonly", "yes"), ("appendfsync", "always")):
            value = str(client.config_get(name).get(name, "?"))
            problem = "" if value == wanted else f"not {wanted}: answered hits can be lost"
            yield Item("servers", f"Redis {name}", value, problem)
    except redis.ResponseError:
        yield Item("servers", "Redis appendfsync", "the server does not tell")
    for name, quiet in QUIET_LOG.items():
        [(value,)] = connection.execute("select current_setting(%s)", [name]).fetchall()
        problem = "" if value in quiet else "paths and titles may stand in the server's log"
        yield Item("servers", f"PostgreSQL {name}", value, problem)


def report(
    connection: Connection, client: Any, settings: Settings, environ: dict[str, str], pixel_url: str
) -> list[Item]:
    """All of it."""
    catalogue = load_catalogue()
    now = datetime.datetime.now(datetime.UTC)
    return [
        Item("report", "made at", now.isoformat(timespec="seconds")),
        *versions(connection, client, pixel_url),
        *settings_that_matter(catalogue, environ),
        *relations(connection, catalogue),
        *roles(connection, catalogue),
        *retention(connection, settings),
        *waiting(client, settings),
        *keys(client, settings, now),
        *servers(connection, client),
    ]


def text_of(items: Sequence[Item]) -> str:
    """For a person, and to be filed."""
    lines: list[str] = []
    section = ""
    for item in items:
        if item.section != section:
            section = item.section
            lines += ["", f"== {section}"]
        lines.append(f"{item.name}: {item.value}" + (f"   !! {item.problem}" if item.problem else ""))
    problems = sum(bool(item.problem) for item in items)
    last = f"audit failed: {problems} not" if problems else "audit passed: all"
    last += " as docs/privacy.md says"
    return "\n".join(["Footfall: audit of an installation", *lines, "", last])


def json_of(items: Sequence[Item]) -> str:
    """The same for programs."""
    passed = not any(item.problem for item in items)
    return json.dumps({"passed": passed, "items": [item._asdict() for item in items]}, indent=2)


def main(as_json: bool) -> int:
    """0 when all is as the document says; 1 else."""
    try:
        urls = running_urls()
        origin, environ = running_environ()
        settings = load_settings(environ)
        client = redis.Redis.from_url(urls["REDIS_URL"], socket_timeout=10)
        with psycopg.connect(urls["OWNER_DATABASE_URL"], autocommit=True, connect_timeout=5) as connection:
            connection.execute("set default_transaction_read_only = on")
            items = report(connection, client, settings, environ, urls["PIXEL_URL"])
            items.insert(1, Item("report", "settings of", origin))
    except (NoStack, SettingsError) as error:
        print(error, file=sys.stderr)
        return 1
    except (psycopg.OperationalError, redis.RedisError, OSError) as error:
        print(f"a part of the stack does not answer ({type(error).__name__}): is it well?", file=sys.stderr)
        return 1
    print(json_of(items) if as_json else text_of(items))
    return 1 if any(item.problem for item in items) else 0


if __name__ == "__main__":
    sys.exit(main(bool(words_given(ARGUMENTS))))
