"""Variables: what a reader chooses at the top of a dashboard, in the JSON of Grafana."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from grafana.panels import SQL, Json, source_of

ALL = "$__all"


class Variable(Protocol):
    """A variable, whose ``name`` stands in the SQL."""

    @property
    def name(self) -> str: ...

    def to_json(self) -> Json:
        """Grafana's classic JSON."""
        ...


@dataclass(frozen=True, slots=True)
class Query:
    """Values that SQL gives, several or all of them; ``sql`` is a file under ``SQL``.

    The SQL gives the values, one in any case, or ``__text`` to read and ``__value`` to be used. *All* puts
    '__all__' into the SQL of panels, which needs no row: `` '__all__' in ($name) or column in ($name)``.
    """

    name: str
    label: str
    description: str
    sql: str

    def to_json(self) -> Json:
        query = (SQL / self.sql).read_text(encoding="utf-8").strip()
        return {
            "type": "query",
            "name": self.name,
            "label": self.label,
            "description": self.description,
            "datasource": source_of(self.sql),
            "definition": query,
            "query": query,
            "multi": True,
            "includeAll": True,
            "allValue": "'__all__'",
            "current": {"selected": True, "text": ["All"], "value": [ALL]},
            "options": [],
            # 2: again when the range changes, on which the values of some depend.
            "refresh": 2 if "$__timeFrom()" in query else 1,
            "regex": "",
            "sort": 0,
            "hide": 0,
            "skipUrlSync": False,
        }


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few values, the first at the start; ``hidden`` only carries it to the next dashboard."""

    name: str
    label: str
    description: str
    values: tuple[tuple[str, str], ...]  # the words to read, and the value
    hidden: bool = False

    def to_json(self) -> Json:
        options = [
            {"selected": place == 0, "text": words, "value": value}
            for place, (words, value) in enumerate(self.values)
        ]
        return {
            "type": "custom",
            "name": self.name,
            "label": self.label,
            "description": self.description,
            "query": ", ".join(f"{words} : {value}" for words, value in self.values),
            "multi": False,
            "includeAll": False,
            "current": options[0],
            "options": options,
            "hide": 2 if self.hidden else 0,
            "skipUrlSync": False,
        }


SITE = Query("site", "Site", "Sites to count; setting SITES.", "variables/site.sql")
TRAFFIC = Choice(
    "traffic",
    "Traffic",
    "Whose hits to count. The owner's own are always left out.",
    (("People", "people"), ("Bots", "bots"), ("All", "all")),
)
# On dashboards over rollups, which count people: the choice is kept for the next dashboard, and changes nothing.
CARRIED_TRAFFIC = Choice(TRAFFIC.name, TRAFFIC.label, TRAFFIC.description, TRAFFIC.values, hidden=True)
