#!/bin/sh
# What the official entrypoint does that our compose file could notice: started as root it becomes `redis`,
# and files are made for their owner only.
set -eu
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
    chown -R redis /data
    exec setpriv --reuid=redis --regid=redis --clear-groups "$0" "$@"
fi
umask 0077
exec "$@"
