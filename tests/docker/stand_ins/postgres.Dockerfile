# Stands in for the official postgres image: its variables, user, paths and stop signal.
ARG BASE
FROM ${BASE}
ENV PG_MAJOR=17
ENV PATH=$PATH:/usr/lib/postgresql/$PG_MAJOR/bin \
    PGDATA=/var/lib/postgresql/data \
    LANG=C.UTF-8
RUN groupadd --system --gid 999 postgres \
    && useradd --system --gid postgres --uid 999 --home-dir /var/lib/postgresql --shell /bin/bash postgres \
    && apt-get update \
    && apt-get install -y --no-install-recommends postgresql-common \
    && sed -ri 's/#(create_main_cluster) .*$/\1 = false/' /etc/postgresql-common/createcluster.conf \
    && apt-get install -y --no-install-recommends postgresql-$PG_MAJOR \
    && rm -rf /var/lib/apt/lists/* \
    && sed -ri "s/^#?(listen_addresses)\s*=.*/\1 = '*'/" \
        /usr/share/postgresql/$PG_MAJOR/postgresql.conf.sample \
    && mkdir /docker-entrypoint-initdb.d \
    && install --directory --owner postgres --group postgres --mode 3777 /var/run/postgresql \
    && install --directory --owner postgres --group postgres --mode 1777 "$PGDATA"
VOLUME /var/lib/postgresql/data
COPY postgres-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
ENTRYPOINT ["docker-entrypoint.sh"]
STOPSIGNAL SIGINT
EXPOSE 5432
CMD ["postgres"]
