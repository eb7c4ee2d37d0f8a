"""The train command on a prepared store: every stage, resume, dry run, and mistakes in one line."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moda import checkpoint as checkpoints
from moda.cli.train import main
from moda.config import apply_overrides, load_yaml, parse
from moda.data.store import ClipStore
from moda.media.video import VideoWriter
from moda.stages.registry import build_network, build_stage
from moda.training.config import TrainConfig
from moda.training.trainer import Trainer
from tests.conftest import made_once, moving_picture

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


def test_the_seed_decides_the_first_weights() -> None:
    tree = apply_overrides(load_yaml(CONFIGS / "debug" / "faco.yaml"), ["data.store=unused"])
    weights = []
    for seed in (0, 0, 1):
        torch.rand(3)  # what was drawn before is of no matter
        stage = build_stage(parse(TrainConfig, {**tree, "seed": seed}, source="test"), source="test")
        weights.append(stage.network.state_dict()["decoder.layers.0.weight"])
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


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


@pytest.mark.parametrize("stage", ["audio2repr", "faco", "renderer"])
def test_a_store_that_validates_on_nothing_is_trained_on(stage: str, clip_store: ClipStore, tmp_path: Path) -> None:
    """The paper's split of HDTF, 132 clips to train on and 32 to test on, has no validation list."""
    store = tmp_path / "store"
    shutil.copytree(clip_store.root, store)
    (store / "splits" / "val.txt").write_text("")
    words = arguments(
        stage, ClipStore.open(store), tmp_path / "run", "data.lengths=[60]" if stage != "renderer" else "seed=1"
    )
    assert main([*words, "--dry-run"]) == 0
    assert main(words) == 0
    best, last = (checkpoints.load(tmp_path / "run" / name) for name in ("best.pt", "last.pt"))
    assert best.info["step"] == last.info["step"] == 2


def test_other_settings_do_not_resume_unless_fresh(
    clip_store: ClipStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments("faco", clip_store, tmp_path)) == 0
    assert main(arguments("faco", clip_store, tmp_path, "optimizer.lr=0.01")) == 2
    assert "optimizer.lr was 0.0003, is 0.01" in capsys.readouterr().err
    assert main([*arguments("faco", clip_store, tmp_path, "optimizer.lr=0.01"), "--fresh"]) == 0


