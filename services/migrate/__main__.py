"""``python -m services.migrate``: brings the database to this version, once, and exits.

``python -m services.migrate passwords`` makes up the passwords that are not there yet (compose's first step).
"""

from __future__ import annotations

import sys
from pathlib import Path

import psycopg

from services.database import connect, make_partitions, place_of_database, wait_for
from services.key_files import make_passwords, read_password
from services.logs import make_logger
from services.migrate.runner import (
    MigrationError,
    migrate,
    set_passwords,
    set_sites,
    set_timezone,
)
from services.settings import SettingsError, load_settings

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


def main(arguments: list[str]) -> int:
    """0, or 1 with an error that says what to do."""
    log = make_logger("migrate")
    try:
        settings = load_settings()
    except SettingsError as error:
        log.error("bad-settings", problems=error.problems)
        return 1
    if arguments == ["passwords"]:
        # Readable by the servers' own users; the volume is mounted only where it is needed.
        make_passwords(settings.key_dir, mode=0o444)
        log.info("passwords-made", directory=str(settings.key_dir / "passwords"))
        return 0
    try:
        connection = wait_for(
            f"PostgreSQL at DATABASE_URL ({place_of_database(settings.database_url)})",
            lambda: connect(settings, "migrate", autocommit=True),
            (psycopg.OperationalError,),
            log,
        )
        with connection:
            applied = migrate(
                connection,
                MIGRATIONS,
                lambda name: log.warning(
                    "waiting",
                    what=f"locks for {name}",
                    what_to_do="end the long statement on hits that holds them (pg_stat_activity)",
                ),
            )
            former = set_timezone(connection, settings.report_timezone.key)
            set_sites(connection, settings.sites)
            set_passwords(connection, lambda name: read_password(settings.key_dir, name))
            make_partitions(connection)
    except MigrationError as error:
        log.error("migration-failed", problem=str(error))
        return 1
    except psycopg.errors.InsufficientPrivilege:
        log.error(
            "migration-failed",
            problem="the role of DATABASE_URL does not own the tables: name the one that does",
        )
        return 1
    if former:
        log.warning("timezone-changed", was=former, now=settings.report_timezone.key,
                    note="stored days keep the dates of the former zone until: make rebuild TIMEZONE=1")  # fmt: skip
    log.info("migrated", applied=applied)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
