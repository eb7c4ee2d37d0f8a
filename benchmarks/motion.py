"""Stage 1's own figures on people outside its training set: lips, head, blinks, pauses, seeds. Nothing is rendered.

Every clip is driven by its own audio (`Animator.motion`: windows, gate, filters as in inference); means are taken over
people, not clips, with a bootstrap interval over people. Prints the table, with --output writes it as motion.md and
the scores as motion.json. The control is the truth 1 s late; rendered videos are scored by `moda eval`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.motion_scores import (
    FILLINGS,
    Scores,
    animator_of,
    audio_of,
    band,
    blink_scores,
    head_scores,
    interval_text,
    lip_scores,
    pause_scores,
    person_means,
    portrait_of,
    rest_share,
    seed_spread,
    with_pause,
)  # fmt: skip
from moda.cli.main import run
from moda.data.clip import Clip
from moda.data.store import ClipStore
from moda.files import write_json, write_text
from moda.pipeline import Animator
from moda.representation import FPS, Motion

AIMS = {
    "lip corr. lag 0": ">= 0.70", "|best lag|": "<= 1", "opening ratio": "0.8..1.25", "lips / still mouth": "<= 0.80",
    "pitch spread": "0.7..1.3", "yaw spread": "0.7..1.3", "roll spread": "0.7..1.3", "pitch speed": "0.7..1.4",
    "yaw speed": "0.7..1.4", "roll speed": "0.7..1.4", "blinks/min": "12..25", "blink s": "0.1..0.4",
    "seed spread": ">= 0.5", "pause spread": "<= 1.2", "pause speed": "<= 1.2",
    **{f"rest, {filling}": ">= 0.95" for filling in FILLINGS},
}  # fmt: skip
"""The project's aims by figure."""


def shifted(motion: Motion, frames: int) -> Motion:
    """The motion that many frames late, its end first."""
    return Motion(*(np.roll(part, frames, axis=0) for part in (motion.lips, motion.eyes, motion.head, motion.torso)))


def score_clip(
    animator: Animator, clip: Clip, seeds: list[int], rotations: list[np.ndarray], *, lips: bool
) -> dict[str, Scores]:
    """Scores by row ("made", "truth, 1 s late") of one clip; lips and pauses with the first seed alone.

    lips: of the lips alone.
    """
    subject, wave, portrait = np.array(clip.subject), audio_of(clip), portrait_of(clip)
    true = clip.motion(0, clip.frames)
    late = shifted(true, round(FPS))
    if lips:
        motion = animator.motion(wave, portrait, seeds[0])
        return {"made": lip_scores(subject, true, motion), "truth, 1 s late": lip_scores(subject, true, late)}
    made = [animator.motion(wave, portrait, seed) for seed in seeds]
    scores = lip_scores(subject, true, made[0])
    per_seed = [{**head_scores(true, m), **blink_scores(subject, true, m)} for m in made]
    for name in dict.fromkeys(name for one in per_seed for name in one):
        scores[name] = float(np.mean([one[name] for one in per_seed if name in one]))
    if len(seeds) > 1 and clip.frames >= 75:
        scores["seed spread"] = seed_spread([m.head[:, :3] for m in made], rotations)
    scores |= pause_scores(subject, true, made[0], wave)
    for filling in FILLINGS:
        longer, pause = with_pause(wave, filling)
        scores[f"rest, {filling}"] = rest_share(subject, animator.motion(longer, portrait, seeds[0]), pause)
    by_telephone = animator.motion(band(wave, 300, 3400).astype(np.float32), portrait, seeds[0])
    scores["lip corr., telephone"] = lip_scores(subject, true, by_telephone)["lip corr. lag 0"]
    control = {**lip_scores(subject, true, late), **head_scores(true, late)}
    return {"made": scores, "truth, 1 s late": control}


def table(rows: dict[str, list[tuple[str, Scores]]]) -> str:
    """A line a figure: mean over people, interval, control, aim."""
    made, people = person_means(rows["made"])
    control, _ = person_means(rows["truth, 1 s late"])
    lines = [f"| {people} people | mean | 95 % interval | truth, 1 s late | aim |", "|---|---|---|---|---|"]
    for name, values in made.items():
        late = f"{control[name].mean():.3f}" if name in control else ""
        lines.append(f"| {name} | {values.mean():.3f} | {interval_text(values, 3)} | {late} | {AIMS.get(name, '')} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    return run(_main, argv)


def _main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True, help="clip store made by moda prepare")
    parser.add_argument("--split", default="val")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--lips", action="store_true", help="score the lips alone: a tenth of the time")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="a value of default/infer")
    parser.add_argument("--output", type=Path, help="folder for motion.md and motion.json")
    arguments = parser.parse_args(argv)
    animator = animator_of(arguments.set)
    clips = [clip for clip in ClipStore.open(arguments.store).split(arguments.split) if clip.has_audio]
    rotations = [np.array(clip.motion(0, clip.frames).head[:, :3]) for clip in clips]
    rows: dict[str, list[tuple[str, Scores]]] = {}
    for clip in clips:
        for row, scores in score_clip(animator, clip, arguments.seeds, rotations, lips=arguments.lips).items():
            rows.setdefault(row, []).append((clip.identity, scores))
    text = table(rows)
    print(text)
    if arguments.output is not None:
        arguments.output.mkdir(parents=True, exist_ok=True)
        write_text(arguments.output / "motion.md", text + "\n")
        write_json(arguments.output / "motion.json", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
