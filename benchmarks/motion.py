"""Stage 1's own figures on people it has not seen: lips, head, blinks, silence, seeds, drift. No picture is made.

    python benchmarks/motion.py --store STORE --split val --seeds 0 1 2 --output OUT

Every clip is driven by its own audio (Animator.motion: windows, gate, filters as in inference); means are taken
over people, not clips, with a bootstrap interval over people. Prints and writes OUT/motion.md and .json.
The control rows are the truth 1 s late and the mean of all; see scripts/eval.py for rendered videos.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from motion_scores import (
    Scores,
    audio_of,
    blink_scores,
    drift,
    head_scores,
    lip_scores,
    person_means,
    portrait_of,
    rest_share,
    seed_spread,
    with_pause,
)  # fmt: skip

from moda.animation import AnimationConfig
from moda.cli.main import run
from moda.config import apply_overrides, load_yaml, parse
from moda.data.augmentation import over_telephone
from moda.data.clip import Clip, ClipStore
from moda.evaluation.intervals import mean_interval
from moda.files import write_text
from moda.pipeline import Animator
from moda.reading import read_lines
from moda.representation import FPS, Motion

BARS = {
    "lip corr. lag 0": ">= 0.70", "|best lag|": "<= 1", "opening ratio": "0.8..1.25", "lips / still mouth": "<= 0.80",
    "pitch spread": "0.7..1.3", "yaw spread": "0.7..1.3", "roll spread": "0.7..1.3", "head speed": "0.7..1.4",
    "blinks/min": "8..30", "blink s": "0.1..0.4", "seed spread": ">= 0.5", "drift, sd": "<= 1",
    "rest in pauses": ">= 0.95", "rest, nothing": ">= 0.95", "rest, noise": ">= 0.95", "rest, music": ">= 0.95",
    "rest, breath": ">= 0.95",
}  # fmt: skip
"""The project's aims."""


def shifted(motion: Motion, frames: int) -> Motion:
    """The motion that many frames late, its end first."""
    return Motion(*(np.roll(part, frames, axis=0) for part in (motion.lips, motion.eyes, motion.head, motion.torso)))


def score_clip(animator: Animator, clip: Clip, seeds: list[int], rotations: list[np.ndarray]) -> dict[str, Scores]:
    """Scores by row ("made", "truth, 1 s late") of one clip; lips and pauses with the first seed alone."""
    subject, wave, portrait = np.array(clip.subject), audio_of(clip), portrait_of(clip)
    true = clip.motion(0, clip.frames)
    made = [animator.motion(wave, portrait, seed) for seed in seeds]
    scores = lip_scores(subject, true, made[0])
    per_seed = [{**head_scores(true, m), **blink_scores(subject, true, m)} for m in made]
    for name in dict.fromkeys(name for one in per_seed for name in one):
        scores[name] = float(np.mean([one[name] for one in per_seed if name in one]))
    if len(seeds) > 1 and clip.frames >= 75:
        scores["seed spread"] = seed_spread([m.head[:, :3] for m in made], rotations)
    for name, motion in (("rest in pauses", made[0]), ("rest in pauses, truth", true)):
        if (share := rest_share(subject, motion, wave)) is not None:
            scores[name] = share
    for filling in ("nothing", "noise", "music", "breath"):
        longer = with_pause(wave, filling)
        if (share := rest_share(subject, animator.motion(longer, portrait, seeds[0]), longer)) is not None:
            scores[f"rest, {filling}"] = share
    by_telephone = animator.motion(over_telephone(wave), portrait, seeds[0])
    scores["lip corr., telephone"] = lip_scores(subject, true, by_telephone)["lip corr. lag 0"]
    late = shifted(true, round(FPS))
    control = {**lip_scores(subject, true, late), **head_scores(true, late)}
    return {"made": scores, "truth, 1 s late": control}


def long_drift(animator: Animator, clips: list[Clip], seeds: list[int], minutes: int = 5) -> Scores:
    """Drift over minutes of audio made of all clips, one after the other; the mean over seeds."""
    recordings = np.concatenate([audio_of(clip) for clip in clips])
    wave = np.resize(recordings, round(60 * minutes * FPS) * 640)
    found = [drift(animator.motion(wave, portrait_of(clips[0]), seed))["drift, sd"] for seed in seeds]
    return {"drift, sd": float(np.mean(found)), "drift, sd, worst seed": float(np.max(found))}


def table(rows: dict[str, list[tuple[str, Scores]]], extra: Scores) -> str:
    """A line a figure: mean over people, interval, control, aim."""
    made, people = person_means(rows["made"])
    control, _ = person_means(rows["truth, 1 s late"])
    lines = [f"| {people} people | mean | 95 % interval | truth, 1 s late | aim |", "|---|---|---|---|---|"]
    for name, values in made.items():
        interval = mean_interval(values)
        ends = "too few" if interval is None else f"{interval.low:.3f} .. {interval.high:.3f}"
        late = f"{control[name].mean():.3f}" if name in control else ""
        lines.append(f"| {name} | {values.mean():.3f} | {ends} | {late} | {BARS.get(name, '')} |")
    return "\n".join(
        [*lines, *(f"| {name} | {value:.3f} | | | {BARS.get(name, '')} |" for name, value in extra.items())]
    )


def by_group(rows: list[tuple[str, Scores]], groups: dict[str, str]) -> str:
    """Lip correlation by group of people (a language, an age), where a file says who belongs to which."""
    lines = ["", "| group | people | lip corr. lag 0 | opening ratio |", "|---|---|---|---|"]
    for group in sorted(set(groups.values())):
        means, people = person_means([row for row in rows if groups.get(row[0]) == group])
        if people:
            figures = " | ".join(f"{means[name].mean():.2f}" for name in ("lip corr. lag 0", "opening ratio"))
            lines.append(f"| {group} | {people} | {figures} |")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--store", type=Path, required=True, help="clip store made by scripts/prepare.py")
    parser.add_argument("--split", default="val")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="of configs/default/infer.yaml")
    parser.add_argument("--groups", type=Path, help="file of lines 'person TAB group' for figures by group")
    parser.add_argument("--output", type=Path, help="folder for motion.md and motion.json")
    arguments = parser.parse_args(argv)
    tree = apply_overrides(load_yaml("default/infer"), arguments.set)
    animator = Animator.from_config(parse(AnimationConfig, tree, source="infer.yaml"), torch.device("cpu"))
    clips = [clip for clip in ClipStore.open(arguments.store).split(arguments.split) if clip.has_audio]
    rotations = [np.array(clip.motion(0, clip.frames).head[:, :3]) for clip in clips]
    rows: dict[str, list[tuple[str, Scores]]] = {}
    for clip in clips:
        for row, scores in score_clip(animator, clip, arguments.seeds, rotations).items():
            rows.setdefault(row, []).append((clip.identity, scores))
    extra = long_drift(animator, clips, arguments.seeds)
    text = table(rows, extra)
    if arguments.groups is not None:
        pairs = [line.split("\t") for line in read_lines(arguments.groups) if line]
        text += "\n" + by_group(rows["made"], {pair[0]: pair[1] for pair in pairs})
    print(text)
    if arguments.output is not None:
        arguments.output.mkdir(parents=True, exist_ok=True)
        write_text(arguments.output / "motion.md", text + "\n")
        write_text(arguments.output / "motion.json", json.dumps({"rows": rows, "long": extra}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
