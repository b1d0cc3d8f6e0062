"""The committed dashboards and data sources, as Grafana reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from grafana.build import FOLDER

Json = dict[str, Any]

PROVISIONING = FOLDER.parent / "provisioning"


def load_dashboards(folder: Path = FOLDER) -> dict[str, Json]:
    """Each dashboard by the name of its file."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}


def panels_with_data(dashboard: Json) -> list[Json]:
    return [panel for panel in dashboard["panels"] if "targets" in panel]


def data_sources() -> dict[str, Json]:
    """The provisioned data sources by uid."""
    found = yaml.safe_load((PROVISIONING / "datasources" / "footfall.yml").read_text("utf-8"))
    return {source["uid"]: source for source in found["datasources"]}


def role_of(datasource: Json) -> str:
    """The PostgreSQL role that a panel's or a variable's query runs as."""
    return str(data_sources()[datasource["uid"]]["user"])


def overridden_fields(panel: Json) -> dict[str, Json]:
    """The properties of each column that the panel says something about."""
    return {
        override["matcher"]["options"]: {p["id"]: p["value"] for p in override["properties"]}
        for override in panel["fieldConfig"]["overrides"]
    }


def _values(node: Any, key: str) -> Iterator[Any]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from _values(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from _values(value, key)


def values_of(node: Any, key: str) -> list[Any]:
    """Every value that stands under ``key``, however deep."""
    return list(_values(node, key))


def referred_fields(panel: Json) -> set[str]:
    """Every column that the panel's options, overrides and links need."""
    named = set(overridden_fields(panel))
    named |= set(re.findall(r"__data\.fields\.(\w+)", json.dumps(panel)))
    for key in ("idField", "lookup", "field"):
        named |= set(values_of(panel["options"], key))
    return named
