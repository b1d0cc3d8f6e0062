"""A backup, taken while hits come, restores to the same rows, rights and numbers, or changes nothing at all."""

from __future__ import annotations

import datetime
import gzip
import io
import os
import random
import re
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

import tools.check
from services.database import connect
from services.enricher.store import Store
from services.migrate import age, age_keys
from services.migrate.__main__ import MIGRATIONS
from services.migrate.archive import CONTENTS, MANIFEST, BadBackup, Reader, Writer
from services.migrate.backup import CannotBackUp, back_up
from services.migrate.restore import Refused, Restored, restore
from services.migrate.runner import migrate, settle
from services.settings import Settings
from tests.conftest import Database, cloned
from tests.history import SITES, count, count_sessions, make_history, settings_of, store
from tests.make import make_hit, make_raw_hit, make_settings
from tests.services.enricher.parts import Bench
from tests.services.rollup.definition import differences, put
from tools.check import lost_groups, problems
from tools.servers import Postgres

pytestmark = pytest.mark.servers
ROOT = Path(__file__).resolve().parents[3]
TODAY = datetime.datetime.now(datetime.UTC).date()
DAYS = [TODAY - datetime.timedelta(days=number) for number in (9, 1, 0)]
KEY, RECIPIENT = age_keys.make_key()


@pytest.fixture(scope="module")
def source(postgres: Postgres, template_database: str) -> Iterator[Database]:
    """A history of open and closed days, what waits, letters, posts, and a table of the owner's own."""
    with cloned(postgres, template_database) as database:
        settings = settings_of(database.owner_url)
        hits = make_history(random.Random(3), DAYS, 60)
        store(settings, hits[:90], hits[90:])
        with database.connect() as owner:
            count_sessions(owner)
            owner.execute("select close_hits_day(%s)", [DAYS[0]])
            owner.execute(
                "insert into dead_letters (site, day, entry_id, reason, hits, size_bytes, hit)"
                " values ('blog.example', %s, '1-1', 'row', 1, 9, '{\"title\": \"a\\tb\\nc\\\\d\"}')",
                [TODAY],
            )
            owner.execute("update ledger set accepted = accepted + 1, dead_lettered = dead_lettered + 1"
                          " where (site, day) = ('blog.example', %s)", [TODAY])  # fmt: skip
            settle(owner, settings)
            owner.execute("create table hits_days.d20200101 (like stored_hits)")  # detached by hand
            owner.execute("insert into hits_days.d20200101 select * from stored_hits limit 1")
            owner.execute("create table mine (a text)")
            owner.execute("insert into mine values ('one'), ('two')")
        yield database


@pytest.fixture(scope="module")
def backup(source: Database) -> bytes:
    return backed_up(source)


@pytest.fixture
def target(database: Database) -> Database:
    """A new installation."""
    return database


def backed_up(database: Database, *recipients: age.Recipient) -> bytes:
    file = io.BytesIO()
    with database.connect() as connection:
        back_up(connection, Writer(file, recipients))
    return file.getvalue()


def put_back(database: Database, data: bytes, *identities: age.Identity, **settings: str) -> Restored:
    with database.connect() as connection:
        archive = Reader(io.BytesIO(data), identities)  # type: ignore[arg-type]
        return restore(connection, archive, make_settings(**settings), MIGRATIONS)


def rows_of(database: Database) -> dict[str, list[str]]:
    """All rows of all tables, but for when migrations were applied."""
    with database.connect() as connection:
        names = connection.execute(
            "select oid::regclass::text from pg_class where relkind = 'r' and relname <> 'schema_migrations'"
            " and relnamespace in ('public'::regnamespace, 'hits_days'::regnamespace)"
        ).fetchall()
        return {
            name: sorted(str(row) for row in connection.execute(f"select * from {name}").fetchall())
            for (name,) in names
        }


def shape_of(database: Database) -> dict[str, list[Any]]:
    """Owners, rights, comments, indexes, columns: all that is not rows."""
    questions = {
        "relations": "select oid::regclass::text, relkind::text, relowner::regrole::text,"
        " obj_description(oid, 'pg_class'),"
        " array(select unnest(relacl)::text order by 1) from pg_class where relnamespace in"
        " ('public'::regnamespace, 'hits_days'::regnamespace) and relname !~ 'mine|d20200101'",
        "columns": "select attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull,"
        " col_description(attrelid, attnum) from pg_attribute join pg_class c on c.oid = attrelid"
        " where attnum > 0 and relnamespace in ('public'::regnamespace, 'hits_days'::regnamespace)"
        " and relname !~ 'mine|d20200101'",
        "routines": "select oid::regprocedure::text, proowner::regrole::text, prosecdef, prosrc,"
        " array(select unnest(proacl)::text order by 1) from pg_proc where pronamespace = 'public'::regnamespace",
        "triggers": "select tgrelid::regclass::text, tgname, tgenabled::text from pg_trigger where not tgisinternal",
        "migrations": "select number, name, sha256 from schema_migrations",
    }
    with database.connect() as connection:
        return {name: sorted(connection.execute(sql).fetchall(), key=str) for name, sql in questions.items()}


