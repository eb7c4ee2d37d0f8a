"""From audio and portrait to frames with the debug networks: what must hold whatever the weights are."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from moda.config import parse
from moda.device import choose_device
from moda.errors import CheckpointError, ConfigError, DataError
from moda.geometry import apply_head, fit_head_pose, to_image
from moda.landmarks import BROW_ROWS, EYES, LIPS, OTHERS
from moda.lips import with_contrast
from moda.pipeline import AnimationConfig, Animator, fit_motion
from moda.representation import FPS, SAMPLE_RATE, Motion, Portrait, frames_of, samples_at
from moda.smoothing import SmoothingConfig, gaussian
from moda.tracking.portrait import make_portrait
from tests.random_checkpoints import write_checkpoints

CPU = torch.device("cpu")
UNFILTERED = {"lips": 0, "eyes": 0, "rotation": 0, "translation": 0, "torso": 0}


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoints whose windows are short, so that a few seconds of audio need several."""
    return write_checkpoints(tmp_path_factory.mktemp("checkpoints"), audio2repr={"window": 40, "stride": 20})


@pytest.fixture(scope="module")
def portrait(astronaut: np.ndarray) -> Portrait:
    return make_portrait(astronaut, 64)


def animation(paths: dict[str, Path], **changes: Any) -> AnimationConfig:
    tree = {"checkpoints": {name: str(path) for name, path in paths.items()}, "size": 64, **changes}
    return parse(AnimationConfig, tree, source="test")


@pytest.fixture(scope="module")
def animator(paths: dict[str, Path]) -> Animator:
    return Animator.from_config(animation(paths), CPU)


def speech(seconds: float) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.1, round(seconds * SAMPLE_RATE)).astype(np.float32)


@pytest.mark.parametrize("seconds", [0.1, 0.13, 1.0, 1.6, 1.62, 3.333])
@pytest.mark.parametrize("fps", [25.0, 30000 / 1001, 50.0, 12.0])
def test_motion_lasts_as_long_as_the_sound(
    paths: dict[str, Path], portrait: Portrait, seconds: float, fps: float
) -> None:
    wave = speech(seconds)
    motion = Animator.from_config(animation(paths, fps=fps), CPU).motion(wave, portrait)
    assert motion.fps == fps
    assert len(motion) == frames_of(len(wave), fps)
    assert abs(len(motion) / fps - seconds) <= 1 / fps


