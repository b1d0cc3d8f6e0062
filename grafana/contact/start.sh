#!/bin/sh
# Starts Grafana so that it tells its alerts to whom the settings name: start.sh COMMAND…
#
# A contact point that lacks its address keeps Grafana from starting, so the files of this folder are chosen here. What
# Grafana then provisions is made anew at each start in the folder FOOTFALL_WORK, from what stands beside this folder.
# Grafana keeps contact points when their file is gone: those of the start before, noted in GF_PATHS_DATA, are taken
# back. Contact points and policies that were made by hand stay while no ALERT_… is set.
set -eu

contact=$(cd "$(dirname "$0")" && pwd)
grafana=$(dirname "$contact")
noted=$GF_PATHS_DATA/footfall-contacts

# As services/settings.py: NAME, else what stands in the file NAME_FILE.
for name in ALERT_SMTP_PASSWORD ALERT_WEBHOOK_URL ALERT_WEBHOOK_TOKEN; do
    eval "value=\${$name:-} file=\${${name}_FILE:-}"
    [ -n "$value" ] || [ -z "$file" ] || {
        value=$(cat "$file" 2>/dev/null) || { echo "$name: cannot read the file $file" >&2; exit 1; }
        export "$name=$value"
    }
done

if [ -n "${ALERT_EMAIL:-}" ] && [ -z "${ALERT_SMTP_HOST:-}" ]; then
    echo "ALERT_EMAIL: wants ALERT_SMTP_HOST with it" >&2
    exit 1
fi

rm -rf "$FOOTFALL_WORK"
mkdir -p "$FOOTFALL_WORK"
cp -R "$grafana/provisioning" "$FOOTFALL_WORK/provisioning"
# It names a folder that is not there as an error.
mkdir -p "$FOOTFALL_WORK/provisioning/plugins" "$FOOTFALL_WORK/provisioning/notifiers"
# Not copied: an edited dashboard shows without a restart.
ln -s "$grafana/dashboards" "$FOOTFALL_WORK/dashboards"

before=$(cat "$noted" 2>/dev/null || true)
now=""
use() {
    cp "$contact/$1.yml" "$FOOTFALL_WORK/provisioning/alerting/$1.yml"
}
choose() { # a kind, and its setting's value
    if [ -n "$2" ]; then
        use "$1"
        now="$now $1"
    else
        case " $before " in *" $1 "*) use "no-$1" ;; esac
    fi
}
choose email "${ALERT_EMAIL:-}"
choose webhook "${ALERT_WEBHOOK_URL:-}"
choose policy "$now"
echo "$now" > "$noted"

if [ -n "${ALERT_SMTP_HOST:-}" ]; then
    export GF_SMTP_ENABLED=true GF_SMTP_HOST="$ALERT_SMTP_HOST" GF_SMTP_USER="${ALERT_SMTP_USER:-}"
    export GF_SMTP_FROM_ADDRESS="${ALERT_EMAIL_FROM:-${ALERT_EMAIL%%[,;]*}}" GF_SMTP_FROM_NAME=Footfall
    # By name: Grafana would take a $ in it for a variable.
    # shellcheck disable=SC2016
    [ -z "${ALERT_SMTP_PASSWORD:-}" ] || export GF_SMTP_PASSWORD='$__env{ALERT_SMTP_PASSWORD}'
fi
[ -z "${GRAFANA_PUBLIC_URL:-}" ] || export GF_SERVER_ROOT_URL="$GRAFANA_PUBLIC_URL"
# Until it first looks again Grafana tells by the policy of before, which may be the one that it is delivered with: a mail
# to a stranger. A minute is its default.
[ -z "$now" ] || export GF_UNIFIED_ALERTING_ALERTMANAGER_CONFIG_POLL_INTERVAL=5s
export GF_PATHS_PROVISIONING="$FOOTFALL_WORK/provisioning"
exec "$@"
