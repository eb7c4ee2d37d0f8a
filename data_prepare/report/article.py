"""One clip of the report's page, as its template takes it: pictures, curves, words and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_prepare.report.curve import paths_of, read_curves, top_of
from data_prepare.report.record import STATUSES
from data_prepare.report.words import (
    address,
    figure_of,
    figure_text,
    finite,
    inside,
    mapping,
    number,
    offset_words,
    sequence,
)
from moda.representation import FPS

Record = Mapping[str, Any]
OUTLIER_PERCENTILES = (5.0, 95.0)
"""Percentiles over kept clips; a figure outside is marked in its row."""
MIN_CLIPS_FOR_OUTLIERS = 20
"""Kept clips from which on figures are marked."""
NO_BOUNDS = (-np.inf, np.inf)


def status_of(clip: Record) -> str:
    """Its status; an unknown one counts as failed."""
    status = str(clip.get("status", ""))
    return status if status in STATUSES else "failed"


def quality_of(clip: Record) -> dict[str, float]:
    """Its figures that are finite numbers."""
    figures = {str(name): finite(value) for name, value in mapping(clip.get("quality")).items()}
    return {name: value for name, value in figures.items() if value is not None}


def bounds_of(values: np.ndarray) -> tuple[float, float]:
    """Limits within which a figure of (K,) kept clips is not marked."""
    if len(values) < MIN_CLIPS_FOR_OUTLIERS:
        return NO_BOUNDS
    low, high = np.percentile(values, OUTLIER_PERCENTILES)
    return float(low), float(high)


def article(
    out: Path, clip: Record, reasons: Sequence[str], bounds: Mapping[str, tuple[float, float]]
) -> dict[str, Any]:
    """One clip. reasons: their numbers in the histogram. bounds: from `bounds_of`, by figure."""
    status, clip_id = status_of(clip), str(clip.get("id", ""))
    frames = finite(clip.get("frames"))
    shot = [seconds for value in sequence(clip.get("shot")) if (seconds := finite(value)) is not None]
    step = f"{clip['step']}: " if clip.get("step") else ""
    offset = mapping(clip.get("offset"))
    keys = {"offset": finite(offset.get("frames")), "confidence": finite(offset.get("confidence"))}
    return {
        "id": clip_id,
        "status": status,
        "reasons": " ".join(dict.fromkeys(reasons)),
        "source": clip.get("source", ""),
        "identity": clip.get("identity", ""),
        "split": clip.get("split"),
        "frames": frames,
        "length": f"{number(frames / FPS, 1)} s, {number(frames, 0)} frames" if frames else "",
        "span": f"{number(shot[0], 2)}–{number(shot[1], 2)} s of the source" if len(shot) == 2 else "",
        "picture": _address(out, str(clip.get("preview") or "")),
        "video": _address(out, f"clips/{clip_id}/video.mp4"),
        "curves": _curves(out, f"clips/{clip_id}/preview.json"),
        "why": f"{step}{clip.get('reason') or 'no reason given'}" if status != "kept" or clip.get("reason") else "",
        "offset": offset_words(offset or None, bool(clip.get("has_audio"))) if status == "kept" or offset else "",
        "offset_keys": [(key, abs(value)) for key, value in keys.items() if value is not None],
        "figures": _figures(quality_of(clip), bounds),
    }


def _address(out: Path, path: str) -> str:
    """Address of a file beside the page; empty where there is none."""
    return address(path) if path and inside(out, path) else ""


def _curves(out: Path, path: str) -> dict[str, Any] | None:
    curves = read_curves(out / path) if inside(out, path) else None
    if curves is None:
        return None
    lips = f"lips 0–{number(top_of(curves), 0)} px" if curves.lip_opening else ""
    return {"paths": paths_of(curves), "lips": lips, "seconds": number(curves.seconds, 1)}


def _figures(quality: Mapping[str, float], bounds: Mapping[str, tuple[float, float]]) -> list[dict[str, Any]]:
    rows = []
    for name in (*(name for name in bounds if name in quality), *sorted(set(quality) - set(bounds))):
        value, figure = quality[name], figure_of(name)
        low, high = bounds.get(name, NO_BOUNDS)
        rows.append(
            {
                "name": name,
                "label": figure.label,
                "meaning": figure.meaning,
                "value": value,
                "text": figure_text(name, value),
                "far": not low <= value <= high,
            }
        )
    return rows
