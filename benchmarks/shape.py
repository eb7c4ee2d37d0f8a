"""Where the distance of the lips to the truth comes from: rendering, rest shape, amplitude, timing.

Every clip is animated from its first frame by its own audio, as `moda infer` does, rendered, and tracked again. Aligned
LMD (metric "lmd_aligned": percent of the distance between the outer eye corners) is measured with one thing after
another replaced by the truth before rendering:

    rendered     as it is
    true rest    the mesh that preparation measured over the whole clip, for that of one picture
    true size    mean and standard deviation over time of each coordinate of the lips are the truth's
    true lips    what is left is the renderer's and the tracker's

Controls: the same without rendering ("landmarks ..."), and a still mouth. Prints the table, mean over people with a
95 % interval, and with --output writes it as shape.md and the scores as shape.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.motion_scores import Scores, animator_of, audio_of, interval_text, person_means
from moda.cli.main import run
from moda.data.clip import Clip
from moda.data.store import ClipStore
from moda.errors import DataError, ModaError
from moda.files import write_json, write_text
from moda.geometry import fit_head_pose, to_canonical
from moda.landmarks import EYE_CORNERS, LIPS, N_LANDMARKS
from moda.pipeline import Animator
from moda.representation import FRAME, Motion, Portrait, samples_at
from moda.tracking.face import FaceTracker
from moda.tracking.portrait import make_portrait

STEPS = ("rendered", "true rest", "true size", "true lips")
SHARES = ("rest shape", "amplitude", "timing", "rendering")
"""What replacing one more thing takes off; rendering is what is left."""
MIN_STD_PX = 0.01
"""Least standard deviation of a coordinate that is enlarged to the truth's."""


def with_true_size(lips: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Lips (T, 40, 3) with the mean and the standard deviation over time of the true ones, coordinate by coordinate."""
    spread = np.maximum(lips.std(axis=0), MIN_STD_PX)
    return true.mean(axis=0) + (lips - lips.mean(axis=0)) * true.std(axis=0) / spread


def distance(lips: np.ndarray, true: np.ndarray, eyes: float) -> float:
    """Mean distance in x and y of positions (T, 40, 3), without frames that hold NaN; percent of `eyes`."""
    return 100 * float(np.nanmean(np.linalg.norm((lips - true)[..., :2], axis=-1))) / eyes


def rendered_lips(animator: Animator, motion: Motion, portrait: Portrait) -> np.ndarray:
    """(T, 40, 3) canonical lips that the tracker finds in the rendered frames; NaN without a face."""
    found = np.full((len(motion), N_LANDMARKS, 3), np.nan)
    with FaceTracker(video=True) as tracker:
        for row, frame in zip(found, animator.frames(motion, portrait), strict=True):
            face = tracker.track(frame)
            if face is not None:
                row[:] = face * FRAME / len(frame)
    tracked = np.isfinite(found[:, 0, 0])
    if tracked.any():
        found[tracked] = to_canonical(found[tracked], fit_head_pose(found[tracked]))
    return found[:, LIPS]


def score_clip(animator: Animator, clip: Clip, frames: int) -> Scores:
    """Aligned LMD by step, what each step takes off, and the controls, over the first frames."""
    with clip.open_video() as video:
        portrait = make_portrait(video[0], animator.config.size, source=clip.id)
    frames = min(frames, clip.frames)
    made = animator.motion(audio_of(clip)[: samples_at(frames)], portrait)
    subject, true = np.array(clip.subject), clip.motion(0, frames).lips
    rest = subject[list(LIPS)]
    eyes = float(np.linalg.norm(np.subtract(*(subject[corner, :2] for corner in EYE_CORNERS))))
    truly = replace(portrait, subject=subject)
    steps = [
        (portrait, made.lips),
        (truly, made.lips),
        (truly, with_true_size(made.lips, true).astype(np.float32)),
        (truly, true),
    ]
    rendered = [rendered_lips(animator, replace(made, lips=lips), given) for given, lips in steps]
    given = [of.subject[list(LIPS)] + lips for of, lips in steps]
    still = rendered_lips(animator, made.scaled(lips=0.0), portrait)
    scores = {name: distance(values, rest + true, eyes) for name, values in zip(STEPS, rendered, strict=True)}
    scores["still mouth"] = distance(still, rest + true, eyes)
    left = [*(scores[name] for name in STEPS), 0.0]
    shares = {f"share of {name}": left[i] - left[i + 1] for i, name in enumerate(SHARES)}
    scores |= {
        f"landmarks, {name}": distance(values, rest + true, eyes) for name, values in zip(STEPS, given, strict=True)
    }
    return scores | shares


def table(rows: list[tuple[str, Scores]]) -> str:
    """A line a figure: mean over people and interval."""
    means, people = person_means(rows)
    lines = [f"| aligned LMD, % of the eyes' distance, {people} people | mean | 95 % interval |", "|---|---|---|"]
    for name, values in means.items():
        lines.append(f"| {name} | {values.mean():.2f} | {interval_text(values, 2)} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    return run(_main, argv)


def _main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True, help="clip store made by moda prepare")
    parser.add_argument("--split", default="val")
    parser.add_argument("--frames", type=int, default=75, help="frames a clip, at most")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="a value of default/infer")
    parser.add_argument("--output", type=Path, help="folder for shape.md and shape.json")
    arguments = parser.parse_args(argv)
    animator = animator_of(arguments.set)
    rows = []
    for clip in ClipStore.open(arguments.store).split(arguments.split):
        if clip.has_audio:
            try:
                rows.append((clip.identity, score_clip(animator, clip, arguments.frames)))
            except ModaError as error:
                print(f"{clip.id} is left out: {error}", file=sys.stderr)
            else:
                print(
                    clip.id, {name: round(value, 2) for name, value in rows[-1][1].items()}, file=sys.stderr, flush=True
                )
    if not rows:
        raise DataError(
            f"no clip of the split '{arguments.split}' of {arguments.store} can be animated from its first frame"
        )
    text = table(rows)
    print(text)
    if arguments.output is not None:
        arguments.output.mkdir(parents=True, exist_ok=True)
        write_text(arguments.output / "shape.md", text + "\n")
        write_json(arguments.output / "shape.json", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
