"""A webhook gets the report or an error says why, and never the address, which is a secret."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.tools.reports import make_report
from tools.report.request import request_of
from tools.report.webhook import NotPosted, place_of, post

SECRET = "/services/T0/secret-token"


class Receiver(http.server.ThreadingHTTPServer):
    """Answers with these statuses, the last again and again; keeps what came."""

    def __init__(self, *statuses: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses = list(statuses)
        self.came: list[tuple[str, str, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}{SECRET}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.came.append((self.path, self.headers["Content-Type"], body))
        status = self.server.statuses.pop(0) if len(self.server.statuses) > 1 else self.server.statuses[0]
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def straight(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of this machine stands between."""
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver(200)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_gets_the_json_or_words(receiver: Receiver) -> None:
    place = f"http://127.0.0.1:{receiver.server_port}"
    assert post(make_report(), receiver.url, "json") == place
    assert post(make_report(), receiver.url, "chat") == place
    (path, kind, body), (_, _, words) = receiver.came
    assert (path, kind) == (SECRET, "application/json")
    assert json.loads(body)["headline"]["pageviews"]["value"] == 1234
    assert set(json.loads(words)) == {"text"}
    assert "pageviews: 1,234 (▲ 10 % · +100)" in json.loads(words)["text"]


@pytest.mark.parametrize(("statuses", "tries"), [([503, 204], 2), ([500, 429, 200], 3)])
def test_it_is_tried_again(receiver: Receiver, statuses: list[int], tries: int) -> None:
    receiver.statuses = statuses
    post(make_report(), receiver.url, "json", (0, 0))
    assert len(receiver.came) == tries
    assert len({body for _, _, body in receiver.came}) == 1


@pytest.mark.parametrize(("status", "tries", "words"), [
    (404, 1, "answered 404"),
    (503, 3, "answered 503"),
    (301, 1, "answered 301: it leads elsewhere, which is not followed"),
    (307, 1, "answered 307: it leads elsewhere"),
])  # fmt: skip
def test_what_it_refuses_is_said_without_the_address(
    receiver: Receiver, status: int, tries: int, words: str
) -> None:
    receiver.statuses = [status]
    with pytest.raises(NotPosted, match=f"WEBHOOK: http://127.0.0.1:{receiver.server_port} {words}") as said:
        post(make_report(), receiver.url, "json", (0, 0))
    assert [path for path, _, _ in receiver.came] == [SECRET] * tries
    assert "secret" not in str(said.value)


def test_one_that_hangs_or_is_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.report.webhook.TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(NotPosted, match=r"did not answer: TimeoutError|cannot be reached") as said:
            post(make_report(), f"http://127.0.0.1:{port}{SECRET}", "json", (0,))
    assert "secret" not in str(said.value)
    with pytest.raises(NotPosted, match="cannot be reached: Connection refused"):
        post(make_report(), f"http://127.0.0.1:{port}{SECRET}", "json", ())


@pytest.mark.parametrize("url", [
    "ftp://hooks.example/secret", "https:///secret", "hooks.example/secret", "https://me:secret@hooks.example/",
    "https://hooks.example/se cret", "https://hooks.example:99999/secret", "https://h.example/\r\nX: secret",
    "file:///etc/passwd", "https://höoks.example/secret",
])  # fmt: skip
def test_what_is_no_address_is_not_repeated(url: str) -> None:
    with pytest.raises(NotPosted, match="it is no address such as") as said:
        place_of(url)
    assert "secret" not in str(said.value)


def test_a_request_does_not_show_its_webhook() -> None:
    assert "secret" not in repr(request_of({"WEBHOOK": f"https://hooks.example{SECRET}"}))
