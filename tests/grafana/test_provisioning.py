"""The provisioned data sources and provider: names, roles, secrets, and what whoever starts Grafana sets."""

from __future__ import annotations

import re

import pytest
import yaml  # type: ignore[import-untyped]

from tests.conftest import Database
from tests.grafana.dashboards import PROVISIONING, data_sources


def test_two_data_sources_each_with_its_role() -> None:
    assert {uid: source["user"] for uid, source in data_sources().items()} == {
        "footfall": "grafana_reader",
        "footfall-explorer": "grafana_explorer",
    }


@pytest.mark.parametrize("uid", data_sources())
def test_a_data_source_is_of_a_form_that_9_4_and_the_newest_take(uid: str) -> None:
    source = data_sources()[uid]
    assert source["type"] == "postgres"
    assert source["jsonData"]["database"] == source["database"] == "$FOOTFALL_PG_DATABASE"
    assert source["url"] == "$FOOTFALL_PG_HOST"
    assert "password" not in source
    # Every other form than $NAME spoils a password that contains a $.
    assert re.fullmatch(r"\$\w+", source["secureJsonData"]["password"])


def test_exactly_one_data_source_is_the_default() -> None:
    assert [source["uid"] for source in data_sources().values() if source["isDefault"]] == ["footfall"]


def test_the_provider_reads_the_folder_beside_it_and_picks_up_changes() -> None:
    found = yaml.safe_load((PROVISIONING / "dashboards" / "footfall.yml").read_text("utf-8"))
    (provider,) = found["providers"]
    assert provider["updateIntervalSeconds"] == 10
    folder = provider["options"]["path"].replace("$GF_PATHS_PROVISIONING", str(PROVISIONING))
    assert list((PROVISIONING / folder).resolve().glob("overview.json"))


@pytest.mark.parametrize("variable", [
    "FOOTFALL_PG_HOST",
    "FOOTFALL_PG_DATABASE",
    "GF_FOOTFALL_READER_PASSWORD",
    "GF_FOOTFALL_EXPLORER_PASSWORD",
])  # fmt: skip
def test_the_variables_to_set_are_named_where_they_are_read(variable: str) -> None:
    text = (PROVISIONING / "datasources" / "footfall.yml").read_text("utf-8")
    assert f"#   {variable} " in text
    assert f"${variable}\n" in text


@pytest.mark.servers
def test_the_roles_can_log_in_and_write_nothing(database: Database) -> None:
    with database.connect() as connection:
        for source in data_sources().values():
            row = connection.execute(
                "select rolcanlogin, array_to_string(rolconfig, ' ') from pg_roles where rolname = %s",
                [source["user"]],
            ).fetchone()
            assert row
            assert row[0]
            assert "default_transaction_read_only=on" in row[1]
            assert "statement_timeout=" in row[1]
