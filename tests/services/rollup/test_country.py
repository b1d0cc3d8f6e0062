"""The country database is fetched over real sockets, checked, and put in place in one step, or left as it is."""

from __future__ import annotations

import base64
import contextlib
import datetime
import functools
import gzip
import hashlib
import http.server
import io
import os
import random
import stat
import struct
import tarfile
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import rq
from mmdb_writer import MMDBWriter
from netaddr import IPSet
from rq.serializers import JSONSerializer

from services.enricher.country import LOOK_EVERY_S, Countries
from services.rollup import country, download
from services.rollup.country import refresh
from services.rollup.download import NotFetched
from services.rollup.jobs import UPKEEP_QUEUE
from services.settings import Settings
from tests.make import Log, make_settings
from tests.services.rollup.test_schedule import Worker
from tools.servers import poll

NOW = datetime.datetime(2026, 11, 22, 18, 30, tzinfo=datetime.UTC)
OCTOBER, NOVEMBER = (datetime.datetime(2026, month, 2, tzinfo=datetime.UTC) for month in (10, 11))
DECEMBER = datetime.datetime(2026, 12, 1, 6, tzinfo=datetime.UTC)
ACCOUNT, KEY = "123456", "secretKey_7319"
Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


@functools.cache
def database(
    code: str = "NL",
    built: datetime.datetime = NOVEMBER,
    networks: int = 1_000,
    type_: str = "DBIP-Country-Lite",
) -> bytes:
    """A database that passes the checks made for real ones: 1,000 networks have some 12,000 nodes."""
    writer, chance = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type=type_), random.Random(1)
    for network in ("8.8.8.0/24", "193.0.6.0/24", "2001:67c::/32", "202.12.29.0/24"):
        writer.insert_network(IPSet([network]), {"country": {"iso_code": code}})
    for _ in range(networks):
        network = f"{chance.randrange(11, 99)}.{chance.randrange(256)}.{chance.randrange(256)}.0/24"
        writer.insert_network(IPSet([network]), {"country_code": "DE"})
    with tempfile.NamedTemporaryFile() as file:
        writer.to_db_file(file.name)
        content = Path(file.name).read_bytes()
    at = content.index(b"build_epoch\x04\x02") + 13  # the writer knows of now only
    return content[:at] + struct.pack(">I", int(built.timestamp())) + content[at + 4 :]


def packed_in_tar(content: bytes, name: str = "GeoLite2-Country_20261120/GeoLite2-Country.mmdb") -> bytes:
    """As MaxMind packs it, beside its licence."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for member, text in (("GeoLite2-Country_20261120/LICENSE.txt", b"licence" * 500), (name, content)):
            info = tarfile.TarInfo(member)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
    return file.getvalue()


def body(content: bytes, length: int | None = None) -> Answer:
    """200 with this body; ``length`` is what the header says of it."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content) if length is None else length))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def status(code: int, **headers: str) -> Answer:
    """An answer without a body."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def trickle(content: bytes) -> Answer:
    """A byte every 50 ms, for long."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for byte in content[:200]:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(0.05)

    return answer


