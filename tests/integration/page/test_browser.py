"""The board in a real browser, with made-up migrations: what people see, click and type."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest
from playwright.async_api import Page, expect

from controller.domain import Key
from controller.report.ui import Feed, serve_board, site
from tests.integration.page.browser import page, skip_without_chromium
from tests.integration.page.fleet import fleet, key, shows, status

EVIL = '<img src=x onerror="window.struck=1"><script>window.struck=1</script>\'"&lt;'
SHOWN = "#rows tr:not([hidden])"


@pytest.fixture(autouse=True)
def _browser() -> None:
    """A browser is there, or the test says what is missing."""
    skip_without_chromium()


@asynccontextmanager
async def board(
    feed: Feed, scheme: Literal["light", "dark"] = "light", path: str = "", but: str = "ERR_"
) -> AsyncIterator[Page]:
    """Open the board of this feed; what the page complains about fails the test, but what is expected."""
    runner = await serve_board(("127.0.0.1", 0), feed)
    origin = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    complaints: list[str] = []
    asked: list[str] = []
    try:
        async with page("about:blank", scheme) as opened:
            opened.on("console", lambda message: complaints.append(message.text))
            opened.on("pageerror", lambda error: complaints.append(str(error)))
            opened.on("request", lambda request: asked.append(request.url))
            await opened.goto(origin + path)
            await expect(opened.locator("#link")).to_have_text("live")
            yield opened
    finally:
        await runner.cleanup()
    assert [url for url in asked if not url.startswith(origin)] == []
    assert [text for text in complaints if but not in text] == []


async def test_what_users_write_is_text() -> None:
    """Names, messages, reasons and managers that are markup are shown as they are, and nothing of them runs."""
    feed = fleet(0)
    told = status(
        message=EVIL,
        reason=EVIL,
        next=EVIL,
        observed={"target": EVIL, "attempt": 2},
        shares={EVIL: "10"},
        asked={"by": EVIL, "at": EVIL},
        warnings=[{"reason": EVIL, "message": EVIL}],
        history=[{"at": EVIL, "phase": EVIL, "share": EVIL, "message": EVIL}],
        clusters=[EVIL],
    )
    told["ways"][0].update(callers=EVIL, side=EVIL, reason=EVIL, usualAnswer=EVIL)
    feed.put(Key("default", EVIL.replace("/", "")), shows(told))
    async with board(feed) as opened:
        await expect(opened.locator("#rows .line")).to_have_text(EVIL)
        await opened.click("button.name")
        await expect(opened.locator("#story-body h3").first).to_be_visible()
        assert EVIL in (await opened.locator("#story-body").inner_text())
        assert await opened.evaluate("window.struck") is None
        assert await opened.locator("img, #story-body script, #rows script").count() == 0


async def test_even_markup_of_ours_could_not_reach_elsewhere() -> None:
    """The page's policy stops inline scripts, and images and requests of elsewhere."""
    async with board(fleet(1), but="Content Security Policy") as opened:
        blocked = await opened.evaluate(
            """async () => {
                const seen = [];
                addEventListener("securitypolicyviolation", (e) => seen.push(e.effectiveDirective));
                const script = document.createElement("script");
                script.textContent = "window.struck = 1";
                document.body.append(script);
                const image = document.createElement("img");
                image.src = "data:image/gif;base64,R0lGODlhAQABAAAAACw=";
                document.body.append(image);
                await fetch("data:,x").catch(() => null);
                await new Promise((done) => setTimeout(done, 50));
                return [window.struck === undefined, ...new Set(seen)];
            }"""
        )
    assert blocked[0] is True
    assert {"script-src-elem", "img-src", "connect-src"} <= set(blocked[1:])


async def test_a_page_of_409_is_sifted() -> None:
    """With 409 migrations, phase, namespace and text each leave exactly the rows that are meant."""
    async with board(fleet(409)) as opened:
        rows = opened.locator(SHOWN)
        await expect(rows).to_have_count(409)
        await opened.click("#phases button[data-phase=Holding]")
        await expect(rows).to_have_count(68)
        await opened.select_option("#namespace", "billing")
        await expect(rows).to_have_count(34)
        await expect(opened.locator("#total")).to_have_text("34 of 409")
        await opened.click("#phases button[data-phase=Holding]")
        await expect(rows).to_have_count(102)
        await opened.fill("#find", "SERVICE-40")
        await expect(rows).to_have_count(2)
        await expect(opened.locator("#phases button[data-phase=Holding] b")).to_have_text("0")
        await opened.fill("#find", "nobody")
        await expect(opened.locator("#empty")).to_be_visible()


