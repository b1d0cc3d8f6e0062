"""The one catalogue of settings: name, default, unit, help, and what a value must look like.

Every process reads the whole catalogue at start, so that a mistake in any setting is reported by name,
together with all the others, before anything is started. ``.env.example`` is generated from ``CATALOGUE``.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


class SettingsError(Exception):
    """One or more settings are wrong; ``problems`` has a line for each, name first."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Setting(NamedTuple):
    """A row of the catalogue."""

    name: str
    default: str
    unit: str
    help: str
    parse: Callable[[str], Any]
    group: str = "site"
    secret: bool = False
    # What an empty value means: the default, or (RATE_LIMIT) "none".
    empty: str | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """An entry of SITES: hits of pages on ``host`` and its subdomains belong to ``site``."""

    host: str
    site: str


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """The parsed values, by the lower-case name of each setting."""

    sites: tuple[Site, ...]
    excluded_hosts: tuple[str, ...]
    report_timezone: ZoneInfo
    trusted_proxies: tuple[IPNetwork, ...]
    client_address_header: str
    privacy_signals: str
    rate_limit: int
    retention_days: int
    feeds: tuple[str, ...]
    missing_page_titles: re.Pattern[str]
    query_parameters: tuple[str, ...]
    redact: bool
    hash_routing: bool
    script_name: str
    endpoint_name: str
    data_dir: Path
    key_dir: Path
    country_database: Path
    country_refresh: bool
    country_database_url: str
    maxmind_account_id: str
    maxmind_license_key: str = field(repr=False)
    pixel_host: str
    pixel_port: int
    pixel_socket: Path | None
    pixel_door: Path | None
    pixel_workers: int
    spool_dir: Path
    spool_max_mb: int
    metrics_host: str
    metrics_port: int
    redis_url: str
    redis_password: str = field(repr=False)
    rq_redis_url: str
    redis_max_memory_mb: int
    database_url: str
    database_password: str = field(repr=False)
    postgres_port: int
    redis_port: int
    grafana_port: int
    grafana_public_url: str
    alert_email: tuple[str, ...]
    alert_email_from: str
    alert_smtp_host: str
    alert_smtp_user: str
    alert_smtp_password: str = field(repr=False)
    alert_webhook_url: str = field(repr=False)
    alert_webhook_token: str = field(repr=False)
    consumer_name: str
    max_deliveries: int
    max_dead_letter_percent: int
    max_stream_entries: int


# Names under which the tracker and the pixel always answer: pages in the world have them.
DEFAULT_SCRIPT_NAME = "a.js"
DEFAULT_ENDPOINT_NAME = "a"
# The databases that are fetched, by whether there is a key. Both are free; each licence wants its credit.
DB_IP_URL = "https://download.db-ip.com/free/dbip-country-lite-{year}-{month}.mmdb.gz"
GEOLITE2_URL = "https://download.maxmind.com/geoip/databases/GeoLite2-Country/download?suffix=tar.gz"
# What else answers at the pixel's root.
_TAKEN_NAMES = ("me", "privacy", "robots.txt", "livez", "readyz", "version")
_HOST = re.compile(r"(?!-)[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\]", re.ASCII)


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _host(text: str) -> str:
    try:
        host = text.strip().lower().rstrip(".").encode("idna" if not text.isascii() else "ascii").decode()
    except UnicodeError:
        host = ""
    if not _HOST.fullmatch(host):
        raise ValueError(f"{text!r} is not a host name; write it without http:// and without a path")
    return host


def parse_sites(text: str) -> tuple[Site, ...]:
    """Longest host first, so that the first match is the longest. Empty for ``*``: any host is a site."""
    if text.strip() == "*":
        return ()
    sites = []
    for entry in _list(text):
        alias, mark, name = entry.partition("=")
        host = _host(alias)
        sites.append(Site(host, _host(name) if mark else host))
    if not sites:
        raise ValueError("name at least one site, or * for any")
    return tuple(sorted(sites, key=lambda site: (-len(site.host), site.host)))


