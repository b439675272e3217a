"""The board of the real controller, in a real browser, while a story is told on the local clusters."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import Page, expect

from deploy.local.pair import Plan
from deploy.stand_ins.mesh import EKS, LEGACY
from tests.integration.page.browser import page, skip_without_chromium
from tests.integration.stories.scene import Scene, playing

OTHERS = 408
"""With the one that moves as many as the article has Services."""

AT_A_TIME = 16


async def ask_for_all(scene: Scene) -> None:
    """Annotate every Service that stands beside; they are in one cluster only, so they wait."""
    gate = asyncio.Semaphore(AT_A_TIME)

    async def ask(number: int) -> None:
        async with gate:
            await scene.pair.annotate(LEGACY, f"other-{LEGACY}-{number}", {"target": EKS})

    await asyncio.gather(*(ask(number) for number in range(OTHERS)))


async def rises_and_comes_home(scene: Scene, board: Page) -> None:
    """See one of all rise, see why it went home, and read its story; the page is never loaded anew."""
    await scene.rise("service-a", "25")
    row = board.locator("#rows tr").filter(has=board.get_by_role("button", name="service-a"))
    for cluster in (LEGACY, EKS):
        await expect(row.get_by_role("img", name=f"callers in {cluster}: 25 %")).to_be_visible()
    await expect(row).to_contain_text("Progressing")
    await expect(row.locator("td.in")).to_have_text(re.compile("^(59|60) min$"))
    await row.get_by_role("button").click()
    await expect(board.locator("#story-body")).to_contain_text("legacy → target")
    scene.pair.workloads[EKS, "service-a"].fail(1.0)
    await expect(board.locator("#story-body")).to_contain_text("Reverted", timeout=30_000)
    await expect(board.locator("#story-body")).to_contain_text("to try again set attempt to 2")
    await board.keyboard.press("Escape")
    await expect(row).to_contain_text("TargetBad")
    await expect(row.get_by_role("img", name=f"callers in {LEGACY}: 0 %")).to_be_visible()
    await expect(board.locator("#link")).to_have_text("live")


@pytest.mark.story
@pytest.mark.timeout(240)
async def test_people_see_what_happens() -> None:
    """Among 409 migrations the board shows one rise and is rolled back by itself, with the reason."""
    skip_without_chromium()
    async with playing(Plan(services=OTHERS)) as scene:
        await scene.service("service-a")
        await ask_for_all(scene)
        async with page(scene.pair.board_url) as board:
            shown = board.locator("#rows tr:not([hidden])")
            await expect(shown).to_have_count(OTHERS, timeout=60_000)
            await rises_and_comes_home(scene, board)
            await expect(shown).to_have_count(OTHERS + 1)
            await board.click("#phases button[data-phase=Reverted]")
            await expect(shown).to_have_count(1)
