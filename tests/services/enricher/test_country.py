"""The country of an address, from a file of either shape, which may come later or be replaced."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from services.enricher.country import LOOK_EVERY_S, Countries, country_in
from tests.make import Log

DB_IP = {"203.0.113.0/24": {"country_code": "DE"}, "2001:db8::/32": {"country_code": "FR"}}
MAXMIND = {
    "203.0.113.0/24": {"country": {"iso_code": "DE", "names": {"en": "Germany"}}},
    "2001:db8::/32": {"registered_country": {"iso_code": "FR"}},
}


def write(path: Path, networks: dict[str, Any]) -> None:
    """A country database, put in place in one step."""
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="country")
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
    code = country_in(record)
    assert code is None or (len(code.encode()) >= 2 and code.isupper())


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
