"""What rendering loses: eval's landmark scores of what drives the renderer, and of what is found in its frames.

    python benchmarks/through_rendering.py --store STORE [--split val] [--seconds 8] [--config CONFIG]

Each clip's audio drives its own first tracked frame, as `scripts/infer.py` would. "before": the landmarks that stages
1 and 2 give to the renderer. "after": those that the tracker finds in the rendered frames. Both against the clip's own
landmarks, by the metrics of moda/metrics. Mean a person, then over people; "rendering costs" is by how much the score
is worse after than before (aim: no more than 10 %).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from motion_scores import Scores, audio_of, person_means
from rich.console import Console
from rich.table import Table
from self_driven import reference_portrait, track

from moda.animation import AnimationConfig
from moda.cli.main import run
from moda.config import load_yaml, parse
from moda.data.clip import Clip, ClipStore
from moda.metrics.landmark import best_lip_correlation, lip_correlation, lmd_aligned, lmd_v_aligned, opening_ratio
from moda.metrics.registry import ClipPair
from moda.metrics.tracks import FaceTrack, PairedTracks
from moda.pipeline import Animator
from moda.representation import FPS, samples_at

ROOT = Path(__file__).resolve().parents[1]
METRICS = {
    "lip corr": lip_correlation,
    "lip corr, best lag": best_lip_correlation,
    "LMD aligned, % eyes": lmd_aligned,
    "LMD-v aligned, % eyes/frame": lmd_v_aligned,
    "opening ratio": opening_ratio,
}
BETTER_HIGH = ("lip corr", "lip corr, best lag")


def score(animator: Animator, clip: Clip, seconds: float) -> tuple[Scores, Scores]:
    """Drive a clip's reference with its audio: the metrics that can be computed before and after rendering."""
    portrait, first = reference_portrait(clip, animator.config.size)
    frames = min(clip.frames - first, round(seconds * FPS))
    wave = audio_of(clip)[samples_at(first) : samples_at(first + frames)]
    motion = animator.motion(wave, portrait, seed=0)
    face, _ = animator.landmarks(motion, portrait)
    rendered = track(list(animator.frames(motion, portrait)), animator.config.size)
    true, *made = (
        FaceTrack(np.asarray(points, np.float64)) for points in (clip.landmarks[first : first + frames], face, rendered)
    )
    pairs = [ClipPair(PairedTracks(true, one)) for one in made]
    values = {name: [metric(pair) for pair in pairs] for name, metric in METRICS.items()}
    known = {name: pair for name, pair in values.items() if all(isinstance(value, float) for value in pair)}
    before, after = ({name: pair[row] for name, pair in known.items()} for row in (0, 1))
    return before, after


def table(before: list[tuple[str, Scores]], after: list[tuple[str, Scores]]) -> Table:
    """Means over people of the clips' scores, and what rendering costs."""
    shown = Table("metric", "before", "after", "rendering costs", "people")
    (earlier, _), (later, _) = person_means(before), person_means(after)
    for name in METRICS:
        if name not in earlier:
            shown.add_row(name, "n/a", "n/a", "", "0")
            continue
        was, now = earlier[name].mean(), later[name].mean()
        worse = was - now if name in BETTER_HIGH else now - was
        cost = "" if name == "opening ratio" else f"{100 * worse / was:+.1f} %"
        shown.add_row(name, f"{was:.3f}", f"{now:.3f}", cost, str(len(earlier[name])))
    return shown


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description="What rendering loses of stage 1's landmark scores.")
    parser.add_argument("--store", type=Path, required=True, help="clip store (scripts/prepare.py)")
    parser.add_argument("--split", default="val", help="its list to use (default: val)")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each clip (default: %(default)s)")
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "default" / "infer.yaml")
    options = parser.parse_args(argv)
    config = parse(AnimationConfig, load_yaml(options.config), source=str(options.config))
    animator = Animator.from_config(config, torch.device("cpu"))
    clips = [clip for clip in ClipStore.open(options.store).split(options.split) if clip.has_audio]
    scores = [(clip.identity, *score(animator, clip, options.seconds)) for clip in clips]
    before, after = ([(row[0], row[which]) for row in scores] for which in (1, 2))
    Console().print(f"{len(clips)} clips, up to {options.seconds:g} s each, seed 0", table(before, after))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
