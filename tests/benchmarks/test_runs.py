"""Benchmarks run: those of quality on a prepared store, what those of speed measure with."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import moda
from benchmarks import motion, renderer_quality, shape, tracker_noise, training
from benchmarks.measuring import run_moda
from moda.data.store import ClipStore


def test_quality_of_the_renderer(clip_store: ClipStore, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    split = next(name for name in ("train", "val", "test") if clip_store.split(name))
    options = ["--split", split, "--output", str(tmp_path), "--every", "60", "--run", "3", "--clips", "1"]
    assert renderer_quality.main(["--store", str(clip_store.root), *options, "--people", "1"]) == 0
    table = capfd.readouterr().out
    assert re.search(r"\| L1, lips' box: network / warp \| \d+\.\d{3} ", table)
    (absent,) = re.findall(r"Without a value: (.*)\.", table)
    assert {label.split(",")[0] for label in absent.split("; ") if "blinks" not in label} <= {"perceptual distance"}, (
        absent
    )
    assert (tmp_path / "sheet.png").stat().st_size > 50_000
    clips = json.loads((tmp_path / "scores.json").read_text())["clips"]
    assert all(clip["frames"] and clip["steady"] for clip in clips)


def test_quality_of_stage_1(clip_store: ClipStore, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    split = next(name for name in ("train", "val", "test") if clip_store.split(name))
    options = ["--split", split, "--seeds", "0", "--output", str(tmp_path)]
    assert motion.main(["--store", str(clip_store.root), *options]) == 0
    table = capfd.readouterr().out
    for figure in ("lip corr. lag 0", "opening ratio", "roll speed", "blinks/min", "rest, music"):
        assert f"| {figure} | " in table
    assert set(json.loads((tmp_path / "motion.json").read_text())) == {"made", "truth, 1 s late"}


def test_shares_of_the_lips_distance_need_a_face(clip_store: ClipStore, capfd: pytest.CaptureFixture[str]) -> None:
    split = next(name for name in ("train", "val", "test") if clip_store.split(name))
    assert shape.main(["--store", str(clip_store.root), "--split", split]) == 2
    assert f"no clip of the split '{split}'" in capfd.readouterr().err


def test_lips_of_the_true_size_differ_in_timing_alone() -> None:
    true = np.random.default_rng(0).normal(2, 3, (50, 40, 3))
    assert shape.distance(shape.with_true_size(0.3 * true - 4, true), true, 100) == pytest.approx(0, abs=1e-9)
    assert shape.distance(shape.with_true_size(-2 * true, true), true, 100) > 1
    assert shape.distance(true + np.array([3, 4, 9]), true, 200) == pytest.approx(2.5)


def test_noise_of_the_tracker(clip_store: ClipStore, capfd: pytest.CaptureFixture[str]) -> None:
    video = clip_store.clip(clip_store.ids[0]).video_path
    assert tracker_noise.main([str(video), "--frames", "25", "--json"]) == 0
    readings = json.loads(capfd.readouterr().out.splitlines()[-1])["readings"]
    assert set(readings) == {*list(tracker_noise.READINGS)[1:], "means of two readings"}
    assert all(0 < each["correlation"] < 1 for each in readings.values()), readings  # lips that hardly move: noise
    gap = np.array([1.0, 2.0, np.nan, 4.0])
    assert tracker_noise.agreement(gap, 3 * gap - 7) == pytest.approx(1)
    assert tracker_noise.agreement(gap, -gap) == pytest.approx(-1)


def test_speed_of_training(clip_store: ClipStore, capfd: pytest.CaptureFixture[str]) -> None:
    name = "debug/renderer"
    assert training.main([name, "--store", str(clip_store.root), "--steps", "1", "--json"]) == 0
    row = json.loads(capfd.readouterr().out.splitlines()[-1])["rows"][name]
    assert row["samples_per_s"] == pytest.approx(2 * row["steps_per_s"])
    assert row["hours"] == pytest.approx(row["steps"] / row["steps_per_s"] / 3600)
    assert 0 < row["waiting"] < 1 and 0 < row["matmul_share"] < 1 and row["busy"] is None


def test_a_command_is_measured_as_a_process() -> None:
    run = run_moda(["--version"])
    assert run.output == f"moda {moda.__version__}\n"
    assert run.seconds > 0 and run.cpu_seconds > 0 and run.peak_mib > 5
    with pytest.raises(SystemExit, match="ended with code 2"):
        run_moda(["evl"])
