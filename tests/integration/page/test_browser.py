"""The board in a real browser, with made-up migrations: what people see, click and type."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from playwright.async_api import Page, expect

from controller.domain import Key
from controller.report.ui import Feed, serve_board, site
from tests.integration.page.__main__ import COSTS
from tests.integration.page.browser import page, skip_without_chromium
from tests.integration.page.fleet import fleet, fleet_status, key, programme, shows, status, wave

EVIL = '<img src=x onerror="window.struck=1"><script>window.struck=1</script>\'"&lt;'
SHOWN = "#rows tr:not([hidden])"


@pytest.fixture(autouse=True)
def _browser() -> None:
    """A browser is there, or the test says what is missing."""
    skip_without_chromium()


@asynccontextmanager
async def board(
    feed: Feed,
    scheme: Literal["light", "dark"] = "light",
    path: str = "",
    but: str = "ERR_",
    zone: str = "UTC",
) -> AsyncIterator[Page]:
    """Open the board of this feed; what the page complains about fails the test, but what is expected."""
    runner = await serve_board(("127.0.0.1", 0), feed)
    origin = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    complaints: list[str] = []
    asked: list[str] = []
    try:
        async with page("about:blank", scheme, zone=zone) as opened:
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
        await expect(opened.locator("#rows .line")).to_have_text(f"{EVIL} {EVIL}")
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


@pytest.mark.parametrize("made", [lambda: fleet(12), programme], ids=["services", "programme"])
async def test_a_narrow_page_has_it_all(made: Callable[[], Feed]) -> None:
    """On a telephone nothing is cut off sideways, what is filtered out is gone, and it still is a table."""
    async with board(made()) as opened:
        await opened.set_viewport_size({"width": 390, "height": 800})
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await opened.evaluate(wide) <= 0
        await opened.click("#phases button[data-phase=Holding]")
        shown = await opened.locator("#total").inner_text()
        await expect(opened.locator("#rows tr:visible")).to_have_count(int(shown.split()[0]))
        await expect(opened.get_by_role("rowheader")).to_have_count(int(shown.split()[0]))
        await opened.select_option("#sort", "-service")
        assert await names(opened) == sorted(await names(opened), reverse=True)


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


async def names(opened: Page) -> list[str]:
    """The shown Services, from the top."""
    return await opened.locator(f"{SHOWN} button.name").all_inner_texts()


async def test_the_lanes_say_who_needs_a_person_and_what_opens_when() -> None:
    """A Fleet shows whom it needs first, the closed window with its end, what opens next, and a lane for each wave."""
    async with board(programme()) as opened:
        panel = opened.locator("#fleets .fleet")
        await expect(panel.locator("summary").first).to_contain_text("61 of 409 moved, 14 %")
        await expect(panel.locator(".people .name").first).to_have_text("default/service-0")
        await expect(panel.locator(".notice").nth(0)).to_contain_text(
            "Closed until Mon 2039-11-28 07:00 UTC"
        )
        await expect(panel.locator(".notice").nth(1)).to_contain_text("Opens next: checkout")
        lanes = panel.locator("button.lane")
        await expect(lanes).to_have_count(7)
        await expect(lanes.nth(1)).to_contain_text("13/31")
        await expect(lanes.nth(1).get_by_role("img")).to_have_attribute(
            "aria-label", "13 completed, 12 under way, 1 reverted, 3 blocked, 2 waiting"
        )
        await panel.locator(".people .name").first.click()
        await expect(opened.locator("#story-title")).to_contain_text("default/service-0")


async def test_a_lane_leaves_its_services_and_a_second_click_all() -> None:
    """A click on a lane leaves the Services of that wave, says so in the address, and a second one takes it back."""
    async with board(programme()) as opened:
        lane = opened.locator("button.lane").nth(1)
        await lane.click()
        await expect(opened.locator(SHOWN)).to_have_count(31)
        await expect(lane).to_have_attribute("aria-pressed", "true")
        await expect(opened.locator("#wave")).to_have_value("to-eks/catalog")
        await expect(opened).to_have_url(re.compile(r"\?wave=to-eks%2Fcatalog$"))
        await lane.click()
        await expect(opened.locator(SHOWN)).to_have_count(409)
        await expect(opened).to_have_url(re.compile(r"^[^?]*$"))


async def test_a_stopped_line_and_problems_are_told() -> None:
    """A line that is stopped says since when and by whom, and each problem of a Fleet stands where it is."""
    feed = fleet(1)
    line = {
        "stopped": True,
        "reverts": 3,
        "limit": 3,
        "within": "24h",
        "since": "2039-11-26T10:00:00Z",
        "services": ["catalog/a", "catalog/b", "catalog/c"],
    }
    wrong = [{"where": "spec.waves[1].services[0]", "message": "namespace shop does not exist"}]
    told = fleet_status(state="Stopped", line=line, window={"closed": False}, problems=wrong)
    feed.put_fleet("to-eks", lambda: told)
    async with board(feed) as opened:
        notices = opened.locator("#fleets .notice")
        await expect(notices.nth(0)).to_contain_text(
            "The line is stopped since Sat 2039-11-26 10:00 UTC: 3 reverts within 24h"
            " (catalog/a, catalog/b, catalog/c)."
        )
        await expect(notices.last).to_contain_text(
            "spec.waves[1].services[0]: namespace shop does not exist"
        )


async def test_what_a_fleet_says_is_text() -> None:
    """Markup in anything that a Fleet's status holds is shown as it is, and a status that lacks it all is shown."""
    feed = fleet(0)
    told = fleet_status(
        state=EVIL,
        origin=EVIL,
        needsPerson=[{"service": EVIL, "reason": EVIL, "message": EVIL}],
        waves=[wave(1, EVIL, EVIL, message=EVIL, opensAt=EVIL)],
        window={"closed": True, "until": EVIL, "reason": EVIL},
        line={"stopped": True, "reverts": 1, "within": EVIL, "since": EVIL, "services": [EVIL]},
        opensNext={"wave": EVIL, "at": EVIL, "message": EVIL},
        problems=[{"where": EVIL, "message": EVIL}],
        excluded=[EVIL],
        unfit=[{"service": EVIL, "reason": EVIL}],
        unplaced={"count": 1, "services": [EVIL]},
    )
    feed.put_fleet(EVIL, lambda: told)
    feed.put_fleet("bare", dict)
    async with board(feed) as opened:
        await expect(opened.locator("#fleets .fleet")).to_have_count(2)
        assert EVIL in await opened.locator("#fleets").inner_text()
        assert await opened.evaluate("window.struck") is None
        assert await opened.locator("img, #fleets script").count() == 0


