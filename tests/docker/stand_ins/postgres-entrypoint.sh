#!/bin/bash
# The part of the official entrypoint's behaviour that our compose file relies on: POSTGRES_USER, _DB,
# _PASSWORD(_FILE), _INITDB_ARGS; a first server that answers on its socket only; any uid; logins over the
# network with a password.
set -euo pipefail

initialise() {
    local password=${POSTGRES_PASSWORD:-}
    [ -z "${POSTGRES_PASSWORD_FILE:-}" ] || password=$(< "$POSTGRES_PASSWORD_FILE")
    local user=${POSTGRES_USER:-postgres}
    local database=${POSTGRES_DB:-$user}
    if [ -z "$password" ]; then
        echo "Error: Database is uninitialized and superuser password is not specified." >&2
        exit 1
    fi
    # The arguments may hold quotes, as in the official image.
    eval "initdb --username=\"\$user\" --pwfile=<(printf '%s\n' \"\$password\") ${POSTGRES_INITDB_ARGS:-}"
    echo "host all all all $(postgres -C password_encryption "${@:2}")" >> "$PGDATA/pg_hba.conf"
    PGUSER=$user PGPASSWORD=$password pg_ctl -w -o "$(printf '%q ' "${@:2}" -c listen_addresses=)" start
    if [ "$database" != postgres ]; then
        PGPASSWORD=$password createdb --username="$user" --maintenance-db=postgres "$database"
    fi
    pg_ctl -m fast -w stop
}

if [ "$1" = postgres ]; then
    mkdir -p "$PGDATA" && chmod 0700 "$PGDATA"
    if [ "$(id -u)" = 0 ]; then
        chown -R postgres "$PGDATA" /var/run/postgresql
        exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
    fi
    [ -s "$PGDATA/PG_VERSION" ] || initialise "$@"
fi
exec "$@"