def altered(data: bytes, name: str, change: Any) -> bytes:
    """The archive with another text in one of its documents."""
    target = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as before, tarfile.open(fileobj=target, mode="w:gz") as after:
        for member in before:
            content = before.extractfile(member).read()  # type: ignore[union-attr]
            if member.name == name:
                document = msgspec.json.decode(content)
                change(document)
                content = msgspec.json.encode(document)
            member.size = len(content)
            after.addfile(member, io.BytesIO(content))
    return target.getvalue()


# What comes back ---------------------------------------------------------------------------------------------------


def test_rows_rights_and_numbers_come_back_and_it_goes_on_counting(
    source: Database, backup: bytes, target: Database
) -> None:
    restored = put_back(target, backup)
    there, back = rows_of(source), rows_of(target)
    assert there.pop("mine") and there.pop("hits_days.d20200101")
    assert restored.strangers == ["hits_days.d20200101", "public.mine"]
    # The template's partitions may be of yesterday: a restore makes those of the coming days.
    assert {name: rows for name, rows in back.items() if rows} == {
        n: rows for n, rows in there.items() if rows
    }
    assert restored.hits == 180
    assert restored.rows == sum(map(len, there.values()))
    shape, wanted = shape_of(target), shape_of(source)
    for what, found in wanted.items():
        assert [item for item in found if item not in shape[what]] == [], what
    with target.connect() as owner:
        assert differences(owner) == {}
        assert list(problems(owner, 400)) == []
        assert owner.execute("select hits_day_is_open(%s), hits_day_is_open(%s)", [DAYS[0], TODAY]).fetchone() == (
            False, True,
        )  # fmt: skip
    goes_on_counting(target)


def goes_on_counting(target: Database) -> None:
    settings = make_settings(DATABASE_URL=target.role_url("footfall_enricher"))
    hits = [make_hit(day=day, site="new.example", host="new.example", path=f"/{day}") for day in DAYS]
    with connect(settings, "enricher") as connection:
        assert put(Store(connection), *hits) == 3
    count(make_settings(DATABASE_URL=target.role_url("footfall_rollup")))
    with target.connect("analyst") as analyst:
        assert differences(analyst) == {}
        assert analyst.execute("select count(*) from hits").fetchone() == (183,)
    with target.connect("grafana_reader") as reader, pytest.raises(psycopg.errors.InsufficientPrivilege):
        reader.execute("select * from hits")


def test_it_is_of_one_moment_while_hits_come(target: Database, empty: Database) -> None:
    settings = settings_of(target.owner_url)
    stop = threading.Event()

    def write() -> None:
        dice = random.Random(4)
        with connect(settings, "enricher") as connection:
            writer = Store(connection)
            while not stop.is_set():
                put(writer, *make_history(dice, DAYS[1:], 20))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        with target.connect() as eye:
            while eye.execute("select count(*) < 400 from stored_hits").fetchone() == (True,):
                pass
        copies = [backed_up(target) for _ in range(3)]
    finally:
        stop.set()
        thread.join(20)
    put_back(empty, copies[1])
    count(settings_of(empty.owner_url))
    with empty.connect() as owner:
        count_sessions(owner)
        assert list(problems(owner, 400)) == []
        assert owner.execute("select sum(stored) > 400 from ledger").fetchone() == (True,)


# What is refused ---------------------------------------------------------------------------------------------------


def test_a_database_that_has_hits_is_left_as_it_is(source: Database, backup: bytes) -> None:
    before = rows_of(source)
    with pytest.raises(Refused, match=r"the database is not empty .*hits: 180"):
        put_back(source, backup)
    assert rows_of(source) == before


def test_an_older_database_that_has_hits_is_not_even_migrated(backup: bytes, empty: Database) -> None:
    with empty.connect() as owner:
        migrate(owner, MIGRATIONS, newest=3)
        owner.execute(
            "insert into ledger (site, day, accepted, stored) values ('a.example', %s, 1, 1)", [TODAY]
        )
        with pytest.raises(Refused, match=r"the database is not empty \(days in the ledger: 1\)"):
            put_back(empty, backup)
        assert owner.execute("select max(number) from schema_migrations").fetchone() == (3,)