async def test_a_fleet_is_drawn_anew_under_whoever_is_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A change of a Fleet leaves the focus on its lane, what was unfolded open, and goes when the Fleet goes."""
    monkeypatch.setattr(site.Site.__init__, "__kwdefaults__", {"pace_s": 0.05})
    feed = programme()
    async with board(feed) as opened:
        await opened.locator(".out > summary").click()
        await opened.locator("button.lane").nth(2).focus()
        feed.put_fleet("to-eks", lambda: fleet_status(state="Paused"))
        await expect(opened.locator(".fleet > summary .tag")).to_have_text("Paused")
        await expect(opened.locator("button.lane").nth(2)).to_be_focused()
        await expect(opened.locator(".out")).to_have_attribute("open", "")
        feed.drop_fleet("to-eks")
        await expect(opened.locator(".fleet")).to_have_count(0)


async def test_rows_are_sorted_by_each_head() -> None:
    """A click on a head sorts by it, a second one turns it round, a third gives the usual order; unknown is last."""
    feed = fleet(0)
    for number, share in enumerate(("50", "?", "1", "99.9")):
        feed.put(key(number), shows(status(share=share)))
    async with board(feed) as opened:
        await expect(opened.locator(SHOWN)).to_have_count(4)
        usual = await names(opened)
        head = opened.locator("th[data-sort=share]")
        for order, word in (
            ([2, 0, 3, 1], "ascending"),
            ([3, 0, 2, 1], "descending"),
            ([], "none"),
        ):
            await head.get_by_role("button").click()
            await expect(head).to_have_attribute("aria-sort", word)
            assert await names(opened) == ([f"service-{one}" for one in order] or usual)
        for other in ("service", "target", "phase", "verdict", "why", "in", "asked"):
            await opened.locator(f"th[data-sort={other}] button").click()
            await expect(opened).to_have_url(re.compile(rf"\?sort={other}$"))


async def test_a_row_that_changes_goes_to_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """While rows are sorted by their share, one that rises goes where it belongs."""
    monkeypatch.setattr(site.Site.__init__, "__kwdefaults__", {"pace_s": 0.05})
    feed = fleet(0)
    for number, share in enumerate(("50", "25", "1")):
        feed.put(key(number), shows(status(share=share)))
    async with board(feed, path="?sort=share") as opened:
        await expect(opened.locator(f"{SHOWN} button.name").first).to_have_text("service-2")
        feed.put(key(2), shows(status(share="99.9")))
        await expect(opened.locator(f"{SHOWN} button.name").last).to_have_text("service-2")


async def test_an_address_says_what_is_seen() -> None:
    """Filters, words and sorting are in the address, a new reader of it sees the same, and a story keeps them."""
    async with board(programme(100)) as opened:
        await opened.select_option("#namespace", "billing")
        await opened.select_option("#wave", "to-eks/catalog")
        await opened.click("#phases button[data-phase=Reverted]")
        await opened.click("#person")
        await opened.fill("#find", "service kubectl")
        await opened.click("th[data-sort=service] button")
        await opened.click("th[data-sort=service] button")
        seen = await names(opened)
        search = await opened.evaluate("location.search")
        await opened.locator("button.name").first.focus()
        await opened.keyboard.press("Escape")
        await opened.locator(f"{SHOWN} button.name").first.click()
        await expect(opened.locator("#story")).to_be_visible()
        await opened.keyboard.press("Escape")
        await expect(opened.locator("#story")).to_be_hidden()
        # The dialog is hidden before it says that it closed, and only then the address lets go of it.
        await expect(opened).to_have_url(re.compile(rf"/{re.escape(search)}$"))
    assert len(seen) > 1
    async with board(programme(100), path=search) as again:
        await expect(again.locator(SHOWN)).to_have_count(len(seen))
        assert await names(again) == seen
        await expect(again.locator("#find")).to_have_value("service kubectl")
        await expect(again.locator("#person")).to_have_attribute("aria-pressed", "true")


async def test_an_odd_address_shows_what_it_can() -> None:
    """What an address wishes and nobody has shows nothing, says so, and one click shows all; a sort or phase that
    is none is passed over."""
    path = "?namespace=nowhere&sort=constructor&phase=Dancing&more=1"
    async with board(fleet(3), path=path) as opened:
        await expect(opened.locator("#empty")).to_be_visible()
        await expect(opened.locator("#namespace")).to_have_value("nowhere")
        await opened.click("#all")
        await expect(opened.locator(SHOWN)).to_have_count(3)
        await expect(opened).to_have_url(re.compile(r"/$"))


async def test_several_words_must_all_be_there() -> None:
    """Of several words each must be somewhere in a row, in any order and any case."""
    async with board(fleet(409)) as opened:
        await opened.fill("#find", "SOAKING  service-40")
        await expect(opened.locator(SHOWN)).to_have_count(1)
        assert await names(opened) == ["service-404"]


async def test_one_chip_leaves_who_needs_a_person() -> None:
    """The chip counts who needs a person, leaves only them, and they come first without it."""
    feed = fleet(12)
    held = status("Holding", conditions=[{"type": "Blocked", "status": "True"}])
    feed.put(key(7), shows(held))
    async with board(feed) as opened:
        chip = opened.locator("#person")
        await expect(chip).to_have_text("Needs a person3")
        needed = {"service-5", "service-7", "service-11"}
        assert set((await names(opened))[:3]) == needed
        await chip.click()
        assert set(await names(opened)) == needed


async def test_heads_stay_in_sight() -> None:
    """Far down in 409 rows the table's heads stand right below the page's, and a row is low."""
    feed = fleet(409)
    feed.put(key(5), shows(status("Reverting", message="many words " * 40, alert=True)))
    async with board(feed) as opened:
        await expect(opened.locator(SHOWN)).to_have_count(409)
        await opened.evaluate("scrollTo(0, 9000)")
        top, bottom, row = await opened.evaluate(
            """[document.querySelector("#table th").getBoundingClientRect().top,
                document.querySelector("header").getBoundingClientRect().bottom,
                document.querySelector("#rows tr").offsetHeight]"""
        )
        assert abs(top - bottom) < 1
        assert row <= 48


async def test_times_have_their_zone() -> None:
    """A time is told on the reader's own clock with its zone, in rows, in stories and of Fleets."""
    async with board(programme(2), zone="Europe/Copenhagen") as opened:
        await expect(opened.locator("#rows .by time").first).to_have_text("2026-01-01 09:00 CET")
        await expect(opened.locator(".notice time").first).to_have_text("Mon 2039-11-28 08:00 CET")
        await opened.locator("#rows button.name").first.click()
        history = opened.locator("#story-body table time")
        await expect(history.first).to_have_text("2026-01-01 09:00:05 CET")


