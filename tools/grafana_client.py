"""A running Grafana, asked over its HTTP interface."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from grafana_api.grafana_api import GrafanaAPI, GrafanaException, GrafanaUnauthorizedError

from grafana.panels import Json
from services.key_files import read_password
from services.settings import load_settings
from tools.grafana_wanted import Question
from tools.stack import NoStack, running_urls

ANSWER_WITHIN_S = 30.0  # as long as a data source may take for a question


class NoGrafana(Exception):
    """Grafana cannot be asked; the text says what to do."""


class Refused(Exception):
    """Grafana answered with an error to this one request."""


def grafana_url() -> str:
    """GRAFANA_URL of the environment, else of the stack running in DATA_DIR. Raises ``NoGrafana``."""
    given = os.environ.get("GRAFANA_URL")
    try:
        url = given or running_urls()["GRAFANA_URL"]
    except NoStack as error:
        raise NoGrafana(f"{error}; or name another Grafana by GRAFANA_URL") from None
    if not url:
        raise NoGrafana(
            "`make run` has found no `grafana` program, so none runs: install it and start again, "
            "or name another Grafana by GRAFANA_URL"
        )
    return url


def grafana_password() -> str:
    """Of Grafana's user `admin`: GRAFANA_PASSWORD, the file GRAFANA_PASSWORD_FILE, or the one in KEY_DIR.

    The last is told to our own Grafana only.
    """
    if given := os.environ.get("GRAFANA_PASSWORD"):
        return given
    try:
        if file_name := os.environ.get("GRAFANA_PASSWORD_FILE"):
            return Path(file_name).read_text("utf-8").strip()
        if os.environ.get("GRAFANA_URL"):
            raise NoGrafana(
                "GRAFANA_URL: with it set GRAFANA_PASSWORD or GRAFANA_PASSWORD_FILE, of Grafana's user admin"
            )
        return read_password(load_settings().key_dir, "grafana_admin")
    except OSError as error:
        raise NoGrafana(f"no password of Grafana's user admin ({error}): set GRAFANA_PASSWORD") from None


class Grafana:
    """Asks as the user `admin`. Each call blocks for 30 s at most and raises ``NoGrafana`` or ``Refused``."""

    def __init__(self, url: str, password: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise NoGrafana(f"GRAFANA_URL: {url!r} is not an address such as http://127.0.0.1:3000")
        path = parts.path.strip("/")
        self.url = url
        self._api = GrafanaAPI(
            ("admin", password),
            host=parts.netloc,
            url_path_prefix=f"{path}/" if path else "",
            protocol=parts.scheme,
            timeout=ANSWER_WITHIN_S,
        )
        self._api.s.trust_env = False  # no proxy between us and the owner's Grafana

    def get(self, path: str) -> Any:
        """What `/api` + path says."""
        return self._asked(lambda: self._api.GET(path))

    def ask(self, question: Question) -> None:
        """Nothing, where all its queries went well."""
        body = {"queries": question.queries, "from": question.begin, "to": question.end}
        answer = self._asked(lambda: self._api.POST("/ds/query", json=body))
        if errors := errors_in(answer):
            raise Refused(errors)

    def _asked(self, request: Any) -> Any:
        try:
            return request()
        except GrafanaUnauthorizedError:
            raise NoGrafana(
                f"Grafana at {self.url} does not take the password of its user admin: set GRAFANA_PASSWORD "
                "(with Docker: docker-compose run --rm passwords password grafana_admin)"
            ) from None
        except GrafanaException as error:
            raise Refused(errors_in(error.response) or str(error).strip()) from None
        except requests.exceptions.JSONDecodeError:
            raise NoGrafana(f"what answers at {self.url} is not Grafana: GRAFANA_URL names another") from None
        except requests.exceptions.Timeout:
            raise Refused(f"no answer within {ANSWER_WITHIN_S:.0f} s") from None
        except requests.exceptions.RequestException as error:
            raise NoGrafana(
                f"nothing answers at {self.url} ({type(error).__name__}): does Grafana run?"
            ) from None


def errors_in(answer: Json | list[Any] | str) -> str:
    """The errors of an answer of `/api/ds/query`, a query each; empty: none."""
    results = answer.get("results", {}) if isinstance(answer, dict) else {}
    found = [f"{name}: {result['error']}" for name, result in results.items() if result.get("error")]
    return "; ".join(found)
