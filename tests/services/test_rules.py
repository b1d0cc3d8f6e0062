"""The version of the rules rises with them."""

from __future__ import annotations

import hashlib
from importlib.metadata import version

from services.enricher.bots import BOTS_FILE
from services.enricher.sources import SOURCES_FILE
from services.rules import VERSION

# Raise VERSION with every change of the two files and of the packaged list, and put the digest here.
DIGESTS = {2: "378598f4b138eeec73a050170178c17f1af704d013525e98dbe075c11a374a55"}


def test_a_change_of_the_rules_raises_their_version() -> None:
    packaged = version("crawler-user-agents").encode()
    digest = hashlib.sha256(SOURCES_FILE.read_bytes() + BOTS_FILE.read_bytes() + packaged).hexdigest()
    assert DIGESTS.get(VERSION) == digest, digest
    assert max(DIGESTS) == VERSION < 32_768, "a smallint"
