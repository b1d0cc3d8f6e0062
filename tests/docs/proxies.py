"""nginx and Caddy as docs/tag.md sets them up, on free ports of 127.0.0.1.

The blocks of the page are taken as they stand; only ports, the addresses that are listened on, and the paths of
certificates and of the site are others. What stands around them is what Debian's packages have: logs are on.
"""

from __future__ import annotations

import contextlib
import datetime
import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.docs.guide import Guide
from tests.system.stack import free_ports, wait_until
from tools.servers import spawn

HOSTS = ("pixel.example.com", "blog.example")
INDEX = "<!doctype html><title>The blog</title>"

# As in Debian's nginx.conf, but for the level: `info` writes what `error` does and more.
NGINX = """
{user}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{}}
http {{
    access_log {folder}/access.log;
    error_log {folder}/error.log info;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{blocks}
}}
"""
CADDY_OPTIONS = """\
{{
	admin off
	http_port {http}
	https_port {https}
	default_bind 127.0.0.1
	local_certs
	skip_install_trust
"""


@dataclass(frozen=True)
class Answer:
    """An answer: its status, headers (names in lower case), body."""

    status: int
    headers: dict[str, str]
    body: bytes


def unverified() -> ssl.SSLContext:
    """TLS to a certificate that nobody has signed."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@dataclass
class Proxy:
    """A running proxy; ``blog.example`` has a page without a tag, ``/``, and one with it, ``/tagged.html``."""

    name: str
    folder: Path
    pixel_port: int
    change: Callable[[str], str] = lambda text: text  # applied to the page's blocks, for counter-tests
    blocks: str | None = None  # other ones than the page's, without a site of their own
    ports: dict[str, int] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.ports = dict(zip(("http", "https"), free_ports(2), strict=True))

    def start(self) -> None:
        """Start it and wait until it answers for each of the hosts."""
        (self.folder / "site").mkdir()
        (self.folder / "site/index.html").write_text(INDEX)
        (tag,) = (text for text in Guide("tag.md").blocks("html") if "/s/x.js" in text)
        tag = _replaced(tag, "https://blog.example", f"https://blog.example:{self.ports['https']}")
        (self.folder / "site/tagged.html").write_text(INDEX + tag)
        page = "\n".join(Guide("tag.md").blocks(self.name))
        text = self.change(page if self.blocks is None else self.blocks)
        text = _replaced(text, "127.0.0.1:8000", f"127.0.0.1:{self.pixel_port}")
        if self.blocks is None:
            text = _replaced(text, "/srv/blog", str(self.folder / "site"))
        command = self._nginx(text) if self.name == "nginx" else self._caddy(text)
        environ = {**os.environ, "HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder / "data"),
                   "XDG_CONFIG_HOME": str(self.folder / "config")}  # fmt: skip
        self.process = spawn(command, environ=environ, log=self.folder / "output.log")
        for host in HOSTS:
            wait_until(lambda host=host: self._answers(host), 30)

    def _nginx(self, text: str) -> list[str | Path]:
        for host in HOSTS:
            live = f"/etc/letsencrypt/live/{host}"
            certificate, key = write_certificate(self.folder, host)
            text = _replaced(text, f"{live}/fullchain.pem", str(certificate))
            text = _replaced(text, f"{live}/privkey.pem", str(key))
        text = _replaced(text, "listen 443 ssl", f"listen 127.0.0.1:{self.ports['https']} ssl")
        text = _replaced(text, "listen 80", f"listen 127.0.0.1:{self.ports['http']}")
        text = re.sub(r"^ *listen \[::\]:.*\n", "", text, flags=re.MULTILINE)
        user = "user root;" if os.geteuid() == 0 else ""
        config = self.folder / "nginx.conf"
        config.write_text(NGINX.format(user=user, folder=self.folder, blocks=text))
        return ["nginx", "-e", self.folder / "error.log", "-p", self.folder, "-c", config]

    def _caddy(self, text: str) -> list[str | Path]:
        text = text.removeprefix("{\n")
        config = self.folder / "Caddyfile"
        config.write_text(CADDY_OPTIONS.format(**self.ports) + text)
        return ["caddy", "run", "--config", config, "--adapter", "caddyfile"]

    def _answers(self, host: str) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.written()
        with contextlib.suppress(OSError):
            return self.ask(host, "/").status > 0
        return False

    def connect(self, host: str, client: str = "127.0.0.1") -> ssl.SSLSocket:
        """A TLS connection from an address of this machine."""
        address = ("127.0.0.1", self.ports["https"])
        raw = socket.create_connection(address, timeout=10, source_address=(client, 0))
        try:
            return unverified().wrap_socket(raw, server_hostname=host)
        except BaseException:
            raw.close()
            raise

    def ask(
        self,
        host: str,
        path: str,
        client: str = "127.0.0.1",
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: list[tuple[str, str]] | None = None,
    ) -> Answer:
        """Send a request to a host of the proxy. Raises OSError."""
        with self.connect(host, client) as sock:
            connection = http.client.HTTPConnection(host, timeout=10)
            connection.sock = sock
            connection.putrequest(method, path)
            for name, value in headers or []:
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read())

    def send_bytes(self, sock: socket.socket, data: bytes) -> bytes:
        """Send bytes and take what comes, until the other side closes or says nothing for 0.5 s."""
        sock.settimeout(0.5)
        answer = b""
        with contextlib.suppress(OSError):
            sock.sendall(data)
            while part := sock.recv(65_536):
                answer += part
        return answer

    def stop(self) -> None:
        """Stop it; what it has to write is written."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)

    def written(self) -> str:
        """All that it has written: logs, output, temporary files. Not its configuration and certificates."""
        files = [path for path in sorted(self.folder.rglob("*")) if path.is_file()]
        ours = {"nginx.conf", "Caddyfile", "autosave.json"}
        return "".join(
            f"== {path.name}\n{path.read_text(errors='replace')}"
            for path in files
            if path.name not in ours and path.suffix not in (".pem", ".crt", ".key")
        )


def _replaced(text: str, old: str, new: str) -> str:
    """The text with a value of the page replaced; the page must have it."""
    # Counter-tests and Caddy's blocks do not have all of them twice, but every one at least once.
    assert old in text, f"docs/tag.md does not say {old}"
    return text.replace(old, new)


def write_certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """A certificate for a host, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{host}.crt", folder / f"{host}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


@contextlib.contextmanager
def running(
    name: str,
    folder: Path,
    pixel_port: int,
    change: Callable[[str], str] = lambda text: text,
    blocks: str | None = None,
) -> Iterator[Proxy]:
    """A proxy with a new folder in this one, stopped at the end. Skips when the program is not there."""
    if shutil.which(name) is None:
        pytest.skip(f"no {name} on the PATH (Debian: nginx-light, caddy)")
    proxy = Proxy(name, Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder)), pixel_port, change, blocks)
    try:
        proxy.start()
        yield proxy
    finally:
        proxy.stop()
