# Stands in for the official redis image: user, /data, and an entrypoint that gives way to the command.
ARG BASE
FROM ${BASE}
RUN groupadd --system --gid 999 redis && useradd --system --gid redis --uid 999 redis \
    && apt-get update \
    && apt-get install -y --no-install-recommends redis-server \
    && rm -rf /var/lib/apt/lists/* \
    && install --directory --owner redis --group redis /data
WORKDIR /data
COPY redis-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
ENTRYPOINT ["docker-entrypoint.sh"]
EXPOSE 6379
CMD ["redis-server"]
