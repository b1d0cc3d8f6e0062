"""Every mistake is reported at once, by name; empty means the default; secrets are not shown."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.settings import CATALOGUE, Settings, SettingsError, Site, env_example, load_settings
from tests.make import make_settings

ROOT = Path(__file__).resolve().parents[2]

MISTAKES = {
    "SITES": (
        "https://example.com",
        "*,example.com",
        "exa mple.com",
        ",",
        "example.com=",
        "a..b",
        "-a.example",
    ),
    "EXCLUDED_HOSTS": ("https://*.example.com", "a b", "a/b", "[ab]"),
    "REPORT_TIMEZONE": ("Berlin", "UTC+1", "../../etc/passwd", "/etc/localtime", "Europe", "Europe/Ber\0lin"),
    "TRUSTED_PROXIES": ("proxy", "10.0.0.0/33", "10.0.0.1:80", "10.0.0.1 10.0.0.2"),
    "CLIENT_ADDRESS_HEADER": ("X-Forwarded-For:", "X Forwarded", "X-Real-IP,Forwarded", "Über"),
    "PRIVACY_SIGNALS": ("yes", "Drop", "none"),
    "RATE_LIMIT": ("-1", "many", "1.5", "1000001", "9" * 5_000),
    "RETENTION_DAYS": ("0", "36501", "one"),
    "FEEDS": (
        "example.com/feed",
        "ftp://example.com/feed",
        "https://a.example/feed, https://b.example:x/",
    ),
    "SCRIPT_NAME": ("/x.js", "js/x.js", "x y", "..", "me", "robots.txt", "a", "a.gif", "ä.js", "x" * 65),
    "ENDPOINT_NAME": ("/x", "x/y", "?", ".", "privacy", "livez", "a.js", "version"),
    "MISSING_PAGE_TITLES": ("(", "*", "[a"),
    "REDACT": ("yes", "true", "1"),
    "HASH_ROUTING": ("ON", "0"),
    "COUNTRY_REFRESH": ("daily", "On"),
    "COUNTRY_DATABASE_URL": ("db-ip.com/x.mmdb", "ftp://a.example/x.mmdb", "file:///x.mmdb"),
    "MAXMIND_ACCOUNT_ID": ("me@example.com", "12 34"),
    "PIXEL_PORT": ("0", "65536", "http"),
    "METRICS_PORT": ("-1", "65536"),
    "REDIS_URL": ("127.0.0.1:6379", "http://127.0.0.1/", "redis://127.0.0.1:port/"),
    "RQ_REDIS_URL": ("postgresql://127.0.0.1/",),
    "REDIS_MAX_MEMORY_MB": ("15", "1g"),
    "DATABASE_URL": ("redis://127.0.0.1/", "footfall", "postgresql://127.0.0.1:99999/footfall"),
    "POSTGRES_PORT": ("x",),
    "REDIS_PORT": ("0",),
    "GRAFANA_PORT": ("-3",),
    "GRAFANA_PUBLIC_URL": ("stats.blog.example", "ftp://stats.blog.example/"),
    "ALERT_EMAIL": ("me", "me@", "a@b.example b@b.example", "Me <me@b.example>"),
    "ALERT_EMAIL_FROM": ("me", "a@b.example, b@b.example"),
    "ALERT_SMTP_HOST": ("mail.example.com", "smtp://mail.example.com:25", "mail.example.com:"),
    "ALERT_WEBHOOK_URL": ("hook.example", "ftp://hook.example/", "file:///etc/passwd"),
    "ALERT_WEBHOOK_TOKEN": ("Bearer abc", "é"),
    "MAX_DELIVERIES": ("0", "1001"),
    "MAX_DEAD_LETTER_PERCENT": ("-1", "101"),
    "MAX_STREAM_ENTRIES": ("0", "x"),
}

MAXMIND = {"MAXMIND_ACCOUNT_ID": "123456", "MAXMIND_LICENSE_KEY": "s3cret"}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in MISTAKES.items() for v in values])
def test_a_mistake_is_reported_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        make_settings(**{name: value})
    [problem] = caught.value.problems
    assert problem.startswith(name + ": ")
    assert len(problem) > len(name) + 10, "it says what is wrong"


def test_alerts_by_mail_want_a_server_for_it() -> None:
    with pytest.raises(SettingsError) as caught:
        make_settings(ALERT_EMAIL="me@blog.example")
    assert caught.value.problems == ["ALERT_EMAIL: wants ALERT_SMTP_HOST with it"]
    settings = make_settings(
        ALERT_EMAIL="me@blog.example, you@blog.example", ALERT_SMTP_HOST="mail.example:587"
    )
    assert settings.alert_email == ("me@blog.example", "you@blog.example")


@pytest.mark.parametrize("script", ["count", "count.gif"])
def test_script_and_endpoint_cannot_have_one_name(script: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"SCRIPT_NAME": script, "ENDPOINT_NAME": "count"})
    assert caught.value.problems == [f"SCRIPT_NAME: {script!r} is an endpoint's name"]


def test_all_mistakes_are_reported_at_once_in_the_catalogue_s_order() -> None:
    with pytest.raises(SettingsError) as caught:
        make_settings(**{name: values[0] for name, values in MISTAKES.items()})
    named = [problem.partition(":")[0] for problem in caught.value.problems]
    assert named == [setting.name for setting in CATALOGUE if setting.name in MISTAKES]
    assert str(caught.value).splitlines() == caught.value.problems


@given(
    environ=st.dictionaries(
        st.sampled_from([setting.name for setting in CATALOGUE]),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30),
    )
)
def test_any_values_are_settings_or_mistakes_by_name(environ: dict[str, str]) -> None:
    try:
        make_settings(**environ)
    except SettingsError as error:
        named = {problem.partition(":")[0] for problem in error.problems}
        assert named <= set(environ)


def test_without_anything_there_are_defaults() -> None:
    settings = make_settings()
    assert (settings.sites, settings.excluded_hosts, settings.trusted_proxies, settings.feeds) == (
        (),
        (),
        (),
        (),
    )
    assert settings.report_timezone == ZoneInfo("UTC")
    assert (settings.client_address_header, settings.privacy_signals) == ("X-Forwarded-For", "anonymous")
    assert (settings.rate_limit, settings.retention_days) == (600, 400)
    assert (settings.data_dir, settings.key_dir) == (Path("data"), Path("data/keys"))
    assert settings.country_database == Path("data/country.mmdb")
    assert (settings.pixel_port, settings.postgres_port, settings.redis_port) == (8000, 5433, 6380)
    assert settings.grafana_port == 3000
    assert settings.rq_redis_url == settings.redis_url


@pytest.mark.parametrize("empty", ["", "  ", "\t\n"])
def test_empty_means_the_default_except_for_the_rate_limit(empty: str) -> None:
    emptied = make_settings(**{setting.name: empty for setting in CATALOGUE})
    default = make_settings()
    differing = {
        name for name in Settings.__slots__ if getattr(emptied, name) != getattr(default, name)
    }  # a compiled pattern is equal to itself
    assert differing == {"rate_limit"}
    assert emptied.rate_limit == 0


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("SITES", "*", ()),
        ("SITES", " Example.COM. , shop.example = example.com ", (Site("shop.example", "example.com"),
                                                                  Site("example.com", "example.com"))),
        ("SITES", "a.example,b.a.example", (Site("b.a.example", "b.a.example"), Site("a.example", "a.example"))),
        ("EXCLUDED_HOSTS", "*--Preview.example.com, a?.example", ("*--preview.example.com", "a?.example")),
        ("REPORT_TIMEZONE", "Pacific/Kiritimati", ZoneInfo("Pacific/Kiritimati")),
        ("TRUSTED_PROXIES", "10.0.0.1, 192.168.1.7/16,::1",
         (ipaddress.ip_network("10.0.0.1/32"), ipaddress.ip_network("192.168.0.0/16"), ipaddress.ip_network("::1"))),
        ("RATE_LIMIT", "0", 0),
        ("RETENTION_DAYS", "36500", 36_500),
        ("FEEDS", "https://a.example/feed.xml, http://b.example/", ("https://a.example/feed.xml", "http://b.example/")),
        ("QUERY_PARAMETERS", "q, lang", ("q", "lang")),
        ("REDACT", "off", False),
        ("HASH_ROUTING", "on", True),
        ("KEY_DIR", "/run/keys", Path("/run/keys")),
        ("PIXEL_SOCKET", "/run/pixel", Path("/run/pixel")),
        ("RQ_REDIS_URL", "redis://other:6379/1", "redis://other:6379/1"),
        ("REDIS_URL", "unix:///run/redis.sock", "unix:///run/redis.sock"),
    ],
)  # fmt: skip
def test_a_value_is_read(name: str, text: str, value: object) -> None:
    assert getattr(make_settings(**{name: text}), name.lower()) == value


@pytest.mark.parametrize(
    ("environ", "refresh", "host"),
    [
        ({}, False, "download.db-ip.com"),
        ({"COUNTRY_REFRESH": "on"}, True, "download.db-ip.com"),
        (MAXMIND, True, "download.maxmind.com"),
        (MAXMIND | {"COUNTRY_REFRESH": "off"}, False, "download.maxmind.com"),
        (MAXMIND | {"COUNTRY_DATABASE_URL": "https://a.example/x.tar.gz"}, True, "a.example"),
    ],
)
def test_a_country_database_is_fetched_when_asked_for_or_with_a_key(
    environ: dict[str, str], refresh: bool, host: str
) -> None:
    settings = make_settings(**environ)
    assert settings.country_refresh is refresh
    assert urlsplit(settings.country_database_url).hostname == host


@pytest.mark.parametrize("name", MAXMIND)
def test_half_an_account_is_a_mistake(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        make_settings(**{name: MAXMIND[name]})
    [problem] = caught.value.problems
    assert problem.startswith(name + ": ") and all(other in problem for other in MAXMIND)


def test_the_current_folder_may_hold_the_keys() -> None:
    assert make_settings(KEY_DIR=".").key_dir == Path()


# Secrets ----------------------------------------------------------------------------------------------------------

SECRETS = [setting.name for setting in CATALOGUE if setting.secret]


def test_the_secrets_are_known() -> None:
    assert SECRETS == [
        "MAXMIND_LICENSE_KEY",
        "REDIS_PASSWORD",
        "DATABASE_PASSWORD",
        "ALERT_SMTP_PASSWORD",
        "ALERT_WEBHOOK_URL",
        "ALERT_WEBHOOK_TOKEN",
    ]


SECRET = "https://hook.example/s3cret"  # a password as good as any, and an address


def make_with_secret(**environ: str) -> Settings:
    """Settings with a secret; MaxMind's key wants an account."""
    account = {"MAXMIND_ACCOUNT_ID": "1"} if any(name.startswith("MAXMIND") for name in environ) else {}
    return make_settings(**environ, **account)


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_read_from_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text(f"  {SECRET}\n")
    file_name = str(tmp_path / "secret")
    assert getattr(make_with_secret(**{name + "_FILE": file_name}), name.lower()) == SECRET
    assert getattr(make_with_secret(**{name + "_FILE": file_name, name: ""}), name.lower()) == SECRET
    own = "https://own.example/"
    assert getattr(make_with_secret(**{name + "_FILE": file_name, name: own}), name.lower()) == own