def test_a_seed_decides_everything_but_the_lips(animator: Animator, portrait: Portrait) -> None:
    wave = speech(3)
    first, again, other = (animator.motion(wave, portrait, seed) for seed in (1, 1, 2))
    for name in ("lips", "eyes", "head", "torso"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert np.array_equal(first.lips, other.lips)
    for name in ("eyes", "head", "torso"):
        assert np.abs(getattr(first, name) - getattr(other, name)).max() > 0.1


def test_windows_get_their_own_sound_and_one_latent(paths: dict[str, Path], portrait: Portrait) -> None:
    animator = Animator.from_config(animation(paths, windows="paper"), CPU)
    network, calls = animator.audio2repr, []

    def record(module: Any, given: tuple[Any, ...]) -> None:
        calls.append(given)

    handle = network.register_forward_pre_hook(record)
    wave = speech(3)
    try:
        animator.motion(wave, portrait, seed=5)
    finally:
        handle.remove()
    spans = [(0, 40), (20, 60), (35, 75)]
    assert len(calls) == len(spans)
    noise = torch.randn(75, network.latent_dim, generator=torch.Generator().manual_seed(5))  # type: ignore[arg-type]
    for (start, stop), (piece, subject, frames, drawn, speech_features) in zip(spans, calls, strict=True):
        assert frames == stop - start and speech_features is None
        assert torch.equal(piece[0], torch.from_numpy(wave[samples_at(start) : samples_at(stop)]))
        assert torch.equal(drawn[0], noise[start:stop])
        assert torch.equal(subject[0], torch.from_numpy(portrait.subject))


def test_smoothing_follows_the_configuration(paths: dict[str, Path], portrait: Portrait) -> None:
    raw = Animator.from_config(animation(paths, smoothing=UNFILTERED), CPU).motion(speech(2), portrait)
    smooth = Animator.from_config(animation(paths, smoothing={**UNFILTERED, "rotation": 4}), CPU).motion(
        speech(2), portrait
    )
    assert np.array_equal(raw.lips, smooth.lips)
    assert np.array_equal(raw.head[:, 3:], smooth.head[:, 3:])
    assert np.abs(np.diff(smooth.head[:, :3], axis=0)).mean() < 0.5 * np.abs(np.diff(raw.head[:, :3], axis=0)).mean()


def test_gains_and_contrast_are_those_of_the_configuration(paths: dict[str, Path], portrait: Portrait) -> None:
    wave = speech(1)
    plain = Animator.from_config(animation(paths, smoothing=UNFILTERED, fixations=False, lip_contrast=1), CPU).motion(
        wave, portrait
    )
    gains = {"lips": 0.5, "eyes": 2.0, "head": 0.25, "torso": 3.0}
    changed = animation(paths, smoothing=UNFILTERED, fixations=False, lip_contrast=1, gains=gains)
    scaled = Animator.from_config(changed, CPU).motion(wave, portrait)
    for name, gain in gains.items():
        np.testing.assert_allclose(getattr(scaled, name), gain * getattr(plain, name), rtol=1e-5, atol=1e-6)
    changed = animation(paths, smoothing=UNFILTERED, fixations=False, lip_contrast=1, gains={"brows": 0.5})
    calmer = Animator.from_config(changed, CPU).motion(wave, portrait)
    share = 0.5 / AnimationConfig().gains.brows
    np.testing.assert_allclose(calmer.eyes[:, BROW_ROWS], share * plain.eyes[:, BROW_ROWS], rtol=1e-5, atol=1e-6)
    others = np.delete(np.arange(len(EYES)), BROW_ROWS)
    assert len(others) == 40 and np.array_equal(calmer.eyes[:, others], plain.eyes[:, others])
    changed = animation(paths, smoothing=UNFILTERED, fixations=False, lip_contrast=1.5)
    mean = Animator.from_config(changed, CPU).audio2repr.lips_mean.numpy()
    wider = Animator.from_config(changed, CPU).motion(wave, portrait)
    np.testing.assert_allclose(wider.lips, with_contrast(plain.lips, 1.5, mean), atol=1e-3)
    assert np.abs(wider.lips - plain.lips).max() > 0.1
    assert np.array_equal(wider.head, plain.head)


@pytest.mark.parametrize(
    ("pauses", "closed"),
    [({}, True), ({"below_speech_db": 30}, False), ({"below_speech_db": 30, "level_db": -30}, True)],
)
def test_what_a_pause_is_can_be_configured(
    paths: dict[str, Path], portrait: Portrait, pauses: dict[str, float], closed: bool
) -> None:
    """1.2 s of speech 20 dB below that around it, about 40 dB below full scale: a pause if one says so."""
    syllables = np.random.default_rng(2).uniform(0.4, 1.6, 75).astype(np.float32)  # else it would be a steady noise
    wave = speech(3) * syllables.repeat(640)
    wave[16_000:35_200] *= 0.1
    changed = animation(paths, smoothing=UNFILTERED, pauses=pauses)
    lips = np.abs(Animator.from_config(changed, CPU).motion(wave, portrait).lips).max(axis=(1, 2))
    assert (lips[43:50].max() < 1e-3 * lips[:20].max()) == closed


def test_a_motion_finished_in_stretches_is_the_motion_finished_whole(
    paths: dict[str, Path], portrait: Portrait, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done after the network keeps no second copy of a long motion; stretches must not show."""
    smoothing = {"lips": 0.6, "eyes": 2, "rotation": 4, "translation": 0, "torso": 6}
    changes = {"smoothing": smoothing, "lip_contrast": 1.7, "gains": {"eyes": 0.5, "head": 2}}
    changes |= {"fixations": False, "windows": "paper"}
    animator = Animator.from_config(animation(paths, **changes), CPU)
    wave = speech(6)
    wave[40_000:60_000] = 0
    whole = animator.motion(wave, portrait)
    for frames in (1, 23, 60):
        monkeypatch.setattr("moda.streaming.whole._FILTER_FRAMES", frames)
        pieced = animator.motion(wave, portrait)
        for name in ("lips", "eyes", "head", "torso"):
            np.testing.assert_allclose(getattr(pieced, name), getattr(whole, name), rtol=1e-4, atol=1e-4)


def test_landmarks_in_parts_are_the_landmarks(
    paths: dict[str, Path], portrait: Portrait, monkeypatch: pytest.MonkeyPatch
) -> None:
    animator = Animator.from_config(animation(paths, batch=7), CPU)
    motion = animator.motion(speech(2), portrait)
    face, torso = animator.landmarks(motion, portrait)
    monkeypatch.setattr("moda.pipeline._CHUNK_FRAMES", 16)
    parts = list(animator.landmark_parts(motion, portrait))
    assert [len(part) for part, _ in parts] == [14, 14, 14, 8]
    np.testing.assert_allclose(np.concatenate([part for part, _ in parts]), face, atol=1e-3)
    assert np.array_equal(np.concatenate([part for _, part in parts]), torso)


def test_other_points_are_filtered_over_the_whole_motion_and_given_ones_are_not(
    paths: dict[str, Path], portrait: Portrait, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, frames = np.random.default_rng(0), 100
    parts = (rng.normal(0, 300, shape).astype(np.float32) for shape in ((frames, 40, 3), (frames, 60, 3)))
    still = np.zeros((frames, 7), np.float32), np.zeros((frames, 18, 3), np.float32)
    motion = Motion(*parts, *still, fps=50.0)
    monkeypatch.setattr("moda.pipeline._CHUNK_FRAMES", 16)
    raw, found = (
        Animator.from_config(animation(paths, batch=7, smoothing={"face": sigma}), CPU).landmarks(motion, portrait)[0]
        for sigma in (0, 5)
    )
    wanted = raw.copy()
    wanted[:, OTHERS] = gaussian(raw[:, OTHERS], 10.0)  # the sigma is of frames at 25 fps
    assert np.abs(wanted - raw).max() > 0.5
    np.testing.assert_allclose(found, wanted, atol=2e-3)


def test_without_pauses_the_mouth_is_the_networks(paths: dict[str, Path], portrait: Portrait) -> None:
    wave = speech(3)
    wave[16_000:35_200] = 0
    lips = [
        Animator.from_config(animation(paths, smoothing=UNFILTERED, **more), CPU).motion(wave, portrait).lips
        for more in ({}, {"pauses": None})
    ]
    still = [np.abs(part[43:50]).max() for part in lips]
    assert still[0] < 1e-3 < 0.1 < still[1]
    np.testing.assert_array_equal(lips[0][:20], lips[1][:20])


def test_mouth_is_closed_in_silence(animator: Animator, portrait: Portrait) -> None:
    assert np.abs(animator.motion(np.zeros(32_000, np.float32), portrait).lips).max() == 0.0
    wave = speech(3)
    wave[16_000:35_200] = 0
    lips = np.abs(animator.motion(wave, portrait).lips).max(axis=(1, 2))
    assert lips[43:50].max() < 1e-3 * lips[:20].max()
    assert lips[60:].max() > 0.5 * lips[:20].max()


def test_landmarks_put_the_motion_on_the_portrait(animator: Animator, portrait: Portrait) -> None:
    motion = animator.motion(speech(2), portrait)
    face, torso = animator.landmarks(motion, portrait)
    assert face.shape == (50, 478, 3) and face.dtype == np.float32
    pose = apply_head(portrait.pose, motion.head)
    for name, group in (("lips", list(LIPS)), ("eyes", list(EYES))):
        given = portrait.subject[group] + getattr(motion, name)
        assert np.abs(to_image(given, pose) - face[:, group]).max() < 1e-2
    assert np.allclose(torso - portrait.torso, motion.torso, atol=1e-3)


def test_closed_eyes_stay_as_they_are(animator: Animator, portrait: Portrait, monkeypatch: pytest.MonkeyPatch) -> None:
    motion = animator.motion(speech(2), portrait).scaled(eyes=4.0)
    eyes, lips = list(EYES), list(LIPS)
    moved, _ = animator.landmarks(motion, portrait)
    monkeypatch.setattr("moda.tracking.checks.CLOSED_EYES_RATIO", 1.0)  # every eye is closed
    still, _ = animator.landmarks(motion, portrait)
    expected, _ = animator.landmarks(motion.scaled(eyes=0.0), portrait)
    assert np.array_equal(still, expected)
    assert np.abs(still - moved)[:, eyes].max() > 0.1
    assert np.abs(still - moved)[:, lips].max() < 1e-3


def test_no_motion_is_the_portrait_at_rest(paths: dict[str, Path], portrait: Portrait) -> None:
    animator = Animator.from_config(animation(paths), CPU, with_motion=False)
    still = Motion(np.zeros((3, 40, 3)), np.zeros((3, 60, 3)), np.zeros((3, 7)), np.zeros((3, 18, 3)))
    face, torso = animator.landmarks(still, portrait)
    fitted = fit_head_pose(face)
    assert np.abs(fitted.rotation - portrait.pose.rotation).max() < 5
    given = list(LIPS + EYES)
    assert np.abs(face[:, given] - to_image(portrait.subject, portrait.pose)[given]).max() < 1e-2
    assert np.array_equal(torso, np.repeat(portrait.torso[None], 3, axis=0))


def test_frames_are_made_when_asked_for_and_do_not_depend_on_the_batch(
    paths: dict[str, Path], portrait: Portrait
) -> None:
    motion = Animator.from_config(animation(paths), CPU).motion(speech(1), portrait)
    videos = []
    for batch in (8, 3):
        animator = Animator.from_config(animation(paths, batch=batch), CPU)
        seen: list[int] = []
        network = animator.renderer
        network.register_forward_pre_hook(lambda module, given, seen=seen: seen.append(len(given[0].condition)))
        frames = animator.frames(motion, portrait)
        assert seen == []
        start = list(itertools.islice(frames, 1))
        assert seen == [batch]
        videos.append(np.stack([*start, *frames]))
        assert sum(seen) == 25
    assert videos[0].shape == (25, 64, 64, 3) and videos[0].dtype == np.uint8
    assert np.abs(videos[0].astype(int) - videos[1]).max() <= 1
    assert np.abs(np.diff(videos[0].astype(int), axis=0)).mean() > 0.05


def test_the_renderer_is_told_the_number_of_every_frame(
    paths: dict[str, Path], portrait: Portrait, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time begins at 0 with the video, as with every clip in training, whatever batches and parts there are."""
    motion = Motion(np.zeros((9, 40, 3)), np.zeros((9, 60, 3)), np.zeros((9, 7)), np.zeros((9, 18, 3)))
    monkeypatch.setattr("moda.pipeline._CHUNK_FRAMES", 6)
    for batch in (2, 4):
        animator = Animator.from_config(animation(paths, batch=batch), CPU, with_motion=False)
        told: list[torch.Tensor] = []
        animator.renderer.register_forward_pre_hook(lambda module, given, told=told: told.append(given[0].frame))
        assert len(list(animator.frames(motion, portrait))) == 9
        assert torch.cat(told).tolist() == list(range(9))


@pytest.mark.parametrize("size", [64, 96, 130])
def test_size_may_differ_from_the_trained_one(
    paths: dict[str, Path], astronaut: np.ndarray, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    portrait = make_portrait(astronaut, size)
    with caplog.at_level(logging.WARNING, logger="moda"):
        animator = Animator.from_config(animation(paths, size=size), CPU)
    assert ("trained at 64 px" in caplog.text) == (size != 64)
    frames = list(animator.frames(animator.motion(speech(0.2), portrait), portrait))
    assert [frame.shape for frame in frames] == [(size, size, 3)] * 5


def test_saved_motion_gives_the_same_video(animator: Animator, portrait: Portrait, tmp_path: Path) -> None:
    wave = speech(1)
    motion = animator.motion(wave, portrait, 3)
    motion.save(tmp_path / "m.npz")
    loaded = fit_motion(Motion.load(tmp_path / "m.npz"), FPS, len(wave))
    for first, again in zip(animator.frames(motion, portrait), animator.frames(loaded, portrait), strict=True):
        assert np.array_equal(first, again)
    assert len(fit_motion(motion, 50, len(wave))) == 50
    with pytest.raises(DataError, match=r"the motion lasts 1\.00 s and the audio 2\.00 s"):
        fit_motion(motion, FPS, 2 * len(wave))
    with pytest.raises(DataError, match="not finite"):
        fit_motion(Motion(motion.lips * np.nan, motion.eyes, motion.head, motion.torso), FPS, len(wave))


def test_flow_steps_can_be_changed(paths: dict[str, Path]) -> None:
    assert Animator.from_config(animation(paths, flow_steps=7), CPU).audio2repr.config.flow.steps == 7
    assert Animator.from_config(animation(paths, flow_steps=None), CPU).audio2repr.config.flow.steps == 2


def rewritten(
    paths: dict[str, Path], folder: Path, stage: str, change: Callable[[dict[str, Any]], None]
) -> AnimationConfig:
    """The configuration with one checkpoint changed as a tree and written again."""
    tree = torch.load(paths[stage], weights_only=True)
    change(tree)
    torch.save(tree, folder / "changed.pt")
    return animation({**paths, stage: folder / "changed.pt"})


@pytest.mark.parametrize(
    ("stage", "change", "said"),
    [
        ("faco", lambda tree: tree["signature"].update(fps=30.0), r"fps is 30\.0, wanted 25\.0"),
        ("renderer", lambda tree: tree["signature"].update(units="metres"), "units"),
        ("faco", lambda tree: tree["config"].pop("network"), "does not say what network"),
        ("faco", lambda tree: tree["config"].update(network=[1]), "does not say what network"),
        ("audio2repr", lambda tree: tree["config"]["network"].update(d=10**6), "far too many weights"),
        ("audio2repr", lambda tree: tree["config"]["network"].update(layers=10**9), "far too many weights"),
        ("audio2repr", lambda tree: tree["config"]["network"].update(heads=7), "no network can be built"),
        ("audio2repr", lambda tree: tree["config"]["network"].update(heads=0), "no network can be built"),
        ("faco", lambda tree: tree["weights"].pop("normalizers.face.mean"), r"normalizers\.face\.mean"),
        ("audio2repr", lambda tree: tree.update(stage="faco"), "stage 'faco', wanted 'audio2repr'"),
    ],
)
def test_checkpoints_that_do_not_fit_are_refused(
    paths: dict[str, Path], tmp_path: Path, stage: str, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    with pytest.raises(CheckpointError, match=said) as error:
        Animator.from_config(rewritten(paths, tmp_path, stage, change), CPU)
    assert "changed.pt" in str(error.value)


def test_checkpoint_of_other_statistics_is_refused(paths: dict[str, Path], tmp_path: Path) -> None:
    def change(tree: dict[str, Any]) -> None:
        tree["weights"]["normalizers.lips.mean"] = torch.zeros(120)

    with pytest.raises(CheckpointError, match=r"wrong shape normalizers\.lips\.mean \(120,\) for \(40, 3\)"):
        Animator.from_config(rewritten(paths, tmp_path, "faco", change), CPU)


def test_a_missing_checkpoint_says_what_to_do(paths: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.pt.*moda train --config default/faco'"):
        Animator.from_config(animation({**paths, "faco": tmp_path / "none.pt"}), CPU)


@pytest.mark.parametrize("stage", ["audio2repr", "faco"])
def test_weights_that_are_not_finite_are_found(
    paths: dict[str, Path], tmp_path: Path, portrait: Portrait, stage: str
) -> None:
    def change(tree: dict[str, Any], value: float = math.nan) -> None:
        for name in ("mean", "std"):
            tree["weights"][f"normalizers.{'lips' if stage == 'audio2repr' else 'face'}.{name}"].fill_(value)

    with pytest.raises(CheckpointError, match=r"changed\.pt are not finite: normalizers"):
        Animator.from_config(rewritten(paths, tmp_path, stage, change), CPU)
    animator = Animator.from_config(rewritten(paths, tmp_path, stage, partial(change, value=3e38)), CPU)
    with pytest.raises(CheckpointError, match=f"stage {stage} gave values that are not finite"):
        animator.landmarks(animator.motion(speech(1), portrait), portrait)


def test_relative_checkpoints_are_found_among_what_ships(
    paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("moda.locations._SHIPPED", (paths["faco"].parent,))
    Animator.from_config(animation({stage: Path(path.name) for stage, path in paths.items()}), CPU)


def test_devices() -> None:
    assert choose_device("cpu") == CPU
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    absent = next(
        name
        for name, there in (("mps", torch.backends.mps.is_available()), ("cuda", torch.cuda.is_available()))
        if not there
    )
    with pytest.raises(ConfigError, match=f"device '{absent}' is not available here; available: cpu"):
        choose_device(absent)  # type: ignore[arg-type]


def test_configuration_refuses_odd_sizes_and_unknown_keys() -> None:
    with pytest.raises(ConfigError, match=r"'size': should be even, for H\.264, got 255"):
        parse(AnimationConfig, {"size": 255}, source="x.yaml")
    with pytest.raises(ConfigError, match=r"unknown key 'smoothing\.lip'.*'lips'"):
        parse(AnimationConfig, {"smoothing": {"lip": 1}}, source="x.yaml")
    assert AnimationConfig().smoothing == SmoothingConfig()


def test_a_network_without_noise_is_given_none(animator: Animator, portrait: Portrait) -> None:
    class Constant(torch.nn.Module):
        latent_dim, config = 0, SimpleNamespace(window=300, stride=150, period=25)
        lips_mean, heard_samples = torch.ones(40, 3), 0

        def listen(self, wave: torch.Tensor) -> None:
            return None

        def forward(
            self, wave: torch.Tensor, subject: torch.Tensor, frames: int, noise: None, speech: None
        ) -> SimpleNamespace:
            assert noise is None and speech is None
            shapes = {"lips": (40, 3), "eyes": (60, 3), "head": (7,), "torso": (18, 3)}
            return SimpleNamespace(**{name: torch.ones(1, frames, *shape) for name, shape in shapes.items()})

    motion = Animator(
        AnimationConfig(), CPU, audio2repr=Constant(), faco=animator.faco, renderer=animator.renderer
    ).motion(speech(13), portrait)
    assert len(motion) == 325
    assert np.allclose(motion.lips, 1, atol=1e-5) and np.allclose(motion.head, 1, atol=1e-5)


@pytest.mark.parametrize(
    ("missing", "config"),
    [
        ("runs/paper/renderer/best.pt", "paper/renderer"),
        ("runs/paper/lsp/may/best.pt", "paper/lsp/may"),
        ("runs/mine/renderer/best.pt", "default/renderer"),
        ("renderer_of_mine.pt", "default/renderer"),
    ],
)
def test_a_missing_checkpoint_names_the_configuration_that_trains_it(
    paths: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, config: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=f"no checkpoint of stage 'renderer': {missing}; .* --config {config}',"):
        Animator.from_config(animation({**paths, "renderer": Path(missing)}), CPU)
