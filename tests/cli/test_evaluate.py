"""scripts/eval.py end to end: real videos, real tracker."""

import json
from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut

from moda.cli.evaluate import main
from moda.media.crop import Box, crop_square
from moda.media.video import VideoWriter

FRAMES = 40


def write_clip(path: Path, shift: tuple[int, int] = (0, 0), frames: int = FRAMES) -> None:
    """The astronaut at 256 px under a crop that wanders; `shift` moves the picture by so many of its pixels."""
    path.parent.mkdir(exist_ok=True, parents=True)
    picture = astronaut()
    with VideoWriter(path, 256, 25.0) as writer:
        for t in range(frames):
            left, top = 110 + round(8 * np.sin(t / 6)), 20 + round(5 * np.sin(t / 4))
            writer.write(crop_square(picture, Box(left - shift[0], top - shift[1], 256), 256))


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("clips")
    write_clip(root / "true" / "one.mp4")
    write_clip(root / "true" / "two.mp4", frames=36)
    write_clip(root / "moved" / "one.mp4", shift=(3, 4))
    write_clip(root / "moved" / "two.mp4")
    return root


def call(*words: object) -> int:
    return main([str(word) for word in words])


def test_two_clips_end_to_end(clips, tmp_path, capfd) -> None:
    code = call("--true", clips / "true", "--generated", f"moved={clips / 'moved'}", "--output", tmp_path, "--jobs", 2)
    printed = capfd.readouterr()
    assert code == 0, printed.err
    assert "| moved " in printed.out and "| *still mouth* " in printed.out
    assert "Traceback" not in printed.err and "W0000" not in printed.err  # nothing of the tracker's chatter
    record = json.loads((tmp_path / "scores.json").read_text())
    lmd = record["methods"]["moved"]["metrics"]["lmd"]["clips"]
    assert lmd["one"] == pytest.approx(10.0, abs=1.5)  # 5 px of a 256 px picture, as detected
    assert lmd["two"] < 1.5
    assert record["methods"]["moved"]["notes"] == {
        "two": ["other length: generated 40 frames, true 36; the first 36 compared"]
    }
    truth = record["controls"]["ground truth"]["metrics"]
    assert truth["lmd"]["mean"] == 0 and truth["ma"]["mean"] == 1
    assert len(list((tmp_path / "tracks").glob("*.npz"))) == 3  # moved/two begins like true/one: the very same file
    assert not list(tmp_path.rglob("*.tmp*"))


def test_what_cannot_be_scored_is_listed_and_the_rest_goes_on(clips, tmp_path, capfd) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "one.mp4").symlink_to(clips / "true" / "one.mp4")
    (bad / "two.mp4").write_text("this is no video")
    code = call("--true", clips / "true", "--generated", f"bad={bad}", "--output", tmp_path / "out")
    assert code == 1
    assert "not scored: bad, two: " in capfd.readouterr().err
    assert "1 of 2" in (tmp_path / "out" / "table.md").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--true", "{clips}/gone", "--generated", "a={clips}/moved"], "no such folder"),
        (["--true", "{clips}/true", "--generated", "{clips}/moved"], "wanted NAME=DIR"),
        (["--true", "{clips}/true", "--generated", "a={clips}"], "no videos in"),
        (["--true", "{clips}/true", "--generated", "a={clips}/moved", "--jobs", "0"], "--jobs got 0"),
        (["--true", "{clips}/true", "--generated", "a={clips}/moved", "--split", "test"], "no clip store"),
    ],
)
def test_mistakes_are_one_line_and_code_2(clips, tmp_path, capfd, words, message) -> None:
    code = call(*[word.format(clips=clips) for word in words], "--output", tmp_path / "out")
    printed = capfd.readouterr().err
    lines = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(lines) == 1 and message in lines[0]
    assert not (tmp_path / "out").exists()


def test_an_output_in_the_way(clips, tmp_path, capfd) -> None:
    (tmp_path / "file").write_text("")
    code = call("--true", clips / "true", "--generated", f"a={clips / 'moved'}", "--output", tmp_path / "file")
    assert code == 2 and "cannot make the folder" in capfd.readouterr().err