def _patterns(text: str) -> tuple[str, ...]:
    for pattern in _list(text):
        if not re.fullmatch(r"[\w.*?-]+", pattern):
            raise ValueError(f"{pattern!r} is not a host pattern such as *--preview.example.com")
    return tuple(pattern.lower() for pattern in _list(text))


def _timezone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{text!r} is not an IANA time zone such as Europe/Berlin") from None


def _networks(text: str) -> tuple[IPNetwork, ...]:
    return tuple(ipaddress.ip_network(part, strict=False) for part in _list(text))


def _header(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]+", text):
        raise ValueError(f"{text!r} is not the name of a header such as X-Forwarded-For")
    return text


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text) or text in _TAKEN_NAMES:
        raise ValueError(f"{text!r} is not a free file name such as stats.js, without a folder")
    return text


def _name_clashes(values: Mapping[str, Any]) -> list[str]:
    """What is wrong with the names of script and endpoint beside each other, and beside the default names."""
    script, endpoint = values.get("script_name"), values.get("endpoint_name")
    if endpoint and DEFAULT_SCRIPT_NAME in (endpoint, f"{endpoint}.gif"):
        return [f"ENDPOINT_NAME: {endpoint!r} is the script's name"]
    if script and script in (
        DEFAULT_ENDPOINT_NAME,
        f"{DEFAULT_ENDPOINT_NAME}.gif",
        endpoint,
        f"{endpoint}.gif",
    ):
        return [f"SCRIPT_NAME: {script!r} is an endpoint's name"]
    return []


def _half_an_account(values: Mapping[str, Any]) -> list[str]:
    """What is wrong with account and key of MaxMind beside each other."""
    account, key = (values.get(name) for name in ("maxmind_account_id", "maxmind_license_key"))
    if key and account == "":
        return ["MAXMIND_LICENSE_KEY: MaxMind wants MAXMIND_ACCOUNT_ID with it"]
    if account and key == "":
        return ["MAXMIND_ACCOUNT_ID: MaxMind wants MAXMIND_LICENSE_KEY with it"]
    return []


def _mail_without_server(values: Mapping[str, Any]) -> list[str]:
    """What is wrong with addresses for alerts beside the server that is to take them."""
    if values.get("alert_email") and values.get("alert_smtp_host") == "":
        return ["ALERT_EMAIL: wants ALERT_SMTP_HOST with it"]
    return []


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"{text!r} is none of {', '.join(choices)}")
        return text

    return parse