async def test_a_change_comes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row changes, comes and goes without a reload; the others stay the same elements."""
    monkeypatch.setattr(site.Site.__init__, "__kwdefaults__", {"pace_s": 0.05})
    feed = fleet(409)
    async with board(feed) as opened:
        await expect(opened.locator(SHOWN)).to_have_count(409)
        await opened.evaluate(
            "document.querySelectorAll('#rows tr').forEach((tr) => { tr.kept = 1; })"
        )
        feed.put(key(0), shows(status("Reverting", "50", reason="TargetBad", alert=True)))
        first = opened.locator("#rows tr").first
        await expect(first).to_contain_text("TargetBad")
        await expect(first.locator(".bar").first).to_have_attribute(
            "aria-label", "callers in legacy: 50 %"
        )
        await expect(opened.locator("#said")).to_have_text(
            "default/service-0: Reverting, TargetBad"
        )
        feed.drop(key(0))
        feed.put(Key("new", "service-new"), shows(status("Pending")))
        await expect(opened.locator(SHOWN).filter(has_text="service-new")).to_have_count(1)
        await expect(opened.locator(SHOWN)).to_have_count(409)
        kept = "[...document.querySelectorAll('#rows tr')].filter((tr) => tr.kept).length"
        assert await opened.evaluate(kept) == 408
        assert "new" in await opened.locator("#namespace option").all_inner_texts()


async def test_it_is_used_by_keyboard() -> None:
    """Slash finds, arrows go from row to row, Enter opens the story, Escape closes it and gives the focus back."""
    async with board(fleet(12)) as opened:
        await opened.keyboard.press("/")
        await opened.keyboard.type("service")
        await opened.locator("button.name").first.focus()
        await opened.keyboard.press("ArrowDown")
        focused = "document.activeElement.textContent"
        second = await opened.locator("button.name").nth(1).inner_text()
        assert await opened.evaluate(focused) == second
        await opened.keyboard.press("Enter")
        await expect(opened.locator("#story-title")).to_contain_text(second)
        await expect(opened.locator("#story-body table")).to_have_count(2)
        await opened.keyboard.press("Escape")
        await expect(opened.locator("#story")).to_be_hidden()
        assert await opened.evaluate(focused) == second


async def test_a_change_leaves_the_focus_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is on a row stays on it when it says something else, and when it moves to another place."""
    monkeypatch.setattr(site.Site.__init__, "__kwdefaults__", {"pace_s": 0.05})
    feed = fleet(30)
    async with board(feed) as opened:
        button = opened.get_by_role("button", name="service-5", exact=True)
        row = opened.locator("#rows tr").filter(has=button)
        await button.focus()
        for phase, message in (("Reverted", "still here"), ("Reverting", "on top")):
            feed.put(key(5), shows(status(phase, message=message)))
            await expect(row).to_contain_text(message)
            await expect(button).to_be_focused()
        await expect(opened.locator("#rows tr").first).to_contain_text("service-5")


async def test_a_narrow_page_has_it_all() -> None:
    """On a telephone nothing is cut off sideways, what is filtered out is gone, and it still is a table."""
    async with board(fleet(12)) as opened:
        await opened.set_viewport_size({"width": 390, "height": 800})
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await opened.evaluate(wide) <= 0
        await opened.click("#phases button[data-phase=Holding]")
        await expect(opened.locator("#rows tr:visible")).to_have_count(2)
        await expect(opened.get_by_role("rowheader")).to_have_count(2)


async def test_a_story_has_an_address() -> None:
    """The address names the story: opened anew it shows the same, and one that is none says so."""
    async with board(fleet(3), path="#billing/service-1") as opened:
        await expect(opened.locator("#story-title")).to_have_text("billing/service-1 to eks")
        await expect(opened.locator("#story-body")).to_contain_text("Clean probes")
    async with board(fleet(3), path="#billing/nobody", but="404") as opened:
        await expect(opened.locator("#story-body")).to_contain_text("No migration billing/nobody")


CONTRAST = """() => {
    const light = (text) => {
        const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map((part) => {
            const one = part / 255;
            return one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (node) => {
        for (let at = node; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor;
            if (!/, 0\\)$|transparent/.test(colour)) return colour;
        }
        return "rgb(255, 255, 255)";
    };
    const poor = [];
    for (const node of document.querySelectorAll("h1, p, label, th, td, span, strong, button, time")) {
        const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
        if (!own || !node.getClientRects().length) continue;
        const one = light(getComputedStyle(node).color), other = light(ground(node));
        const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        if (ratio < 4.5) poor.push(`${node.tagName}.${node.className} ${ratio.toFixed(2)} ${node.textContent}`);
    }
    return poor;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_can_be_read(scheme: Literal["light", "dark"]) -> None:
    """In light and in dark, every text on the page and in a story has a contrast of 4.5 to 1 (WCAG AA)."""
    async with board(fleet(12), scheme) as opened:
        assert await opened.evaluate(CONTRAST) == []
        dark = await opened.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (dark == "rgb(16, 20, 27)") is (scheme == "dark")
        await opened.click("button.name")
        await expect(opened.locator("#story-body table")).to_have_count(2)
        assert await opened.evaluate(CONTRAST) == []


async def test_it_says_what_it_is_to_a_screen_reader() -> None:
    """A table with a caption, column and row headers; a named dialog; polite news; a skip link."""
    async with board(fleet(2)) as opened:
        tree: Any = await opened.locator("body").aria_snapshot()
    for part in (
        'table "All migrations; press Enter on a Service for its story"',
        'columnheader "Service"',
        'rowheader "service-0 default"',
        'group "Filter by phase"',
        "search:",
        'link "To the table"',
        'img "callers in legacy: 10 %"',
    ):
        assert part in tree, tree