def silence(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Takes the question and says nothing."""
    time.sleep(3)


class Server:
    """An HTTP server whose answers a test sets by path; it remembers what was asked, and with which credentials."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, str | None]] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append((self.path, self.headers["Authorization"]))
                server.answers.get(self.path, status(404))(self)

            def log_message(self, *_: Any) -> None:
                """Nothing."""

            def handle(self) -> None:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client had enough
                    super().handle()

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def paths(self) -> list[str]:
        """What was asked for since the last look."""
        asked = [path for path, _ in self.asked]
        self.asked.clear()
        return asked

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's proxy is for the way out."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def store() -> Iterator[Server]:
    """Where MaxMind redirects to: another host."""
    made = Server()
    yield made
    made.close()


NAME = "/free/country-{year}-{month}.mmdb.gz"
GEOLITE2 = "/GeoLite2-Country/download?suffix=tar.gz"


def db_ip(folder: Path, server: Server, name: str = NAME) -> Settings:
    return make_settings(DATA_DIR=str(folder), COUNTRY_DATABASE_URL=server.url + name, COUNTRY_REFRESH="on")


def geolite2(folder: Path, server: Server) -> Settings:
    return make_settings(
        DATA_DIR=str(folder),
        COUNTRY_DATABASE_URL=server.url + GEOLITE2,
        MAXMIND_ACCOUNT_ID=ACCOUNT,
        MAXMIND_LICENSE_KEY=KEY,
    )


def offer(server: Server, month: str, content: bytes) -> None:
    server.answers[f"/free/country-{month}.mmdb.gz"] = body(gzip.compress(content))


def code_in_place(folder: Path) -> str | None:
    """What the enricher would say of a known address."""
    countries = Countries(folder / "country.mmdb", Log())  # type: ignore[arg-type]
    countries.refresh(0)
    return countries.country_of("8.8.8.8")


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# DB-IP ------------------------------------------------------------------------------------------------------------


def test_the_file_of_the_month_is_fetched_once(tmp_path: Path, server: Server) -> None:
    offer(server, "2026-11", database("NL"))
    settings = db_ip(tmp_path / "new", server)
    assert refresh(settings, NOW)
    assert server.asked == [("/free/country-2026-11.mmdb.gz", None)]
    assert code_in_place(tmp_path / "new") == "NL"
    mode = stat.S_IMODE((tmp_path / "new/country.mmdb").stat().st_mode)
    assert (mode, files(tmp_path / "new")) == (0o644, [".country.mmdb.from", "country.mmdb"])
    server.asked.clear()
    assert not refresh(settings, NOW + datetime.timedelta(days=8))
    assert server.asked == [], "nobody is asked again before the month is over"


def test_a_new_month_is_taken_up_without_a_restart(tmp_path: Path, server: Server) -> None:
    offer(server, "2026-11", database("NL"))
    refresh(db_ip(tmp_path, server), NOW)
    countries = Countries(tmp_path / "country.mmdb", Log())  # type: ignore[arg-type]
    countries.refresh(0)
    offer(server, "2026-12", database("CH", DECEMBER))
    assert refresh(db_ip(tmp_path, server), DECEMBER)
    assert countries.country_of("8.8.8.8") == "NL"
    countries.refresh(LOOK_EVERY_S)
    assert countries.country_of("8.8.8.8") == "CH"


def test_a_file_that_came_with_the_installation_gives_way_to_a_newer_one(
    tmp_path: Path, server: Server
) -> None:
    (tmp_path / "country.mmdb").write_bytes(database("CH", OCTOBER, type_="country ipvAll"))
    offer(server, "2026-11", database("NL"))
    assert refresh(db_ip(tmp_path, server), NOW)
    assert code_in_place(tmp_path) == "NL"


def test_the_month_before_will_do_until_the_new_file_is_there(tmp_path: Path, server: Server) -> None:
    settings = db_ip(tmp_path, server)
    offer(server, "2026-11", database("NL"))
    january = datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC)
    assert refresh(settings, DECEMBER)
    assert server.paths == ["/free/country-2026-12.mmdb.gz", "/free/country-2026-11.mmdb.gz"]
    assert not refresh(settings, DECEMBER)
    assert server.paths == ["/free/country-2026-12.mmdb.gz"], "what is there is not fetched again"
    offer(server, "2026-12", database("CH", DECEMBER))
    assert refresh(settings, january)
    assert server.paths == ["/free/country-2027-01.mmdb.gz", "/free/country-2026-12.mmdb.gz"]


