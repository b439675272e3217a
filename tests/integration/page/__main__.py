"""``python -m tests.integration.page``: photographs of the board for the README, taken during a story.

The local clusters run with the real controller and probers, a few Services are moved, held, rolled back, and
a browser opens the board: docs/images/board-light.png and board-dark.png, the latter with a story open.
Prints one JSON line: what a page of 409 rows costs, measured on this machine with made-up migrations.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from playwright.async_api import expect

from controller.report.ui import serve_board
from deploy.local.pair import Plan
from deploy.stand_ins.mesh import EKS
from tests.integration.page.browser import MISSING, find_chromium, page
from tests.integration.page.fleet import key, programme, shows, status
from tests.integration.stories.scene import Scene, playing

IMAGES = Path(__file__).resolve().parents[3] / "docs" / "images"
SIZE = (1280, 800)
ROWS = 409
CALLS_HZ = 5.0


async def main() -> None:
    """Take the photographs, then the measures."""
    if find_chromium() is None:
        sys.exit(f"tests.integration.page: {MISSING}")
    async with asyncio.timeout(300), playing(Plan()) as scene:
        await tell(scene)
        IMAGES.mkdir(exist_ok=True)
        async with page(scene.pair.board_url, "light", SIZE) as board:
            # The browser's own start may have kept the probers from their work for a moment.
            await expect(board.locator("#rows .tag", has_text="PASS")).to_have_count(
                2, timeout=90_000
            )
            await board.screenshot(path=IMAGES / "board-light.png")
        async with page(f"{scene.pair.board_url}#default/search", "dark", SIZE) as board:
            await board.wait_for_selector("#story-body table")
            await board.screenshot(path=IMAGES / "board-dark.png")
    sys.stdout.write(json.dumps(await measures()) + "\n")


SHOP = ("cart", "checkout", "invoices", "search")
OFFICE = ("stock", "users")


def programme_spec() -> dict[str, Any]:
    """A Fleet of all six: the office waits for the shop and for a person, and a window closes tomorrow."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    begins, ends = (f"{now + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}" for days in (1, 3))
    return {
        "target": EKS,
        "stopTheLine": {"reverts": 3, "within": "24h"},
        "windows": [{"kind": "deny", "from": begins, "until": ends, "reason": "weekend"}],
        "waves": [
            {"name": "shop", "services": [{"namespace": "default", "names": list(SHOP)}]},
            {
                "name": "office",
                "services": [{"namespace": "default", "names": list(OFFICE)}],
                "opens": "byHand",
            },
        ],
    }


async def tell(scene: Scene) -> None:
    """Six Services: one moved, one on the path, one soaking, one rolled back, one enrolled, one written wrong."""
    for name in (*SHOP, *OFFICE):
        await scene.service(name, rate_hz=CALLS_HZ)
    await scene.pair.fleet("to-eks", programme_spec())
    await scene.ask("stock", target=EKS, paused="true")
    await scene.ask("users", target=EKS, steps="10,100")
    # One after the other: all at once is more than this machine's mesh can carry.
    await scene.ask("cart", **MOVING)
    await scene.reach("cart", "Completed", 90.0)
    await scene.rise("search", "25", **{"probe-rate": "20"})
    scene.pair.workloads[EKS, "search"].fail(0.3)
    await scene.reach("search", "Reverted")
    await scene.ask("invoices", **{**MOVING, "soak": "1h", "probe-rate": "10"})
    await scene.reach("invoices", "Soaking", 90.0)
    await scene.rise("checkout", "10", **{"probe-rate": "10"})
    await scene.told("users", "Malformed")
    await scene.told("stock", "Paused")


MOVING = {
    "target": EKS,
    "slo-success": "99",
    "probe-rate": "20",
    "steps": "50",
    "dwell": "1s",
    "soak": "1s",
}


async def measures() -> dict[str, Any]:
    """Return how long a page of 409 rows takes to fill, to be sifted and sorted, and to show a change of all."""
    feed = programme(ROWS)
    async with served(feed) as url, page("about:blank") as board:
        began = time.monotonic()
        await board.goto(url)
        await board.wait_for_function(f"document.querySelectorAll('#rows tr').length === {ROWS}")
        filled_s = time.monotonic() - began
        costs = await board.evaluate(COSTS)
        await board.evaluate(WATCHED)
        for number in range(ROWS):
            feed.put(key(number), shows(status("Soaking", "99.9", reason="Soaking")))
        changed_ms = await board.evaluate("window.changed")
    return {
        "rows": ROWS,
        "page_filled_s": round(filled_s, 2),
        **costs,
        "every_row_changed_ms": round(changed_ms, 1),
    }


COSTS = """() => {
    const took = (what) => {
        const began = performance.now();
        what();
        document.body.getBoundingClientRect();
        return Math.round(10 * (performance.now() - began)) / 10;
    };
    const click = (which) => () => document.querySelector(which).click();
    const found = { filter_ms: took(click("#phases button[data-phase=Holding]")) };
    click("#phases button[data-phase=Holding]")();
    found.sort_ms = took(click("th[data-sort=service] button"));
    found.turn_ms = took(click("th[data-sort=service] button"));
    click("th[data-sort=service] button")();
    return found;
}"""
"""From a click on a filter, and on a head, until the page is laid out anew, in ms."""

WATCHED = """() => {
    const take = window.take;
    window.changed = new Promise((done) => {
        window.take = (...event) => {
            const began = performance.now();
            take(...event);
            document.body.getBoundingClientRect();
            done(performance.now() - began);
        };
    });
}"""
"""From an event with every row in it until the page is laid out anew."""


@asynccontextmanager
async def served(feed: Any) -> AsyncIterator[str]:
    """Serve a feed on loopback."""
    runner = await serve_board(("127.0.0.1", 0), feed)
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
