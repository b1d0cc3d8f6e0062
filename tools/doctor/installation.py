"""The installation that is looked at: where its parts answer, and with which settings they run.

It is the stack running in DATA_DIR. What that does not tell, or all of it for a stack in containers, may be named in
the environment by the names of `make urls`.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psycopg
import redis
from prometheus_client.parser import text_string_to_metric_families
from redis.backoff import NoBackoff
from redis.retry import Retry

from services.settings import CATALOGUE, Settings, load_settings
from tools.arguments import BadRequest
from tools.compose import DeployError
from tools.doctor import web
from tools.doctor.containers import SCHEME, metrics_of, running_stack
from tools.stack import NoStack, environ_of, running_urls

METRICS = "_METRICS_URL"
URL_NAMES = ("PIXEL_URL", "OWNER_DATABASE_URL", "REDIS_URL", "GRAFANA_URL")
ROOT = Path(__file__).resolve().parents[2]
LOCAL = ("127.0.0.1", "localhost", "::1")
ASK_WITHIN_S = 3.0
DEFAULT_HOURS = 24
USAGE = (
    "make doctor [URL=https://pixel.example.com] [PAGE=https://blog.example/] [BACKUPS=/folder] [HOURS=24]"
)
Connection = psycopg.Connection[Any]


class CannotAsk(Exception):
    """A check cannot be made from here; the text says why, and what to give."""


class Asked(NamedTuple):
    """What the operator gave."""

    url: str = ""  # of the pixel, from outside; without a final slash
    page: str = ""
    backups: str = ""
    hours: int = DEFAULT_HOURS
    http_port: int = 80  # from where readers are led to HTTPS
    json: bool = False


def asked_of(environ: Mapping[str, str]) -> Asked:
    """Raises ``BadRequest``."""
    url = (environ.get("URL") or environ.get("PIXEL_PUBLIC_URL") or "").rstrip("/")
    page = environ.get("PAGE", "")
    for name, address in (("URL", url), ("PAGE", page)):
        if address and not _is_address(address):
            raise BadRequest(f"{name}: not an address such as https://blog.example/; {USAGE}")
    return Asked(
        url=url,
        page=page,
        backups=environ.get("BACKUPS", ""),
        hours=_number("HOURS", environ.get("HOURS") or str(DEFAULT_HOURS), 10_000),
        http_port=_number("HTTP_PORT", environ.get("HTTP_PORT") or "80", 65_535),
        json=bool(environ.get("JSON")),
    )


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        if re.search(r"\s", text):
            return False
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _number(name: str, text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= most):
        raise BadRequest(f"{name}: a whole number from 1 to {most}; {USAGE}")
    return int(text)


Samples = dict[tuple[str, str], float]


def samples_in(text: str) -> Samples:
    """Metrics by name and the value of their one label, or an empty text."""
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@dataclass(frozen=True)
class Installation:
    """Where the parts are."""

    asked: Asked
    urls: Mapping[str, str]
    # Of each service that runs here, its environment: only the settings are looked at.
    environs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    in_containers: bool = False
    is_here: bool = False  # its DATA_DIR is on this machine
    # Servers that were asked and did not answer: a second wait would tell no more.
    _away: set[str] = field(default_factory=set, repr=False)

    @cached_property
    def settings(self) -> Settings:
        """Those of the pixel that runs, or of this shell. Raises ``SettingsError``."""
        return load_settings(self.environs.get("pixel"))

    @property
    def has_folders(self) -> bool:
        """Whether the paths of the services' settings are those of this machine."""
        return self.is_here or (bool(self.environs) and not self.in_containers)

    def is_local(self, name: str) -> bool:
        """Whether an address is of this machine."""
        return urlsplit(self.urls.get(name, "")).hostname in LOCAL

    @property
    def services(self) -> list[str]:
        """Those whose metrics are known: `pixel`, `pixel-2` and so on, `enricher`, `rollup`."""
        return services_in(self.urls)

    def url(self, name: str) -> str:
        """Raises ``CannotAsk``."""
        if found := self.urls.get(name):
            return found
        raise CannotAsk(f"{name} is not known here: name it (docs/doctor.md, From where)")

    @contextlib.contextmanager
    def database(self) -> Iterator[Connection]:
        """A connection that only reads. Raises ``CannotAsk``, ``psycopg.Error``."""
        url = self.url("OWNER_DATABASE_URL")
        with self._asked_once("PostgreSQL", psycopg.OperationalError):
            connection = psycopg.connect(url, autocommit=True, connect_timeout=int(ASK_WITHIN_S))
        with connection:
            connection.execute("set default_transaction_read_only = on")
            connection.execute("set statement_timeout = '30s'")
            yield connection

    def redis(self) -> Any:
        """A client of a Redis that answers. Raises ``CannotAsk``, ``redis.RedisError``."""
        client = redis.Redis.from_url(
            self.url("REDIS_URL"),
            socket_timeout=ASK_WITHIN_S,
            socket_connect_timeout=ASK_WITHIN_S,
            retry=Retry(NoBackoff(), 0),
        )
        with self._asked_once("Redis", redis.RedisError):
            client.ping()
        return client

    @contextlib.contextmanager
    def _asked_once(self, server: str, error: type[Exception]) -> Iterator[None]:
        if server in self._away:
            raise CannotAsk(f"{server} does not answer")
        try:
            yield
        except error:
            self._away.add(server)
            raise

    def metrics(self, service: str) -> Samples:
        """What a service reports. Raises ``CannotAsk``."""
        address = self.url(service.upper().replace("-", "_") + METRICS)
        try:
            if address.startswith(SCHEME):
                return samples_in(metrics_of(address.removeprefix(SCHEME)))
            return samples_in(web.ask(address).text)
        except (web.NoAnswer, DeployError, ValueError) as error:
            raise CannotAsk(f"the metrics of the {service}: {error}") from None

    def outside(self) -> str:
        """The pixel's address from outside. Raises ``CannotAsk``."""
        if self.asked.url:
            return self.asked.url
        raise CannotAsk("give URL=https://… , the pixel's address as it stands in the tag")


def known_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings in an environment, and nothing else of it."""
    return {setting.name: environ.get(setting.name, "").strip() or setting.default for setting in CATALOGUE}


def services_in(urls: Mapping[str, str]) -> list[str]:
    """Services by the names of their metrics' addresses."""
    return [name.removesuffix(METRICS).lower().replace("_", "-") for name in urls if name.endswith(METRICS)]


def find_installation(asked: Asked) -> Installation:
    """The stack in DATA_DIR, or in containers, or as it is named; an address from outside may stand alone.

    Raises ``NoStack`` where nothing is known at all.
    """
    named = {
        name: url for name, url in os.environ.items() if url and (name in URL_NAMES or name.endswith(METRICS))
    }
    try:
        urls = running_urls()
        environs = {name: environ for name in services_in(urls) if (environ := environ_of(name)) is not None}
        return Installation(asked, {**named, **urls}, environs, is_here=True)
    except NoStack as error:
        no_stack = error
    try:
        if stack := running_stack(ROOT):
            return Installation(asked, {**stack.urls, **named}, stack.environs, in_containers=True)
    except DeployError as error:
        no_stack = NoStack(f"the containers of this folder cannot be asked: {error}")
    if not (named or asked.url or asked.page):
        raise NoStack(f"{no_stack}; or say where the stack is: docs/doctor.md, From where")
    return Installation(asked, named)