async def test_a_change_of_one_touches_one(
    monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    """Of 409 rows only the one that changed is drawn anew; what the page costs is measured, not judged."""
    monkeypatch.setattr(site.Site.__init__, "__kwdefaults__", {"pace_s": 0.05})
    feed = programme()
    async with board(feed) as opened:
        await expect(opened.locator(SHOWN)).to_have_count(409)
        for name, cost in (await opened.evaluate(COSTS)).items():
            record_property(name, cost)
        await opened.evaluate(
            """() => {
                window.touched = new Set();
                new MutationObserver((all) => all.forEach((one) => touched.add(one.target.closest("tr") || one.target)))
                    .observe(document.getElementById("rows"), { subtree: true, childList: true, characterData: true });
            }"""
        )
        changed = status("Progressing", "25", fleet="to-eks", wave="internal-tools")
        feed.put(key(0), shows(changed))
        row = opened.locator("#rows tr").filter(
            has=opened.get_by_role("button", name="service-0", exact=True)
        )
        await expect(row).to_contain_text("25 %")
        assert await opened.evaluate("touched.size") == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_can_be_read(scheme: Literal["light", "dark"]) -> None:
    """In light and in dark, every text on the page and in a story has a contrast of 4.5 to 1 (WCAG AA)."""
    async with board(programme(12), scheme) as opened:
        await opened.locator(".out > summary").click()
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


async def test_a_click_anywhere_in_a_row_opens_its_story() -> None:
    """A click beside the name opens the story; marking a text in a row does not, and the keyboard still does."""
    async with board(fleet(3)) as opened:
        row = opened.locator("#rows tr").filter(has_text="service-1")
        story = opened.locator("#story")
        box = await row.locator(".why .small").bounding_box()
        assert box is not None
        await opened.mouse.move(box["x"] + 2, box["y"] + box["height"] / 2)
        await opened.mouse.down()
        await opened.mouse.move(box["x"] + 60, box["y"] + box["height"] / 2, steps=4)
        await opened.mouse.up()
        assert await opened.evaluate("String(getSelection())")
        await expect(story).to_be_hidden()
        await opened.evaluate("getSelection().removeAllRanges()")
        await row.locator(".phase").click()
        await expect(opened.locator("#story-title")).to_contain_text("billing/service-1")
        await opened.keyboard.press("Escape")
        await expect(row.locator("button.name")).to_be_focused()
        await opened.keyboard.press("Enter")
        await expect(story).to_be_visible()


async def test_an_empty_page_says_what_to_do() -> None:
    """Without any Service the page has the two commands that begin; the first one that comes takes their place."""
    feed = Feed("eks")
    feed.leads = True
    async with board(feed) as opened:
        await expect(opened.locator("#nobody pre")).to_contain_text(
            "kubectl annotate service SERVICE migrate.tradeshift/target=eks"
        )
        await expect(opened.locator("#table")).to_be_hidden()
        await expect(opened.locator("#empty")).to_be_hidden()
        await expect(opened.locator("#standby")).to_be_hidden()
        feed.put(key(0), shows(status()))
        await expect(opened.locator(SHOWN)).to_have_count(1)
        await expect(opened.locator("#nobody")).to_be_hidden()


async def test_a_standby_says_where_the_leader_is_and_credentials_that_they_end() -> None:
    """A standby names the leader and how to reach it, until it leads; an end of credentials is told a day before."""
    feed = fleet(1)
    reach = "kubectl --namespace migrate port-forward pod/migrate-controller-x 9991"
    feed.lead(False, "migrate-controller-x", reach)
    now = datetime.now(UTC)
    feed.credentials_end("eks", now + timedelta(hours=25))
    async with board(feed) as opened:
        await expect(opened.locator("#leader")).to_have_text(
            f"The leader is migrate-controller-x: {reach}"
        )
        await expect(opened.locator("#ends")).to_be_empty()
        feed.credentials_end("eks", now + timedelta(hours=23))
        await expect(opened.locator("#ends")).to_contain_text("The credentials for eks end at")
        feed.credentials_end("eks", now - timedelta(hours=1))
        await expect(opened.locator("#ends")).to_contain_text(
            "The credentials for eks have ended at"
        )
        feed.credentials_end("eks", None)
        feed.lead(True, "migrate-controller-y", "")
        await expect(opened.locator("#standby")).to_be_hidden()
        await expect(opened.locator("#ends")).to_be_empty()
