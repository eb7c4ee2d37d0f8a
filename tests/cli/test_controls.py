"""Controls of `moda infer`: what was asked for is in the motion that was rendered."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moda.cli.infer import main
from moda.landmarks import LIPS
from moda.media.audio import read_audio, write_wav
from moda.media.video import VideoWriter, probe, read_frames
from moda.provenance import read_record
from moda.representation import Motion
from moda.tracking.driving import track_motion
from tests.conftest import moving_picture, speech_like


@pytest.fixture
def work(tmp_path: Path, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(logging.getLogger("moda"), "handlers", [])
    monkeypatch.chdir(tmp_path)
    write_wav(tmp_path / "voice.wav", speech_like(0.8, pitch=200))
    Image.fromarray(astronaut).save(tmp_path / "face.png")
    return tmp_path


def infer(config: Path, *arguments: str) -> int:
    return main(["voice.wav", "face.png", *arguments, "--config", str(config), "--device", "cpu"])


def test_parts_of_a_video_and_offsets_are_in_the_motion(config: Path, work: Path, astronaut: np.ndarray) -> None:
    driving = work / "a b.mp4"
    with VideoWriter(driving, 256, 25, preset="ultrafast") as writer:
        for frame in moving_picture(astronaut, 12, 256):
            writer.write(frame)
    assert infer(config, "--save-motion", "plain.npz", "--output", "plain.mp4") == 0
    options = ["--take", f"head={driving}", "--offset", "yaw=5", "--freeze", "torso", "--blinks", "0.4"]
    assert infer(config, *options, "--save-motion", "m.npz", "--output", "m.mp4") == 0
    plain, motion, driver = Motion.load(work / "plain.npz"), Motion.load(work / "m.npz"), track_motion(driving)
    assert np.allclose(motion.head[:12], driver.head + np.array([0, 5, 0, 0, 0, 0, 0]), atol=1e-5)
    assert np.array_equal(motion.lips, plain.lips) and not motion.torso.any()
    assert np.abs(motion.eyes[10] - plain.eyes[10]).max() > 3
    record = read_record(work / "m.mp4")
    assert record and "head taken" in record["inputs"]
    assert infer(config, "--take", "torso=a b.mp4") == 2


def test_an_expression_without_an_amount_is_the_whole_of_it(config: Path, work: Path) -> None:
    lips = {}
    for name in ("", "smile", "smile=1", "neutral"):
        given = ["--expression", name] if name else []
        assert infer(config, *given, "--save-motion", "m.npz", "--output", "m.mp4") == 0
        lips[name] = Motion.load(work / "m.npz").lips
    assert np.array_equal(lips["smile"], lips["smile=1"]) and not np.allclose(lips["smile"], lips[""])
    corner = LIPS.index(61)
    assert lips["neutral"][0, corner, 0] > lips[""][0, corner, 0] + 5, "her smile is narrower"
    assert infer(config, "--expression", "grin") == 2


def test_a_motion_file_that_was_edited_is_rendered_as_edited(config: Path, work: Path) -> None:
    assert infer(config, "--save-motion", "m.npz", "--output", "a.mp4") == 0
    motion = dict(np.load(work / "m.npz"))
    motion["head"][:, 3] += 100
    np.savez(work / "edited.npz", **motion)
    assert infer(config, "--motion", "edited.npz", "--save-motion", "again.npz", "--output", "b.mp4") == 0
    assert np.array_equal(np.load(work / "again.npz")["head"], motion["head"])
    first, second = (next(iter(read_frames(work / name))).astype(int) for name in ("a.mp4", "b.mp4"))
    moved = round(100 / 512 * 64)
    inner = slice(20, 44)
    apart = np.abs(first[inner, inner] - second[inner, inner]).mean()
    assert np.abs(first[inner, inner] - second[inner, 20 + moved : 44 + moved]).mean() < 0.7 * apart


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_speed_changes_the_length_and_keeps_the_pitch(config: Path, work: Path, speed: float) -> None:
    assert infer(config, "--speed", str(speed), "--output", "fast.mp4") == 0
    assert probe(work / "fast.mp4").seconds == pytest.approx(0.8 / speed, abs=0.06)
    wave = read_audio(work / "fast.mp4")
    spectrum = np.abs(np.fft.rfft(wave))
    spectrum[: round(100 * len(wave) / 16_000)] = 0
    assert spectrum.argmax() * 16_000 / len(wave) == pytest.approx(200, abs=8)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--take", "nose=face.png"], "'controls.take.nose"),
        (["--take", "head"], "--take is 'head', wanted NAME=VALUE"),
        (["--take", "head=none.mp4"], "no such source of motion: none.mp4"),
        (["--take", "head=voice.wav"], "no picture in voice.wav"),
        (["--offset", "yaw=much"], "--offset is 'yaw=much', wanted NAME=VALUE"),
        (["--offset", "yaw=nan"], "finite number"),
        (["--freeze", "ears"], "'controls.freeze.0'"),
        (["--blinks", "9"], "a blink at 9.0, wanted 0 to 0.80 s"),
        (["--speed", "3"], "'controls.speed'"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    config: Path, work: Path, options: list[str], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert infer(config, *options) == 2
    err = capfd.readouterr().err
    assert words in err and "Traceback" not in err
    assert not (work / "voice.mp4").exists()
