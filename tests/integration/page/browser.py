"""Debian's Chromium, driven by Playwright: found, started without a window, and gone."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from playwright.async_api import Page, async_playwright, expect

from tests.parts import missing

MISSING = "chromium is missing: `make tools` installs Debian's package as root; elsewhere put chromium on PATH"

PATIENCE_MS = 20_000
"""How long something may take to show: a bound for a loaded machine, not a measure."""

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""No sandbox: containers have none to give. The rest keeps it from talking to anybody but the page."""


def find_chromium() -> str | None:
    """Return the browser's path, None where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def skip_without_chromium() -> None:
    """Skip where there is no browser, or fail where nothing may be left out."""
    if find_chromium() is None:
        missing(MISSING)


@asynccontextmanager
async def page(
    url: str,
    scheme: Literal["light", "dark"] = "light",
    size: tuple[int, int] = (1280, 800),
    zone: str = "UTC",
) -> AsyncIterator[Page]:
    """Open a page in a browser of its own, on a clock of this zone, in a profile that is thrown away."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=find_chromium(), args=list(FLAGS), timeout=60_000
        )
        try:
            opened = await browser.new_page(
                viewport={"width": size[0], "height": size[1]},
                color_scheme=scheme,
                timezone_id=zone,
            )
            opened.set_default_timeout(PATIENCE_MS)
            expect.set_options(timeout=PATIENCE_MS)
            await opened.goto(url)
            yield opened
        finally:
            await browser.close()
