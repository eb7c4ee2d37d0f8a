"""Quality of a renderer on unseen people, each driven by the own true landmarks from one own frame.

Every method gets the same: the clip's first tracked frame and every frame's landmarks and shoulders. "network" is the
whole renderer, "warp" the same without its network, "still" the reference itself. Writes table.md, scores.json (all
values by frame) and sheet.png into --output.

"Mouth box" is the renderer's own window (`mouth_window` of moda/imaging/windows.py: a square of 0.375 of the
picture's side about the mouth); "lips' box" is the smallest rectangle around what the network may change in it
(`mouth_region`). Of the warp's error in the mouth box a fifth lies in that region, so even a perfect network leaves
0.81 of it; in the lips' box it is four fifths. Values: a mean a clip, then a mean a person, then over people; intervals
are 95 % BCa bootstrap intervals over people. Ratios are taken a clip.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from benchmarks.contact_sheet import choose, draw_sheet, write_png
from benchmarks.eye_scores import blink_scores, perceptual_scores
from benchmarks.measuring import ROOT
from benchmarks.self_driven import METHODS, ClipScores, SelfDriven, load_renderer, measure
from moda.cli.main import run
from moda.data.clip import Clip
from moda.data.store import ClipStore
from moda.evaluation.statistics import mean_interval
from moda.files import write_json, write_text
from moda.nn.perceptual import load_features

Value = Callable[[ClipScores], float]


@dataclass(frozen=True)
class Row:
    """A line of the table: its label, its value of a clip, decimals, and the aim if there is one."""

    label: str
    value: Value
    digits: int = 2
    most: float | None = None
    least: float | None = None

    def verdict(self, mean: float) -> str:
        if self.most is not None:
            return f"at most {self.most:g}: {'met' if mean <= self.most else 'missed'}"
        if self.least is not None:
            return f"at least {self.least:g}: {'met' if mean >= self.least else 'missed'}"
        return ""


def score(key: str) -> Value:
    """Mean of a score over the frames that have it; NaN if none has."""

    def mean(clip: ClipScores) -> float:
        values = [scores[key] for scores in clip.frames.values() if key in scores]
        return float(np.mean(values)) if values else float("nan")

    return mean


def steady(key: str) -> Value:
    return lambda clip: clip.steady.get(key, float("nan"))


def ratio(over: Value, under: Value) -> Value:
    return lambda clip: over(clip) / under(clip) if under(clip) else float("nan")


def rows() -> list[Row]:
    """The table's lines in order."""
    lines: list[Row] = []
    for words, area in (("mouth box", "mouth"), ("lips' box", "lips"), ("outside the mouth box", "outside")):
        lines += [Row(f"L1, {words}: {name}", score(f"l1_{area}/{name}")) for name in METHODS]
        aim = 1.0 if area == "outside" else 0.85
        to_warp = ratio(score(f"l1_{area}/network"), score(f"l1_{area}/warp"))
        lines.append(Row(f"L1, {words}: network / warp", to_warp, 3, most=aim))
        for name in METHODS:
            least = (0.9 if area == "outside" else 0.7) if name == "network" else None
            sharp = ratio(score(f"sharpness_{area}/{name}"), score(f"sharpness_{area}/truth"))
            lines.append(Row(f"sharpness, {words}: {name} / truth", sharp, least=least))
    lines += [Row(f"PSNR, dB: {name}", score(f"psnr/{name}")) for name in METHODS]
    lines += [Row(f"SSIM: {name}", score(f"ssim/{name}"), 3) for name in METHODS]
    for name in METHODS[:2]:
        aim = 1.1 if name == "network" else None
        lines.append(Row(f"TCM: {name}", steady(f"tcm/{name}"), 3))
        for area in ("whole", "mouth"):
            label = f"residual along the flow, {area}: {name} / truth"
            lines.append(Row(label, steady(f"flicker_{area}/{name}"), 2, aim))
        jitter = ratio(steady(f"jitter/{name}"), steady("jitter/truth"))
        lines.append(Row(f"landmark jitter: {name} / truth", jitter, 2, aim))
        lines.append(Row(f"LMD of landmarks detected again, px: {name}", steady(f"lmd/{name}")))
    for words, area in (
        ("mouth box", "mouth"),
        ("eye box", "eyes"),
        ("eye box, eyes closed", "blink"),
        ("lids, eyes closed", "lids"),
    ):
        lines += [
            Row(f"perceptual distance, {words}: {name}", score(f"perceptual_{area}/{name}"), 3) for name in METHODS
        ]
        share = ratio(score(f"perceptual_{area}/network"), score(f"perceptual_{area}/warp"))
        aim = 0.7 if area == "lids" else None
        lines.append(Row(f"perceptual distance, {words}: network / warp", share, 3, most=aim))
    for name in ("truth", *METHODS[:2]):
        least = 0.9 if name == "network" else None
        again = ratio(steady(f"blinks/{name}"), steady("blinks/true"))
        lines.append(Row(f"share of blinks found again: {name}", again, least=least))
    step = ratio(steady("background_step/network"), steady("background_step/truth"))
    return [*lines, Row("background's change a frame: network / truth", step, 2, most=1.0)]


