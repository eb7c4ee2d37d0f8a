"""The train command on a prepared store: every stage, resume, dry run, and mistakes in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from moda import checkpoint as checkpoints
from moda.cli.train import main
from moda.data.clip import ClipStore

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def arguments(stage: str, store: ClipStore, output: Path, *more: str) -> list[str]:
    settings = [f"data.store={store.root}", f"output={output}", *more]
    sets = [word for setting in settings for word in ("--set", setting)]
    return ["--config", str(CONFIGS / "debug" / f"{stage}.yaml"), "--device", "cpu", *sets]


@pytest.mark.parametrize("stage", ["audio2repr", "faco", "renderer"])
def test_every_stage_trains(
    stage: str, clip_store: ClipStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(stage, clip_store, tmp_path)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("device: cpu")
    assert lines[1].split(":")[0] in ("generator", "discriminator") and "parameters" in lines[1]
    assert lines[-1].startswith("step 2 after")
    for name, resumable in (("best.pt", False), ("last.pt", True)):
        saved = checkpoints.load(tmp_path / name, stage=stage)
        assert (saved.trainer is not None) == resumable
        assert saved.config["data"]["store"] == str(clip_store.root)
    assert list((tmp_path / "tensorboard").glob("events*"))


@pytest.mark.parametrize("stage", ["audio2repr", "faco"])
def test_one_step_and_a_resumed_one_are_two(stage: str, clip_store: ClipStore, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    plain = "optimizer.schedule=constant"
    assert main(arguments(stage, clip_store, whole, plain)) == 0
    assert main(arguments(stage, clip_store, parts, plain, "trainer.steps=1")) == 0
    assert checkpoints.load(parts / "last.pt").info["step"] == 1
    assert main(arguments(stage, clip_store, parts, plain)) == 0
    expected, found = (checkpoints.load(folder / "last.pt") for folder in (whole, parts))
    assert found.info["step"] == 2
    assert [n for n, value in expected.weights.items() if not torch.equal(value, found.weights[n])] == []


def test_other_settings_do_not_resume_unless_fresh(
    clip_store: ClipStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments("faco", clip_store, tmp_path)) == 0
    assert main(arguments("faco", clip_store, tmp_path, "optimizer.lr=0.01")) == 2
    assert "optimizer.lr was 0.0003, is 0.01" in capsys.readouterr().err
    assert main([*arguments("faco", clip_store, tmp_path, "optimizer.lr=0.01"), "--fresh"]) == 0


def test_a_dry_run_writes_nothing(clip_store: ClipStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "none"
    assert main([*arguments("audio2repr", clip_store, output), "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert not output.exists()
    assert "0.wave: (2, 16000)" in text and "0.lips: (2, 25, 40, 3)" in text
    for word in ("generator/flow", "opening_correlation", "preview lip_opening", "seconds: "):
        assert word in text


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("network.layesr=2", "unknown key 'network.layesr'; did you mean 'layers'?"),
        ("data.lenghts=[25]", "unknown key 'data.lenghts'; did you mean 'lengths'?"),
        ("optimizer.lrr=1", "unknown key 'optimizer.lrr'; did you mean 'lr'?"),
        ("loss.openin=1", "unknown key 'loss.openin'; did you mean 'opening'?"),
        ("stage=audio2rep", "did you mean 'audio2repr'?"),
        ("data.lengths=[500]", "no usable clip in the 'train' split"),
        ("data.store=/nowhere", "no clip store at /nowhere"),
    ],
)
def test_mistakes_are_one_line(
    setting: str, message: str, clip_store: ClipStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments("audio2repr", clip_store, tmp_path / "out", setting)) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and message in error
    assert not (tmp_path / "out" / "last.pt").exists()
