"""The live mode: what is heard is shown, in the order of the sound, by one session a browser."""

from __future__ import annotations

import base64
import io
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moda.animation import InferenceConfig
from moda.app import live as module
from moda.app.limits import Limits
from moda.app.live import Live, Shown
from moda.app.owners import Owners
from moda.app.studio import Studio
from moda.device import choose_device
from moda.errors import ModaError
from tests.app.conftest import Files
from tests.conftest import speech_like

RATE = 48_000
CHUNK = RATE // 10


@pytest.fixture
def live(settings: InferenceConfig, tmp_path: Path) -> Live:
    return Live(Studio(settings, choose_device("cpu"), Limits(), Owners(tmp_path)))


def chunks(seconds: float) -> list[tuple[int, np.ndarray]]:
    wave = np.repeat(speech_like(seconds), RATE // 16_000)
    sound = (wave * 32767).astype(np.int16)
    return [(RATE, sound[start : start + CHUNK]) for start in range(0, len(sound), CHUNK)]


def heard(live: Live, name: str, sounds: list[tuple[int, np.ndarray]], portrait: Path, wanted: int) -> list[str]:
    """The frames that come of sounds, and of asking on with silence until there are enough; all in order."""
    frames: list[Shown] = []
    for sound in sounds:
        frames += live.hear(name, sound, portrait, 3)
    end = time.monotonic() + 120
    while len(frames) < wanted:
        assert time.monotonic() < end
        time.sleep(0.05)
        frames += live.hear(name, (RATE, np.zeros(0, np.int16)), portrait, 3)
    assert [number for number, _ in frames] == list(range(len(frames)))
    return [frame for _, frame in frames]


def pixels(frame: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(frame))))


def test_what_is_heard_is_shown(live: Live, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEHIND_SECONDS", 1e9)  # the test brings all its sound at once
    monkeypatch.setattr(module, "LOST_SECONDS", 1e9)
    monkeypatch.setattr(module, "_MAX_FRAMES", 10**6)
    sounds = chunks(1.0)
    models = live._studio._models
    animator, scene = models.animator(with_motion=True), models.scene(files.face, 1)
    with animator.open_stream(scene.portrait, 3) as stream:
        expected = [frame for sound in sounds for frame in stream.push(sound)]
    shown = heard(live, "ann", sounds, files.face, len(expected))
    assert len(shown) == len(expected) > 0
    for frame, truth in zip(shown, expected, strict=True):
        assert np.abs(pixels(frame).astype(int) - truth).mean() < 4, "JPEG"
    with pytest.raises(ModaError, match="somebody else is live"):
        live.hear("bob", sounds[0], files.face, 0)
    live.stop("ann")
    assert not [thread for thread in threading.enumerate() if thread.name == "moda live"]
    live.hear("bob", sounds[0], files.face, 0)
    live.stop("bob")
    live.stop("nobody")


def test_a_slow_computer_shows_fewer_frames_and_never_none(
    live: Live, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All the sound waits from the beginning: each eighth frame is shown, as numbered in the sound."""
    monkeypatch.setattr(module, "LOST_SECONDS", 1e9)
    shown: list[Shown] = []
    for sound in chunks(6.0):
        shown += live.hear("ann", sound, files.face, 3)
    end = time.monotonic() + 120
    while len(shown) < 3:
        assert time.monotonic() < end
        time.sleep(0.05)
        shown += live._sessions["ann"].taken()
    assert [number for number, _ in shown[:3]] == [0, 8, 16]
    live.stop("ann")


def test_sound_that_waits_too_long_is_not_heard(live: Live, files: Files) -> None:
    for sound in chunks(20.0):
        live.hear("ann", sound, files.face, 3)
    session = live._sessions["ann"]
    session.sound.put(None)
    session.thread.join(120)
    assert session.ended and session.problem is None
    assert session.taken()[-1][0] < 25 * 8, "of 500"


def test_a_session_ends_with_its_problem_or_its_client(
    live: Live, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sound, *_) = chunks(0.2)
    live.hear("ann", sound, files.no_picture, 0)
    live._sessions["ann"].thread.join(60)
    with pytest.raises(ModaError, match=r"no picture\.png"):
        live.hear("ann", sound, files.no_picture, 0)
    monkeypatch.setattr(module, "STALLED_SECONDS", 0.2)
    live.hear("ann", sound, files.face, 0)
    live._sessions["ann"].thread.join(60)
    assert live._sessions["ann"].ended
    live.hear("bob", sound, files.face, 0)
    live.stop("bob")
