"""A clip store for the benchmarks of training: the demo picture, swaying and talking, as often as is wanted.

`python -m benchmarks.training_data FOLDER` writes one of 48 clips of 12 seconds.

One clip is drawn and its files are hard-linked for the others, each its own person. Decoding costs what it costs on
real footage: 512 px, coded as preparation codes it, with the noise of a camera.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.measuring import ROOT, parser
from benchmarks.moving_head import moving
from moda.data.arrays import write_array
from moda.data.moments import clip_moments, write_moments
from moda.data.store import ClipStore
from moda.files import write_json
from moda.geometry import fit_head_pose
from moda.imaging.warping import ReferenceWarp
from moda.media.audio import read_audio, write_wav
from moda.media.decode_and_store import STORED
from moda.media.picture import read_picture
from moda.media.video_writer import VideoWriter
from moda.representation import FPS, FRAME, SAMPLE_RATE, samples_at
from moda.tracking.portrait import make_portrait

CLIPS, CLIP_FRAMES = 48, 310
NOISE_GREY_LEVELS = 2.0
"""Standard deviation of the noise in the pictures."""


def make_filmed_store(root: Path, clips: int = CLIPS, frames: int = CLIP_FRAMES) -> ClipStore:
    """Write a store of `clips` clips of so many frames to train on, and one to validate on, with sound."""
    store = ClipStore.create(root, FRAME)
    first = root / "clips" / "clip_000"
    first.mkdir(parents=True)
    picture = ROOT / "assets" / "demo.png"
    portrait = make_portrait(read_picture(picture), FRAME, source=picture)
    landmarks, torso = moving(portrait, frames)
    pose = fit_head_pose(landmarks)
    arrays = {"landmarks": landmarks, "tracked": np.ones(frames, bool), "subject": portrait.subject, "torso": torso}
    for name, array in (arrays | vars(pose)).items():
        write_array(first, name, np.asarray(array, np.float32 if name in ("subject", "torso") else array.dtype))
    write_moments(first, clip_moments(landmarks, pose, torso, portrait.subject))
    sound = np.resize(read_audio(ROOT / "assets" / "demo.wav"), samples_at(frames))
    write_wav(first / "audio.wav", sound, SAMPLE_RATE)
    _film(first / "video.mp4", ReferenceWarp(portrait, FRAME), landmarks, torso)
    names = [f"clip_{number:03d}" for number in range(clips + 1)]
    for name in names:
        folder = root / "clips" / name
        folder.mkdir(exist_ok=True)
        for path in first.iterdir():
            if folder != first and path.name != "clip.json":
                os.link(path, folder / path.name)
        write_json(folder / "clip.json", {"id": name, "identity": name, "frames": frames, "has_audio": True})
    store.write_splits({"train": names[:-1], "val": names[-1:]})
    return store


def _film(path: Path, warp: ReferenceWarp, landmarks: np.ndarray, torso: np.ndarray) -> None:
    noise = np.random.default_rng(0)
    coding = {"crf": STORED.crf, "preset": STORED.preset, "gop": STORED.gop, "bframes": STORED.bframes}
    with VideoWriter(path, FRAME, FPS, None, **coding, threads=STORED.threads) as writer:
        for target in warp.targets(landmarks, torso):
            frame = warp.warp(target)[0] + noise.normal(0, NOISE_GREY_LEVELS, (FRAME, FRAME, 1))
            writer.write(np.clip(frame, 0, 255).astype(np.uint8))


def main(argv: Sequence[str] | None = None) -> int:
    options = parser(__doc__)
    options.add_argument("folder", type=Path, help="of the store")
    make_filmed_store(options.parse_args(argv).folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
