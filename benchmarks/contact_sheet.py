"""A labelled contact sheet of clips driven by themselves, for `renderer_quality.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.self_driven import ClipScores, SelfDriven
from moda.data.clip import Clip
from moda.files import replacing
from moda.stages.renderer.network import Renderer

COLUMNS = ("warp", "network", "truth")
MOMENTS = (("open", "widest mouth"), ("turned", "largest turn"), ("closed", "eyes shut"))
"""Frames of `shown_frames`, and what to call them."""
GAP_PX, LABEL_PX = 6, 22
"""Between the groups of pictures; the line of text over them."""
INK, PAPER = (20, 20, 20), (255, 255, 255)


def choose(scores: Sequence[ClipScores], people: int) -> list[ClipScores]:
    """One clip of each of `people` identities, those with the largest turns first; of each the clip that turns most."""
    best: dict[str, ClipScores] = {}
    for clip in sorted(scores, key=lambda clip: clip.turn, reverse=True):
        best.setdefault(clip.identity, clip)
    return list(best.values())[:people]


def draw_sheet(chosen: Sequence[tuple[Clip, ClipScores]], renderer: Renderer, size: int) -> np.ndarray:
    """A row a person: the reference, then the moments of `MOMENTS` by warp, network and truth."""
    sheet = Image.new(
        "RGB", ((1 + 3 * len(MOMENTS)) * size + len(MOMENTS) * GAP_PX, len(chosen) * (size + LABEL_PX)), PAPER
    )
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for row, (clip, scores) in enumerate(chosen):
        top = row * (size + LABEL_PX)
        with SelfDriven(clip, renderer, size) as driven:
            yaw = driven.yaw()
            sheet.paste(Image.fromarray(driven.still), (0, top + LABEL_PX))
            draw.text((4, top + 3), f"{clip.identity}: reference", INK, font)
            for group, (name, words) in enumerate(MOMENTS):
                index = scores.shown[name]
                pictures = {**driven.render(index), "truth": driven.truth(index)}
                left = size + GAP_PX + group * (3 * size + GAP_PX)
                for column, method in enumerate(COLUMNS):
                    sheet.paste(Image.fromarray(pictures[method]), (left + column * size, top + LABEL_PX))
                    note = f" ({words}, frame {index}, {yaw[index]:.0f}° from it)" if column == 0 else ""
                    draw.text((left + column * size + 4, top + 3), method + note, INK, font)
    return np.asarray(sheet)


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write a picture whole or not at all."""
    with replacing(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG", optimize=True)
