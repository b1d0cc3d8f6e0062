"""Whether the demo may write into the stack that runs: its hits cannot be told from real ones later."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Sequence

import psycopg

from services.settings import Settings
from services.sites import Sites

OTHER_SITES = "select site from sites where site <> all(%s) order by site limit 6"
REMOVAL = "Demo hits cannot be told from others: to be rid of them, stop the stack and start it with a new DATA_DIR."


class Refused(Exception):
    """The demo does not run here; the text says what to do."""


def check_settings(settings: Settings, hosts: Sequence[str], days: int) -> None:
    """Raises ``Refused`` where the settings keep the demo's hits out, or its keys from the services."""
    known = Sites(settings.sites)
    out = [host for host in hosts if known.site_of(host) != host]
    if out:
        raise Refused(f"SITES does not admit {', '.join(out)}: add them, or use a stack with SITES=*")
    excluded = [h for h in hosts if any(fnmatch.fnmatchcase(h, p) for p in settings.excluded_hosts)]
    if excluded:
        raise Refused(f"EXCLUDED_HOSTS leaves out {', '.join(excluded)}")
    if days > settings.retention_days:
        raise Refused(f"DAYS={days} is more than RETENTION_DAYS keeps ({settings.retention_days})")
    if settings.key_dir.exists() and settings.key_dir.stat().st_uid != os.geteuid():
        raise Refused(f"KEY_DIR {settings.key_dir} belongs to another user: run this as who runs the stack")


def check_database(url: str, hosts: Sequence[str], *, force: bool) -> None:
    """Raises ``Refused`` where there are hits of other sites, unless forced; and ``psycopg.Error``."""
    if force:
        return
    with psycopg.connect(url, connect_timeout=5) as connection:
        others = [row[0] for row in connection.execute(OTHER_SITES, [list(hosts)]).fetchall() if row[0]]
    if others:
        raise Refused(
            f"the database holds hits of other sites ({', '.join(others[:5])}{', …' if len(others) > 5 else ''}). "
            "Demo hits cannot be told from real ones later: use another DATA_DIR, or FORCE=1"
        )
