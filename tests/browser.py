"""Debian's Chromium, driven by Playwright, for tests of pages: what it logs and what it asks for is kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

__all__ = ["Watched", "chromium", "watched"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]


class Watched:
    """A page with the complaints of its console and the addresses it asked for outside `home`."""

    def __init__(self, page: Page, home: str) -> None:
        self.page = page
        self.home = home
        self.complaints: list[str] = []
        self.strangers: list[str] = []
        page.on(
            "console", lambda message: message.type in ("error", "warning") and self.complaints.append(message.text)
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._asked)

    def _asked(self, request: object) -> None:
        url: str = request.url  # type: ignore[attr-defined]
        if not url.startswith((self.home, "blob:", "data:")):
            self.strangers.append(url)

    def check(self) -> None:
        """Nothing was complained of (a refusal by the page's own policy is), and nothing came from elsewhere."""
        assert self.complaints == []
        assert self.strangers == []


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser. Without one the tests are skipped, but not in CI, where it is installed.

    Not for longer than a module: until Playwright stops, its event loop counts as the running one of this thread.
    """
    if CHROMIUM is None and "CI" not in os.environ:
        pytest.skip("no chromium on this machine; it is Debian's package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


def watched(browser: Browser, home: str) -> Watched:
    """A new page of its own context; `home` is the address all it asks for must begin with."""
    return Watched(browser.new_context(viewport={"width": 1280, "height": 900}).new_page(), home)
