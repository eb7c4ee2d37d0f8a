"""Footage that would spoil a training of stage 1: handled, or refused with one line that names the clip."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from moda import checkpoint
from moda.cli.train import main
from moda.data.moments import clip_moments, write_moments
from moda.data.store import ClipStore
from moda.representation import HeadPose
from tests.talking_clips import write_talking_clip

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "debug"


@pytest.fixture(autouse=True)
def log_to_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command logs to the stderr it first met; here each test has another one."""
    monkeypatch.setattr(logging.getLogger("moda"), "handlers", [])


def make_store(root: Path, train: dict[str, int], val: dict[str, int]) -> ClipStore:
    """Talking clips by id and frames."""
    store = ClipStore.create(root / "store", 128)
    for seed, (name, frames) in enumerate((train | val).items()):
        write_talking_clip(store, name, frames, seed)
    store.write_splits({"train": list(train), "val": list(val)})
    return store


def train(store: ClipStore, output: Path, *settings: str, name: str = "audio2repr") -> int:
    """The train command on a debug configuration, in this process; returns its exit code."""
    words = [f"data.store={store.root}", f"output={output}", "data.lengths=[25]", *settings]
    sets = [word for setting in words for word in ("--set", setting)]
    return main(["--config", str(CONFIGS / f"{name}.yaml"), "--device", "cpu", *sets])


def weights_are_finite(output: Path) -> bool:
    saved = checkpoint.load(output / "last.pt", stage="audio2repr").weights
    return all(bool(torch.isfinite(value).all()) for value in saved.values() if value.is_floating_point())


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The last line on stderr; a traceback is none of ours."""
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said.strip().splitlines()[-1]


def spoil(store: ClipStore, clip_id: str, name: str, change: Callable[[np.ndarray], None]) -> None:
    """Change an array of a clip on disk, as a damaged disk or another tool would."""
    path = store.clip(clip_id).folder / f"{name}.npy"
    values = np.load(path)
    change(values)
    np.save(path, values)


def refresh_moments(store: ClipStore, clip_id: str) -> None:
    """Sums as preparation would have written them from the arrays that are there."""
    folder = store.clip(clip_id).folder
    arrays = {
        name: np.load(folder / f"{name}.npy")
        for name in ("landmarks", "rotation", "translation", "scale", "torso", "subject")
    }
    pose = HeadPose(arrays["rotation"], arrays["translation"], arrays["scale"])
    write_moments(folder, clip_moments(arrays["landmarks"], pose, arrays["torso"], arrays["subject"]))


@pytest.mark.parametrize(
    ("array", "group"),
    [
        ("landmarks", "lips"),
        ("rotation", "lips"),
        ("translation", "lips"),
        ("scale", "lips"),
        ("torso", "torso"),
        ("subject", "subject"),
    ],
)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_motion_that_is_not_finite_names_the_clip(
    array: str, group: str, value: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = make_store(tmp_path, {"good": 60, "broken": 60}, {"val": 60})
    spoil(store, "broken", array, lambda values: values.fill(value))
    assert train(store, tmp_path / "out", "trainer.steps=20", "trainer.validate_every=100") == 2
    error = last_line(capsys)
    assert error.startswith("error: clip broken: ") and "not finite" in error
    assert not (tmp_path / "out" / "best.pt").exists()


def test_a_subject_that_is_not_finite_is_found_before_the_first_step_and_not_blamed_on_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training mixes a clip's subject into others'; also where statistics come from an earlier run."""
    store = make_store(tmp_path, {"good": 60, "broken": 60}, {"val": 60})
    assert train(store, tmp_path / "begun", "trainer.steps=1", "optimizer.schedule=constant") == 0
    spoil(store, "broken", "subject", lambda values: values.fill(np.nan))
    for output in ("begun", "new"):
        assert train(store, tmp_path / output, "trainer.steps=40", "optimizer.schedule=constant") == 2
        assert last_line(capsys).startswith("error: clip broken: 'subject' is not finite")
    assert not list((tmp_path / "new").glob("*.pt"))


