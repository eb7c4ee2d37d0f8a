"""The page in a real browser, at the width of a desk and of a phone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.app.conftest import Files

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs the chromium browser")

WIDTH = "v => new Promise(r => v.readyState ? r(v.videoWidth) : (v.onloadeddata = () => r(v.videoWidth)))"
"""Of a video in pixels, once it can be played."""


def status(page: Any, name: str) -> str:
    """The text of a status once its job has ended."""
    ended = page.locator(f"#{name}-status .moda-job:not([data-state=working])")
    ended.wait_for(timeout=120_000)
    return str(ended.inner_text())


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_a_person_gets_two_videos_and_sentences(width: int, height: int, url: str, files: Files) -> None:
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height})
        elsewhere: list[str] = []
        errors: list[str] = []
        page.on("request", lambda request: elsewhere.append(request.url) if "127.0.0.1" not in request.url else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        animate = page.get_by_role("button", name="Animate", exact=True)
        animate.click(timeout=60_000)
        page.get_by_text("There is no voice and no portrait yet").wait_for()

        def bring(label: str, file: Path) -> None:
            with page.expect_response(lambda answer: "/upload" in answer.url):
                page.locator("#sources input[type=file]").nth(0 if label == "voice" else -1).set_input_files(file)

        bring("portrait", files.no_picture)
        bring("voice", files.voice)
        page.locator("#sources audio, #sources #waveform").first.wait_for(state="attached")
        animate.click()
        assert "no picture.png" in status(page, "first")
        page.get_by_label("Remove Image").click()
        bring("portrait", files.face)
        page.get_by_label("Compare two seeds").check()
        page.locator("#sources img").wait_for()
        animate.click()
        assert "0.5 s of video" in status(page, "second") and "0.5 s of video" in status(page, "first")
        for name in ("first", "second"):
            video = page.locator(f"#{name}-video video")
            assert video.evaluate(WIDTH) == 64
        with page.expect_download() as download:
            page.get_by_role("button", name="Download the motion").last.click()
        assert download.value.suggested_filename == "voice_1.npz"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off at the side"
        assert (elsewhere, errors) == ([], [])
        page.get_by_text("The demo").click()
        page.locator("#sources img[src*=demo]").wait_for()
        browser.close()
