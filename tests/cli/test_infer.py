"""The infer command, called as scripts/infer.py calls it, with the debug networks."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from moda.cli.animate import bar
from moda.cli.infer import main
from moda.imaging.framing import read_square
from moda.media.audio import read_audio, write_wav
from moda.media.video import VideoWriter, probe, read_frames
from moda.representation import Motion
from tests.media.numbered import describe

REPOSITORY = Path(__file__).resolve().parents[2]
SECONDS = 1.3


@pytest.fixture
def work(tmp_path: Path, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with `voice.wav` and `face.png`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging.getLogger("moda"), "handlers", [])  # log to this test's stderr
    write_wav(tmp_path / "voice.wav", np.random.default_rng(0).normal(0, 0.1, round(SECONDS * 16_000)))
    Image.fromarray(astronaut).save(tmp_path / "face.png")
    return tmp_path


def infer(config: Path, *arguments: str) -> int:
    return main([*arguments, "--config", str(config), "--device", "cpu"])


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_writes_a_video_as_long_as_the_sound(config: Path, work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert infer(config, "voice.wav", "face.png") == 0
    info = probe(work / "voice.mp4")
    assert (info.width, info.height, info.fps, info.has_audio) == (64, 64, 25.0, True)
    assert info.seconds == pytest.approx(SECONDS, abs=0.04)
    assert len(read_audio(work / "voice.mp4")) / 16_000 == pytest.approx(SECONDS, abs=0.04)
    text = describe(work / "voice.mp4")
    assert "h264" in text and "yuv420p" in text and "aac" in text and "AI-generated" in text
    frames = np.stack(list(read_frames(work / "voice.mp4"))).astype(int)
    assert len(frames) == 32 or len(frames) == 33
    assert np.abs(np.diff(frames, axis=0)).max() > 10
    assert files(work) == {"voice.wav", "face.png", "voice.mp4"}

    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith("device: cpu")
    assert re.search(r"\d+ frames in [\d.]+ s: reading .* s, loading .* s, motion .* s, rendering", out)
    assert re.search(r"frames/s in all", out) and re.search(r"voice\.mp4: 1\.30 s, 64x64, 25 fps", out)
    assert "rendering" in err and "Traceback" not in err


@pytest.mark.parametrize(("fps", "size"), [("30", "64"), ("12.5", "96")])
def test_fps_size_and_output(config: Path, work: Path, fps: str, size: str) -> None:
    (work / "out").mkdir()
    assert infer(config, "voice.wav", "face.png", "--fps", fps, "--size", size, "--output", "out/a.mp4") == 0
    info = probe(work / "out" / "a.mp4")
    assert (info.width, info.height, info.fps) == (int(size), int(size), float(fps))
    assert info.seconds == pytest.approx(SECONDS, abs=1 / float(fps))


def test_motion_can_be_kept_and_rendered_again(config: Path, work: Path) -> None:
    assert infer(config, "voice.wav", "face.png", "--seed", "4", "--save-motion", "m.npz", "-o", "a.mp4") == 0
    assert len(Motion.load(work / "m.npz")) == round(SECONDS * 25)
    assert infer(config, "voice.wav", "face.png", "--motion", "m.npz", "-o", "b.mp4") == 0
    assert infer(config, "voice.wav", "face.png", "--seed", "5", "-o", "c.mp4") == 0
    first, again, other = (np.stack(list(read_frames(work / f"{name}.mp4"))).astype(int) for name in "abc")
    assert np.array_equal(first, again)
    assert np.abs(first - other).max() > 20
    assert files(work) == {"voice.wav", "face.png", "m.npz", "a.mp4", "b.mp4", "c.mp4"}


def _wide(path: Path) -> np.ndarray:
    """A wide picture whose face is at the right, odd sides; a smaller, mirrored face at the left."""
    scene = np.random.default_rng(1).integers(90, 110, (401, 901, 3)).astype(np.uint8)
    face = Image.open("face.png")
    scene[20:401, 500:881] = np.array(face.resize((381, 381)))
    scene[20:390, 40:410] = np.array(face.resize((370, 370)))[:, ::-1]
    Image.fromarray(scene).save(path)
    return scene


def test_the_whole_picture_around_the_moving_face(config: Path, work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    scene = _wide(work / "wide.png")
    arguments = ("voice.wav", "wide.png", "--framing", "full", "--set", "crf=4", "--set", "gains.head=3")
    assert infer(config, *arguments, "--output", "full.mp4", "--face", "1") == 0
    info, square = probe(work / "full.mp4"), read_square(work / "full.mp4")
    assert (info.width, info.height, info.has_audio) == (900, 400, True) and square is not None
    assert "full.mp4: 1.30 s, 900x400, 25 fps" in capfd.readouterr().out
    frames = np.stack(list(read_frames(work / "full.mp4"))).astype(int)
    left, top, side = round(square.left), round(square.top), round(square.width)
    assert left > 500
    outside = np.abs(frames - scene[:400, :900])[:, :, : left - 2]
    assert outside.mean() < 4  # what encoding leaves of noise
    change = np.abs(np.diff(frames, axis=0))
    assert change[:, :, : left - 2].max() < 20 and change[:, max(top, 0) : top + side, left:].max() > 40

    assert infer(config, *arguments, "-o", "second.mp4", "--face", "2", "--long-side", "450") == 0
    info, square = probe(work / "second.mp4"), read_square(work / "second.mp4")
    assert (info.width, info.height) == (450, 200) and square is not None and square.left + square.width < 200
    err = capfd.readouterr().err
    assert "901x401 scaled to 450x200 (--long-side)" in err and "face 2 by size is taken" in err


def test_framing_is_a_key_of_the_config(config: Path, work: Path) -> None:
    assert infer(config, "voice.wav", "face.png", "--set", "framing=full", "--set", "long_side=200") == 0
    assert (probe(work / "voice.mp4").width, probe(work / "voice.mp4").height) == (200, 200)


def test_set_changes_one_value(config: Path, work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert infer(config, "voice.wav", "face.png", "--set", "fps=10", "--set", "smoothing.lips=2") == 0
    assert probe(work / "voice.mp4").fps == 10


@pytest.mark.parametrize("rate", [8000, 96_000])
def test_silent_stereo_sound_gives_a_video_all_the_same(config: Path, work: Path, rate: int) -> None:
    soundfile.write(work / "silent.wav", np.zeros((rate, 2)), rate)
    assert infer(config, "silent.wav", "face.png") == 0
    assert probe(work / "silent.mp4").seconds == pytest.approx(1.0, abs=0.04)


def test_sound_of_a_video_and_picture_of_a_video(config: Path, work: Path, synthetic_video: Path) -> None:
    assert infer(config, str(synthetic_video), str(synthetic_video), "--output", "a.mp4", "--fps", "5") == 0
    assert probe(work / "a.mp4").seconds == pytest.approx(probe(synthetic_video).seconds, abs=0.2)


def _grey16(path: Path) -> None:
    grey = np.array(Image.open("face.png").convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save(path)


def _rgba(path: Path) -> None:
    Image.open("face.png").convert("RGBA").save(path)


@pytest.mark.parametrize("make", [_grey16, _rgba])
def test_unusual_pictures_work(config: Path, work: Path, make: Callable[[Path], None]) -> None:
    make(work / "other.png")
    assert infer(config, "voice.wav", "other.png", "--fps", "5") == 0
    assert (work / "voice.mp4").exists()


def _nan(path: Path) -> None:
    soundfile.write(path, np.full(16_000, np.nan), 16_000, subtype="FLOAT")


def _silent_video(path: Path) -> None:
    with VideoWriter(path, 64, 25) as writer:
        for _ in range(5):
            writer.write(np.zeros((64, 64, 3), np.uint8))


def _half(path: Path) -> None:
    whole = Path("face.png").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def _small_face(path: Path) -> None:
    canvas = Image.new("RGB", (300, 300), "grey")
    canvas.paste(Image.open("face.png").resize((130, 130)), (80, 80))
    canvas.save(path)


def _wall(path: Path) -> None:
    Image.effect_noise((400, 300), 60).save(path)


BAD_AUDIO = [
    ("none.wav", None, "no such audio file: none.wav"),
    ("text.wav", lambda path: path.write_text("words\n" * 100), "not an audio recording"),
    ("zero.wav", lambda path: path.write_bytes(b""), "empty"),
    ("header.wav", lambda path: soundfile.write(path, np.zeros(0), 16_000), "lasts 0.000 s, wanted at least 0.1 s"),
    ("one.wav", lambda path: soundfile.write(path, np.zeros(1), 16_000), "lasts 0.000 s, wanted at least 0.1 s"),
    ("nan.wav", _nan, "not finite"),
    ("mute.mp4", _silent_video, "no audio"),
]
BAD_PICTURES = [
    ("none.png", None, "no such picture: none.png"),
    ("text.png", lambda path: path.write_text("words\n" * 100), "not a picture"),
    ("half.png", _half, "cut off"),
    ("dot.png", lambda path: Image.new("RGB", (1, 1)).save(path), "1x1"),
    ("wall.png", _wall, "no face found"),
    ("small.png", _small_face, "wanted at least 64"),
]


def one_line(capfd: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr, but for remarks on the picture; device line or nothing on stdout."""
    out, err = capfd.readouterr()
    err = "\n".join(line for line in err.splitlines() if not line.startswith("face.png: the mouth is open"))
    assert len(err.splitlines()) == 1, err
    assert err.startswith("error: ")
    assert len(out.splitlines()) <= 1
    return err