def test_sums_that_are_not_finite_name_the_clip_before_the_first_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = make_store(tmp_path, {"good": 60, "broken": 60}, {"val": 60})
    path = store.clip("broken").folder / "moments.npz"
    with np.load(path) as data:
        sums = dict(data)
    sums["head"][3] = np.nan
    np.savez(path, **sums)
    assert train(store, tmp_path / "out") == 2
    error = last_line(capsys)
    assert "'head' in" in error and "clips/broken/moments.npz is not finite" in error
    assert not list((tmp_path / "out").glob("*.pt"))


def test_sound_that_is_not_finite_names_the_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = make_store(tmp_path, {"good": 60, "broken": 60}, {"val": 60})
    wave = np.full(60 * 640, np.nan, np.float32)
    soundfile.write(store.clip("broken").audio_path, wave, 16_000, subtype="FLOAT")
    assert train(store, tmp_path / "out", "trainer.steps=20", "trainer.validate_every=100") == 2
    assert last_line(capsys).startswith("error: clip broken: 'wave' is not finite")


def test_validation_footage_that_is_not_finite_names_the_clip(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = make_store(tmp_path, {"good": 60}, {"val": 60, "spoilt": 60})
    spoil(store, "spoilt", "landmarks", lambda values: values.fill(np.nan))
    assert train(store, tmp_path / "out") == 2
    assert last_line(capsys).startswith("error: clip spoilt: 'lips' is not finite")


def test_channels_that_never_move_are_trained_on(tmp_path: Path) -> None:
    """One clip, one still face: no group has any spread at all."""
    store = make_store(tmp_path, {"still": 60, "stone": 60}, {"val": 60})
    for name in ("still", "stone"):
        spoil(store, name, "landmarks", lambda values: values.__setitem__(slice(None), values[:1]))
        refresh_moments(store, name)
    assert train(store, tmp_path / "out", "trainer.steps=3") == 0
    saved = checkpoint.load(tmp_path / "out" / "last.pt", stage="audio2repr")
    assert weights_are_finite(tmp_path / "out")
    assert saved.weights["normalizers.lips.std"].min() == pytest.approx(0.05)
    assert saved.weights["normalizers.torso.std"].min() == pytest.approx(0.1)
    assert np.isfinite(saved.info["best_score"])


def test_a_clip_shorter_than_a_window_is_named_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = make_store(tmp_path, {"long": 60, "brief": 24}, {"val": 60, "blip": 10})
    with caplog.at_level("WARNING", logger="moda"):
        assert train(store, tmp_path / "out") == 0
    assert "train: clip brief has 24 frames, fewer than the shortest window (25), and is left out" in caplog.text
    assert "val: clip blip has 10 frames" in caplog.text
    assert weights_are_finite(tmp_path / "out")


def test_only_clips_shorter_than_a_window_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = make_store(tmp_path, {"brief": 24}, {"val": 60})
    assert train(store, tmp_path / "out") == 2
    error = last_line(capsys)
    assert "no usable clip in the 'train' split" in error and "(the longest, brief, has 24 frames)" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("frames", [25, 26, 60])
@pytest.mark.parametrize(
    ("name", "norm"), [("audio2repr", "layer"), ("audio2repr", "batch"), ("audio2repr_paper", "batch")]
)
def test_one_clip_is_enough(frames: int, name: str, norm: str, tmp_path: Path) -> None:
    """Also of exactly one window, and with the paper's batch norm."""
    store = make_store(tmp_path, {"only": frames}, {"val": 25})
    assert train(store, tmp_path / "out", f"network.norm={norm}", name=name) == 0
    assert weights_are_finite(tmp_path / "out")


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_a_batch_is_never_one_window_by_chance(norm: str, tmp_path: Path) -> None:
    """Five windows in batches of two: none is left over as a batch of one, which batch norm could not train on."""
    store = make_store(tmp_path, {"a": 60, "b": 65}, {"val": 75})
    assert train(store, tmp_path / "out", f"network.norm={norm}", "trainer.batch=2", "trainer.steps=6") == 0
    assert weights_are_finite(tmp_path / "out")


def test_a_batch_of_one_window_and_batch_norm_say_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = make_store(tmp_path, {"a": 60}, {"val": 60})
    assert train(store, tmp_path / "out", "network.norm=batch", "trainer.batch=1") == 2
    error = last_line(capsys)
    assert "trainer.batch" in error and "norm" in error
    assert train(store, tmp_path / "out", "network.norm=layer", "trainer.batch=1", "trainer.steps=1") == 0
