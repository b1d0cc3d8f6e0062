"""Redis and PostgreSQL by TLS: the certificate is checked, and nothing goes in clear where TLS is wanted."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.database import connect
from services.hit_stream import connect as connect_to_redis
from services.hit_stream import connect_async
from tests.conftest import Database
from tests.make import make_settings
from tools.servers import Postgres, Redis, poll, servers_user

pytestmark = pytest.mark.servers


def write_certificates(folder: Path) -> None:
    """An authority (ca.pem), a server's certificate by it for 127.0.0.1, and a stranger's authority (other.pem)."""
    now = datetime.datetime.now(datetime.UTC)

    def make(name: str, issuer: str, signer: ec.EllipticCurvePrivateKey | None, is_ca: bool) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        keys[name] = key
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
            )
            .sign(signer or key, hashes.SHA256())
        )
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        path = folder / f"{name}.key"
        path.touch(mode=0o600)
        path.write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))

    keys: dict[str, ec.EllipticCurvePrivateKey] = {}
    make("ca", "ca", None, is_ca=True)
    make("server", "ca", keys["ca"], is_ca=False)
    make("other", "other", None, is_ca=True)


@pytest.fixture(scope="module")
def certificates(servers_folder: Path) -> Path:
    folder = servers_folder / "certificates"
    folder.mkdir(exist_ok=True)
    write_certificates(folder)
    user = servers_user()
    if user:
        os.chown(folder / "server.key", user.pw_uid, user.pw_gid)
    return folder


def _pump(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65_536):
            other.sendall(data)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def tls_before(port: int, folder: Path) -> Iterator[int]:
    """A port on which TLS ends before that of a real server; not every build of Redis has TLS itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                wire, _ = listening.accept()
                threading.Thread(target=end_tls, args=[wire], daemon=True).start()

    def end_tls(wire: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(wire, server_side=True) as clear:
            inner = socket.create_connection(("127.0.0.1", port))
            threading.Thread(target=_pump, args=[inner, clear], daemon=True).start()
            _pump(clear, inner)

    threading.Thread(target=serve, daemon=True).start()
    yield listening.getsockname()[1]
    listening.close()


@pytest.fixture
def tls_port(redis_server: Redis, certificates: Path) -> Iterator[int]:
    with tls_before(redis_server.port, certificates) as port:
        yield port


async def test_the_pixel_and_the_enricher_reach_redis_by_tls(tls_port: int, certificates: Path) -> None:
    url = f"rediss://127.0.0.1:{tls_port}/0?ssl_ca_certs={certificates / 'ca.pem'}"
    client = connect_async(make_settings(REDIS_URL=url).redis_url, "", timeout_s=5)
    assert await client.set("by", "tls")
    await client.aclose()
    assert connect_to_redis(url, "", timeout_s=5).get("by") == b"tls"


async def test_a_redis_with_a_stranger_s_certificate_is_refused(tls_port: int, certificates: Path) -> None:
    for authority in (f"?ssl_ca_certs={certificates / 'other.pem'}", ""):
        url = f"rediss://127.0.0.1:{tls_port}/0{authority}"
        with pytest.raises(redis.ConnectionError, match=r"(?i)certificate"):
            await connect_async(url, "", timeout_s=5).ping()
        with pytest.raises(redis.ConnectionError, match=r"(?i)certificate"):
            connect_to_redis(url, "", timeout_s=5).ping()


def test_a_redis_without_tls_is_not_spoken_to_in_clear(redis_server: Redis) -> None:
    with pytest.raises(redis.RedisError):
        connect_to_redis(f"rediss://127.0.0.1:{redis_server.port}/0", "", timeout_s=2).ping()


@pytest.fixture
def with_tls(postgres: Postgres, database: Database, certificates: Path) -> Iterator[Database]:
    """The session's PostgreSQL, with TLS for the time of a test."""
    names = {
        "ssl_cert_file": certificates / "server.pem",
        "ssl_key_file": certificates / "server.key",
        "ssl": "on",
    }

    def is_on(wanted: str) -> bool:
        with database.connect() as connection:
            return connection.execute("show ssl").fetchone() == (wanted,)

    with database.connect() as connection:
        try:
            for name, value in names.items():
                connection.execute(f"alter system set {name} = '{value}'")
        except psycopg.errors.Error as error:
            pytest.skip(f"this build of PostgreSQL has no TLS: {error}")
        connection.execute("select pg_reload_conf()")
    try:
        if not poll(lambda: is_on("on"), 10):
            pytest.skip("this build of PostgreSQL has no TLS")
        yield database
    finally:
        with database.connect() as connection:
            for name in names:
                connection.execute(f"alter system reset {name}")
            connection.execute("select pg_reload_conf()")
        assert poll(lambda: is_on("off"), 10)


def test_postgresql_is_reached_by_tls_and_its_certificate_is_checked(
    with_tls: Database, certificates: Path
) -> None:
    url = f"{with_tls.owner_url}?sslmode=verify-full&sslrootcert={certificates / 'ca.pem'}"
    with connect(make_settings(DATABASE_URL=url), "enricher") as connection:
        assert connection.execute("select ssl from pg_stat_ssl where pid = pg_backend_pid()").fetchone() == (
            True,
        )
    with pytest.raises(psycopg.OperationalError, match="certificate"):
        connect(make_settings(DATABASE_URL=url.replace("ca.pem", "other.pem")), "enricher")


def test_a_postgresql_without_tls_is_not_spoken_to_in_clear(database: Database, certificates: Path) -> None:
    url = f"{database.owner_url}?sslmode=verify-full&sslrootcert={certificates / 'ca.pem'}"
    with pytest.raises(psycopg.OperationalError, match="SSL"):
        connect(make_settings(DATABASE_URL=url), "enricher")
