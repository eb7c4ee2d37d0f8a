"""A stream gives the frames of the whole sound, whatever pieces it comes in."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from moda.animation import AnimationConfig
from moda.config import parse
from moda.errors import ConfigError, DataError, MediaError
from moda.pipeline import Animator
from moda.representation import SAMPLE_RATE, Motion, Portrait
from moda.tracking.portrait import make_portrait
from tests.conftest import speech_like
from tests.random_checkpoints import write_checkpoints

CPU = torch.device("cpu")
PARTS = ("lips", "eyes", "head", "torso")
WHISPER = {
    "wav2vec": {
        "front": "whisper", "hidden": 24, "layers": 1, "heads": 2, "ffn": 48, "read": [1], "mel_bands": 80,
        "freeze": False, "phonetic": 0,
    },
    "flow": {"layers": 1, "eyes": 3, "head": 3, "torso": 3, "steps": 2},
}  # fmt: skip


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_checkpoints(tmp_path_factory.mktemp("checkpoints"), audio2repr=WHISPER)


@pytest.fixture(scope="module")
def portrait(astronaut: np.ndarray) -> Portrait:
    return make_portrait(astronaut, 64)


def animator_of(paths: dict[str, Path], **changes: Any) -> Animator:
    tree = {"checkpoints": {name: str(path) for name, path in paths.items()}, "size": 64, **changes}
    return Animator.from_config(parse(AnimationConfig, tree, source="test"), CPU)


def sound(seconds: float) -> np.ndarray:
    """Speech with a silence in it and noise under it."""
    wave = speech_like(seconds)
    wave[len(wave) // 3 : len(wave) // 3 + 24_000] = 0
    return wave


def pieces(wave: np.ndarray, lengths: list[int]) -> Iterator[np.ndarray]:
    at = 0
    for length in itertools.cycle(lengths):
        yield wave[at : at + length]
        at += length
        if at >= len(wave):
            return


@settings(max_examples=2, deadline=None, phases=[Phase.generate])
@given(
    st.lists(st.integers(0, 9_000), min_size=1, max_size=6).filter(any),
    st.sampled_from([4.0, 10.62]),
    st.sampled_from([("stream", 25.0), ("low_delay", 25.0), ("stream", 30.0)]),
)
def test_motion_and_landmarks_of_any_pieces_are_those_of_the_whole(
    paths: dict[str, Path], portrait: Portrait, lengths: list[int], seconds: float, choice: tuple[str, float]
) -> None:
    """11 s are more than two windows. torch has another number of threads."""
    animator = animator_of(paths, windows=choice[0], fps=choice[1])
    wave = sound(seconds)
    whole = animator.motion(wave, portrait, 3)
    threads = torch.get_num_threads()
    torch.set_num_threads(3 - min(threads, 2))
    try:
        stream = animator.motion_stream(portrait, 3)
        made = [motion for piece in pieces(wave, lengths) for motion in stream.push(piece)] + [*stream.finish()]
        given, faces = 0, []
        for motion in made:
            faces += [face for face, _ in animator.landmark_parts(motion, portrait, first=given)]
            given += len(motion)
    finally:
        torch.set_num_threads(threads)
    for name in PARTS:
        np.testing.assert_array_equal(np.concatenate([getattr(m, name) for m in made]), getattr(whole, name))
    np.testing.assert_array_equal(np.concatenate(faces), animator.landmarks(whole, portrait)[0])
    assert np.abs(np.diff(whole.head, axis=0)).max() > 0.05 and np.abs(whole.lips).max() > 1


@pytest.mark.parametrize("windows", ["stream", "low_delay"])
def test_frames_of_a_stream_are_those_of_the_file_and_come_within_the_delay(
    paths: dict[str, Path], portrait: Portrait, windows: str
) -> None:
    animator = animator_of(paths, windows=windows, batch=3)
    wave = (sound(2.5) * 32767).astype(np.int16)
    whole = list(animator.frames(animator.motion(wave, portrait, 1), portrait))
    before = threading.active_count()
    found: list[np.ndarray] = []
    with animator.open_stream(portrait, 1) as stream:
        for piece in pieces(wave, [640, 0, 1_000]):
            found += stream.push(piece)
            late = stream.seconds - len(found) / 25
            assert late < animator.delay + 0.04
        assert stream.delay == animator.delay == {"stream": 1.08, "low_delay": 0.4}[windows]
        found += stream.finish()
    assert len(found) == len(whole) == stream.frames
    assert all(np.array_equal(a, b) for a, b in zip(found, whole, strict=True))
    assert any(not np.array_equal(frame, whole[0]) for frame in whole)
    assert threading.active_count() == before
    for again, frame in zip(animator.stream(pieces(wave, [9_000]), portrait, 1), whole, strict=True):
        assert np.array_equal(again, frame)


def test_a_consumer_that_stops_leaves_no_thread_and_bad_input_is_told(
    paths: dict[str, Path], portrait: Portrait
) -> None:
    animator = animator_of(paths)
    before = threading.active_count()
    frames = animator.stream(itertools.repeat(np.zeros(8_000, np.float32)), portrait)
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    with pytest.raises(MediaError, match=r"ended after 0\.050 s"):
        list(animator.stream([np.zeros(800, np.float32)], portrait))
    with animator.open_stream(portrait) as stream:
        stream.push(speech_like(0.5))
        with pytest.raises(MediaError, match="not finite"):
            stream.push(np.full(640, np.nan))
        assert stream.push((48_000, np.zeros((48_000, 2), np.int16)), render=False) == []
        assert stream.frames > 0 and stream.idle(0.4) and stream.seconds == pytest.approx(1.9, abs=0.01)
        stream.finish()
        with pytest.raises(DataError, match="has ended"):
            stream.push(np.zeros(640))
    assert threading.active_count() == before
    with pytest.raises(ConfigError, match="whole sound"):
        animator_of(paths, windows="paper").open_stream(portrait)
    with pytest.raises(ConfigError, match=r"smoothing\.face"):
        _ = animator_of(paths, smoothing={"face": 2}).delay


def test_what_was_skipped_changes_nothing_that_follows(paths: dict[str, Path], portrait: Portrait) -> None:
    animator, wave = animator_of(paths), sound(2.5)
    whole = list(animator.frames(animator.motion(wave, portrait), portrait))
    with animator.open_stream(portrait) as stream:
        stream.push(wave[:SAMPLE_RATE], render=False)
        skipped = stream.frames
        rest = [*stream.push(wave[SAMPLE_RATE:]), *stream.finish()]
    assert 0 < skipped < 25 and len(rest) == len(whole) - skipped
    assert all(np.array_equal(a, b) for a, b in zip(rest, whole[skipped:], strict=True))


def test_what_a_stream_keeps_does_not_grow(paths: dict[str, Path], portrait: Portrait) -> None:
    stream = animator_of(paths).motion_stream(portrait)
    kept = []
    for seconds in (6, 1, 1):
        list(stream.push(sound(seconds)))
        kept.append((len(stream._sound._values), len(stream._noise._values), len(stream._features._values)))  # type: ignore[union-attr]
    assert max(kept) <= (6 * SAMPLE_RATE, 200, 200), kept
    assert isinstance(next(iter(stream.finish())), Motion)
