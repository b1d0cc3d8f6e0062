"""``python -m services.migrate``: brings the database to this version, once, and exits.

``python -m services.migrate passwords`` makes up the passwords that are not there yet, and hands each container its
own (compose's first step); ``… password analyst`` prints one.

``python -m services.migrate backup`` writes the database to standard output, ``… restore`` reads it from standard
input: docs/backup.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

import psycopg

from services.database import connect, place_of_database, wait_for
from services.key_files import PASSWORDS, make_passwords, read_password, share_passwords
from services.logs import make_logger
from services.migrate.backup_command import backup, restore
from services.migrate.runner import MigrationError, migrate, settle
from services.settings import Settings, SettingsError, load_settings

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


def show_password(settings: Settings, names: list[str]) -> int:
    """Print a made-up password; 0, or 1 where there is none of that name."""
    known = names[0] if len(names) == 1 and names[0] in PASSWORDS else ""
    password = read_password(settings.key_dir, known) if known else ""
    print(password or f"name one of: {', '.join(PASSWORDS)}", file=sys.stdout if password else sys.stderr)
    return 0 if password else 1


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
        share_passwords(settings.key_dir)
        log.info("passwords-made", directory=str(settings.key_dir / "passwords"))
        return 0
    if arguments[:1] == ["password"]:
        return show_password(settings, arguments[1:])
    if arguments[:1] == ["backup"]:
        return backup(settings, arguments[1:], log)
    if arguments[:1] == ["restore"]:
        return restore(settings, arguments[1:], log, MIGRATIONS)
    if arguments:
        log.error(
            "unknown-command",
            problem="give no argument, `passwords`, `password NAME`, `backup` or `restore`",
        )
        return 1
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
            former = settle(connection, settings)
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