def test_what_pixels_said_to_the_new_database_stays(backup: bytes, target: Database) -> None:
    """A stack that has run for a while: its groups without hits would be missed otherwise."""
    with target.connect() as owner:
        run = owner.execute("insert into stream_groups (site, pixel_id, seq, hits, hits_before) values"
                            " ('', gen_random_uuid(), 1, 0, 0) returning pixel_id").fetchone()  # fmt: skip
        owner.execute(
            "insert into ledger_left_out values ('a.example', %s, 'excluded', 'local-host', 2)", [TODAY]
        )
    put_back(target, backup)
    with target.connect() as owner:
        assert owner.execute("select count(*) from stream_groups where pixel_id = %s", run).fetchone() == (1,)
        assert owner.execute("select hits from ledger_left_out").fetchall() == [(2,)]


def damaged(backup: bytes) -> dict[str, bytes]:
    middle = len(backup) // 2
    flipped = bytearray(backup)
    flipped[middle] ^= 64

    def later_format(document: Any) -> None:
        document["format"] = 2
        del document["tables"]

    return {
        "empty": b"",
        "no backup": b"PGDMP" * 100,
        "another tar": gzip.compress(b"\0" * 10_240),
        "cut in its beginning": backup[:100],
        "cut in the middle": backup[:middle],
        "without its last byte": backup[:-1],
        "without its end": backup[:-20],
        "a changed bit": bytes(flipped),
        "of a later format": altered(backup, MANIFEST, later_format),
    }


def altered_backups(backup: bytes) -> list[bytes]:
    """Whole files that do not say what they hold."""

    def one_less(document: Any) -> None:
        document["tables"]["public.ledger"]["rows"] -= 1

    def other_column(document: Any) -> None:
        [table] = [table for table in document["tables"] if table["name"] == "ledger"]
        table["columns"][0] = "day); drop table ledger; --"

    return [altered(backup, CONTENTS, one_less), altered(backup, MANIFEST, other_column)]


def read_whole(data: bytes) -> None:
    """As a restore does, without a database."""
    archive = Reader(io.BytesIO(data))  # type: ignore[arg-type]
    for _ in archive.parts():
        pass
    assert archive.contents.tables


def test_a_damaged_file_is_noticed(backup: bytes) -> None:
    read_whole(backup)
    for what, data in damaged(backup).items():
        with pytest.raises(BadBackup):
            read_whole(data)
            pytest.fail(what)


