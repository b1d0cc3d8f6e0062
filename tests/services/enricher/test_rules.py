"""The version of the rules rises with them."""

from __future__ import annotations

import hashlib

from services.enricher.bots import BOTS_FILE
from services.enricher.rules import VERSION
from services.enricher.sources import SOURCES_FILE

# Raise VERSION with every change of the two files, and put their digest here.
DIGESTS = {2: "77223c19174ce0452acee8454346b4f521e9715d72e28c871cb143c0e507d8ad"}


def test_a_change_of_the_rules_raises_their_version() -> None:
    digest = hashlib.sha256(SOURCES_FILE.read_bytes() + BOTS_FILE.read_bytes()).hexdigest()
    assert DIGESTS.get(VERSION) == digest
    assert max(DIGESTS) == VERSION < 32_768, "a smallint"