@pytest.mark.parametrize(("name", "make", "said"), BAD_AUDIO)
def test_bad_sounds(
    config: Path, work: Path, capfd: pytest.CaptureFixture[str], name: str, make: Callable[[Path], Any], said: str
) -> None:
    if make is not None:
        make(work / name)
    before = files(work)
    assert infer(config, name, "face.png", "--output", "out.mp4") == 2
    error = one_line(capfd)
    assert said in error and name in error
    assert files(work) == before


@pytest.mark.parametrize(("name", "make", "said"), BAD_PICTURES)
def test_bad_pictures(
    config: Path, work: Path, capfd: pytest.CaptureFixture[str], name: str, make: Callable[[Path], Any], said: str
) -> None:
    if make is not None:
        make(work / name)
    before = files(work)
    assert infer(config, "voice.wav", name) == 2
    error = one_line(capfd)
    assert said in error and name in error
    assert files(work) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--output", "nowhere/a.mp4"], "no such folder to write into: nowhere"),
        (["--output", "voice.wav"], "should end in .mp4"),
        (["--output", "taken.mp4"], "got a folder: taken.mp4"),
        (["--save-motion", "nowhere/m.npz"], "no such folder"),
        (["--save-motion", "face.png"], "would overwrite the input face.png"),
        (["--motion", "none.npz"], "none.npz"),
        (["--motion", "face.png"], "cannot read face.png"),
        (["--face", "2"], "there is no face 2: one face found in face.png"),
        (["--framing", "full", "--long-side", "10"], "'long_side'"),
        (["--set", "framing=whole"], "'framing'"),
        (["--size", "65"], "'size': should be even"),
        (["--fps", "0"], "'fps'"),
        (["--set", "smoothing.lip=1"], "unknown key 'smoothing.lip'"),
        (["--set", "sise=1"], "did you mean 'size'?"),
        (["--set", "checkpoints.faco=none.pt"], "no checkpoint of stage 'faco'"),
        (["--set", "checkpoints.faco=face.png"], "not a checkpoint"),
    ],
)
def test_bad_arguments(
    config: Path, work: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    (work / "taken.mp4").mkdir()
    before = files(work)
    assert infer(config, "voice.wav", "face.png", *arguments) == 2
    assert said in one_line(capfd)
    assert files(work) == before


def test_an_input_is_never_overwritten(config: Path, work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (work / "voice.wav").rename(work / "voice.mp4")
    before = (work / "voice.mp4").read_bytes()
    assert infer(config, "voice.mp4", "face.png") == 2
    assert "would overwrite the input voice.mp4" in one_line(capfd)
    os.link(work / "voice.mp4", work / "link.mp4")
    assert infer(config, "voice.mp4", "face.png", "--output", "link.mp4") == 2
    assert "would overwrite the input" in one_line(capfd)
    assert (work / "voice.mp4").read_bytes() == before


def test_motion_of_another_length_or_cut_short_is_refused(
    config: Path, work: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    still = Motion(np.zeros((9, 40, 3)), np.zeros((9, 60, 3)), np.zeros((9, 7)), np.zeros((9, 18, 3)))
    still.save(work / "m.npz")
    assert infer(config, "voice.wav", "face.png", "--motion", "m.npz") == 2
    assert "the motion lasts 0.36 s and the audio 1.30 s" in one_line(capfd)
    whole = (work / "m.npz").read_bytes()
    (work / "m.npz").write_bytes(whole[: len(whole) // 2])
    assert infer(config, "voice.wav", "face.png", "--motion", "m.npz") == 2
    assert "m.npz" in one_line(capfd)


def test_unwritable_folder(config: Path, work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (work / "locked").mkdir(mode=0o500)
    if os.access(work / "locked", os.W_OK):
        pytest.skip("this user may write anywhere, folder permissions do not hold for it")
    assert infer(config, "voice.wav", "face.png", "--output", "locked/a.mp4") == 2
    assert "locked" in one_line(capfd)


def run_script(config: Path, work: Path, *arguments: str, limit: int | None = None) -> subprocess.Popen[str]:
    start = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\n"
    if limit is not None:
        start += f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
    program = f"{start}from moda.cli.infer import main\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "voice.wav", "face.png", "--config", str(config), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=work, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_full_disk_is_one_line_and_leaves_nothing(config: Path, work: Path) -> None:
    before = files(work)
    with run_script(config, work, "--size", "128", "--set", "crf=1", limit=8000) as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "cannot write voice.mp4" in lines[0] and "Traceback" not in err
    assert files(work) == before


def test_a_kill_in_the_middle_leaves_nothing(config: Path, work: Path) -> None:
    write_wav(work / "voice.wav", np.random.default_rng(0).normal(0, 0.1, 16_000 * 8))
    before = files(work)
    with run_script(config, work, "--size", "256") as process:
        while not any(name.startswith(".voice.mp4") for name in files(work)):
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 143
    assert "Traceback" not in err
    assert files(work) == before


def test_no_thread_of_the_bar_outlives_an_interruption() -> None:
    """A process waits at its end for the threads that are no daemons: it would never stop."""
    before = set(threading.enumerate())
    frames = bar(iter([np.zeros((2, 2, 3), np.uint8)] * 9), 9)
    next(frames)
    assert all(thread.daemon for thread in set(threading.enumerate()) - before)
    assert len(list(frames)) == 8