def test_a_damaged_file_changes_nothing(backup: bytes, target: Database) -> None:
    before, shape = rows_of(target), shape_of(target)
    for data in (backup[: len(backup) // 2], *altered_backups(backup)):
        with pytest.raises(BadBackup, match="altered"):
            put_back(target, data)
    assert rows_of(target) == before
    assert shape_of(target) == shape


def test_an_encrypted_backup_opens_with_its_key_alone(source: Database, target: Database) -> None:
    data = backed_up(source, age_keys.public_key(RECIPIENT))
    assert not re.search(rb"blog\.example|manifest", data)
    before = rows_of(target)
    with pytest.raises(BadBackup, match="is encrypted: name its KEY_FILE or PASSPHRASE_FILE"):
        put_back(target, data)
    for wrong in (*age_keys.private_keys(age_keys.make_key()[0]), "words"):
        with pytest.raises(BadBackup, match="cannot be opened: it is not for this key"):
            put_back(target, data, wrong)
    flipped = bytearray(data)
    flipped[-400] ^= 1
    for broken in (bytes(flipped), data[:-1]):
        with pytest.raises(BadBackup):
            put_back(target, broken, *age_keys.private_keys(KEY))
    assert rows_of(target) == before
    assert put_back(target, data, *age_keys.private_keys(KEY)).hits == 180


def test_a_backup_of_a_newer_version_is_refused_before_anything_is_done(
    backup: bytes, empty: Database
) -> None:
    def newer(document: Any) -> None:
        document["migrations"].append({"number": 9999, "name": "9999_later.sql", "sha256": "0"})

    known = len(list(MIGRATIONS.glob("*.sql")))
    with pytest.raises(
        BadBackup, match=f"newer Footfall.* migration 9999, .* up to {known:04}.* Run the version"
    ):
        put_back(empty, altered(backup, MANIFEST, newer))
    with empty.connect() as owner:
        assert owner.execute(
            "select count(*) from pg_class where relnamespace = 'public'::regnamespace"
        ).fetchone() == (0,)


def test_another_time_zone_is_refused(backup: bytes, target: Database) -> None:
    with pytest.raises(Refused, match="set REPORT_TIMEZONE=UTC to restore it"):
        put_back(target, backup, REPORT_TIMEZONE="Europe/Berlin")


def test_a_database_that_was_never_migrated_has_no_backup(empty: Database) -> None:
    with pytest.raises(CannotBackUp, match="never migrated"):
        backed_up(empty)


# Kills, and the command of the image -------------------------------------------------------------------------------


def command(database: Database, folder: Path, *words: str) -> subprocess.Popen[bytes]:
    """`python -m services.migrate …`, as `docker-compose run migrate` starts it."""
    ours = {"DATABASE_URL": database.owner_url, "DATA_DIR": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-m", "services.migrate", *words],
        cwd=ROOT, env={"PATH": os.environ["PATH"], **ours},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


KILLED = """
import os, sys
from tests.make import make_settings
from services.migrate.__main__ import MIGRATIONS
from services.migrate.archive import Reader
from services.migrate.restore import restore
import psycopg

def progress(table, rows):
    if table == sys.argv[2]:
        os.kill(os.getpid(), 9)

with psycopg.connect(sys.argv[1], autocommit=True) as connection:
    restore(connection, Reader(sys.stdin.buffer), make_settings(), MIGRATIONS, progress)
"""


def test_a_killed_restore_leaves_the_database_as_it_was(
    source: Database, target: Database, tmp_path: Path
) -> None:
    before = rows_of(target)
    saving = command(source, tmp_path, "backup")
    data, said = saving.communicate(timeout=60)
    assert (saving.returncode, b'"backed-up"' in said) == (0, True), said

    killed = subprocess.run(
        [sys.executable, "-c", KILLED, target.owner_url, "migrating"],
        cwd=ROOT,
        input=data,
        check=False,
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL
    assert rows_of(target) == before

    again = command(target, tmp_path, "restore")
    _, said = again.communicate(data, timeout=60)
    assert (again.returncode, b'"restored"' in said) == (0, True), said


# A stream that is there before -------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools.check, "LOOK_PAUSE_S", 0.01)


@pytest.fixture
def bench(
    tmp_path: Path, source: Database, postgres: Postgres, template_database: str, redis_url: str
) -> Iterator[Bench]:
    """An enricher on a database of its own, and a Redis that outlives it."""
    with cloned(postgres, template_database) as database:
        settings: Settings = make_settings(
            DATA_DIR=str(tmp_path), DATABASE_URL=database.owner_url, REDIS_URL=redis_url
        )
        made = Bench(settings)
        made.now = datetime.datetime.now(datetime.UTC)
        yield made
        made.close()


def raw(bench: Bench, number: int) -> list[Any]:
    now_us = int(bench.now.timestamp() * 1_000_000)
    return [make_raw_hit(received_at_us=now_us, day=str(TODAY), site=SITES[0]) for _ in range(number)]


def test_what_is_on_an_old_stream_counts_once_after_a_restore(bench: Bench, empty: Database) -> None:
    """In the backup and not acknowledged: known. Not in the backup: counted. Gone since: named."""
    in_backup, later, waiting = (bench.group(raw(bench, n), seq=s) for s, n in ((1, 2), (2, 3), (3, 4)))
    with connect(bench.settings, "enricher") as connection:
        Store(connection).write(bench.works(in_backup))
    data = backed_up(Database(*port_and_name(bench)))
    with connect(bench.settings, "enricher") as connection:
        Store(connection).write(bench.works(later))  # acknowledged, and lost with the database

    put_back(empty, data)
    bench.put(in_backup, waiting)
    restored = Bench(make_settings(
        DATA_DIR=str(bench.settings.data_dir), DATABASE_URL=empty.owner_url, REDIS_URL=bench.settings.redis_url
    ))  # fmt: skip
    restored.now = bench.now
    restored.put(restored.group(raw(restored, 5), seq=1, pixel=2))  # of a pixel that began after the restore
    restored.drain(restored.consumer())
    restored.close()
    with empty.connect() as owner:
        assert owner.execute("select accepted, stored, duplicate from ledger").fetchall() == [(11, 11, 0)]
        [lost] = lost_groups(owner, bench.redis, bench.settings.spool_dir)
        assert (lost.rows, " | 2 | 2 | 1 | " in lost.examples[0]) == (1, True)
        count(settings_of(empty.owner_url))
        count_sessions(owner)
        assert list(problems(owner, 400)) == []


def port_and_name(bench: Bench) -> tuple[int, str]:
    """Of a bench's database."""
    known = psycopg.conninfo.conninfo_to_dict(bench.settings.database_url)
    return int(known["port"]), str(known["dbname"])  # type: ignore[arg-type]
