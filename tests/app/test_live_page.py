"""Live in a real browser: it speaks into a microphone that a browser makes up, and the portrait is seen to move."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.chromium import Chromium, needs_chromium

MICROPHONE = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
CANVAS = "document.querySelector('#player ~ canvas, #player canvas')"
SHOWN = f"Number({CANVAS}?.dataset.shown || 0)"


def press(text: str) -> str:
    return (
        f"[...document.querySelectorAll('button')].filter(e => e.textContent.trim().startsWith('{text}')).pop().click()"
    )


@needs_chromium
@pytest.mark.parametrize("width", [1280, 390])
def test_who_speaks_sees_the_portrait_move(
    width: int, serve: Callable[..., AbstractContextManager[Any]], tmp_path: Path
) -> None:
    with serve() as served, Chromium(tmp_path, width, phone=width < 500, flags=MICROPHONE) as browser:
        browser.open(served.url)
        browser.until("document.body.innerText.includes('The demo')", 120)
        browser.run(press("The demo"))
        browser.until("!!document.querySelector('#sources img[src*=demo]')", 60)
        browser.run(press("Live:"))
        browser.until("[...document.querySelectorAll('button')].some(e => e.textContent.trim() === 'Record')", 60)
        time.sleep(3)  # Gradio shows the button before it listens to it
        browser.run(press("Record"))
        browser.until(f"{SHOWN} > 3", 120)
        assert browser.run(f"{CANVAS}.clientWidth") > 200, browser.run(f"{CANVAS}.parentElement.outerHTML")
        assert browser.run("document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off at the side"
        assert browser.run(f"Number({CANVAS}.dataset.number)") > 0
