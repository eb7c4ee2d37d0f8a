"""Quality of a renderer on people it has not seen, driven by their own true landmarks from one frame of theirs.

    python benchmarks/renderer_quality.py --store STORE --split val [test ...] --output OUT
        [--checkpoint assets/checkpoints/renderer.pt] [--every 10] [--run 25] [--clips 2] [--people 6] [--jobs 1]

Every method is given the same: the clip's first tracked frame and every frame's landmarks and shoulders. "network" is
the whole renderer, "warp" the same without its network, "still" the reference itself. Written into OUT: table.md,
scores.json (all values by frame), sheet.png.

"Mouth box" is the renderer's own window (`mouth_window` of moda/imaging/conditioning.py: a square of 0.375 of the
picture's side about the mouth); "painted region" is what the network may change in it (`mouth_region`, weighted);
"lips' box" is the least rectangle that holds that region. Of the warp's error in the mouth box a fifth lies in the
painted region, so that even perfect paint there leaves 0.81 of it; in the lips' box it is four fifths.
Values: a mean a clip, then a mean a person, then over people; intervals are 95 % BCa bootstrap intervals over
people (moda/evaluation/intervals.py). Ratios are taken a clip.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from contact_sheet import choose, draw_sheet, write_png
from rich.console import Console
from self_driven import METHODS, ClipScores, Moment, measure

from moda import checkpoint
from moda.cli.main import run
from moda.data.clip import Clip, ClipStore
from moda.evaluation.intervals import mean_interval
from moda.files import write_json, write_text
from moda.stages.registry import load_network
from moda.stages.renderer.network import Renderer

ROOT = Path(__file__).resolve().parents[1]
YAW = (0.0, 10.0, 20.0, 35.0, float("inf"))
"""Edges of the groups of turns, degrees."""
Value = Callable[[ClipScores], float]


@dataclass(frozen=True)
class Row:
    """A line of the table: what it is called, its value of a clip, and the bar if there is one."""

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


def mean_of(moments: Sequence[Moment], key: str) -> float:
    """Mean of a score over frames that have it; NaN if none has."""
    values = [moment.scores[key] for moment in moments if key in moment.scores]
    return float(np.mean(values)) if values else float("nan")


def score(key: str) -> Value:
    return lambda clip: mean_of(clip.moments, key)


def ratio(over: str, under: str) -> Value:
    return lambda clip: mean_of(clip.moments, over) / mean_of(clip.moments, under)


def steady(key: str) -> Value:
    return lambda clip: clip.steady.get(key, float("nan"))


def steady_ratio(over: str, under: str) -> Value:
    return lambda clip: steady(over)(clip) / steady(under)(clip) if steady(under)(clip) else float("nan")


def rows() -> list[Row]:
    """The table's lines in order."""
    lines: list[Row] = []
    for words, area in (("mouth box", "mouth"), ("lips' box", "lips")):
        lines += [Row(f"L1, {words}: {name}", score(f"l1_{area}/{name}")) for name in METHODS]
        to_warp = ratio(f"l1_{area}/network", f"l1_{area}/warp")
        lines.append(Row(f"L1, {words}: network / warp", to_warp, 3, most=0.85))
        for name in METHODS:
            bar = 0.7 if name == "network" else None
            sharp = ratio(f"sharpness_{area}/{name}", f"sharpness_{area}/truth")
            lines.append(Row(f"sharpness, {words}: {name} / truth", sharp, least=bar))
    lines += [Row(f"L1, painted region: {name}", score(f"l1_region/{name}")) for name in METHODS]
    lines.append(Row("L1, painted region: network / warp", ratio("l1_region/network", "l1_region/warp"), 3))
    lines += [Row(f"L1, outside: {name}", score(f"l1_outside/{name}")) for name in METHODS]
    lines.append(Row("L1, outside: network / warp", ratio("l1_outside/network", "l1_outside/warp"), 3, most=1.0))
    lines.append(
        Row("sharpness, outside: network / warp", ratio("sharpness_outside/network", "sharpness_outside/warp"), 3)
    )
    for name in METHODS:
        bar = 0.9 if name == "network" else None
        sharp = ratio(f"sharpness_outside/{name}", "sharpness_outside/truth")
        lines.append(Row(f"sharpness, outside: {name} / truth", sharp, least=bar))
    for area in ("person", "background"):
        lines += [Row(f"L1, {area} outside the box: {name}", score(f"l1_{area}/{name}")) for name in METHODS[1:]]
    lines += [Row(f"PSNR, dB: {name}", score(f"psnr/{name}")) for name in METHODS]
    lines += [Row(f"SSIM: {name}", score(f"ssim/{name}"), 3) for name in METHODS]
    moving = METHODS[:2]
    lines += [Row(f"TCM: {name}", steady(f"tcm/{name}"), 3) for name in moving]
    for area in ("whole", "mouth"):
        for name in moving:
            bar = 1.1 if name == "network" else None
            lines.append(
                Row(f"residual along the flow, {area}: {name} / truth", steady(f"flicker_{area}/{name}"), 2, bar)
            )
    for name in moving:
        bar = 1.1 if name == "network" else None
        lines.append(Row(f"landmark jitter: {name} / truth", steady_ratio(f"jitter/{name}", "jitter/truth"), 2, bar))
    step = steady_ratio("background_step/network", "background_step/truth")
    lines.append(Row("background's change a frame: network", steady("background_step/network"), 3))
    lines.append(Row("background's change a frame: network / truth", step, 2, most=1.0))
    lines += [Row(f"LMD of landmarks found again, px: {name}", steady(f"lmd/{name}")) for name in moving]
    return lines


