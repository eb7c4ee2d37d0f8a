"""The default model from raw footage: every step for real, at a tiny size, and what is done again and what is not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import default_model
from benchmarks.chain import Step, do
from moda import checkpoint

TINY = ("trainer.steps=1", "trainer.batch=1", "trainer.validate_every=1", "trainer.save_every=1", "optimizer.warmup=0")
TRAININGS = ("audio2repr_lips", "audio2repr_stochastic", "faco", *default_model.RENDERERS)


def settings() -> list[str]:
    given = [f"{name}:{each}" for name in TRAININGS for each in TINY]
    for name in ("audio2repr_lips", "audio2repr_stochastic"):
        given += [f"{name}:{each}" for each in ("data.lengths=[70]", "data.settled_only=false")]
        given += [f"{name}:data.encoded_versions=1"]
    given += ["renderer_512:data.min_face_px=0"]
    given += [f"store:options.limits.{each}=0" for each in ("min_lip_motion", "min_lip_range")]
    return [word for each in given for word in ("--set", each)]


def test_the_whole_recipe_and_again(
    synthetic_videos: Path, astronaut: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    (data / "photos").mkdir(parents=True)
    (data / "videos").symlink_to(synthetic_videos)
    (data / "train.txt").write_text("astronaut\n")
    (data / "val.txt").write_text("twin\n")
    cv2.imwrite(str(data / "photos" / "a.png"), astronaut[..., ::-1])
    command = [str(data), "--output", str(out), *settings(), "--until", f"{default_model.RENDERERS[-1]}.pt"]
    assert default_model.main(command) == 0, capsys.readouterr().err
    for name in (*default_model.SCORED, *default_model.RENDERERS):
        made = checkpoint.load(out / "checkpoints" / f"{name}.pt")
        assert made.trainer is None and made.config["data"]["store"] == str(out / "store")
    assert (made.config["data"]["photos"], made.config["init"]) == (None, str(out / "runs" / "renderer" / "best.pt"))
    coarse = checkpoint.load(out / "checkpoints" / "renderer.pt")
    assert coarse.config["data"]["photos"] == str(out / "photos")
    first = {path: path.stat().st_mtime_ns for path in out.rglob("*.pt")}
    assert "done already" not in capsys.readouterr().out

    assert default_model.main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.pt")} == first
    assert capsys.readouterr().out.count("done already") == len(list((out / "steps").glob("*.json")))


@pytest.fixture
def step(tmp_path: Path) -> Step:
    """Copies a file, and fails as long as there is a file `broken`."""
    (tmp_path / "steps").mkdir()
    source, made = tmp_path / "source", tmp_path / "made"
    source.write_text("1")

    def copy(command: list[str]) -> int:
        (tmp_path / "calls").open("a").write(" ".join(command[1:]) + ".")
        if (tmp_path / "broken").exists():
            return 3
        made.write_text(source.read_text())
        return 0

    return Step("copy", copy, ["copy"], (source,), made, anew=("anew",))


def test_a_step_is_done_again_when_its_inputs_change_or_its_output_is_gone(step: Step, tmp_path: Path) -> None:
    assert do(step, tmp_path) == 0 and do(step, tmp_path) == 0
    assert (tmp_path / "calls").read_text() == "anew."
    (tmp_path / "source").write_text("2")
    assert do(step, tmp_path) == 0 and step.writes.read_text() == "2"
    step.writes.unlink()
    assert do(step, tmp_path) == 0 and step.writes.exists()
    assert (tmp_path / "calls").read_text() == "anew.anew.."


def test_a_step_that_failed_goes_on(step: Step, tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    assert do(step, tmp_path) == 3 and do(step, tmp_path) == 3
    (tmp_path / "broken").unlink()
    assert do(step, tmp_path) == 0
    assert (tmp_path / "calls").read_text() == "anew..."


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert default_model.main([str(tmp_path)]) == 2
    assert f"no folder of raw videos: {tmp_path / 'videos'}" in capsys.readouterr().err
    (tmp_path / "videos").mkdir()
    assert default_model.main([str(tmp_path), "--output", str(tmp_path / "out"), "--set", "lips:a=1"]) == 2
    assert "no step 'lips'; there are: store, audio2repr_lips" in capsys.readouterr().err
