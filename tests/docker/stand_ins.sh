#!/bin/bash
# Makes a CI machine ready for tests/docker: starts an engine if none answers, and sees to it that the base
# images of Dockerfile and docker-compose.yml are there. Where no registry gives the official ones, it makes
# stand-ins from Debian under their names: not for a machine on which Footfall is then deployed.
#
#   sudo tests/docker/stand_ins.sh && pytest -m docker
#
# Wants Debian's docker.io, debootstrap and iptables. Safe to run twice, and at once: what is there stays;
# only a stand-in is made again, when its recipe changed.
# Exit: 0 ready; 77 and a line "skipped: reason" where no engine can be had; else a failure.
set -euo pipefail

SUITE=trixie
MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
LABEL=footfall.stand-in
HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
STATE=${TMPDIR:-/tmp}/footfall-docker-$(id -u)

say() { echo "stand-ins: $*"; }

skip() {
    echo "skipped: $*"
    exit 77
}

engine_answers() { timeout 20 docker version --format '{{.Server.Version}}' > /dev/null 2>&1; }

# The engine's own bridge has an MTU of 1500 whatever the way out has; larger packets then vanish there.
mtu() {
    local device
    device=$(ip -o route show default 2> /dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -1)
    cat "/sys/class/net/$device/mtu" 2> /dev/null || echo 1500
}

# $1: where it logs; the rest: further options. The lock is closed for it, or it would hold it for ever.
start_engine() {
    local log=$1 pid
    shift
    setsid nohup dockerd --mtu "$(mtu)" "$@" > "$log" 2>&1 < /dev/null 9>&- &
    pid=$!
    for _ in $(seq 120); do
        engine_answers && return 0
        kill -0 "$pid" 2> /dev/null || return 1
        sleep 0.5
    done
    kill "$pid" 2> /dev/null || true
    return 1
}

need_engine() {
    command -v docker > /dev/null || skip "docker is not installed (Debian: docker.io)"
    engine_answers && return
    [ "$(id -u)" = 0 ] || skip "no Docker engine answers, and starting one takes root"
    command -v dockerd > /dev/null || skip "no Docker engine answers and dockerd is not installed"
    say "starting dockerd, log in $STATE/dockerd.log"
    # The second try is for machines whose file system cannot be the base of an overlay.
    start_engine "$STATE/dockerd.log" && return
    start_engine "$STATE/dockerd-vfs.log" --storage-driver vfs && return
    skip "dockerd does not start: $(grep -E 'level=(fatal|error)|^failed' "$STATE/dockerd.log" | tail -1)"
}

# The names are read where they are used, so that they are written once.
image_of() {
    sed -nE "s/^(FROM|    image:) ($1:[^ ]+).*/\2/p" "$ROOT/Dockerfile" "$ROOT/docker-compose.yml" | head -1
}

# Changes with whatever a stand-in is made of.
recipe() { cat "$0" "$HERE"/stand_ins/* | sha256sum | cut -c1-16; }

# Whether an image has to be made: it is missing, or a stand-in by another recipe.
is_wanted() {
    local label
    label=$(docker image inspect --format "{{index .Config.Labels \"$LABEL\"}}" "$1" 2> /dev/null) || return 0
    [ -n "$label" ] && [ "$label" != "<no value>" ] && [ "$label" != "$RECIPE" ]
}

make_base() {
    is_wanted "$BASE" || return 0
    command -v debootstrap > /dev/null || { say "debootstrap is not installed"; exit 1; }
    say "debootstrap $SUITE"
    local tree=$STATE/$SUITE
    rm -rf "$tree"
    debootstrap --variant=minbase --include=ca-certificates "$SUITE" "$tree" "$MIRROR" \
        > "$STATE/debootstrap.log" 2>&1 \
        || { say "debootstrap failed:"; tail -5 "$STATE/debootstrap.log"; exit 1; }
    # Certificates that this machine trusts beside Debian's, such as those of a proxy on the way out.
    if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
        cp /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs/ca-certificates.crt"
    fi
    rm -rf "$tree"/var/cache/apt/archives/*.deb "$tree"/var/lib/apt/lists/*
    tar -C "$tree" --exclude ./dev --exclude ./proc --exclude ./sys -c . \
        | docker import --change "LABEL $LABEL=$RECIPE" - "$BASE" > /dev/null
    rm -rf "$tree"
}

# Made with the classic builder: the newer one is a plug-in of its own, which Debian does not install.
need_image() {
    local name=$1 image
    image=$(image_of "$name")
    [ -n "$image" ] || { say "no image of $name in Dockerfile or docker-compose.yml"; exit 1; }
    is_wanted "$image" || { say "$image is there"; return; }
    if timeout 300 docker pull --quiet "$image" > "$STATE/$name.log" 2>&1; then
        say "$image pulled"
        return
    fi
    make_base
    say "making $image, as no registry gives it"
    DOCKER_BUILDKIT=0 docker build --quiet --build-arg "BASE=$BASE" --label "$LABEL=$RECIPE" \
        --tag "$image" --file "$HERE/stand_ins/$name.Dockerfile" "$HERE/stand_ins" > "$STATE/$name.log" 2>&1 \
        || { say "making $image failed:"; tail -20 "$STATE/$name.log"; exit 1; }
}

mkdir -p "$STATE"
exec 9> "$STATE/lock"
flock 9
need_engine
say "engine $(docker version --format '{{.Server.Version}}')"
RECIPE=$(recipe)
BASE=footfall-stand-in:$SUITE
for name in python postgres redis; do
    need_image "$name"
done
