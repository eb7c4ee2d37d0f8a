"""A picture of the true and the predicted lip opening of clips, over the loudness of their audio.

    python benchmarks/lip_curves.py --store STORE --clips ID ID --output assets/lip_curves.png

One row a clip: white the true opening, orange the opening that stage 1 predicts from the audio (with its
windows, gate and filters, as in inference), grey the audio's envelope. Both openings are in pixels of the
512 frame. The title gives the correlation at lag 0, and the best one with its
lag; a positive lag means that the predicted lips move later. Figures are of the whole clip, also where
`--seconds` shows a part of it. Clips should be of people the checkpoint has not been trained on: see the
val and test lists of its store.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from motion_scores import LagCorrelation, audio_of, lag_correlation, opening_of, portrait_of
from PIL import Image, ImageDraw, ImageFont

from moda.animation import AnimationConfig
from moda.cli.main import run
from moda.config import apply_overrides, load_yaml, parse
from moda.data.clip import ClipStore
from moda.files import replacing
from moda.pipeline import Animator
from moda.representation import FPS

ROOT = Path(__file__).resolve().parents[1]
WIDTH, ROW = 1000, 270
"""Pixels of the picture, and of one row of it."""
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 40, 30
"""Margins of a row's plot."""
FINE = 2
"""Drawn so many times larger, then made smaller, for smooth lines."""
BACK, GRID, AUDIO, TEXT = (24, 24, 28), (58, 58, 64), (92, 98, 112), (225, 225, 225)
LEGEND = (146, 154, 172)
"""Of the audio's name: its curve's grey is too dark for letters."""
TRUE, PREDICTED = (245, 245, 245), (255, 150, 40)


@dataclass(frozen=True)
class Curves:
    """One clip: openings (T,) in pixels, envelope (T,) 0..1, and the figures in the title."""

    clip: str
    true: np.ndarray
    predicted: np.ndarray
    envelope: np.ndarray
    match: LagCorrelation


def curves_of(animator: Animator, store: ClipStore, clip_id: str, seed: int) -> Curves:
    """Predict a clip's lips from its audio and compare."""
    clip = store.clip(clip_id)
    wave, subject = audio_of(clip), np.array(clip.subject)
    portrait = portrait_of(clip)
    predicted = opening_of(subject, animator.motion(wave, portrait, seed))
    true = opening_of(subject, clip.motion())
    loudness = np.sqrt(np.square(wave).reshape(clip.frames, -1).mean(1))
    found = lag_correlation(predicted, true)
    envelope = loudness / max(float(loudness.max()), 1e-6)
    return Curves(clip_id, true, predicted, envelope, found)


def draw(rows: list[Curves], seconds: float) -> Image.Image:
    """All rows on one time scale, the first `seconds` of them."""
    picture = Image.new("RGB", (WIDTH * FINE, ROW * len(rows) * FINE), BACK)
    pen = ImageDraw.Draw(picture)
    seconds = min(seconds, max(len(row.true) for row in rows) / FPS)
    for number, row in enumerate(rows):
        _draw_row(pen, row, number * ROW * FINE, seconds)
    return picture.resize((WIDTH, ROW * len(rows)), Image.Resampling.LANCZOS)


def _draw_row(pen: ImageDraw.ImageDraw, row: Curves, above: int, seconds: float) -> None:
    left, right = LEFT * FINE, (WIDTH - RIGHT) * FINE
    top, bottom = above + TOP * FINE, above + (ROW - BOTTOM) * FINE
    shown = min(len(row.true), round(seconds * FPS))
    highest = max(4.0, float(row.true[:shown].max()), float(row.predicted[:shown].max()))
    x = left + np.arange(shown) / FPS * (right - left) / seconds

    def y(values: np.ndarray) -> np.ndarray:
        return bottom - np.clip(values / highest, 0, 1) * (bottom - top)

    audio = [*zip(x, y(0.5 * highest * row.envelope[:shown]), strict=True)]
    pen.polygon([(x[0], bottom), *audio, (x[-1], bottom)], fill=AUDIO)
    small, large = ImageFont.load_default(13 * FINE), ImageFont.load_default(15 * FINE)
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100) if highest / step <= 5)
    for mark in range(0, int(highest) + 1, step):
        height = float(y(np.array(mark)))
        pen.line([(left, height), (right, height)], fill=GRID, width=FINE)
        pen.text((left - 6 * FINE, height), f"{mark} px", font=small, fill=TEXT, anchor="rm")
    for second in range(int(seconds) + 1):
        place = left + second * (right - left) / seconds
        pen.line([(place, bottom), (place, bottom + 4 * FINE)], fill=TEXT, width=FINE)
        pen.text((place, bottom + 6 * FINE), f"{second} s", font=small, fill=TEXT, anchor="mt")
    for values, colour in ((row.true, TRUE), (row.predicted, PREDICTED)):
        pen.line([*zip(x, y(values[:shown]), strict=True)], fill=colour, width=2 * FINE, joint="curve")
    line = above + TOP * FINE // 2
    lag = f"{row.match.lag:+d} frames" if row.match.lag else "0"
    figures = f"correlation {row.match.at_0:.2f}; at its best lag ({lag}) {row.match.best:.2f}"
    name = row.clip if len(row.clip) < 48 else "..." + row.clip[-46:]
    pen.text((left, line), f"{name}:  {figures}", font=large, fill=TEXT, anchor="lm")
    place = right
    for word, colour in (("audio", LEGEND), ("predicted", PREDICTED), ("true", TRUE)):
        pen.text((place, line), word, font=large, fill=colour, anchor="rm")
        place -= pen.textlength(word, font=large) + 14 * FINE


def save(picture: Image.Image, path: Path) -> None:
    """Write a PNG of few colours, whole or not at all."""
    with replacing(path) as temporary:
        picture.quantize(64).save(temporary, format="PNG", optimize=True)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description="True and predicted lip opening of clips, in one picture.")
    parser.add_argument("--store", type=Path, required=True, help="clip store that holds the clips")
    parser.add_argument("--clips", nargs="+", required=True, metavar="ID", help="clips, one row each")
    parser.add_argument("--output", type=Path, default=ROOT / "assets" / "lip_curves.png")
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "default" / "infer.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one value of it")
    parser.add_argument("--seconds", type=float, default=8.0, help="how much is shown (default: 8)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    if options.seconds < 0.2:
        parser.error(f"--seconds got {options.seconds:g}, wanted at least 0.2")
    tree = apply_overrides(load_yaml(options.config), options.set)
    config = parse(AnimationConfig, tree, source=str(options.config))
    animator = Animator.from_config(config, torch.device("cpu"))
    store = ClipStore.open(options.store)
    rows = [curves_of(animator, store, clip_id, options.seed) for clip_id in options.clips]
    save(draw(rows, options.seconds), options.output)
    for row in rows:
        print(f"{row.clip}: correlation {row.match.at_0:.3f}, best {row.match.best:.3f} at lag {row.match.lag:+d}")
    print(f"{options.output}: {options.output.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
