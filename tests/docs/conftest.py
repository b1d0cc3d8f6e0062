"""The browser, for examples that are scripts."""

from tests.browser.conftest import browser, chromium_address, site, tab

__all__ = ["browser", "chromium_address", "site", "tab"]
