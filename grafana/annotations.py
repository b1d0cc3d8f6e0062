"""Annotations: what happened, drawn on the curves. Each is a question to a table, as a panel is."""

from __future__ import annotations

from dataclasses import dataclass

from grafana.panels import Json, make_target, source_of


@dataclass(frozen=True, slots=True)
class Annotation:
    """Marks of one colour that a reader can switch off by ``name``.

    The SQL gives ``time``, ``text``, ``tags`` and, for a span, ``timeend``.
    """

    name: str
    sql: str
    colour: str
    enabled: bool = True

    def to_json(self) -> Json:
        """Grafana's classic JSON."""
        return {
            "name": self.name,
            "datasource": source_of(self.sql),
            "enable": self.enabled,
            "hide": False,
            "iconColor": self.colour,
            "target": {**make_target(self.sql), "refId": "Anno"},
        }


POSTS = Annotation("Posts", "annotations/posts.sql", "purple")
NOTES = Annotation("Notes and deploys", "annotations/notes.sql", "#8e8e8e")
GAPS = Annotation("No pixel could take hits", "annotations/gaps.sql", "red")
LATE = Annotation("Hits came late", "annotations/late.sql", "orange", enabled=False)
