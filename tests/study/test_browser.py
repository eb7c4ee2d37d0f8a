"""A whole study answered in a real browser, with a reload in the middle, and analysed."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from moda.cli.study import main
from moda.study.key import read_key
from moda.study.make import Plan, make_study
from moda.study.results import read_study
from tests.chromium import Chromium, needs_chromium
from tests.study.videos import CLIPS, METHODS, write_folders

PLAY = """(async () => {
  for (const figure of document.querySelectorAll('figure')) {
    const ended = new Promise(done => figure.querySelector('video').addEventListener('ended', done));
    figure.querySelector('button').click();
    await ended;
  }
})()"""
CHOOSE = """(choices => {
  for (const [name, value] of Object.entries(choices))
    document.querySelector(`#answers input[name="${name}"][value="${value}"]`).click();
})"""
SHOWN = r"[...document.querySelectorAll('video')].map(video => video.src.match(/(\w+)\.mp4$/)[1])"
RATING = {"truth": 5, "ours_x": 3, "Wav2Lip-HQ": 2, None: 1}


@needs_chromium
def test_a_study_is_answered_and_analysed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = Plan(write_folders(tmp_path / "methods"), truth="truth", controls=1, pairs_each=2, participants=6)
    make_study(plan, tmp_path / "study", print, lambda done, total: None)
    key, page = read_key(tmp_path / "study"), (tmp_path / "study" / "page" / "index.html").as_uri() + "#9"
    ratings, pairs = key.orders[9 % 6]
    expected = [[name] for name in ratings] + [list(pair) for pair in pairs]
    (tmp_path / "answers").mkdir()
    with Chromium(tmp_path / "profile", 390, 844, phone=True) as browser:
        browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path / "answers"))
        browser.open(page)
        assert browser.run("document.getElementById('start').disabled")
        browser.run("document.getElementById('agree').click()")
        browser.run("document.getElementById('start').click()")
        for place, shown in enumerate(expected):
            assert browser.run(SHOWN) == shown
            if place == 4:  # answers before a reload are kept, the video is shown again
                browser.open("about:blank")
                browser.open(page)
                assert browser.run(SHOWN) == shown
            page_text = browser.run("document.documentElement.outerHTML")
            assert not [name for name in (*METHODS, *CLIPS) if name in page_text]
            assert browser.run("[...document.getElementById('answers').elements].every(field => field.disabled)")
            assert browser.run("document.documentElement.scrollWidth <= innerWidth"), "wider than a phone"
            browser.run(PLAY)
            assert browser.run("document.getElementById('next').disabled")
            rated = [RATING[key.videos[name][0]] for name in shown]
            if len(shown) == 1:
                choices = {"sync": rated[0], "naturalness": rated[0], "quality": 4}
            else:
                choices = {"preferred": "first" if rated[0] > rated[1] else "second"}
            browser.run(f"{CHOOSE}({json.dumps(choices)})")
            assert not browser.run("document.getElementById('next').disabled")
            browser.run("document.getElementById('next').click()")
        assert browser.run("!document.getElementById('end').hidden")
        copied = browser.run("document.getElementById('text').value")
        browser.run("document.getElementById('save').click()")
        end = time.monotonic() + 30
        while not list((tmp_path / "answers").glob("*.json")) and time.monotonic() < end:
            time.sleep(0.05)
        browser.run("document.getElementById('another').click()")
        assert browser.run("!document.getElementById('consent').hidden && document.getElementById('start').disabled")
        state = json.loads(browser.run(f"localStorage['moda-study-{key.study}']"))
        assert state["number"] == 4 and state["answers"] == []  # 10 of 6 orders
    (file,) = (tmp_path / "answers").iterdir()
    assert file.name.startswith(f"answers-{key.study}-") and file.read_text() == copied
    words = ["analyse", str(tmp_path / "study"), str(tmp_path / "answers"), "--output", str(tmp_path / "results")]
    assert main(words) == 0
    assert "\n1 participant, 2 clips; " in capsys.readouterr().out
    record = read_study(tmp_path / "results" / "study.json")
    for method in METHODS:
        found = record["methods"][method]
        assert (found["sync"]["mean"], found["quality"]["mean"], found["sync"]["answers"]) == (RATING[method], 4, 2)
    assert sum(pair["preference"]["answers"] for pair in record["pairs"]) == 2
    assert not any(record["excluded"].values())


@needs_chromium
def test_a_video_that_does_not_play_can_be_skipped(tmp_path: Path) -> None:
    plan = Plan(write_folders(tmp_path / "methods", METHODS[:2], CLIPS[:1]), participants=2)
    make_study(plan, tmp_path / "study", print, lambda done, total: None)
    key = read_key(tmp_path / "study")
    (tmp_path / "study" / "page" / "videos" / f"{key.orders[0][0][0]}.mp4").write_bytes(b"no video")
    with Chromium(tmp_path / "profile") as browser:
        browser.open((tmp_path / "study" / "page" / "index.html").as_uri() + "#0")
        browser.run("document.getElementById('agree').click(), document.getElementById('start').click()")
        browser.until("!document.getElementById('broken').hidden")
        browser.run("document.getElementById('skip').click()")
        browser.until("document.getElementById('broken').hidden")
        state = json.loads(browser.run(f"localStorage['moda-study-{key.study}']"))
        assert state["answers"][0]["unplayable"] is True and state["answers"][0]["video"] == key.orders[0][0][0]
