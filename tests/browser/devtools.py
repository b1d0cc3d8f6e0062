"""A real headless Chromium, driven over its DevTools protocol.

One process a test session with an empty profile; each test works in a browser context of its own, which
shares no cookies, storage or cache with another. Nothing here touches the page: the requests that a test
sees are those that the browser sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp

from tools.servers import spawn

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
START_S = 30.0  # 1.5 s on an idle machine
ANSWER_S = 15.0
# Without it a headless browser says HeadlessChrome, and is a bot.
USER_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)
# Names and addresses under which the tests' servers on 127.0.0.1 are pages of the world, or of a local build.
HOSTS = ("*.example", "*.test", "*.local", "10.1.2.3", "172.32.0.1")
FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    # DevTools on a port of the browser's choice sets navigator.webdriver, at which the tracker is silent.
    "--disable-blink-features=AutomationControlled",
    "--host-resolver-rules=" + ", ".join(f"MAP {host} 127.0.0.1" for host in HOSTS),
    f"--user-agent={USER_AGENT}",
)

Message = dict[str, Any]


def find_chromium() -> str | None:
    """The path of a Chromium, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


@contextlib.contextmanager
def chromium(*flags: str) -> Iterator[str]:
    """Run a browser with an empty profile; the address of its DevTools socket."""
    binary = find_chromium()
    assert binary
    sandbox = ("--no-sandbox",) if os.getuid() == 0 else ()
    with tempfile.TemporaryDirectory(prefix="footfall-chromium-", ignore_cleanup_errors=True) as profile:
        log = Path(profile, "stderr.log")
        more = (f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank")
        process = spawn([binary, *FLAGS, *sandbox, *flags, *more], log=log)
        try:
            yield _devtools_address(process, Path(profile, "DevToolsActivePort"), log)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)


def _devtools_address(process: subprocess.Popen[bytes], port_file: Path, log: Path) -> str:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        lines = port_file.read_text().split() if port_file.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(0.02)
    raise AssertionError(f"the browser does not start: {log.read_text(errors='replace')[-800:]}")


class Browser:
    """A connection to a browser, and one browser context in it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Message]] = {}
        self._tabs: dict[str, Tab] = {}
        self._context = ""

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, address: str) -> AsyncIterator[Browser]:
        """A new, empty context; it and all its tabs are gone at the end."""
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(address, max_msg_size=0) as socket,
        ):
            browser = cls(socket)
            reading = asyncio.create_task(browser._read())
            try:
                created = await browser.send("Target.createBrowserContext", disposeOnDetach=True)
                browser._context = created["browserContextId"]
                yield browser
                await browser.send("Target.disposeBrowserContext", browserContextId=browser._context)
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    async def _read(self) -> None:
        async for message in self._socket:
            data: Message = message.json()
            answer = self._answers.pop(data.get("id", 0), None)
            if answer is not None and not answer.done():
                answer.set_result(data)
            elif "method" in data and data.get("sessionId") in self._tabs:
                self._tabs[data["sessionId"]].take(data["method"], data["params"])

    async def send(self, method: str, session_id: str = "", **parameters: Any) -> Message:
        """Call a DevTools method; its result."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        call: Message = {"id": number, "method": method, "params": parameters}
        await self._socket.send_json(call | ({"sessionId": session_id} if session_id else {}))
        data: Message = await asyncio.wait_for(answer, ANSWER_S)
        assert "error" not in data, f"{method}: {data['error']}"
        result: Message = data["result"]
        return result

    async def new_tab(self, *, background: bool = False) -> Tab:
        """An empty tab, ready to be told where to go."""
        target = await self.send(
            "Target.createTarget", url="about:blank", browserContextId=self._context, background=background
        )
        return await self._attach(target["targetId"])

    async def open_unwatched(self, url: str) -> None:
        """A tab to which DevTools are not attached: what they switch off (prerendering) works in it."""
        await self.send("Target.createTarget", url=url, browserContextId=self._context)

    async def _attach(self, target_id: str) -> Tab:
        attached = await self.send("Target.attachToTarget", targetId=target_id, flatten=True)
        tab = self._tabs[attached["sessionId"]] = Tab(self, target_id, attached["sessionId"])
        for domain in ("Page", "Network", "Runtime"):
            await tab.send(f"{domain}.enable")
        return tab


class Tab:
    """A tab: what it asked for, and what went wrong in its pages."""

    def __init__(self, browser: Browser, target_id: str, session_id: str) -> None:
        self._browser = browser
        self._session_id = session_id
        self.target_id = target_id
        self.requests: list[str] = []  # addresses, in the order in which the pages asked
        self.errors: list[str] = []  # uncaught exceptions and unhandled rejections
        self._loaded = asyncio.Event()

    def take(self, method: str, parameters: Message) -> None:
        """Note an event."""
        if method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(str(parameters["exceptionDetails"]))
        elif method == "Page.loadEventFired":
            self._loaded.set()

    async def send(self, method: str, **parameters: Any) -> Message:
        """Call a DevTools method in this tab."""
        return await self._browser.send(method, self._session_id, **parameters)

    async def open(self, url: str) -> None:
        """Go to an address, as if it had been typed; returns after the page's load event."""
        self._loaded.clear()
        result = await self.send("Page.navigate", url=url)
        assert "errorText" not in result, f"{url}: {result}"
        await asyncio.wait_for(self._loaded.wait(), ANSWER_S)

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page; of a promise what it resolves to."""
        result = await self.send(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def follow(self, expression: str) -> None:
        """Run what leads to another page (a click, ``history.back()``), and wait for that page."""
        self._loaded.clear()
        await self.evaluate(f"void ({expression})")
        await asyncio.wait_for(self._loaded.wait(), ANSWER_S)

    async def settle(self) -> None:
        """Until everything that the page's scripts began by now has been asked for."""
        # Not a timer of the page: a hidden page's are slow, and a test may have broken them.
        await self.evaluate("0")
        # A page counts after 0.3 s; then promises and refused requests. An absence has no event to wait for.
        await asyncio.sleep(0.45)
        await self.evaluate("0")

    async def show(self) -> None:
        """Bring the tab to the front."""
        await self._browser.send("Target.activateTarget", targetId=self.target_id)
