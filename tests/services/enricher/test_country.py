"""The country of an address, from a file of either shape, which may come later or be replaced."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from services.country_database import COUNTRIES, country_in
from services.enricher.country import LOOK_EVERY_S, Countries
from tests.make import Log

ROOT = Path(__file__).resolve().parents[3]

DB_IP = {"203.0.113.0/24": {"country_code": "DE"}, "2001:db8::/32": {"country_code": "FR"}}
MAXMIND = {
    "203.0.113.0/24": {"country": {"iso_code": "DE", "names": {"en": "Germany"}}},
    "2001:db8::/32": {"registered_country": {"iso_code": "FR"}},
}


def write(path: Path, networks: dict[str, Any], ip_version: int = 6, type_: str = "country") -> None:
    """A country database, put in place in one step."""
    writer = MMDBWriter(ip_version=ip_version, ipv4_compatible=ip_version == 6, database_type=type_)
    for network, record in networks.items():
        writer.insert_network(IPSet([network]), record)
    scratch = path.with_suffix(".new")
    writer.to_db_file(str(scratch))
    scratch.rename(path)


def make_countries(path: Path, log: Log | None = None) -> Countries:
    countries = Countries(path, log or Log())  # type: ignore[arg-type]
    countries.refresh(0)
    return countries


@pytest.mark.parametrize("networks", [DB_IP, MAXMIND], ids=["DB-IP", "MaxMind"])
def test_both_shapes_are_read(tmp_path: Path, networks: dict[str, Any]) -> None:
    write(tmp_path / "country.mmdb", networks)
    countries = make_countries(tmp_path / "country.mmdb")
    found = [countries.country_of(a) for a in ("203.0.113.77", "2001:db8::7", "198.51.100.1", "2001:db9::1")]
    assert found == ["DE", "FR", None, None]
    assert countries.built_at_s > 1_700_000_000


# Each block of addresses by what a database says of it; ZZ is what DB-IP writes for reserved ones.
SPECIAL = {
    "private": ("10.0.0.1", "172.16.0.1", "192.168.1.1", "fc00::1", "fd12::1"),
    "loopback": ("127.0.0.1", "::1"),
    "link-local": ("169.254.1.1", "fe80::1"),
    "carrier-grade NAT": ("100.64.0.1",),
    "unspecified": ("0.0.0.0", "::"),  # noqa: S104
    "documentation": ("192.0.2.1", "198.51.100.1", "2001:db8:ffff::1"),
    "multicast, broadcast": ("224.0.0.1", "255.255.255.255", "ff02::1"),
    "mapped private": ("::ffff:10.0.0.1", "::ffff:7f00:1"),
}
RESERVED = (
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.2.0/24 192.168.0.0/16"
    " 198.51.100.0/24 224.0.0.0/3 fc00::/7 fe80::/10 ff00::/8"
)
ZZ = {"country_code": "ZZ", "country": {"iso_code": "ZZ"}}


@pytest.mark.parametrize("reserved", [False, True], ids=["unknown", "as ZZ"])
@pytest.mark.parametrize("networks", [DB_IP, MAXMIND], ids=["DB-IP", "MaxMind"])
def test_addresses_of_nobody_have_no_country(
    tmp_path: Path, networks: dict[str, Any], reserved: bool
) -> None:
    blocks = {block: ZZ for block in RESERVED.split()} if reserved else {}
    public = {network: record for network, record in networks.items() if network != "2001:db8::/32"}
    write(tmp_path / "country.mmdb", blocks | public)
    countries = make_countries(tmp_path / "country.mmdb")
    found = {a: countries.country_of(a) for addresses in SPECIAL.values() for a in addresses}
    assert found == dict.fromkeys(found)
    assert countries.country_of("203.0.113.7") == "DE"


MAPPED = ["::ffff:203.0.113.7", "::FFFF:cb00:7107", "0:0:0:0:0:ffff:203.0.113.7"]


@pytest.mark.parametrize("networks", [DB_IP, MAXMIND], ids=["DB-IP", "MaxMind"])
@pytest.mark.parametrize("address", MAPPED)
def test_a_mapped_address_is_ipv4(tmp_path: Path, networks: dict[str, Any], address: str) -> None:
    """The real files do not know ::ffff:0:0/96."""
    write(tmp_path / "country.mmdb", networks)
    assert make_countries(tmp_path / "country.mmdb").country_of(address) == "DE"


def test_a_database_of_ipv4_alone_knows_no_ipv6(tmp_path: Path) -> None:
    write(tmp_path / "country.mmdb", {"203.0.113.0/24": {"country_code": "DE"}}, ip_version=4)
    countries = make_countries(tmp_path / "country.mmdb")
    addresses = ["203.0.113.7", "::ffff:203.0.113.7", "2001:db8::7", "::1", "198.51.100.1"]
    assert [countries.country_of(a) for a in addresses] == ["DE", "DE", None, None, None]


@given(
    address=st.ip_addresses().map(str)
    | st.ip_addresses(v=4).map(lambda a: f"::ffff:{a}")
    | st.text(max_size=45)
    | st.text("0123456789abcdef:.%", max_size=45)
)
def test_any_text_has_a_country_or_none(two_databases: list[Countries], address: str) -> None:
    for countries in two_databases:
        assert countries.country_of(address) in {None, "DE", "FR"}


@pytest.fixture(scope="module")
def two_databases(tmp_path_factory: pytest.TempPathFactory) -> list[Countries]:
    folder = tmp_path_factory.mktemp("countries")
    write(folder / "both.mmdb", MAXMIND)
    write(folder / "ipv4.mmdb", {"0.0.0.0/1": {"country_code": "DE"}}, ip_version=4)
    return [make_countries(folder / name) for name in ("both.mmdb", "ipv4.mmdb")]


@pytest.mark.parametrize("address", ["", "nobody", "203.0.113", "203.0.113.7:80", "::ffff:203.0.113.7%1"])
def test_what_is_no_address_has_no_country(tmp_path: Path, address: str) -> None:
    write(tmp_path / "country.mmdb", DB_IP)
    assert make_countries(tmp_path / "country.mmdb").country_of(address) is None


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ({"country_code": "de"}, "DE"),
        ({"country": {"iso_code": "GB"}}, "GB"),
        ({"country": {"names": {}}, "registered_country": {"iso_code": "US"}}, "US"),
        ({"country_code": ""}, None),
        ({"country_code": "DEU"}, None),
        ({"country_code": "1A"}, None),
        ({"country_code": "XK"}, "XK"),
        ({"country_code": "ZZ"}, None),
        ({"country_code": "eu"}, None),
        ({"country_code": "ſs"}, None),  # a letter that is SS in capitals, which is South Sudan
        ({"country": {"iso_code": "AP"}}, None),
        ({"country": {"iso_code": "XX"}}, None),
        ({"registered_country": {"iso_code": "T1"}}, None),
        ({"country": {"iso_code": None}}, None),
        ({"country": {"iso_code": ["DE"]}}, None),
        ({"country_code": 7}, None),
        ({"country": "DE"}, None),
        ({}, None),
        (None, None),
        ("DE", None),
    ],
)
def test_a_record_has_two_letters_or_none(record: Any, code: str | None) -> None:
    assert country_in(record) == code


@given(
    record=st.recursive(
        st.none() | st.text(max_size=3) | st.integers(),
        lambda inner: (
            st.dictionaries(st.sampled_from(["country_code", "country", "iso_code"]), inner) | st.lists(inner)
        ),
    )
)
def test_any_record_is_a_country_or_none(record: Any) -> None:
    assert country_in(record) in COUNTRIES | {None}


@given(
    record=st.recursive(
        st.booleans() | st.text(max_size=5) | st.integers(0, 2**64 - 1) | st.floats(allow_nan=False),
        lambda inner: st.dictionaries(st.text(max_size=5), inner, max_size=3) | st.lists(inner, max_size=3),
        max_leaves=5,
    ),
    name=st.sampled_from(["country_code", "country", "registered_country", "other"]),
)
def test_any_record_in_a_file_is_read_without_an_error(
    tmp_path_factory: pytest.TempPathFactory, record: Any, name: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.mmdb"
    write(path, {"203.0.113.0/24": {name: record}})
    assert make_countries(path).country_of("203.0.113.7") in COUNTRIES | {None}


def test_countries_are_those_that_have_a_name() -> None:
    migration = (ROOT / "migrations/0002_countries.sql").read_text()
    assert set(re.findall(r"^    \('([A-Z]{2})', '[A-Z]{3}', '", migration, re.MULTILINE)) == COUNTRIES


def test_a_missing_file_is_said_once_and_taken_up_when_it_appears(tmp_path: Path) -> None:
    path, log = tmp_path / "country.mmdb", Log()
    countries = make_countries(path, log)
    for minute in range(1, 5):
        countries.refresh(minute * LOOK_EVERY_S)
    assert log.actions == ["no-country-database"]
    said = json.loads(log.lines[0])
    assert (said["setting"], said["path"]) == ("COUNTRY_DATABASE", str(path))
    assert (countries.country_of("203.0.113.77"), countries.built_at_s) == (None, 0)
    write(path, DB_IP)
    countries.refresh(4 * LOOK_EVERY_S + 1)
    assert countries.country_of("203.0.113.77") is None, "it looks once a minute"
    countries.refresh(5 * LOOK_EVERY_S)
    assert countries.country_of("203.0.113.77") == "DE"
    assert log.actions[1:] == ["country-database"]


def test_a_new_file_is_taken_up_and_the_same_one_left_alone(tmp_path: Path) -> None:
    path, log = tmp_path / "country.mmdb", Log()
    write(path, DB_IP)
    countries = make_countries(path, log)
    countries.refresh(LOOK_EVERY_S)
    assert log.actions == ["country-database"]
    write(path, {"203.0.113.0/24": {"country_code": "CH"}})
    countries.refresh(2 * LOOK_EVERY_S)
    assert countries.country_of("203.0.113.77") == "CH"


@pytest.mark.parametrize(
    "content",
    [b"", b"nonsense", b"\0" * 100_000, b"\xab\xcd\xefMaxMind.com", b"cut"],
    ids=lambda c: repr(c[:8]),
)
def test_a_broken_file_is_said_and_the_former_one_used(tmp_path: Path, content: bytes) -> None:
    path, log = tmp_path / "country.mmdb", Log()
    write(path, DB_IP)
    if content == b"cut":
        content = path.read_bytes()[:200]
    countries = make_countries(path, log)
    scratch = tmp_path / "new"
    scratch.write_bytes(content)
    os.replace(scratch, path)
    countries.refresh(LOOK_EVERY_S)
    assert countries.country_of("203.0.113.77") == "DE"
    assert log.actions == ["country-database", "no-country-database"]
    assert json.loads(log.lines[1])["problem"] == "the former one is used"
    assert make_countries(path).country_of("203.0.113.77") is None


def test_a_file_that_is_gone_leaves_the_former_one(tmp_path: Path) -> None:
    path, log = tmp_path / "country.mmdb", Log()
    write(path, DB_IP)
    countries = make_countries(path, log)
    path.unlink()
    countries.refresh(LOOK_EVERY_S)
    assert countries.country_of("203.0.113.77") == "DE"


def test_a_damaged_file_gives_countries_or_none(tmp_path: Path) -> None:
    """Bytes changed anywhere: no look-up raises, whatever it finds."""
    path, chance = tmp_path / "country.mmdb", random.Random(7)
    networks = {f"{n}.0.0.0/8": {"country": {"iso_code": "DE", "names": {"en": "x"}}} for n in range(1, 99)}
    write(path, networks)
    whole = path.read_bytes()
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(chance.choice([1, 10, 100])):
            content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content[: chance.randrange(len(content))] if chance.random() < 0.2 else content)
        countries = make_countries(path)
        assert {countries.country_of(f"{n}.1.2.3") for n in range(99)} <= COUNTRIES | {None}


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "then truncated"])
def test_a_file_may_be_written_over_in_place_while_it_is_in_use(tmp_path: Path, whole: bool) -> None:
    """As `cp` does: it empties the file first, which a process that has mapped it does not survive."""
    path, log = tmp_path / "country.mmdb", Log()
    write(path, DB_IP)
    write(tmp_path / "other.mmdb", {"203.0.113.0/24": {"country_code": "CH"}})
    countries = make_countries(path, log)
    with path.open("wb") as file:  # emptied
        assert countries.country_of("203.0.113.7") == "DE"
        content = (tmp_path / "other.mmdb").read_bytes()
        file.write(content if whole else content[: len(content) // 2])
        file.flush()
        assert countries.country_of("203.0.113.7") == "DE"
    for minute in range(1, 4):
        countries.refresh(minute * LOOK_EVERY_S)
    assert countries.country_of("203.0.113.7") == ("CH" if whole else "DE")
    assert log.actions[1:] == ["country-database" if whole else "no-country-database"], "said once"


def test_look_ups_go_on_while_files_come_and_go(tmp_path: Path) -> None:
    """A writer in a process of its own renames, writes over in place, truncates and removes."""
    path, log = tmp_path / "country.mmdb", Log()
    write(tmp_path / "one.mmdb", DB_IP)
    write(tmp_path / "two.mmdb", MAXMIND)
    write(path, DB_IP)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)])
    countries = make_countries(path, log)
    found, looks = set(), 0
    while writer.poll() is None or not looks:
        looks += 1
        countries.refresh(looks * LOOK_EVERY_S)
        found |= {countries.country_of(a) for a in ("203.0.113.7", "2001:db8::7", "::ffff:203.0.113.7")}
    assert (writer.wait(), found) == (0, {"DE", "FR"})
    assert set(log.actions) <= {"country-database", "no-country-database"}
    countries.refresh((looks + 1) * LOOK_EVERY_S)
    assert json.loads(log.lines[-1])["action"] == "country-database", "the last one is whole"


WRITER = """
import os, pathlib, random, shutil, sys
folder = pathlib.Path(sys.argv[1])
path, new = folder / "country.mmdb", folder / "new"
for turn in range(2_000):
    source = folder / ("one.mmdb" if turn % 2 else "two.mmdb")
    how = random.choice(["rename", "over", "cut", "gone"])
    if how == "rename":
        shutil.copy(source, new)
        os.replace(new, path)
    elif how == "over":
        shutil.copyfile(source, path)
    elif how == "cut":
        path.write_bytes(source.read_bytes()[:300])
    else:
        path.unlink(missing_ok=True)
shutil.copy(folder / "one.mmdb", new)
os.utime(new, (1, 1))
os.replace(new, path)
"""


def test_the_type_of_a_database_is_told(tmp_path: Path) -> None:
    path, log = tmp_path / "country.mmdb", Log()
    assert make_countries(path).type == ""
    write(path, MAXMIND, type_="GeoLite2-Country")
    assert make_countries(path, log).type == "GeoLite2-Country"
    assert json.loads(log.lines[0])["type"] == "GeoLite2-Country"
