"""Opens a report in headless Chromium, as somebody who got the file would, and checks what it promises.

`report.py PAGE FACTS [--hostile TEXT] [--screenshots DIR]`: FACTS is the output of the same command with --json.
Without playwright or Chromium it says so and succeeds. CLIP_FILTER_CHROMIUM names another Chromium.
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 740}


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(0)


def chromium():
    named = os.environ.get("CLIP_FILTER_CHROMIUM")
    found = [named] if named else ["/usr/bin/chromium", shutil.which("chromium"), shutil.which("chromium-browser"), shutil.which("google-chrome")]
    for path in found:
        if path and Path(path).exists():
            return path
    skip("no Chromium (set CLIP_FILTER_CHROMIUM to one)")


class Watched:
    """A page, with everything it asks for and complains about."""

    def __init__(self, browser, path, viewport, scheme="light"):
        self.context = browser.new_context(viewport=viewport, color_scheme=scheme)
        self.page = self.context.new_page()
        self.complaints, self.requests = [], []
        self.page.on("console", lambda message: self.complaints.append(message.text) if message.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.url = Path(path).absolute().as_uri()
        self.page.goto(self.url)

    def check_quiet(self):
        assert self.complaints == [], self.complaints
        others = [url for url in self.requests if url.split("#")[0] != self.url and not url.startswith("data:")]
        assert others == [], others


def check_pictures(page):
    """Thumbnails decode, and each says what it is."""
    pictures = page.evaluate(
        """async () => {
            const all = [...document.images];
            await Promise.all(all.map((image) => image.decode().catch(() => {})));
            return all.map((image) => [image.naturalWidth, image.alt, image.src.slice(0, 23)]);
        }"""
    )
    bad = [picture for picture in pictures if not picture[0] or not picture[1] or picture[2] != "data:image/jpeg;base64,"]
    assert bad == [], bad[:3]
    return len(pictures)


def ordered(facts):
    return sorted(facts["scores"], key=lambda score: score["name"] != facts["order"])


def check_sliders(page, facts):
    """Every slider, moved with the keyboard, says what the histogram says."""
    moved = 0
    for number, score in enumerate(ordered(facts)):
        rows = score["histogram"]["rows"]
        figure = page.locator(f"figure.chart[data-score='{number}']")
        output, threshold, share = figure.locator("output"), figure.locator("input.threshold"), figure.locator("input.share")
        kept = lambda: int(output.get_attribute("data-kept"))
        threshold.focus()
        page.keyboard.press("Home")
        assert kept() == sum(rows), (score["name"], kept(), sum(rows))
        seen = {kept()}
        for press in ("PageUp", "ArrowRight", "PageUp", "ArrowRight", "End"):
            page.keyboard.press(press)
            step = int(threshold.input_value())
            assert kept() == sum(rows[step:]), (score["name"], step, kept(), sum(rows[step:]))
            seen.add(kept())
        assert f"{score['name']} ≥ " in output.inner_text()
        assert len(seen) > 1 or len(set(map(bool, rows))) == 1, f"{score['name']}: the count does not change"
        before = kept()
        share.focus()
        page.keyboard.press("Home")
        page.keyboard.press("End")
        assert int(threshold.input_value()) == 0 and kept() == sum(rows) >= before
        page.keyboard.press("PageDown")
        part = int(share.input_value()) / 1000
        assert kept() <= part * sum(rows) + 1e-6, (kept(), part)
        moved += 1
    return moved


def check_keyboard(page):
    """Everything that can be used is reached by Tab, in order, and shows that it is."""
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    page.mouse.click(1, 1)
    wanted = {"a.skip", "nav a", "#theme", "input.threshold", "input.share"}
    if page.locator("summary").count():
        wanted.add("summary")
    reached = set()
    for _ in range(400):
        page.keyboard.press("Tab")
        for selector in wanted - reached:
            if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
                reached.add(selector)
                outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", f"{selector} shows no focus"
        if reached == wanted:
            return
    raise AssertionError(f"not reached by Tab: {wanted - reached}")


def check_structure(page):
    assert page.locator("h1").count() == 1
    assert page.locator("html[lang]").count() == 1
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map((h) => Number(h.tagName[1]))")
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:])), levels
    assert page.evaluate("[...document.querySelectorAll('input')].every((input) => input.labels.length === 1)")
    links = page.evaluate("[...document.querySelectorAll('nav a')].map((a) => a.getAttribute('href'))")
    assert all(page.locator(f"[id='{link[1:]}']").count() == 1 for link in links), links
    assert page.evaluate("document.scripts.length") == 2, "a script that is not ours"


def check_theme(page):
    background = lambda: page.evaluate("getComputedStyle(document.body).backgroundColor")
    before = background()
    page.locator("#theme").click()
    assert background() != before, "the colours do not change"
    page.locator("#theme").click()
    assert background() == before


def check_width(page):
    wide = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide[0] <= wide[1], f"scrolls sideways: {wide}"


def check_hostile(page, text):
    """The caption is there as text, letter by letter, and has done nothing."""
    texts = page.evaluate("[...document.querySelectorAll('.said bdi')].map((bdi) => bdi.textContent)")
    assert text in texts, f"the caption is not there as it is: {sorted(map(len, texts))[-3:]}"
    assert page.evaluate("window.hacked") is None
    assert page.locator(".said script, .said img, .said b").count() == 0


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("page")
    arguments.add_argument("facts")
    arguments.add_argument("--hostile", type=Path)
    arguments.add_argument("--screenshots", type=Path)
    arguments = arguments.parse_args()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        skip("playwright is not installed")
    facts = json.loads(Path(arguments.facts).read_text())
    size = Path(arguments.page).stat().st_size
    assert size < 5 << 20, f"{size} bytes"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        wide = Watched(browser, arguments.page, WIDE)
        pictures = check_pictures(wide.page)
        check_structure(wide.page)
        check_keyboard(wide.page)
        check_theme(wide.page)
        moved = check_sliders(wide.page, facts)
        check_width(wide.page)
        if arguments.hostile:
            check_hostile(wide.page, arguments.hostile.read_text())
        wide.check_quiet()
        narrow = Watched(browser, arguments.page, NARROW)
        check_width(narrow.page)
        narrow.check_quiet()
        if arguments.screenshots:
            arguments.screenshots.mkdir(parents=True, exist_ok=True)
            for name, viewport in (("wide", WIDE), ("narrow", NARROW)):
                for scheme in ("light", "dark"):
                    shown = Watched(browser, arguments.page, viewport, scheme)
                    shown.page.screenshot(path=arguments.screenshots / f"{name}-{scheme}.png", full_page=True)
                    shown.check_quiet()
        version = browser.version
        browser.close()
    print(f"ok: {Path(arguments.page).name}, {size} bytes, {pictures} pictures, {moved} scores with sliders, Chromium {version}")


if __name__ == "__main__":
    main()