@pytest.mark.parametrize("stage", ["audio2repr", "renderer"])
def test_a_store_that_moved_is_the_same_and_other_clips_in_its_place_are_not(
    stage: str, clip_store: ClipStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, output = tmp_path / "old", tmp_path / "new", tmp_path / "run"
    shutil.copytree(clip_store.root, old)
    assert main(arguments(stage, ClipStore.open(old), output, "trainer.steps=1")) == 0
    old.rename(new)
    assert main(arguments(stage, ClipStore.open(new), output, "trainer.steps=2")) == 0
    assert checkpoints.load(output / "last.pt").info["step"] == 2

    first = ClipStore.open(new).split("train")[0].folder
    for name, change in {
        "clip.json": lambda text: text.replace(b'"identity": "', b'"identity": "x'),
        "moments.npz": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        "video.mp4": lambda data: data + b"more",
    }.items():
        kept = (first / name).read_bytes()
        (first / name).write_bytes(change(kept))
        capsys.readouterr()
        code = main(arguments(stage, ClipStore.open(new), output, "trainer.steps=3"))
        assert code == 2 and "on other training data than" in capsys.readouterr().err, name
        (first / name).write_bytes(kept)
    assert main(arguments(stage, ClipStore.open(new), output, "trainer.steps=3")) == 0


def test_a_run_of_an_older_version_goes_on_where_its_store_was(
    clip_store: ClipStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved, output = tmp_path / "moved", tmp_path / "run"
    assert main(arguments("faco", clip_store, output, "trainer.steps=1")) == 0
    tree = torch.load(output / "last.pt", weights_only=True)
    del tree["trainer"]["data"]
    torch.save(tree, output / "last.pt")
    shutil.copytree(clip_store.root, moved)
    assert main(arguments("faco", ClipStore.open(moved), output, "trainer.steps=2")) == 2
    assert "data.store was" in capsys.readouterr().err
    assert main(arguments("faco", clip_store, output, "trainer.steps=2")) == 0
    assert main(arguments("faco", ClipStore.open(moved), output, "trainer.steps=3")) == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_is_told_by_the_exit_code(
    number: signal.Signals, code: int, clip_store: ClipStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(trainer: Trainer, batches: Iterator[Any]) -> dict[str, float]:
        os.kill(os.getpid(), number)
        return update(trainer, batches)

    update = Trainer.update
    monkeypatch.setattr(Trainer, "update", stopped)
    assert main(arguments("faco", clip_store, tmp_path)) == code
    assert checkpoints.load(tmp_path / "last.pt").info["step"] == 1


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


@pytest.mark.parametrize("stage", ["audio2repr", "faco"])
def test_one_persons_footage_trains_every_stage(
    stage: str, clip_store: ClipStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Six seconds in two clips: the last two are validated on, the second before them is left out."""
    shutil.copytree(clip_store.root, tmp_path / "store")
    store = ClipStore.open(tmp_path / "store")
    for path in store.root.glob("clips/*/clip.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "identity": "me"}))
    store.write_splits({"train": store.ids})
    caplog.set_level(logging.INFO, logger="moda")
    assert main(arguments(stage, store, tmp_path / "out")) == 0
    assert "the last 2.0 s are held out for validation, 33 % of the time; trained on: 3.0 s" in caplog.text
    assert checkpoints.load(tmp_path / "out" / "best.pt").info["metrics"]


def test_silent_footage_is_not_called_too_short(
    clip_store: ClipStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(clip_store.root, tmp_path / "store")
    store = ClipStore.open(tmp_path / "store")
    for path in store.root.glob("clips/*/clip.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "has_audio": False}))
    assert main(arguments("audio2repr", store, tmp_path / "out")) == 2
    assert "1 listed, none with audio, which this stage is driven by" in capsys.readouterr().err


@pytest.fixture(scope="module")
def person_video(tmp_path_factory: pytest.TempPathFactory, worker_id: str, astronaut: np.ndarray) -> Path:
    """21 s of the astronaut and, in their middle, 3 s of somebody else; without audio."""
    with made_once(tmp_path_factory, worker_id, "person") as folder:
        path = folder / "me.mp4"
        if not path.exists():
            shots = (astronaut, 350), (astronaut[:, ::-1, ::-1], 75), (astronaut, 175)
            with VideoWriter(path, 256, 25, None, preset="ultrafast") as writer:
                for frame in chain.from_iterable(moving_picture(picture, n, 256) for picture, n in shots):
                    writer.write(frame)
        return path


def person(video: Path, output: Path, *more: str) -> list[str]:
    settings = [f"data.video={video}", f"output={output}", "data.targets=1", "trainer.batch=1", *more]
    sets = [word for setting in settings for word in ("--set", setting)]
    return ["--config", str(CONFIGS / "default" / "renderer_person.yaml"), "--device", "cpu", *sets]


def test_a_person_is_learned_from_a_video(
    person_video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    quick = ("trainer.steps=2", "trainer.validate_every=2")
    assert main(person(person_video, tmp_path, *quick)) == 0
    said = capsys.readouterr().out
    assert "warp alone" in said and "before" in said and "after" in said
    assert "looks like another person" in caplog.text
    assert "the last 3.8 s of the video" in caplog.text
    store = ClipStore.open(tmp_path / "clips")
    assert store.size == 256
    assert [clip.record["shot"]["start"] for clip in store.split("train")] == [0, 425]
    best = checkpoints.load(tmp_path / "best.pt", stage="renderer")
    assert best.info["init"]["file"] == "assets/checkpoints/renderer.pt"
    checkpoints.load_weights(build_network("renderer", best.config["network"]), best.weights, source="best.pt")
    assert best.info["metrics"]["l1"] <= best.info["init"].get("metrics", best.info["metrics"])["l1"]

    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "clips" / "clips").glob("*/video.mp4")}
    caplog.clear()
    assert main(person(person_video, tmp_path, *quick)) == 0
    assert "nothing to do" in caplog.text
    assert made == {path: path.stat().st_mtime_ns for path in made}


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    return errors[0]


def test_videos_that_will_not_do_are_refused(
    synthetic_video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    error = refused(person(synthetic_video, output), capsys)
    assert f"{synthetic_video} is 3 s long, wanted at least 20 s of one person" in error
    assert "no such video: /nowhere/me.mp4" in refused(person(Path("/nowhere/me.mp4"), output), capsys)
    empty = tmp_path / "empty.mp4"
    with VideoWriter(empty, 64, 25, None, preset="ultrafast") as writer:
        for t in range(21 * 25):
            writer.write(np.full((64, 64, 3), t % 200, np.uint8))
    assert f"no usable face in {empty}" in refused(person(empty, output), capsys)
    assert not list(output.glob("*.pt"))


def test_a_video_and_a_store_exclude_one_another(
    synthetic_video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refused(person(synthetic_video, tmp_path / "out", "data.store=data/clips"), capsys)
    assert "data.video and data.store are both given" in error
    assert not (tmp_path / "out").exists()


def test_another_network_than_inits_is_refused_before_anything_is_prepared(
    synthetic_video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refused(person(synthetic_video, tmp_path / "out", "network.temporal=false"), capsys)
    assert "assets/checkpoints/renderer.pt holds another network: network.temporal is True, here False" in error
    assert not (tmp_path / "out").exists()
