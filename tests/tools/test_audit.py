"""docs/privacy.md says what code and schema do: whatever is taken, kept, read or set is in the catalogue, by name."""

from __future__ import annotations

import ast
import datetime
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from services.hit import Hit, RawHit
from services.sealing import KeyFiles, KeyHolds, hour_name
from services.session_keys import OneOffKeys
from services.settings import CATALOGUE as SETTINGS
from services.settings import Settings
from tests.conftest import Database
from tests.make import make_settings
from tools import audit
from tools.audit import Item
from tools.audit_catalogue import DOCUMENT, NoBlock, filled, load_catalogue, tables_of_document

ROOT = Path(__file__).resolve().parents[2]
PIXEL = sorted((ROOT / "services/pixel").glob("*.py"))
CATALOGUE = load_catalogue()
TRACKER = re.sub(r"(^|\s)//.*", "", (ROOT / "services/pixel/tracker.js").read_text())


# The code ---------------------------------------------------------------------------------------------------------


def calls_in(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


def is_called(node: ast.AST, name: str) -> bool:
    """Whether an expression is a variable or attribute of this name."""
    return getattr(node, "id", getattr(node, "attr", None)) == name


def texts(nodes: list[ast.expr]) -> list[str]:
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def parameters_read(path: Path) -> set[str]:
    """Names that are looked up in ``parameters``, or handed on with it."""
    found: set[str] = set()
    for call in calls_in(path):
        if isinstance(call.func, ast.Attribute) and is_called(call.func.value, "parameters"):
            found.update(texts(call.args[:1]))
        elif any(is_called(argument, "parameters") for argument in call.args):
            found.update(texts(call.args))
    return found


def headers_read(path: Path) -> tuple[set[str], int]:
    """Names that are looked up in a request's ``headers``, and how many look-ups have no name of their own."""
    names: set[str] = set()
    others = 0
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.Subscript)
            and isinstance(node.ctx, ast.Load)
            and is_called(node.value, "headers")
        ):
            found = texts([node.slice])
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and is_called(node.func.value, "headers")
            and node.func.attr in ("get", "getall", "getone", "pop")
        ):
            found = texts(node.args[:1])
        else:
            continue
        names.update(found)
        others += not found
    return names, others


def test_every_parameter_of_the_pixel_is_in_the_catalogue() -> None:
    read = {path.name: found for path in PIXEL if (found := parameters_read(path))}
    assert set().union(*read.values()) == set(CATALOGUE["parameters"])
    assert set(read) == {"collect.py", "values.py"}, "parameters are read in one place"


def test_every_header_that_is_read_is_in_the_catalogue() -> None:
    read = [headers_read(path) for path in PIXEL]
    named = {name for header, entry in CATALOGUE["headers"].items() for name in entry.get("names", [header])}
    assert set().union(*(names for names, _ in read)) | {"CLIENT_ADDRESS_HEADER"} == named
    assert sum(others for _, others in read) == 1, "CLIENT_ADDRESS_HEADER is the one that a setting names"


def test_a_header_that_is_not_in_the_catalogue_would_be_found(tmp_path: Path) -> None:
    path = tmp_path / "reader.py"
    path.write_text("request.headers.get('X-A'); headers['X-B']; headers.getall(name); parameters.get('c')")
    assert headers_read(path) == ({"X-A", "X-B"}, 1)
    assert parameters_read(path) == {"c"}


def test_every_field_of_a_raw_hit_is_in_the_catalogue_and_comes_from_something() -> None:
    fields = RawHit.__struct_fields__
    assert tuple(CATALOGUE["raw_hit"]) == fields
    taken = [*CATALOGUE["parameters"].values(), *CATALOGUE["headers"].values()]
    assert {name for entry in taken for name in entry["becomes"]} == set(fields) - {
        "received_at_us",
        "day",
        "given",
    }


def test_every_field_of_a_hit_is_a_column_of_the_catalogue() -> None:
    names = {name.removesuffix("_us") for name in Hit.__struct_fields__}
    assert names <= set(CATALOGUE["columns"])


def test_every_column_of_the_catalogue_stands_in_a_table_and_says_of_whom() -> None:
    used = {column for table in CATALOGUE["tables"].values() for column in table["columns"]}
    assert used == set(CATALOGUE["columns"])
    assert {person for person, _ in CATALOGUE["columns"].values()} == {"no", "visit", "text", "pseudonym"}


def test_what_is_stored_on_a_device_is_in_the_catalogue() -> None:
    source = "\n".join(path.read_text() for path in PIXEL)
    cookies = set(re.findall(r'cookie = f?"(\w+)=', source))
    assert source.count("Set-Cookie") == len(cookies) == 1
    stored = set(re.findall(r"localStorage\.(\w+)", TRACKER))
    shown = set(re.findall(r'localStorage\.\w+\("(\w+)"', (ROOT / "docs/tag.md").read_text()))
    assert stored == shown
    names = {re.sub(r"^.*`(?:localStorage\.)?(\w+)`$", r"\1", item["name"]) for item in CATALOGUE["device"]}
    assert names == cookies | stored
    assert not re.search(r"document\.cookie|sessionStorage|indexedDB|caches\b|setItem|serviceWorker", TRACKER)