def over_people(scores: Sequence[ClipScores], value: Value) -> np.ndarray:
    """A clip's value, averaged a person: (people with one,)."""
    people: dict[str, list[float]] = defaultdict(list)
    for clip in scores:
        found = value(clip)
        if np.isfinite(found):
            people[clip.identity].append(found)
    return np.array([np.mean(values) for values in people.values()])


def main_table(scores: Sequence[ClipScores]) -> str:
    """Markdown: mean, interval and aim of every row that has a value; the others are named below."""
    absent: list[str] = []
    lines = ["| | mean | 95 % interval | people | aim |", "|---|---|---|---|---|"]
    for row in rows():
        values = over_people(scores, row.value)
        if not len(values):
            absent.append(row.label)
            continue
        ends = mean_interval(values)
        between = "" if ends is None else f"{ends.low:.{row.digits}f} .. {ends.high:.{row.digits}f}"
        mean = float(values.mean())
        lines.append(f"| {row.label} | {mean:.{row.digits}f} | {between} | {len(values)} | {row.verdict(mean)} |")
    if absent:
        lines += ["", f"Without a value: {'; '.join(absent)}."]
    return "\n".join(lines)


def chosen_clips(store: ClipStore, splits: Sequence[str], clips: int) -> list[Clip]:
    """Of every identity of these splits the `clips` longest clips."""
    people: dict[str, list[Clip]] = defaultdict(list)
    for split in splits:
        for clip in store.split(split):
            people[clip.identity].append(clip)
    return [clip for own in people.values() for clip in sorted(own, key=lambda c: -c.frames)[:clips]]


def _measure(path: Path, size: int, every: int, run: int, judge: Path | None, clip: Clip) -> ClipScores:
    torch.set_num_threads(1)
    renderer = load_renderer(path)
    found = measure(clip, renderer, size, every, run)
    with torch.inference_mode(), SelfDriven(clip, renderer, size) as driven:
        features = None if judge is None else load_features(judge)
        more = {} if features is None else perceptual_scores(driven, features, list(found.frames))
        frames = {index: found.frames.get(index, {}) | more.get(index, {}) for index in {*found.frames, *more}}
        return replace(found, frames=frames, steady=found.steady | blink_scores(driven))


def write(options: argparse.Namespace) -> str:
    """Measure, write the files; returns the table."""
    clips = chosen_clips(ClipStore.open(options.store), options.split, options.clips)
    renderer = load_renderer(options.checkpoint)
    size = options.size or renderer.config.size
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        work = partial(_measure, options.checkpoint, size, options.every, options.run, options.judge)
        scores = list(pool.map(work, clips))
    options.output.mkdir(parents=True, exist_ok=True)
    text = (
        f"# Self-driven: {options.checkpoint.name}, {size} px, split {' + '.join(options.split)}\n\n"
        f"{len({clip.identity for clip in scores})} people, {len(scores)} clips, every {options.every}th frame, "
        f"runs of {options.run} frames.\n\n{main_table(scores)}\n"
    )
    write_text(options.output / "table.md", text)
    write_json(options.output / "scores.json", {"size": size, "clips": [asdict(clip) for clip in scores]})
    if options.people:
        by_id = {clip.id: clip for clip in clips}
        chosen = [(by_id[found.clip], found) for found in choose(scores, options.people)]
        write_png(options.output / "sheet.png", draw_sheet(chosen, renderer, size))
    return text


def main(argv: Sequence[str] | None = None) -> int:
    return run(_main, argv)


def _main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True, help="clip store")
    parser.add_argument("--split", nargs="+", default=["val"], help="its lists to use (default: val)")
    parser.add_argument("--output", type=Path, required=True, help="folder for table.md, scores.json, sheet.png")
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "assets" / "checkpoints" / "renderer.pt")
    parser.add_argument("--size", type=int, help="side of the frames (default: as trained)")
    parser.add_argument("--every", type=int, default=10, help="one frame in so many (default: %(default)s)")
    parser.add_argument("--run", type=int, default=25, help="neighbouring frames a clip (default: %(default)s)")
    parser.add_argument("--clips", type=int, default=2, help="clips a person, the longest (default: %(default)s)")
    parser.add_argument("--people", type=int, default=6, help="rows of the sheet, 0 for none (default: %(default)s)")
    parser.add_argument(
        "--judge", type=Path, help="weights of a network not trained with (as loss.perceptual_weights): its distances"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: %(default)s)")
    options = parser.parse_args(argv)
    if options.run < 3 or min(options.every, options.clips, options.jobs) < 1:
        parser.error("--run is at least 3; --every, --clips and --jobs at least 1")
    print(write(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
