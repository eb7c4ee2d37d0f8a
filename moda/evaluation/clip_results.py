"""All rows of a clip on disk, so that the next call need not read its videos, tracks and sound again.

cache.py keeps each value by itself, which helps where a metric or a method is new; this is for clips without either.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from moda.evaluation.folders import audio_file
from moda.evaluation.framing import NotScored
from moda.evaluation.jobs import ClipJob
from moda.evaluation.results import ClipScore, ClipValues
from moda.evaluation.tracking import content_hash
from moda.files import write_json
from moda.metrics.registry import NotAvailable, Value, reason

logger = logging.getLogger(__name__)

Result = ClipScore | NotScored
VERSION = 1
"""Raised whenever the file has another layout, or the same videos would give other notes, curves or pictures."""
SCORING_VERSION = 1
"""Raised whenever the same videos would reach the metrics otherwise: framing, controls, audio, pictures."""
CURVE_DIGITS = 3
"""Decimals of a lip opening in pixels that are kept."""
CACHE_FOLDER = "cache"
"""Folder of cached scores inside the output folder."""


def results_file(job: ClipJob) -> Path:
    """The file of a clip's results, named by a digest of all that they depend on; raises `OSError`."""
    audio = audio_file(job.true.path)
    videos = [
        (method.name, method.video.track.path.name, [s.track.path.name for s in method.samples], method.made)
        for method in job.methods
    ]
    other = job.other and (job.other.name, job.other.video.track.path.name, job.other.other_person)
    sources = (
        VERSION, SCORING_VERSION, job.clip, job.true.track.path.name, videos, other, job.metrics, job.samplers,
        None if audio == job.true.path else content_hash(audio), job.settings,
    )  # fmt: skip
    return job.output / CACHE_FOLDER / f"clip-{hashlib.sha256(repr(sources).encode()).hexdigest()[:24]}.json"


def keep_results(job: ClipJob, results: Mapping[str, Result]) -> None:
    """Write a clip's results, unless one of them may be another in the next call; raises `OutputError`."""
    found = [result for result in results.values() if isinstance(result, ClipScore)]
    values = [value for score in found for value in (*score.values.values(), *score.samples.values())]
    if all(value.lasting for value in values if isinstance(value, NotAvailable)):
        write_json(results_file(job), {name: _record(result) for name, result in results.items()})


def kept_results(job: ClipJob) -> dict[str, Result] | None:
    """A clip's results as an earlier call wrote them; None if there are none, or a file that they name is gone."""
    try:
        path = results_file(job)
        if not path.is_file():
            return None
        record = json.loads(path.read_text(encoding="utf-8"))
        results = {name: _result(each) for name, each in record.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("the kept results of %s are damaged (%s): scoring it again", job.clip, error)
        return None
    scores = [result for result in results.values() if isinstance(result, ClipScore)]
    files = [job.output / score.strip for score in scores if score.strip is not None]
    files += [path.with_name(name) for score in scores for name in score.samples.values() if isinstance(name, str)]
    return results if all(file.is_file() for file in files) else None


def curve_of(opening: np.ndarray) -> np.ndarray:
    """(T,) lip opening as exact as results keep it."""
    return opening.round(CURVE_DIGITS).astype(np.float32)


def _record(result: Result) -> dict[str, Any]:
    if isinstance(result, NotScored):
        return {"why": result.why}
    curve = result.opening
    return {
        "values": {name: v.why if isinstance(v, NotAvailable) else v for name, v in result.values.items()},
        "frames": result.frames,
        "notes": result.notes,
        "opening": None if curve is None else [_number(x) for x in curve.tolist()],
        "strip": result.strip,
        "samples": {
            name: {"why": found.why} if isinstance(found, NotAvailable) else {"file": found}
            for name, found in result.samples.items()
        },
    }


def _number(value: float) -> float | None:
    return round(value, CURVE_DIGITS) if math.isfinite(value) else None


def _result(record: dict[str, Any]) -> Result:
    if "why" in record:
        return NotScored(str(record["why"]))
    values: dict[str, Value] = {
        name: reason(v, True) if isinstance(v, str) else float(v) for name, v in record["values"].items()
    }
    curve = record["opening"]
    return ClipScore(
        ClipValues(values),
        int(record["frames"]),
        tuple(record["notes"]),
        None if curve is None else np.array([math.nan if x is None else x for x in curve], np.float32),
        record["strip"],
        {
            name: reason(found["why"], True) if "why" in found else str(found["file"])
            for name, found in record["samples"].items()
        },
    )