def test_an_older_file_is_not_put_in_place(tmp_path: Path, server: Server) -> None:
    (tmp_path / "country.mmdb").write_bytes(database("CH", NOVEMBER, type_="country ipvAll"))
    offer(server, "2026-11", database("NL", OCTOBER))
    assert not refresh(db_ip(tmp_path, server), NOW)
    assert not refresh(db_ip(tmp_path, server), NOW)
    assert (code_in_place(tmp_path), len(server.asked)) == ("CH", 1)


@pytest.mark.parametrize("present", [None, b"", b"no database"], ids=["gone", "empty", "broken"])
def test_what_is_gone_or_broken_is_fetched_again(
    tmp_path: Path, server: Server, present: bytes | None
) -> None:
    offer(server, "2026-11", database("NL"))
    refresh(db_ip(tmp_path, server), NOW)
    if present is None:
        (tmp_path / "country.mmdb").unlink()
    else:
        (tmp_path / "country.mmdb").write_bytes(present)
    assert refresh(db_ip(tmp_path, server), NOW)
    assert code_in_place(tmp_path) == "NL"


def test_a_mirror_may_serve_the_bare_file_under_one_name(tmp_path: Path, server: Server) -> None:
    server.answers["/country.mmdb"] = body(database("NL"))
    settings = db_ip(tmp_path, server, "/country.mmdb")
    assert refresh(settings, NOW)
    assert not refresh(settings, NOW)
    server.answers["/country.mmdb"] = body(database("CH", DECEMBER))
    assert refresh(settings, DECEMBER)
    assert (server.paths, code_in_place(tmp_path)) == (["/country.mmdb"] * 2, "CH")


def test_a_database_that_somebody_bought_is_left_alone(tmp_path: Path, server: Server) -> None:
    (tmp_path / "country.mmdb").write_bytes(database("CH", OCTOBER, type_="GeoIP2-Country"))
    with pytest.raises(NotFetched) as caught:
        refresh(db_ip(tmp_path, server), NOW)
    assert "COUNTRY_REFRESH=off" in caught.value.what_to_do
    assert (server.asked, code_in_place(tmp_path)) == ([], "CH")


def test_what_a_killed_job_left_behind_goes(tmp_path: Path, server: Server) -> None:
    for name, age_s in (("old", 7_200), ("young", 0)):
        left = tmp_path / f".country-{name}.new"
        left.touch()
        os.utime(left, (time.time() - age_s,) * 2)
    offer(server, "2026-11", database("NL"))
    refresh(db_ip(tmp_path, server), NOW)
    assert files(tmp_path) == [".country-young.new", ".country.mmdb.from", "country.mmdb"]


# What goes wrong --------------------------------------------------------------------------------------------------


