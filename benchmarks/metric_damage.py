"""Which metrics notice which damage: scores of true clips with late sound, blur, jitter and more, by strength.

VIDEOS are talking videos of different people, a face in every frame of their first seconds. Of each metric and damage
tau is printed: Kendall's rank correlation of strength (undamaged first) and how far the metric calls the clip worse
than the truth, mean over clips; 1 where it always ranks right, about 0 where it is blind, below where it calls damage
good. --svg draws each metric's curve.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau

from benchmarks.damaged_clips import DAMAGES, SOUND_ONLY, Made, read_clip, write
from benchmarks.measuring import finish, parser, show

SKIPPED = ("real_time_factor", "diversity_head", "diversity_eyes", "seam", "blink_rate", "blink_duration", "lip_leak")
"""Metrics that need what a damaged clip does not have, or of which no value is better."""
SEES, CELL_PX, LABEL_PX = 0.8, (104, 30), 210
"""tau from which a metric sees a damage; sizes in the picture."""
COLOURS = {"sees": "#1a7f37", "blind": "#888888", "rewards": "#c02020"}


def row_name(damage: str, strength: float) -> str:
    return f"{damage} {strength:g}"


def badness(value: float, true: float, better: str) -> float:
    """How much worse than the truth's own value a metric calls a clip; its own unit."""
    if better in ("lower", "higher"):
        return (value - true) * (1 if better == "lower" else -1)
    wanted = {"one": 1.0, "zero": 0.0}.get(better, true)
    return abs(value - wanted) - abs(true - wanted)


def scores(videos: Sequence[Path], seconds: float, folder: Path, jobs: int) -> tuple[dict, dict[str, str]]:
    """{metric: {damage: (clips, 1 + strengths) badness}} and the metrics' titles."""
    from moda.evaluation.evaluate import evaluate
    from moda.evaluation.report.cells import ARROWS
    from moda.evaluation.tracking import content_hash, track_videos, tracker_version
    from moda.files import make_folder

    clips = [read_clip(path, seconds) for path in videos]
    tracks = folder / "out" / "tracks"
    make_folder(tracks)
    rows: dict[str, Path] = {}
    for index, clip in enumerate(clips):
        other = clips[(index + 1) % len(clips)]
        truth = write(folder / "true", clip.name, Made(clip.frames, clip.wave))
        track_videos([truth], tracks)
        for damage, (make, strengths, _) in DAMAGES.items():
            for strength in strengths:
                name = row_name(damage, strength)
                rows[name] = folder / name.replace(" ", "_")
                path = write(rows[name], clip.name, make(clip, other, strength))
                if damage in SOUND_ONLY:
                    known = (tracks / f"{content_hash(video)}-{tracker_version()}.npz" for video in (truth, path))
                    shutil.copy(*known)
    found = evaluate(folder / "true", rows, folder / "out", skip=SKIPPED, jobs=jobs)
    by_row = {row.name: row for row in found.rows}
    curves: dict[str, dict[str, np.ndarray]] = {}
    for name, metric in found.metrics.items():
        if metric.better == "none":
            continue
        truth = by_row["ground truth"].by_clip(name)
        for damage, (_, strengths, _) in DAMAGES.items():
            values = [by_row[row_name(damage, strength)].by_clip(name) for strength in strengths]
            both = [clip for clip in truth if all(clip in each for each in values)]
            if both:
                table = [[0.0, *(badness(each[c], truth[c], metric.better) for each in values)] for c in both]
                curves.setdefault(name, {})[damage] = np.array(table)
    return curves, {name: f"{m.label} {ARROWS[m.better]}" for name, m in found.metrics.items()}


def tau(curve: np.ndarray) -> float:
    """Mean over clips of Kendall's tau of strength and badness (clips, 1 + strengths); 0 where nothing changes."""
    order = np.arange(curve.shape[1])
    found = [0.0 if np.ptp(row) < 1e-9 else float(kendalltau(order, row, variant="c").statistic) for row in curve]
    return float(np.mean(found))


def verdict(value: float) -> str:
    return "sees" if value >= SEES else "rewards" if value <= -SEES else "blind"


def picture(curves: dict[str, dict[str, np.ndarray]], titles: dict[str, str], note: str) -> str:
    """An SVG: a row a metric, a column a damage, in each cell the mean badness over strength."""
    width, height = CELL_PX
    size = (LABEL_PX + width * len(DAMAGES), 40 + height * len(curves) + 20)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" font-family="sans-serif" '
        'font-size="10"><rect width="100%" height="100%" fill="#fff"/>'
    ]
    for column, (damage, (_, strengths, unit)) in enumerate(DAMAGES.items()):
        x = LABEL_PX + width * column + width / 2
        parts.append(f'<text x="{x:g}" y="14" text-anchor="middle" font-weight="bold">{damage}</text>')
        levels = f"{', '.join(f'{s:g}' for s in strengths)} {unit}" if unit else ""
        parts.append(f'<text x="{x:g}" y="27" text-anchor="middle" fill="#666">{levels}</text>')
    for index, (name, found) in enumerate(curves.items()):
        top = 40 + height * index
        parts.append(f'<text x="{LABEL_PX - 8}" y="{top + 19}" text-anchor="end">{escape(titles[name])}</text>')
        scale = max((np.abs(curve.mean(axis=0)).max() for curve in found.values()), default=0) or 1.0
        for column, damage in enumerate(DAMAGES):
            left = LABEL_PX + width * column
            if damage not in found:
                continue
            mean, value = found[damage].mean(axis=0) / scale, tau(found[damage])
            xs = np.linspace(left + 8, left + width - 30, len(mean))
            points = " ".join(f"{x:.0f},{top + 26 - 22 * max(0.0, y):.1f}" for x, y in zip(xs, mean, strict=True))
            colour = COLOURS[verdict(value)]
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
            parts.append(
                f'<text x="{left + width - 4}" y="{top + 19}" text-anchor="end" fill="{colour}">{value:.1f}</text>'
            )
    parts.append(f'<text x="8" y="{size[1] - 6}" fill="#666">{escape(note)}</text></svg>')
    return "\n".join(parts)


def main(argv: Sequence[str] | None = None) -> int:
    options = parser(__doc__)
    options.add_argument("videos", type=Path, nargs="+", help="talking videos of different people, two or more")
    options.add_argument("--seconds", type=float, default=4.0)
    options.add_argument("--jobs", type=int, default=1)
    options.add_argument("--svg", type=Path, help="draw the curves into this file")
    chosen = options.parse_args(argv)
    if len(chosen.videos) < 2:
        options.error("wanted two videos or more: a damage is another person's sound or picture")
    with tempfile.TemporaryDirectory(prefix="moda-benchmark-") as name:
        curves, titles = scores(chosen.videos, chosen.seconds, Path(name), chosen.jobs)
    rows = [
        [titles[metric], *(f"{tau(found[damage]):+.2f}" if damage in found else "" for damage in DAMAGES)]
        for metric, found in curves.items()
    ]
    note = f"{len(chosen.videos)} clips of {chosen.seconds:g} s; the number is Kendall's tau"
    show("tau of strength and badness", ["", *DAMAGES], rows, note)
    if chosen.svg is not None:
        chosen.svg.write_text(picture(curves, titles, note), encoding="utf-8")
    record = {m: {d: curve.mean(axis=0).round(5).tolist() for d, curve in found.items()} for m, found in curves.items()}
    return finish({"benchmark": "metric_damage", "clips": len(chosen.videos), "curves": record}, chosen)


if __name__ == "__main__":
    sys.exit(main())
