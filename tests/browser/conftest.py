"""One browser a session; a browser context, a site and a recording endpoint a test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from services.pixel.pages import tracker_source

from .devtools import NAMES, Browser, Tab, chromium, find_chromium
from .web import Pages, Recorder, serving


@pytest.fixture(scope="session")
def chromium_address() -> Iterator[str]:
    """A running browser."""
    if find_chromium() is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on the PATH")
    with chromium() as address:
        yield address


@pytest.fixture
async def browser(chromium_address: str) -> AsyncIterator[Browser]:
    """An empty browser context."""
    async with Browser.connect(chromium_address) as browser:
        yield browser


@pytest.fixture
async def tab(browser: Browser) -> Tab:
    """A visible tab."""
    return await browser.new_tab()


@pytest.fixture
async def recorder() -> AsyncIterator[Recorder]:
    """The endpoint, which serves the tracker as the pixel does."""
    recorder = Recorder(script=tracker_source())
    async with serving(recorder.handle) as recorder.port:
        yield recorder


@pytest.fixture
async def site() -> AsyncIterator[Pages]:
    """The site, without pages yet."""
    pages = Pages()
    async with serving(pages.handle) as pages.port:
        yield pages