def failures() -> dict[str, tuple[Any, str]]:
    """What the server does, and what is said of it."""

    def of(change: Callable[[bytes], bytes]) -> Any:
        return lambda packed: body(change(packed))

    return {
        "500": (lambda _: status(500), "HTTP status 500"),
        "403": (lambda _: status(403), "HTTP status 403"),
        "404, and the month before too": (lambda _: status(404), "HTTP status 404"),
        "for ever elsewhere": (lambda _: status(302, Location=NOVEMBER_NAME), "HTTP status 302"),
        "to a file": (lambda _: status(302, Location="file:///etc/passwd"), "HTTP status 302"),
        "to ftp": (lambda _: status(302, Location="ftp://127.0.0.1/x"), "redirects to ftp"),
        "nothing": (of(lambda _: b""), "no database in MaxMind's format"),
        "a page": (of(lambda _: b"<!doctype html>"), "BadGzipFile"),
        "cut": (of(lambda packed: packed[: len(packed) // 2]), "EOFError"),
        "a byte differs": (of(lambda p: p[:5_000] + bytes([p[5_000] ^ 1]) + p[5_001:]), "rror|BadGzipFile"),
        "less than it says": (lambda packed: body(packed[:9_000], len(packed)), "IncompleteRead|EOFError"),
        "no HTTP": (lambda _: lambda handler: handler.wfile.write(b"\0" * 99), "BadStatusLine"),
        "no database": (of(lambda _: gzip.compress(b"x" * 50_000)), "no database in MaxMind's format"),
        "few networks": (of(lambda _: gzip.compress(database(networks=99))), "no whole country database"),
        "no countries": (of(lambda _: gzip.compress(database("ZZ"))), "no country for"),
        "of tomorrow": (of(lambda _: gzip.compress(database(built=DECEMBER))), "in the future"),
        "a bomb": (of(lambda _: gzip.compress(bytes(100_000_001))), "larger than 100 MB"),
        "silence": (lambda _: silence, "TimeoutError"),
        "a trickle": (trickle, "took longer"),
    }


NOVEMBER_NAME = "/free/country-2026-11.mmdb.gz"


@pytest.mark.parametrize("what", failures())
def test_what_goes_wrong_leaves_the_former_one(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    if what in ("silence", "a trickle"):
        monkeypatch.setattr(download, "SILENCE_S", 0.3)
        monkeypatch.setattr(download, "WITHIN_S", 0.6)
    (tmp_path / "country.mmdb").write_bytes(database("CH", OCTOBER))
    make_answer, words = failures()[what]
    server.answers[NOVEMBER_NAME] = make_answer(gzip.compress(database("NL")))
    began = time.monotonic()
    with pytest.raises(NotFetched, match=words) as caught:
        refresh(db_ip(tmp_path, server), NOW)
    assert time.monotonic() - began < 5
    assert len(caught.value.what_to_do) > 20
    assert (files(tmp_path), code_in_place(tmp_path)) == (["country.mmdb"], "CH")


def test_what_comes_packed_is_limited_too(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "LIMIT_BYTES", 1_000_000)
    server.answers[NOVEMBER_NAME] = body(random.Random(1).randbytes(2_000_000))
    server.answers["/x.mmdb"] = server.answers[NOVEMBER_NAME]
    with pytest.raises(NotFetched, match="larger than 1 MB"):
        refresh(db_ip(tmp_path, server, "/x.mmdb"), NOW)


def test_nobody_there_is_said(tmp_path: Path, server: Server) -> None:
    server.close()
    with pytest.raises(NotFetched, match="ConnectionRefusedError Connection refused"):
        refresh(db_ip(tmp_path, server), NOW)


def test_a_folder_that_cannot_be_is_said(tmp_path: Path, server: Server) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotFetched, match=r"COUNTRY_DATABASE: (Not a directory|File exists)"):
        refresh(db_ip(tmp_path / "file", server), NOW)


@pytest.mark.parametrize("target", ["http://other.example/x", "ftp://other.example/x"])
def test_no_redirect_leaves_https(target: str) -> None:
    request = urllib.request.Request("https://db-ip.example/x")
    with pytest.raises(NotFetched, match="redirects to"):
        download.Redirects().redirect_request(request, io.BytesIO(), 302, "Found", {}, target)


# GeoLite2 ---------------------------------------------------------------------------------------------------------


def offer_geolite2(server: Server, store: Server, content: bytes, checksum: str = "") -> None:
    """An archive behind a redirect, with its checksum beside it."""
    checksum = checksum or hashlib.sha256(content).hexdigest()
    server.answers[GEOLITE2] = status(302, Location=f"{store.url}/archive?signature=1")
    server.answers[GEOLITE2 + ".sha256"] = body(f"{checksum}  GeoLite2-Country_20261120.tar.gz\n".encode())
    store.answers["/archive?signature=1"] = body(content)


def test_geolite2_is_fetched_with_the_key_which_goes_nowhere_else(
    tmp_path: Path, server: Server, store: Server
) -> None:
    offer_geolite2(server, store, packed_in_tar(database("NL", type_="GeoLite2-Country")))
    assert refresh(geolite2(tmp_path, server), NOW)
    basic = "Basic " + base64.b64encode(f"{ACCOUNT}:{KEY}".encode()).decode()
    assert server.asked == [(GEOLITE2 + ".sha256", basic), (GEOLITE2, basic)]
    assert store.asked == [("/archive?signature=1", None)]
    assert code_in_place(tmp_path) == "NL"
    assert not [path for path in tmp_path.iterdir() if KEY.encode() in path.read_bytes()]


def test_geolite2_is_fetched_again_when_its_checksum_changes(
    tmp_path: Path, server: Server, store: Server
) -> None:
    settings = geolite2(tmp_path, server)
    offer_geolite2(server, store, packed_in_tar(database("NL")))
    assert refresh(settings, NOW)
    assert not refresh(settings, NOW)
    assert (len(server.paths), len(store.paths)) == (3, 1), "the checksum alone, the second time"
    offer_geolite2(server, store, packed_in_tar(database("CH", NOVEMBER + datetime.timedelta(days=3))))
    assert refresh(settings, NOW)
    assert code_in_place(tmp_path) == "CH"


def test_who_gets_a_key_or_gives_it_up_gets_the_other_database_also_when_it_is_older(
    tmp_path: Path, server: Server, store: Server
) -> None:
    offer(server, "2026-11", database("NL", NOVEMBER))
    offer_geolite2(server, store, packed_in_tar(database("CH", OCTOBER, type_="GeoLite2-Country")))
    assert refresh(db_ip(tmp_path, server), NOW)
    assert refresh(geolite2(tmp_path, server), NOW)
    assert code_in_place(tmp_path) == "CH"
    assert refresh(db_ip(tmp_path, server), NOW)
    assert code_in_place(tmp_path) == "NL"


BAD_ARCHIVES: dict[str, tuple[Callable[[], bytes], str]] = {
    "no database": (lambda: packed_in_tar(b"x"), "no database in MaxMind's format"),
    "nothing in it": (lambda: packed_in_tar(b"x", "README"), "holds no .mmdb file"),
    "no archive": (lambda: gzip.compress(b"no archive" * 999), "ReadError"),
    "cut": (lambda: packed_in_tar(database())[:9_000], "EOFError|ReadError"),
    "a bomb": (lambda: packed_in_tar(bytes(100_000_001), "padding.bin"), "larger than 100 MB"),
}


@pytest.mark.parametrize("what", BAD_ARCHIVES)
def test_a_bad_archive_is_refused(tmp_path: Path, server: Server, store: Server, what: str) -> None:
    make, words = BAD_ARCHIVES[what]
    offer_geolite2(server, store, make())
    with pytest.raises(NotFetched, match=words):
        refresh(geolite2(tmp_path, server), NOW)
    assert files(tmp_path) == []


def test_a_wrong_checksum_is_refused(tmp_path: Path, server: Server, store: Server) -> None:
    offer_geolite2(server, store, packed_in_tar(database()), checksum="0" * 64)
    with pytest.raises(NotFetched, match="its checksum is not"):
        refresh(geolite2(tmp_path, server), NOW)
    assert files(tmp_path) == []


@pytest.mark.parametrize("code", [401, 403])
def test_a_wrong_key_is_said_and_not_shown(tmp_path: Path, server: Server, code: int) -> None:
    server.answers[GEOLITE2 + ".sha256"] = status(code)
    with pytest.raises(NotFetched, match=f"HTTP status {code}") as caught:
        refresh(geolite2(tmp_path, server), NOW)
    assert caught.value.what_to_do == "check MAXMIND_ACCOUNT_ID and MAXMIND_LICENSE_KEY"
    assert KEY not in f"{caught.value}{caught.value.__cause__}{country.place_of(geolite2(tmp_path, server))}"


# The job ----------------------------------------------------------------------------------------------------------


@pytest.mark.servers
def test_the_worker_fetches_a_database_when_it_starts(settings: Settings, server: Server) -> None:
    now = datetime.datetime.now(datetime.UTC)
    offer(server, f"{now:%Y-%m}", database("NL", now - datetime.timedelta(days=1)))
    worker = Worker(settings, COUNTRY_DATABASE_URL=server.url + NAME, COUNTRY_REFRESH="on")
    try:
        assert poll(lambda: code_in_place(settings.data_dir) == "NL", 20)
        assert poll(lambda: "country-database-refreshed" in worker.actions(), 5)
        assert worker.metric('footfall_rollup_jobs_total{end="done",job="country"}') == 1
        assert worker.metric('footfall_country_refresh_timestamp_seconds{end="done"}') > time.time() - 60
    finally:
        worker.stop()


@pytest.mark.servers
def test_a_worker_that_fails_says_so_without_the_key_and_waits_a_day(
    settings: Settings, server: Server
) -> None:
    server.answers[GEOLITE2 + ".sha256"] = status(401)
    worker = Worker(
        settings,
        COUNTRY_DATABASE_URL=server.url + GEOLITE2,
        MAXMIND_ACCOUNT_ID=ACCOUNT,
        MAXMIND_LICENSE_KEY=KEY,
    )
    try:
        assert poll(lambda: "country-database-not-refreshed" in worker.actions(), 20)
        (said,) = (line for line in worker.lines() if line["action"] == "country-database-not-refreshed")
        assert (said["problem"], said["place"]) == ("HTTP status 401", "127.0.0.1/GeoLite2-Country/download")
        failed = 'footfall_rollup_jobs_total{end="failed",job="country"}'
        assert poll(lambda: worker.metric(failed) == 1, 5)
        assert worker.metric('footfall_country_refresh_timestamp_seconds{end="failed"}') > 0
        client: Any = redis.Redis.from_url(settings.redis_url)
        failures_kept = rq.registry.FailedJobRegistry(
            UPKEEP_QUEUE, connection=client, serializer=JSONSerializer
        )
        assert poll(lambda: len(failures_kept.get_job_ids()) == 1, 5)
        (number,) = failures_kept.get_job_ids()
        job = rq.job.Job.fetch(number, connection=client, serializer=JSONSerializer)
        kept = job.latest_result().exc_string
        assert "HTTP status 401" in kept
    finally:
        worker.stop()
    assert len(server.asked) == 1
    secrets = (KEY, base64.b64encode(f"{ACCOUNT}:{KEY}".encode()).decode())
    assert not [secret for secret in secrets if secret in worker.log.read_text() + kept]


@pytest.mark.servers
def test_without_being_asked_to_the_worker_asks_nobody(settings: Settings, server: Server) -> None:
    worker = Worker(settings, COUNTRY_DATABASE_URL=server.url + NAME)
    try:
        assert poll(lambda: worker.metric('footfall_rollup_jobs_total{end="done",job="upkeep"}') == 1, 20)
    finally:
        worker.stop()
    assert server.asked == []


MARK = b"\xab\xcd\xefMaxMind.com"  # in front of a database's metadata


def with_an_unknown_key(data: bytes) -> bytes:
    """A database whose metadata has one entry that maxminddb does not know: its reader in C dies of it."""
    place = data.rindex(MARK) + len(MARK)
    return data[:place] + bytes([data[place] + 1]) + b"\x47licence\x42ok" + data[place + 1 :]


def test_a_database_with_unknown_metadata_is_refused_and_ends_nobody(tmp_path: Path) -> None:
    odd = tmp_path / "odd.mmdb"
    odd.write_bytes(with_an_unknown_key(database()))
    log = Log()
    countries = Countries(odd, log)  # type: ignore[arg-type]
    countries.refresh(0)
    assert countries.country_of("8.8.8.8") is None
    assert log.actions == ["no-country-database"]
    assert country._present(odd) == (0, "")  # it is replaced by the next one
    with pytest.raises(NotFetched):
        country._built_at_s(odd, datetime.datetime.now(datetime.UTC))
