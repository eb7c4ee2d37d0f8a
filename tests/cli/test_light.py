"""Help and mistakes are answered before anything heavy is loaded."""

import json
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

HEAVY = ("torch", "mediapipe", "transformers", "tensorboard", "matplotlib", "accelerate", "torchaudio", "rich")
CODE = """
import importlib, json, sys
module, calls, heavy = json.loads(sys.argv[1])
codes = []
for call in calls:
    try:
        codes.append(importlib.import_module(module).main(call))
    except SystemExit as end:
        codes.append(end.code)
print(json.dumps([codes, [name for name in heavy if name in sys.modules]]))
"""
CALLS: dict[str, list[list[str]]] = {
    "moda.cli.infer": [
        ["a.wav"],
        ["a.wav", "a.png", "--sise", "3"],
        ["a.wav", "a.png", "--set", "sise=3"],
        ["a.wav", "none.png"],
        ["none.wav", "a.png"],
        ["a.wav", "a.png", "--motion", "none.npz"],
        ["a.wav", "a.png", "--output", "none/a.mp4"],
        ["a.wav", "a.png", "--set", "checkpoints.faco=none.pt"],
        ["a.wav", "a.png", "--config", "none.yaml"],
        ["--jobs", "none.csv"],
    ],
    "moda.cli.train": [
        [],
        ["--config", "none"],
        ["--config", "default/faco", "--set", "trainer.stepps=3"],
        ["--config", "default/faco", "--set", "network.widht=3"],
        ["--config", "default/audio2repr", "--set", "network.wav2vec.hiden=3"],
        ["--config", "default/renderer", "--set", "network.size=100"],
        ["--config", "default/faco", "--set", "stage=fako"],
        ["--config", "default/faco", "--set", "data.store=none"],
        ["--config", "default/faco", "--set", "init=none.pt"],
        ["--config", "default/audio2repr", "--set", "network.wav2vec.init=none.pt"],
        ["--config", "default/renderer_person", "--set", "data.video=none.mp4"],
    ],
    "moda.cli.evaluate": [
        [],
        ["--true", "none", "--generated", "ours=none", "--output", "out"],
        ["--true", ".", "--generated", "ours", "--output", "out"],
        ["--config", "eval/paper", "--set", "trueth=x"],
        ["--config", "eval/paper", "--set", "truth=none"],
        ["--config", "none"],
    ],
    "moda.cli.prepare": [
        [],
        ["none", "out"],
        [".", "out", "--split", "1,2"],
        [".", "out", "--set", "options.sise=3"],
        [".", "out", "--config", "none"],
    ],
    "moda.cli.info": [[], ["none"]],
    "moda.cli.doctor": [["--devise", "cpu"]],
    "moda.cli.convert": [[], ["none.npz", "a.bvh"], ["a.wav", "a.tiff"], ["a.wav", "a.wav"]],
    "moda.cli.ablate": [
        [],
        ["--config", "none"],
        ["--config", "ablation/paper", "--variants", "ful"],
        ["--config", "ablation/paper", "--set", "seedz=[1]"],
        ["--config", "ablation/paper", "--set", "train_set.renderer=[network.widht=4]"],
        ["--config", "ablation/paper", "--set", "store=none"],
    ],
}


@pytest.mark.parametrize("module", CALLS)
def test_help_and_mistakes_load_no_network_and_no_tracker(module: str, tmp_path: Path) -> None:
    for name in ("a.wav", "a.png"):
        (tmp_path / name).write_bytes(b"x")
    work = json.dumps([module, [["--help"], *CALLS[module]], HEAVY])
    done = subprocess.run(
        [sys.executable, "-c", CODE, work],
        cwd=tmp_path,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    codes, heavy = json.loads(done.stdout.splitlines()[-1])
    assert codes == [0] + [2] * len(CALLS[module]), done.stderr
    assert heavy == []
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


NOT_FOR_A_VIDEO = (
    "matplotlib", "transformers", "tensorboard", "accelerate", "sympy", "skimage", "pandas", "gradio", "jinja2",
    "scipy.signal", "scipy.stats", "scipy.optimize", "scipy.interpolate", "torch._dynamo", "torch._inductor",
    "data_prepare", "moda.training", "moda.evaluation", "moda.metrics", "moda.app",
)  # fmt: skip
VIDEO = """
import gc, json, sys, threading
from moda.cli import infer
arguments, heavy = json.loads(sys.argv[1])
seen = {}

def watched(module, name, found):
    called = getattr(module, name)
    def call(*given, **named):
        seen[name] = [threading.current_thread() is threading.main_thread(), found()]
        return called(*given, **named)
    setattr(module, name, call)

def imported(*given):
    import torch
    import moda.pipeline, moda.stages.renderer.network
    seen["frozen"] = gc.get_freeze_count()
    watched(moda.pipeline, "load_stage", torch.get_num_threads)
    watched(moda.stages.renderer.network.Renderer, "open", torch.get_num_threads)
    return animate(*given)

with infer.importing():
    import moda.cli.animate
animate, moda.cli.animate.animate = moda.cli.animate.animate, imported
code = infer.main(arguments)
print(json.dumps([code, seen, gc.isenabled(), [name for name in heavy if name in sys.modules]]))
"""


def test_a_short_video_waits_for_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    """Nothing needless is imported; networks load and the portrait is opened beside reading and motion, each with one
    thread; the collector leaves what was imported alone.
    """
    with wave.open(str(tmp_path / "short.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 8000))
    arguments = [str(tmp_path / "short.wav"), str(REPOSITORY / "assets" / "demo.png"), "--output", "short.mp4"]
    work = json.dumps([arguments, NOT_FOR_A_VIDEO])
    done = subprocess.run(
        [sys.executable, "-c", VIDEO, work],
        cwd=tmp_path,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": "", "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    code, seen, collects, heavy = json.loads(done.stdout.splitlines()[-1])
    assert code == 0, done.stderr
    assert heavy == []
    assert seen.pop("frozen") > 100_000 and collects
    assert seen == {"load_stage": [False, 1], "open": [False, 1]}