def _number(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a whole number") from None
        if not low <= number <= high:
            raise ValueError(f"{number} is not between {low} and {high}")
        return number

    return parse


def _flag(text: str) -> bool:
    return _one_of("on", "off")(text) == "on"


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None


def _url(*schemes: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        try:
            parts = urlsplit(text)
            known = parts.scheme in schemes and parts.port != 0
        except ValueError:
            known = False
        if not known:
            raise ValueError(f"not an address that begins with {' or '.join(s + '://' for s in schemes)}")
        return text

    return parse


def _optional_url(*schemes: str) -> Callable[[str], str]:
    return lambda text: _url(*schemes)(text) if text else ""


def _account(text: str) -> str:
    if not re.fullmatch(r"[0-9]*", text):
        raise ValueError("an account of MaxMind is a number")
    return text


def _optional_flag(text: str) -> bool | None:
    return _flag(text) if text else None


def _feeds(text: str) -> tuple[str, ...]:
    return tuple(_url("http", "https")(part) for part in _list(text))


def _mail_address(text: str) -> str:
    if not re.fullmatch(r"[^\s@,;<>]+@[^\s@,;<>]+", text):
        raise ValueError(f"{text!r} is not an e-mail address such as me@example.com")
    return text


def _mail_server(text: str) -> str:
    if text and not re.fullmatch(r"[A-Za-z0-9._:\[\]-]+:[0-9]{1,5}", text):
        raise ValueError(f"{text!r} is not host:port such as mail.example.com:587")
    return text


def _token(text: str) -> str:
    if not re.fullmatch(r"[!-~]*", text):
        raise ValueError("not the token alone: it has a space or a letter that no header takes")
    return text


def _optional_path(text: str) -> Path | None:
    return Path(text) if text else None


_PORT = _number(1, 65_535)

CATALOGUE: tuple[Setting, ...] = (
    Setting("SITES", "*", "hosts", "Sites that are counted, comma-separated: `example.com` (covers its "
            "subdomains) or `shop.example=example.com` (alias = site); `*` counts anyone's.", parse_sites),
    Setting("EXCLUDED_HOSTS", "", "patterns", "Hosts that are never counted, such as deploy previews: "
            "`*--preview.example.com`.", _patterns),
    Setting("REPORT_TIMEZONE", "UTC", "IANA name", "The one time zone in which a day begins and ends.",
            _timezone),
    Setting("TRUSTED_PROXIES", "", "addresses, CIDRs", "Proxies whose CLIENT_ADDRESS_HEADER is believed.",
            _networks),
    Setting("CLIENT_ADDRESS_HEADER", "X-Forwarded-For", "header", "The one header in which a trusted proxy "
            "names the client; `Forwarded` is understood.", _header),
    Setting("PRIVACY_SIGNALS", "anonymous", "choice", "What `Sec-GPC: 1` or `DNT: 1` does: `anonymous` "
            "(counted without a session), `drop`, `ignore`.", _one_of("anonymous", "drop", "ignore")),
    Setting("RATE_LIMIT", "600", "hits a minute", "From one client, by a hash that is not kept; empty or "
            "0: none.", _number(0, 1_000_000), empty="0"),
    Setting("RETENTION_DAYS", "400", "days", "How long raw hits are kept; rollups stay.",
            _number(1, 36_500)),
    Setting("FEEDS", "", "addresses", "RSS or Atom feeds of the owner, comma-separated: their newest posts "
            "are shown with their pageviews.", _feeds),
    Setting("MISSING_PAGE_TITLES", r"^(404\b|page not found|not found\b|seite nicht gefunden)",
            "regular expression", "A page whose title matches it and whose status is not known is a "
            "missing page (status 404).", _pattern),
    Setting("QUERY_PARAMETERS", "ref,source,via,page", "names", "Parameters of a page's or referrer's query "
            "that are kept beside `utm_*`; all others are dropped.", lambda text: tuple(_list(text))),
    Setting("REDACT", "on", "on, off", "Replace e-mail addresses and long tokens in paths, titles, "
            "referrers and properties of events by `…`.", _flag),
    Setting("HASH_ROUTING", "off", "on, off", "Keep the fragment as part of the path (`/#/about`).", _flag),
    Setting("SCRIPT_NAME", DEFAULT_SCRIPT_NAME, "file name", "Another name of the tracker, as blockers know common "
            "ones: SCRIPT_NAME=x.js answers at /x.js, and still at /a.js.", _name),
    Setting("ENDPOINT_NAME", DEFAULT_ENDPOINT_NAME, "file name", "Another name of the pixel: ENDPOINT_NAME=x answers "
            "at /x and /x.gif, and still at /a and /a.gif; the tracker uses it.", _name),
    Setting("DATA_DIR", "./data", "path", "Where `make run` keeps its servers' data.", Path, "machine"),
    Setting("KEY_DIR", "", "path", "Where sealing keys, session keys and made-up passwords are kept, apart "
            "from data and backups; empty: DATA_DIR/keys.", _optional_path, "machine"),
    Setting("COUNTRY_DATABASE", "", "path", "A country database in MaxMind's format; empty: "
            "DATA_DIR/country.mmdb.", _optional_path, "machine"),
    Setting("COUNTRY_REFRESH", "", "on, off", "Look once a day for a newer country database; `off`: never ask "
            "anybody. Empty: on with Docker and where MAXMIND_LICENSE_KEY is set, else off.", _optional_flag,
            "machine"),
    Setting("COUNTRY_DATABASE_URL", "", "address", "Where it is fetched from: .mmdb, .mmdb.gz or .tar.gz, with "
            "{year} and {month}. Empty: DB-IP's country lite, or with a MAXMIND_LICENSE_KEY MaxMind's GeoLite2 "
            "Country. The key is sent to this address.", _optional_url("https", "http"), "machine"),
    Setting("MAXMIND_ACCOUNT_ID", "", "number", "Your account at MaxMind, for GeoLite2.", _account, "machine"),
    Setting("MAXMIND_LICENSE_KEY", "", "secret", "Its licence key: the country database is then GeoLite2 Country.",
            str, "machine", secret=True),
    Setting("PIXEL_HOST", "127.0.0.1", "address", "Address on which the pixel listens.", str, "machine"),
    Setting("PIXEL_PORT", "8000", "port", "Port of the pixel.", _PORT, "machine"),
    Setting("PIXEL_SOCKET", "", "path", "A Unix socket on which the pixel listens too, for the owner's own "
            "tools: whoever may open it may name the client's address.", _optional_path, "machine"),
    Setting("PIXEL_DOOR", "", "path", "The Unix socket over which the process `door` lends the pixel's port to "
            "pixels (Docker); a pixel then takes hits there beside its own port.", _optional_path, "machine"),
    Setting("PIXEL_WORKERS", "1", "processes", "How many pixels share the port: one takes about 30,000 hits/s of a core. "
            "RATE_LIMIT then holds in each.", _number(1, 64), "machine"),
    Setting("SPOOL_DIR", "", "path", "Where pixels keep hits while Redis does not take them, each in a slot of its "
            "own; empty: DATA_DIR/spool.", _optional_path, "machine"),
    Setting("SPOOL_MAX_MB", "1024", "MB", "How much the spool of a pixel may hold, about 3 million hits a GB; "
            "beyond it hits are refused (503).", _number(1, 1_000_000), "machine"),
    Setting("METRICS_HOST", "127.0.0.1", "address", "Address on which a service's metrics answer.", str,
            "machine"),
    Setting("METRICS_PORT", "0", "port", "Port of a service's metrics; 0: any free one.",
            _number(0, 65_535), "machine"),
    Setting("REDIS_URL", "redis://127.0.0.1:6380/0", "address", "Redis of the stream.",
            _url("redis", "rediss", "unix"), "machine"),
    Setting("REDIS_PASSWORD", "", "secret", "Password of Redis.", str, "machine", secret=True),
    Setting("RQ_REDIS_URL", "", "address", "Redis of the rollup's jobs; empty: REDIS_URL.",
            _optional_url("redis", "rediss", "unix"), "machine"),
    Setting("REDIS_MAX_MEMORY_MB", "1024", "MB", "Memory of the Redis of `make run` and Docker; from 90 % of it on "
            "hits go to the pixel's spool.", _number(16, 1_000_000), "machine"),
    Setting("DATABASE_URL", "postgresql://footfall@127.0.0.1:5433/footfall", "address",
            "PostgreSQL, as the role that owns the tables.", _url("postgresql", "postgres"), "machine"),
    Setting("DATABASE_PASSWORD", "", "secret", "Password of that role.", str, "machine", secret=True),
    Setting("POSTGRES_PORT", "5433", "port", "Port of the PostgreSQL of `make run`.", _PORT, "machine"),
    Setting("REDIS_PORT", "6380", "port", "Port of the Redis of `make run`.", _PORT, "machine"),
    Setting("GRAFANA_PORT", "3000", "port", "Port of Grafana.", _PORT, "machine"),
    Setting("GRAFANA_PUBLIC_URL", "", "address", "Where you reach Grafana, behind a proxy: links in alerts begin "
            "with it. Empty: `http://localhost:` and its port.", _optional_url("https", "http"), "alerts"),
    Setting("ALERT_EMAIL", "", "addresses", "Whom Grafana tells its alerts by mail, comma-separated; with it goes "
            "ALERT_SMTP_HOST. Empty, as ALERT_WEBHOOK_URL: alerts are shown in Grafana only.",
            lambda text: tuple(_mail_address(part) for part in _list(text)), "alerts"),
    Setting("ALERT_EMAIL_FROM", "", "address", "The sender of this mail; empty: the first of ALERT_EMAIL.",
            lambda text: _mail_address(text) if text else "", "alerts"),
    Setting("ALERT_SMTP_HOST", "", "host:port", "The server that takes this mail.", _mail_server, "alerts"),
    Setting("ALERT_SMTP_USER", "", "name", "User there; empty: it asks for none.", str, "alerts"),
    Setting("ALERT_SMTP_PASSWORD", "", "secret", "Password there.", str, "alerts", secret=True),
    Setting("ALERT_WEBHOOK_URL", "", "secret", "An address to which Grafana posts its alerts as JSON.",
            _optional_url("https", "http"), "alerts", secret=True),
    Setting("ALERT_WEBHOOK_TOKEN", "", "secret", "What it shows there, as `Authorization: Bearer …`: Grafana's users "
            "read the address, not this.", _token, "alerts", secret=True),
    Setting("CONSUMER_NAME", "", "name", "Name of this enricher in the stream's consumer group; two on one "
            "machine need two; empty: the machine's host name.", str, "machine"),
    Setting("MAX_DELIVERIES", "5", "deliveries", "How often an entry of the stream is tried before it is "
            "buried as a dead letter.", _number(1, 1_000), "machine"),
    Setting("MAX_DEAD_LETTER_PERCENT", "20", "percent", "Of the last 1,000 hits, beyond the first 20: if more would "
            "become dead letters, the enricher stops and keeps all hits waiting; 100: no limit.",
            _number(0, 100), "machine"),
    Setting("MAX_STREAM_ENTRIES", "5000000", "entries", "Length of the stream from which on hits go to the "
            "pixel's spool; an entry holds one hit in quiet and up to 500 under load.",
            _number(1, 1_000_000_000), "machine"),
)  # fmt: skip


def _text_of(setting: Setting, environ: Mapping[str, str]) -> str:
    """The raw value, from NAME, else from the file that NAME_FILE names (secrets only)."""
    text = environ.get(setting.name)
    file_name = environ.get(setting.name + "_FILE") if setting.secret else None
    if file_name and not text:
        try:
            return Path(file_name).read_text().strip()
        except OSError as error:
            raise ValueError(f"cannot read the file {file_name}: {error.strerror}") from None
    if text is None:
        return setting.default
    text = text.strip()
    if text:
        return text
    return setting.default if setting.empty is None else setting.empty


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process. Raises ``SettingsError`` with every mistake at once."""
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    problems: list[str] = []
    for setting in CATALOGUE:
        try:
            values[setting.name.lower()] = setting.parse(_text_of(setting, environ))
        except ValueError as error:
            problems.append(f"{setting.name}: {error}")
    problems += _name_clashes(values) + _half_an_account(values) + _mail_without_server(values)
    if problems:
        raise SettingsError(problems)
    values["key_dir"] = values["key_dir"] or values["data_dir"] / "keys"
    values["spool_dir"] = values["spool_dir"] or values["data_dir"] / "spool"
    values["country_database"] = values["country_database"] or values["data_dir"] / "country.mmdb"
    with_key = bool(values["maxmind_license_key"])
    values["country_database_url"] = values["country_database_url"] or (
        GEOLITE2_URL if with_key else DB_IP_URL
    )
    if values["country_refresh"] is None:
        values["country_refresh"] = with_key
    values["rq_redis_url"] = values["rq_redis_url"] or values["redis_url"]
    return Settings(**values)


def handed_descriptors(environ: Mapping[str, str] | None = None) -> int:
    """How many listening sockets were handed to this process (``services.listening``); 0: none."""
    environ = os.environ if environ is None else environ
    number = environ.get("LISTEN_FDS", "")
    is_ours = environ.get("LISTEN_PID", "") == str(os.getpid())
    return int(number) if is_ours and number.isdecimal() else 0


def env_example() -> str:
    """The text of ``.env.example``."""
    lines = [
        "# Generated from services/settings.py by `make generated`; do not edit.",
        "# Copy it to .env for Docker. `make run` takes its settings from the environment.",
        "",
    ]
    for setting in CATALOGUE:
        lines.append(f"# {setting.help} ({setting.unit})")
        lines.append(f"#{setting.name}={setting.default}")
        if setting.secret:
            lines.append(f"#{setting.name}_FILE=")
        lines.append("")
    return "\n".join(lines)