def test_a_file_that_cannot_be_read_is_a_mistake_with_all_others(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        make_settings(
            REDIS_PASSWORD_FILE=str(tmp_path / "none"), PIXEL_PORT="x", DATABASE_PASSWORD_FILE=str(tmp_path)
        )
    named = [problem.partition(":")[0] for problem in caught.value.problems]
    assert named == ["PIXEL_PORT", "REDIS_PASSWORD", "DATABASE_PASSWORD"]


def test_only_secrets_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "port").write_text("9000")
    assert make_settings(PIXEL_PORT_FILE=str(tmp_path / "port")).pixel_port == 8000


@pytest.mark.parametrize("name", SECRETS)
def test_settings_show_no_secret(name: str) -> None:
    settings = make_with_secret(
        **{
            name: SECRET,
            "REDIS_URL": "redis://:s3cret@127.0.0.1/",
            "DATABASE_URL": "postgresql://a:s3cret@b/c",
        }
    )
    for text in (repr(settings), str(settings), f"{settings}", repr([settings])):
        assert "s3cret" not in text


@pytest.mark.parametrize("name", ["REDIS_URL", "RQ_REDIS_URL", "DATABASE_URL"])
def test_a_mistake_in_an_address_shows_no_password(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        make_settings(**{name: "http://user:s3cret@127.0.0.1:1/"})
    assert "s3cret" not in str(caught.value)


# The catalogue ------------------------------------------------------------------------------------------------------


def test_the_catalogue_and_the_settings_are_the_same_names() -> None:
    assert [setting.name.lower() for setting in CATALOGUE] == list(Settings.__slots__)


def test_every_row_of_the_catalogue_helps() -> None:
    for setting in CATALOGUE:
        assert setting.help.endswith("."), setting.name
        assert setting.unit, setting.name


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("SITES", "*"), ("EXCLUDED_HOSTS", ""), ("REPORT_TIMEZONE", "UTC"), ("TRUSTED_PROXIES", ""),
        ("CLIENT_ADDRESS_HEADER", "X-Forwarded-For"), ("PRIVACY_SIGNALS", "anonymous"), ("RATE_LIMIT", "600"),
        ("RETENTION_DAYS", "400"), ("FEEDS", ""),
    ],
)  # fmt: skip
def test_the_contract_s_settings_have_its_defaults(name: str, default: str) -> None:
    assert [setting.default for setting in CATALOGUE if setting.name == name] == [default]


def test_the_example_file_is_current() -> None:
    """`make generated` writes it."""
    assert (ROOT / ".env.example").read_text() == env_example()


def test_the_example_file_changes_nothing_until_a_line_is_uncommented() -> None:
    lines = env_example().splitlines()
    assert "make generated" in lines[0]
    assert all(not line or line.startswith("#") for line in lines)
    named = {
        line[1:].partition("=")[0]: line.partition("=")[2] for line in lines if line[:2] != "# " and line
    }
    values = {name: value for name, value in named.items() if not name.endswith("_FILE")}
    assert list(values) == [setting.name for setting in CATALOGUE]
    default, copied = load_settings({}), load_settings(values)
    assert all(
        getattr(default, n) == getattr(copied, n) for n in Settings.__slots__ if n != "missing_page_titles"
    )
