# Starts the proxy of docker-compose's profile `https`; without the settings that it needs it says so and ends.
problems=""
[ -n "${HTTPS_HOST:-}" ] || problems="$problems
HTTPS_HOST: name the host under which readers reach the pixel, such as pixel.example.com"
[ -n "${TRUSTED_PROXIES:-}" ] || problems="$problems
TRUSTED_PROXIES: set it to 172.16.0.0/12, from which Docker takes the proxy's address, or all readers look like one"
case "${PIXEL_PORT:-}" in
127.0.0.1:*) ;;
*) problems="$problems
PIXEL_PORT: set it to 127.0.0.1:8000, or anybody could reach the pixel beside the proxy and name any address as its own" ;;
esac
if [ -n "$problems" ]; then
    echo "The proxy does not start. Set in .env:$problems" >&2
    exit 1
fi
exec caddy run --config /etc/caddy/Caddyfile --adapter caddyfile
