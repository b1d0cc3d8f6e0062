"""The nested table of sources, as the dashboard `overview` asks it, read back into sources and their pages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tools.report.shape import LedPage, OtherSources, Source

# Of a row that is no page, see the SQL.
NO_PAGE = "All"
MARK = "↳ "


def sources_of(rows: Sequence[dict[str, Any]]) -> tuple[tuple[Source, ...], OtherSources]:
    """Each source's own row stands over those of its pages; the last may be of all other sources."""
    others = OtherSources()
    groups: list[list[dict[str, Any]]] = []
    for row in rows:
        found = re.fullmatch(r"\+ (\d+) other sources", row["label"])
        if found and row["source"] == NO_PAGE:
            others = OtherSources(int(found[1]), int(row["pageviews"]))
        elif groups and groups[-1][0]["source"] == row["source"]:
            groups[-1].append(row)
        else:
            groups.append([row])
    return tuple(_source(group) for group in groups), others


def _source(group: list[dict[str, Any]]) -> Source:
    head, *rest = group
    pages = tuple(
        LedPage(row["page"], row["label"].removeprefix(MARK), row["referrer"], int(row["pageviews"]))
        for row in rest
        if row["page"] != NO_PAGE
    )
    other = sum(int(row["pageviews"]) for row in rest if row["page"] == NO_PAGE)
    if not pages:
        other = int(head["pageviews"])
    return Source(head["source"], int(head["pageviews"]), pages, other)
