"""The proxy does what it is told: else the tests of faults would prove nothing."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tools.fault_proxy import FaultProxy
from tools.servers import poll


class Echo:
    """A server that sends back what it gets, and remembers it."""

    def __init__(self) -> None:
        self.got = b""
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        try:
            while data := connection.recv(65_536):
                self.got += data
                connection.sendall(data)
        except OSError:
            pass
        connection.close()

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()
    yield made
    made.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[FaultProxy]:
    made = FaultProxy(echo.port)
    yield made
    made.close()


def dial(proxy: FaultProxy) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
    assert ask(connection, b"hello") == b"hello"
    return connection


def ask(connection: socket.socket, request: bytes) -> bytes:
    connection.sendall(request)
    answer = b""
    while len(answer) < len(request):
        part = connection.recv(65_536)
        if not part:
            return answer
        answer += part
    return answer


def hears_nothing(connection: socket.socket) -> bool:
    connection.settimeout(0.3)
    try:
        connection.recv(1)
    except TimeoutError:
        connection.settimeout(5)
        return True
    return False


def test_it_carries(proxy: FaultProxy) -> None:
    text = bytes(range(256)) * 2_000
    assert ask(dial(proxy), text) == text


def test_a_cut_resets_what_is_there_and_lets_new_ones_pass(proxy: FaultProxy) -> None:
    first = dial(proxy)
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        first.recv(1)
    dial(proxy)


def test_a_stall_of_requests_keeps_them_from_the_server_until_healed(proxy: FaultProxy, echo: Echo) -> None:
    connection = dial(proxy)
    proxy.stall("request")
    connection.sendall(b"late")
    assert hears_nothing(connection)
    assert echo.got == b"hello"
    proxy.heal()
    assert connection.recv(4) == b"late"


def test_a_stall_of_answers_takes_requests_there(proxy: FaultProxy, echo: Echo) -> None:
    connection = dial(proxy)
    proxy.stall("answer")
    connection.sendall(b"there")
    assert poll(lambda: echo.got == b"hellothere", 5)
    assert hears_nothing(connection)
    proxy.heal()
    assert connection.recv(5) == b"there"


def test_half_open_accepts_and_never_connects_on(proxy: FaultProxy, echo: Echo) -> None:
    proxy.half_open()
    connection = socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
    connection.sendall(b"anybody?")
    assert hears_nothing(connection)
    assert echo.connections == 0
    proxy.heal()
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
    dial(proxy)


def test_slow_is_slow(proxy: FaultProxy) -> None:
    connection = dial(proxy)
    proxy.slow(20_000, latency_s=0.01)
    began = time.monotonic()
    assert len(ask(connection, b"x" * 4_000)) == 4_000
    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize(("direction", "got"), [("request", b"hello12345"), ("answer", b"hello1234567890")])
def test_it_cuts_after_so_many_bytes(proxy: FaultProxy, echo: Echo, direction: str, got: bytes) -> None:
    connection = dial(proxy)
    proxy.cut_after(5, direction)  # type: ignore[arg-type]
    connection.sendall(b"1234567890")
    with pytest.raises(ConnectionResetError):
        while connection.recv(65_536):
            pass
    assert poll(lambda: echo.got == got, 5)


def test_a_trap_holds_the_request_that_it_waits_for(proxy: FaultProxy, echo: Echo) -> None:
    connection, other = dial(proxy), dial(proxy)
    trap = proxy.trap(b"COMMIT", "request", "hold")
    assert ask(connection, b"begin") == b"begin"
    assert not trap.reached.is_set()
    connection.sendall(b"work;COMMIT;")
    assert trap.reached.wait(5)
    assert connection.recv(100) == b"work;"
    assert hears_nothing(connection)
    assert ask(other, b"COMMIT") == b"COMMIT", "it acts once"
    proxy.heal()
    assert connection.recv(100) == b"COMMIT;"


def test_a_trap_loses_the_answer_to_what_the_server_has_done(proxy: FaultProxy, echo: Echo) -> None:
    connection = dial(proxy)
    trap = proxy.trap(b"XADD", "answer", "cut")
    connection.sendall(b"XADD stream")
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
    assert trap.reached.is_set()
    assert echo.got.endswith(b"XADD stream")


def test_a_trap_lets_so_many_bytes_pass(proxy: FaultProxy, echo: Echo) -> None:
    connection = dial(proxy)
    trap = proxy.trap(b"copy", "request", "cut", after_bytes=9)
    connection.sendall(b"a copy")
    assert connection.recv(100) == b"a copy"
    connection.sendall(b"1234567890")
    with pytest.raises(ConnectionResetError):
        while connection.recv(100):
            pass
    assert trap.reached.is_set()
    assert poll(lambda: echo.got.endswith(b"a copy12345"), 5)
