"""The whole chain on synthetic clips: prepare, two steps of each stage, infer, eval."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import yaml

from moda.cli import evaluate, infer, train
from moda.data.store import ClipStore
from moda.media.video import probe, read_frames
from moda.representation import FPS, Motion

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("audio2repr", "faco", "renderer")


def test_raw_videos_to_a_scored_talking_video(clip_store: ClipStore, synthetic_video: Path, tmp_path: Path) -> None:
    for stage in STAGES:
        sets = [f"data.store={clip_store.root}", f"output={tmp_path / stage}"]
        arguments = ["--config", str(ROOT / "configs" / "debug" / f"{stage}.yaml"), "--device", "cpu"]
        assert train.main([*arguments, *[word for text in sets for word in ("--set", text)]]) == 0

    config = tmp_path / "infer.yaml"
    config.write_text(yaml.safe_dump({"checkpoints": {s: str(tmp_path / s / "best.pt") for s in STAGES}, "size": 128}))
    generated = tmp_path / "generated" / "astronaut.mp4"
    generated.parent.mkdir()
    motions = []
    for seed in (0, 1):
        motion = tmp_path / f"motion{seed}.npz"
        common = ["--config", str(config), "--device", "cpu", "--seed", str(seed), "--save-motion", str(motion)]
        inputs = [str(synthetic_video), str(ROOT / "assets" / "demo.png")]
        assert infer.main([*inputs, *common, "--output", str(generated)]) == 0
        motions.append(Motion.load(motion))
    assert np.array_equal(motions[0].lips, motions[1].lips), "the seed leaves the lips alone"
    assert not np.array_equal(motions[0].head, motions[1].head), "and changes the head"

    written, source = probe(generated), probe(synthetic_video)
    assert (written.width, written.height, written.fps, written.has_audio) == (128, 128, FPS, True)
    assert abs(written.seconds - source.seconds) <= 1 / FPS + 1e-6
    frames = list(read_frames(generated))
    assert len(frames) == len(motions[1])
    assert np.std([frame.mean() for frame in frames]) < 20, "no frame is blank"

    truth = tmp_path / "true"
    truth.mkdir()
    (truth / "astronaut.mp4").symlink_to(clip_store.clip(clip_store.ids[0]).video_path)
    output = tmp_path / "scores"
    assert (
        evaluate.main(["--true", str(truth), "--generated", f"ours={generated.parent}", "--output", str(output)]) == 0
    )
    scores = json.loads((output / "scores.json").read_text())
    table = (output / "table.md").read_text()
    assert "ours" in table and "still mouth" in table and "ground truth" in table
    assert "ours" in json.dumps(scores)
    assert (output / "clips.csv").read_text().count("\n") > 3