def test_what_the_tracker_reads_is_in_the_catalogue() -> None:
    things = r"document|navigator|performance|location|screen|history|localStorage|target|screenX|window|self"
    read = set(re.findall(rf"(?<![\w.$/])(?:{things})\b(?:\.\w+)?", TRACKER))
    read -= {"self.footfall", "target", "history"}  # our own function; what happens in the page
    known = set(CATALOGUE["script"])
    assert {name for name in read if name not in known and name.partition(".")[0] not in known} == set()
    assert {name for name in known if name not in TRACKER} == set(), "and no more"


def test_every_setting_is_told_for_what_it_changes_or_as_changing_nothing() -> None:
    told, other = set(CATALOGUE["settings"]), set(CATALOGUE["settings_other"]["names"])
    assert not told & other
    assert told | other == {setting.name for setting in SETTINGS}
    assert set(CATALOGUE["settings_weaker"]) <= told
    for setting in SETTINGS:
        for value in CATALOGUE["settings_weaker"].get(setting.name, ()):
            setting.parse(value)
            assert value != setting.default


# The document -----------------------------------------------------------------------------------------------------


def test_the_document_is_current() -> None:
    text = DOCUMENT.read_text()
    assert filled(text, tables_of_document(CATALOGUE)) == text, "run `make generated`"


def test_a_table_without_a_place_is_noticed() -> None:
    with pytest.raises(NoBlock, match="roles"):
        filled("no marks", {"roles": ""})


def test_no_cell_breaks_a_table() -> None:
    for name, table in tables_of_document(CATALOGUE).items():
        assert len({line.count("|") for line in table.splitlines()}) == 1, name


# The schema -------------------------------------------------------------------------------------------------------


def problems(items: Iterator[Item]) -> dict[str, str]:
    return {item.name: item.problem for item in items if item.problem}


@pytest.fixture
def owner(database: Database) -> Iterator[psycopg.Connection[Any]]:
    with database.connect() as connection:
        yield connection


@pytest.mark.servers
def test_the_schema_is_the_catalogue_s_and_what_differs_is_named(owner: psycopg.Connection[Any]) -> None:
    assert problems(audit.relations(owner, CATALOGUE)) == {}
    assert problems(audit.roles(owner, CATALOGUE)) == {}
    owner.execute("alter table clients add column address inet")
    owner.execute("create view people as select hit_id as ip from hits")
    owner.execute("create table visitors (day date)")
    owner.execute("create schema copies create table hits_of_yesterday (day date)")
    owner.execute("alter table lone_attempts drop column attempts")
    owner.execute("grant select on stored_hits to analyst")
    [(day,)] = owner.execute(
        "select min(oid::regclass::text) from pg_class where relispartition and relkind = 'r'"
    ).fetchall()
    owner.execute(f"grant select on {day} to analyst")
    owner.execute("grant update (title) on titles to grafana_reader")
    owner.execute("revoke select on jobs from grafana_explorer")
    owner.execute("grant update on schema_migrations, posts to footfall_enricher")
    owner.execute("revoke insert, update on late_hits from footfall_enricher")
    assert problems(audit.relations(owner, CATALOGUE)) == {
        "clients": "not as in the catalogue: address",
        "copies.hits_of_yesterday": "not in the catalogue",
        "lone_attempts": "not as in the catalogue: attempts",
        "people": "not as in the catalogue: the view itself, ip",
        "visitors": "not as in the catalogue: day",
    }
    assert problems(audit.roles(owner, CATALOGUE)) == {
        "analyst": f"reads {day}; reads stored_hits",
        "footfall_enricher": "writes posts; writes schema_migrations; does not write late_hits",
        "grafana_explorer": "does not read jobs",
        "grafana_reader": "writes titles",
    }


@pytest.mark.servers
def test_a_table_that_is_gone_is_named(owner: psycopg.Connection[Any]) -> None:
    owner.execute("drop table lone_attempts")
    assert problems(audit.relations(owner, CATALOGUE)) == {
        "lone_attempts": "in the catalogue, not in the database"
    }


