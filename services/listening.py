"""Listening sockets, which may outlive the process that accepts on them.

A process that opens its own port takes the port with it when it ends: whoever connects then is refused. So a socket
may come from outside: handed over by whoever started the process (systemd's protocol: the descriptors from 3 on,
their number in LISTEN_FDS, for the process whose id is in LISTEN_PID). Connections then wait in the socket's backlog
while the process is started anew.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

# Connections that wait to be accepted, over a restart too: at 1,000 new ones a second, 2 s of them.
BACKLOG = 2_048
FIRST_HANDED = 3  # after standard input, output and error
# A pixel that is started anew is back within a second or two. Where none comes, a page would wait for its pixel's
# image as long as the browser does.
AWAY_AFTER_S = 10.0
_ASKED_WITHIN_S = 0.02
_MOST_AT_ONCE = 50
_LINE = b"The hit cannot be stored now: send it again later.\n"
_AWAY = b"\r\n".join((
    b"HTTP/1.1 503 Service Unavailable", b"Server: footfall", b"Retry-After: 5", b"Cache-Control: no-store",
    b"Content-Type: text/plain; charset=utf-8", b"Content-Length: %d" % len(_LINE), b"Connection: close", b"",
    _LINE,
))  # fmt: skip


class CannotListen(Exception):
    """An address is taken or not ours; the text names the setting."""


def listen_on_port(host: str, port: int) -> socket.socket:
    """A listening socket on PIXEL_HOST and PIXEL_PORT. Raises ``CannotListen``."""
    server = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((host, port))
        server.listen(BACKLOG)
    except OSError as error:
        server.close()
        raise CannotListen(
            f"PIXEL_HOST, PIXEL_PORT: cannot listen on {host} port {port}: "
            f"{error.strerror}; stop what listens there or set another PIXEL_PORT"
        ) from error
    return server


def listen_on_path(path: Path, setting: str) -> socket.socket:
    """A listening Unix socket that only its owner may open, in the place of a former one. Raises ``CannotListen``."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    server = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        server.bind(str(path))
        server.listen(BACKLOG)
    except OSError as error:
        server.close()
        raise CannotListen(f"{setting}: cannot listen on {path}: {error.strerror or error}") from error
    finally:
        os.umask(mask)
    return server


def turn_away(server: socket.socket) -> int:
    """Answer 503 to those who wait to be accepted, where nobody is to accept them; how many. Blocks for a second."""
    server.setblocking(False)
    for number in range(_MOST_AT_ONCE):
        try:
            wire, _ = server.accept()
        except OSError:  # nobody waits
            return number
        with wire, contextlib.suppress(OSError):
            wire.settimeout(_ASKED_WITHIN_S)
            with contextlib.suppress(TimeoutError):
                wire.recv(65_536)  # what was asked for: closed unread, the answer might not arrive
            wire.sendall(_AWAY)
            wire.shutdown(socket.SHUT_WR)
    return _MOST_AT_ONCE


def handed_sockets(number: int) -> list[socket.socket]:
    """The sockets that were handed over, as ``services.settings.handed_descriptors`` counts them. Raises OSError."""
    return [socket.socket(fileno=FIRST_HANDED + place) for place in range(number)]


def lend(port: socket.socket, line: socket.socket) -> None:
    """Send a listening socket to the other end of a Unix socket. Raises OSError."""
    socket.send_fds(line, [b"."], [port.fileno()])


def borrow(path: Path, within_s: float) -> tuple[socket.socket, socket.socket]:
    """The socket that the door at ``path`` lends, and the line to the door, which ends with it. Raises OSError.

    Blocks for ``within_s`` at most.
    """
    line = socket.socket(socket.AF_UNIX)
    try:
        line.settimeout(within_s)
        line.connect(str(path))
        _, descriptors, _, _ = socket.recv_fds(line, 1, 1)
        if not descriptors:
            raise ConnectionError("the door went before it lent its socket")
    except OSError:
        line.close()
        raise
    return socket.socket(fileno=descriptors[0]), line