def over_people(scores: Sequence[ClipScores], value: Value) -> np.ndarray:
    """A clip's value, averaged a person: (people with one,)."""
    people: dict[str, list[float]] = defaultdict(list)
    for clip in scores:
        found = value(clip)
        if np.isfinite(found):
            people[clip.identity].append(found)
    return np.array([np.mean(values) for values in people.values()])


def main_table(scores: Sequence[ClipScores]) -> str:
    """Markdown: mean, interval and bar of every row."""
    lines = ["| | mean | 95 % interval | people | bar |", "|---|---|---|---|---|"]
    for row in rows():
        values = over_people(scores, row.value)
        if not len(values):
            lines.append(f"| {row.label} | n/a | | 0 | |")
            continue
        ends = mean_interval(values)
        between = "" if ends is None else f"{ends.low:.{row.digits}f} .. {ends.high:.{row.digits}f}"
        mean = float(values.mean())
        lines.append(f"| {row.label} | {mean:.{row.digits}f} | {between} | {len(values)} | {row.verdict(mean)} |")
    return "\n".join(lines)


def yaw_table(scores: Sequence[ClipScores]) -> str:
    """Markdown: the same by how far the head has turned from the reference."""
    columns: list[tuple[str, Value, int]] = [
        ("L1 mouth box, network", score("l1_mouth/network"), 2),
        ("warp", score("l1_mouth/warp"), 2),
        ("network / warp", ratio("l1_mouth/network", "l1_mouth/warp"), 3),
        ("sharpness there / truth", ratio("sharpness_mouth/network", "sharpness_mouth/truth"), 2),
        ("L1 person outside, warp", score("l1_person/warp"), 2),
        ("still", score("l1_person/still"), 2),
        ("sharpness outside / truth", ratio("sharpness_outside/network", "sharpness_outside/truth"), 2),
        ("SSIM network", score("ssim/network"), 3),
    ]
    head = "| turn, degrees | frames | people | " + " | ".join(name for name, _, _ in columns) + " |"
    lines = [head, "|---" * (len(columns) + 3) + "|"]
    for low, high in pairwise(YAW):
        parts = [
            replace(clip, moments=[m for m in (*clip.moments, *clip.turned) if low <= m.yaw < high]) for clip in scores
        ]
        parts = [part for part in parts if part.moments]
        name = f"{low:g} to {high:g}" if np.isfinite(high) else f"over {low:g}"
        people = len({part.identity for part in parts})
        found = [over_people(parts, value) for _, value, _ in columns]
        cells = [
            f"{values.mean():.{digits}f}" if len(values) else ""
            for values, (*_, digits) in zip(found, columns, strict=True)
        ]
        lines.append(f"| {name} | {sum(len(p.moments) for p in parts)} | {people} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def load_renderer(path: Path) -> Renderer:
    """A renderer's checkpoint, for the CPU; raises `CheckpointError`."""
    loaded = checkpoint.load(path, stage="renderer", map_location="cpu")
    network = load_network(loaded, {}, source=str(path))
    assert isinstance(network, Renderer)
    return network.eval()


def chosen_clips(store: ClipStore, splits: Sequence[str], clips: int) -> list[Clip]:
    """Of every identity of these splits the `clips` longest clips."""
    people: dict[str, list[Clip]] = defaultdict(list)
    for split in splits:
        for clip in store.split(split):
            people[clip.identity].append(clip)
    return [clip for own in people.values() for clip in sorted(own, key=lambda c: -c.frames)[:clips]]


def _measure(path: Path, size: int, every: int, run: int, clip: Clip) -> ClipScores:
    torch.set_num_threads(1)
    return measure(clip, load_renderer(path), size, every, run)


def prove(options: argparse.Namespace) -> None:
    start = time.perf_counter()
    console = Console(stderr=True)
    clips = chosen_clips(ClipStore.open(options.store), options.split, options.clips)
    renderer = load_renderer(options.checkpoint)
    size = options.size or renderer.config.size
    work = partial(_measure, options.checkpoint, size, options.every, options.run)
    if options.jobs > 1:
        with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
            scores = list(pool.map(work, clips))
    else:
        scores = [work(clip) for clip in clips]
    options.output.mkdir(parents=True, exist_ok=True)
    frames = sum(len(clip.moments) for clip in scores)
    seconds = time.perf_counter() - start
    text = (
        f"# Self-driven: {options.checkpoint.name}, {size} px, split {' + '.join(options.split)}\n\n"
        f"{len({c.identity for c in scores})} people, {len(scores)} clips, {frames} frames (every {options.every}th), "
        f"runs of {options.run} frames; {seconds:.0f} s, {options.jobs} process(es).\n\n{main_table(scores)}\n\n"
        "By change of yaw from the reference (with up to 10 further frames a clip of those over 20 degrees):"
        f"\n\n{yaw_table(scores)}\n"
    )
    write_text(options.output / "table.md", text)
    write_json(options.output / "scores.json", {"size": size, "clips": [_finite(asdict(clip)) for clip in scores]})
    if options.people:
        by_id = {clip.id: clip for clip in clips}
        chosen = [(by_id[found.clip], found) for found in choose(scores, options.people)]
        write_png(options.output / "sheet.png", draw_sheet(chosen, renderer, size))
    console.print(f"{options.output}: table.md, scores.json{', sheet.png' if options.people else ''}")
    print(text)


def _finite(value: object) -> object:
    """The same without NaN, which JSON has no word for."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Quality of a renderer on people it has not seen.")
    parser.add_argument("--store", type=Path, required=True, help="clip store (scripts/prepare.py)")
    parser.add_argument("--split", nargs="+", default=["val"], help="its lists to use (default: val)")
    parser.add_argument("--output", type=Path, required=True, help="folder for table.md, scores.json, sheet.png")
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "assets" / "checkpoints" / "renderer.pt")
    parser.add_argument("--size", type=int, help="side of the frames (default: as trained)")
    parser.add_argument("--every", type=int, default=10, help="one frame in so many (default: %(default)s)")
    parser.add_argument("--run", type=int, default=25, help="neighbouring frames a clip (default: %(default)s)")
    parser.add_argument("--clips", type=int, default=2, help="clips a person, the longest (default: %(default)s)")
    parser.add_argument("--people", type=int, default=6, help="rows of the sheet, 0 for none (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: %(default)s)")
    options = parser.parse_args(argv)
    if options.run < 3 or min(options.every, options.clips, options.jobs) < 1:
        parser.error("--run wants at least 3 frames; --every, --clips and --jobs at least 1")
    prove(options)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
