"""docs/python.md and the notebook run as they are written; `import moda` is light; threads give what one gives."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import moda
from moda.errors import DataError
from moda.media.audio import write_wav
from moda.media.video import VideoWriter, probe
from moda.provenance import read_record
from moda.representation import Motion
from moda.tracking.driving import track_motion
from tests.conftest import moving_picture, speech_like
from tests.random_checkpoints import write_checkpoints

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def animator(tmp_path_factory: pytest.TempPathFactory) -> moda.Animator:
    from moda.animation import CheckpointPaths

    paths = CheckpointPaths(**write_checkpoints(tmp_path_factory.mktemp("checkpoints")))
    return moda.Animator.from_config(moda.AnimationConfig(checkpoints=paths, size=64), "cpu")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, astronaut: np.ndarray) -> Path:
    """A folder with short assets of the same names, and a driving video."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "demo.png").symlink_to(ROOT / "assets" / "demo.png")
    write_wav(tmp_path / "assets" / "demo.wav", speech_like(0.4))
    with VideoWriter(tmp_path / "driving.mp4", 256, 25, preset="ultrafast") as writer:
        for frame in moving_picture(astronaut, 6, 256):
            writer.write(frame)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_runs_from_top_to_bottom(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.DOTALL)):
        exec(compile(code, f"docs/python.md, block {number}", "exec"), names)
    assert probe(work / "talking_1.mp4").has_audio and probe(work / "other.mp4").has_audio
    record = read_record(work / "talking_1.mp4")
    assert record and record["seed"] == 1 and set(record["checkpoints"]) == {"audio2repr", "faco", "renderer"}
    assert np.array_equal(names["again"].head, names["turned"].head)
    assert np.allclose(names["turned"].head[:, 1] - names["motion"].head[:, 1], 5)
    assert len(names["mixed"]) == len(names["motion"]) == 10
    drawn = list(names["animator"].frames(names["motion"], names["portrait"]))
    assert np.array_equal(names["frame"], drawn[0])
    assert "no such picture: none.png" in capsys.readouterr().out


def test_the_page_lists_the_names_that_there_are() -> None:
    text = (ROOT / "docs/python.md").read_text()
    table = re.search(r"\| name \| what \|.*?\n\n", text, re.DOTALL)
    assert table is not None
    first = [line.split("|")[1] for line in table[0].splitlines()[2:] if line]
    assert set(re.findall(r"`(\w+)`", " ".join(first))) == set(moda.__all__) - {"__version__"}


def test_the_notebook_runs_from_top_to_bottom(work: Path) -> None:
    notebook = json.loads((ROOT / "docs/animate.ipynb").read_text())
    assert (notebook["nbformat"], len({cell["id"] for cell in notebook["cells"]})) == (4, len(notebook["cells"]))
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    assert probe(work / "talking.mp4").has_audio and len(names["frames"]) == len(names["still"]) == 10


def test_import_is_light_and_names_are_typed() -> None:
    code = "import sys, moda; dir(moda); print([m for m in ('numpy', 'torch', 'cv2', 'av') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
    stub = ast.parse((ROOT / "moda/__init__.pyi").read_text())
    typed = {node.names[0].asname: node.module for node in stub.body if isinstance(node, ast.ImportFrom)}
    assert typed == moda._PLACES
    assert all(getattr(moda, name).__module__ == place for name, place in moda._PLACES.items())
    with pytest.raises(AttributeError, match="no attribute 'Animater'"):
        _ = moda.Animater  # type: ignore[attr-defined]


def test_threads_give_what_one_gives(animator: moda.Animator, astronaut: np.ndarray) -> None:
    portraits = [moda.make_portrait(picture, 64) for picture in (astronaut, astronaut[:, ::-1])]
    jobs = [(seed, portraits[seed % 2], speech_like(0.3 + 0.1 * seed, 120 + 20 * seed)) for seed in range(4)]

    def work(job: tuple[int, moda.Portrait, np.ndarray]) -> np.ndarray:
        seed, portrait, wave = job
        return np.stack(list(animator.frames(animator.motion(wave, portrait, seed), portrait)))

    alone = [work(job) for job in jobs]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(work, jobs))
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one, other)
    assert not np.array_equal(alone[0][:5], alone[1][:5])


def test_portraits_are_made_in_threads_and_stderr_is_what_it_was(astronaut: np.ndarray) -> None:
    import os

    before, barrier = os.fstat(2), threading.Barrier(2)

    def work(picture: np.ndarray) -> np.ndarray:
        barrier.wait()
        return moda.make_portrait(picture, 64).landmarks

    alone = [moda.make_portrait(picture, 64).landmarks for picture in (astronaut, astronaut[:, ::-1])]
    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(work, (astronaut, astronaut[:, ::-1])))
    assert all(np.array_equal(*pair) for pair in zip(alone, together, strict=True))
    after = os.fstat(2)
    assert (before.st_dev, before.st_ino) == (after.st_dev, after.st_ino)


def test_landmarks_and_motions_that_cannot_be_rendered_are_told(animator: moda.Animator, astronaut: np.ndarray) -> None:
    portrait = moda.make_portrait(astronaut, 64)
    motion = animator.motion(speech_like(0.2), portrait)
    face, torso = animator.landmarks(motion, portrait)
    face[1, 2] = np.nan
    with pytest.raises(DataError, match="face holds values that are not finite"):
        next(animator.render(face, torso, portrait))
    with pytest.raises(DataError, match=r"torso has shape \(3, 18, 3\)"):
        next(animator.render(np.zeros((5, 478, 3)), torso[:3], portrait))
    with pytest.raises(DataError, match="the motion has 30 frames a second, wanted 25"):
        animator.write("none.mp4", motion.at_fps(30, 6), portrait)


def test_the_motion_of_a_video_is_that_of_its_head(tmp_path: Path, astronaut: np.ndarray) -> None:
    """A picture that is shifted, of another rate, under a name with a space; frames without a face are filled in."""
    path = tmp_path / "ein föhn.mp4"
    with VideoWriter(path, 512, 50, preset="ultrafast") as writer:
        for step in range(24):
            frame = np.roll(astronaut, 2 * step, axis=1) if step not in (12, 13) else np.zeros_like(astronaut)
            writer.write(np.ascontiguousarray(frame))
    motion = track_motion(path)
    assert isinstance(motion, Motion) and len(motion) == 12 and motion.fps == 25 and not motion.torso.any()
    moved = motion.head[-1, 3] - motion.head[0, 3]
    assert 22 * 2 * 0.8 < moved < 22 * 2 * 3  # the square shows a part of the picture
    assert np.abs(np.diff(motion.head[:, 3])).max() < 12
    assert np.abs(motion.head[:, :3]).max() < 4


def test_a_video_without_a_face_is_told(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "wall.mp4", 64, 25) as writer:
        for _ in range(3):
            writer.write(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(moda.ModaError, match="a face is seen in 0 of 3 frames only"):
        track_motion(tmp_path / "wall.mp4")
    with pytest.raises(moda.ModaError, match="no such video"):
        track_motion(tmp_path / "none.mp4")