@pytest.mark.servers
def test_a_hit_that_is_too_old_is_named(owner: psycopg.Connection[Any]) -> None:
    settings = make_settings(RETENTION_DAYS="30")
    assert problems(audit.retention(owner, settings)) == {}
    owner.execute("select open_hits_day((now() at time zone 'UTC')::date - 40)")
    owner.execute(
        "insert into stored_hits select gen_random_uuid(), null, now(), (now() at time zone 'UTC')::date - 40,"
        " 1, 1, 1, 0, 1, 1, 0, false, false"
    )
    owner.execute(
        "insert into dead_letters (site, day, entry_id, reason, hits, size_bytes, hit, buried_at)"
        " values ('', '2020-01-01', '1-1', 'url', 1, 1, '{}', now() - interval '31 days')"
    )
    assert set(problems(audit.retention(owner, settings))) == {"oldest hit", "oldest dead letter with a hit"}
    assert problems(audit.retention(owner, make_settings(RETENTION_DAYS="41"))) == {}


# As the document says of erasure.
@pytest.mark.servers
def test_a_name_in_a_text_can_be_overwritten_where_it_stands_once(owner: psycopg.Connection[Any]) -> None:
    owner.execute("insert into sites (site, used_on) values ('blog.example', current_date)")
    owner.execute(
        "insert into pages (site_id, host, path, used_on) values (1, 'blog.example', '/jane-doe', current_date)"
    )
    owner.execute("insert into rollup_pages values (current_date, 1, 1, 5, 3)")
    owner.execute("update pages set path = '/removed-1' where path = '/jane-doe'")
    assert owner.execute("select path, pageviews from daily_pages").fetchall() == [("/removed-1", 5)]
    [(is_current,)] = owner.execute("select key = row_key(site_id::text, host, path) from pages").fetchall()
    assert is_current


# Keys and servers -------------------------------------------------------------------------------------------------

NOW = datetime.datetime.now(datetime.UTC)


def keys_settings(folder: Path) -> Settings:
    return make_settings(DATA_DIR=str(folder))


def hour_ago(hours: float) -> str:
    return hour_name(NOW.timestamp() - hours * 3_600)


@pytest.mark.servers
def test_a_key_that_outlives_its_time_is_named(tmp_path: Path, redis_url: str) -> None:
    settings = keys_settings(tmp_path)
    client = redis.Redis.from_url(redis_url)
    seals, sessions = KeyFiles(settings.key_dir, "seal"), KeyFiles(settings.key_dir, "session")
    for hours in (0, 3, 5, 9):
        seals.get_or_make(hour_ago(hours))
    seals.destroy(hour_ago(9))
    KeyHolds(settings.key_dir, "pixel").hold({hour_ago(5)}, ())
    sessions.get_or_make(NOW.date().isoformat())
    sessions.get_or_make((NOW.date() - datetime.timedelta(days=3)).isoformat())
    imports = OneOffKeys(settings.key_dir)
    young, old = (imports.make(NOW - datetime.timedelta(hours=hours)) for hours in (3, 9))
    items = list(audit.keys(client, settings, NOW))
    assert len(items) == 7, "those that are destroyed are none"
    assert imports.is_alive(young)
    assert problems(iter(items)) == {
        f"import-{old}": "alive more than 6 h after its hour",
        f"seal-{hour_ago(3)}": "alive although its time is over and nothing of it waits",
        f"session-{NOW.date() - datetime.timedelta(days=3)}": "alive more than 6 h after its day",
    }
    client.xadd("footfall:hits", {"g": b"x"}, id=f"{int((NOW.timestamp() - 4 * 3_600) * 1_000)}-1")
    assert set(problems(audit.keys(client, settings, NOW))) == {
        f"session-{NOW.date() - datetime.timedelta(days=3)}",
        f"import-{old}",
    }, "while entries of its hour wait, a key is needed"


@pytest.mark.servers
def test_a_key_that_others_can_read_is_named(tmp_path: Path, redis_url: str) -> None:
    settings = keys_settings(tmp_path)
    files = KeyFiles(settings.key_dir, "seal")
    files.get_or_make(hour_ago(0))
    files.path(hour_ago(0)).chmod(0o644)
    found = problems(audit.keys(redis.Redis.from_url(redis_url), settings, NOW))
    assert found == {f"seal-{hour_ago(0)}.key": "others than its owner can get at it"}


@pytest.mark.servers
def test_servers_that_promise_less_are_named(owner: psycopg.Connection[Any], redis_url: str) -> None:
    owner.execute("set log_statement = 'all'")
    owner.execute("set log_min_error_statement = 'panic'")
    found = problems(audit.servers(owner, redis.Redis.from_url(redis_url)))
    assert set(found) == {"Redis appendfsync", "PostgreSQL log_statement"}, (
        "the tests' Redis writes every second"
    )


def test_settings_are_shown_and_secrets_are_not() -> None:
    environ = {"PRIVACY_SIGNALS": "ignore", "MAXMIND_LICENSE_KEY": "secret"}
    shown = {item.name: item.value for item in audit.settings_that_matter(CATALOGUE, environ)}
    assert shown["PRIVACY_SIGNALS"] == "ignore — promises less than the default"
    assert shown["MAXMIND_LICENSE_KEY"] == "(set)"
    assert shown["RETENTION_DAYS"] == "400"
