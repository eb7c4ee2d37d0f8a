"""Score folders of generated videos against a folder of true ones, with control rows."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from moda.errors import DataError
from moda.evaluation.clip_results import CACHE_FOLDER, Result, kept_results
from moda.evaluation.controls import CONTROLS
from moda.evaluation.folders import find_generated, find_true
from moda.evaluation.framing import NotScored
from moda.evaluation.handling import HANDLINGS, handled_truth
from moda.evaluation.jobs import ClipJob, clip_jobs, paired_clips, videos_to_track
from moda.evaluation.outputs import find_outputs, layout_of
from moda.evaluation.overall import score_rows
from moda.evaluation.protocol import FixedProtocol, check_weights, chosen_clips
from moda.evaluation.report.strips import STRIPS_FOLDER
from moda.evaluation.results import TRUTH_ROW, Evaluation, MethodScores
from moda.evaluation.scoring import score_clip
from moda.evaluation.tracking import track_videos
from moda.files import clear_litter, make_folder
from moda.metrics import METRICS, SET_METRICS
from moda.metrics.over_clips import check_names
from moda.metrics.registry import MetricSettings, chosen_metrics
from moda.metrics.samples import SAMPLERS
from moda.processes import Pool, no_start

TRACKS_FOLDER = "tracks"
"""Folder of cached tracks inside the output folder."""
MIN_PARALLEL_FRAMES = 2000
"""Frames of all videos from which several processes are worth their start."""
MIN_TRUTH_LAG_FRAMES = 2
"""Lag that all methods must have before the true video itself is reported as out of sync."""
MIN_LAG_CORRELATION = 0.3
"""Least best-lag correlation of a method that counts for that."""

Progress = Callable[[str, int, int, str], None]


def evaluate(
    true_dir: Path,
    generated: Mapping[str, Path],
    output: Path,
    *,
    split: str | None = None,
    jobs: int = 1,
    skip: Collection[str] = (),
    settings: MetricSettings | None = None,
    protocol: FixedProtocol | None = None,
    handling: bool = False,
    outputs: Mapping[str, Path] | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Pair videos by file stem, track each once (cached under `output`/tracks), score methods and controls.

    true_dir: folder of videos, or a clip store (`split`: only that list). skip: names of metrics to leave out.
    protocol: score its clips and frames only. handling: with rows of the truth handled otherwise (handling.py).
    outputs: folders as other projects leave them, by METHOD or METHOD:NAME (outputs.py).
    progress: called with "tracking" or "scoring", how many are done, of how many, and the one just done. Raises
    `DataError` for folders that do not exist or that have no file stem in common and for an unknown metric,
    `OutputError` for an output that cannot be written; anything wrong with a single clip is in its row.
    """
    if not generated and not outputs:
        raise DataError("nothing to score: name at least one folder of generated videos, --generated NAME=DIR")
    check_names(skip)
    metrics = chosen_metrics(skip)
    true = find_true(true_dir, split)
    methods = {name: find_generated(folder) for name, folder in generated.items()}
    generated = dict(generated)
    for spec, folder in (outputs or {}).items():
        name, layout = layout_of(spec)
        if name in methods or name in CONTROLS:
            raise DataError(
                f"--outputs {spec}: '{name}' is another row's name; give one, {spec.split(':')[0]}:NAME=DIR"
            )
        clips = true.videos if protocol is None else protocol.protocol.clips
        methods[name], generated[name] = find_outputs(folder, layout, clips), folder
    settings = settings or MetricSettings()
    if protocol is not None:
        check_weights(protocol.protocol, settings)
        true, methods = chosen_clips(protocol.protocol, true, methods)
    keys = {name: METRICS[name].key(settings) for name in metrics}
    paired = paired_clips(true_dir, true, generated, methods)
    for folder in (output, output / CACHE_FOLDER, output / STRIPS_FOLDER, output / TRACKS_FOLDER):
        make_folder(folder)
        clear_litter(folder)

    report = progress or (lambda *_: None)
    frames = None if protocol is None else protocol.protocol.frames
    rows = [MethodScores(name, control=True) for name in CONTROLS]
    made_rows = [MethodScores(name, control=False) for name in methods]
    if handling:
        truth = {clip: true.videos[clip][0] for clip in sorted(paired) if len(true.videos[clip]) == 1}
        made = iter(range(1, len(HANDLINGS) + 1))
        folders = handled_truth(
            truth, output, frames, lambda name: report("handling", next(made), len(HANDLINGS), name)
        )
        methods |= {name: find_generated(folder) for name, folder in folders.items()}
        rows += [MethodScores(name, control=True) for name in folders]
    rows += made_rows
    videos = videos_to_track(true, methods, paired)
    panels = {
        path: made.panel
        for method in methods.values()
        for clip, made in method.made.items()
        for path in method.videos.get(clip, ())
        if made.panel is not None
    }
    start = time.perf_counter()
    tracked = iter(range(1, len(videos) + 1))
    tracks = track_videos(
        videos,
        output / TRACKS_FOLDER,
        jobs,
        lambda path: report("tracking", next(tracked), len(videos), path.name),
        frames,
        panels,
    )
    seconds = {"tracking": time.perf_counter() - start}
    set_metrics = {name: metric for name, metric in SET_METRICS.items() if name not in skip}
    samplers = {m.sampler: SAMPLERS[m.sampler].key(settings) for m in set_metrics.values() if m.sampler is not None}
    todo = clip_jobs(rows, true, methods, sorted(paired), tracks, keys, samplers, settings, output)
    scored = iter(range(1, len(todo) + 1))
    start = time.perf_counter()
    results = score_clips(todo, jobs, lambda clip: report("scoring", next(scored), len(todo), clip))
    seconds["scoring"] = time.perf_counter() - start
    _fill(rows, results)
    clips = sorted(set(true.videos).union(*(method.videos for method in methods.values())))
    truth_row = next(row for row in rows if row.name == TRUTH_ROW)
    truths = {job.clip: job.true.track.content for job in todo if job.clip in truth_row.scores}
    score_rows(rows, set_metrics.values(), settings, output / CACHE_FOLDER)
    columns = {name: METRICS[name] for name in metrics}
    remarks = _out_of_sync(rows)
    return Evaluation(
        true_dir, dict(generated), rows, clips, remarks, columns, set_metrics, settings, truths, protocol, seconds
    )


def score_clips(jobs: Sequence[ClipJob], processes: int, done: Callable[[str], None]) -> dict[str, dict[str, Result]]:
    """Results by clip and row. done: called with each clip's name. Raises `OutputError`."""
    results: dict[str, dict[str, Result]] = {}
    for job in jobs:
        kept = kept_results(job)
        if kept is not None:
            results[job.clip] = kept
            done(job.clip)
    jobs = [job for job in jobs if job.clip not in results]
    frames = sum(job.true.track.frames * (1 + len(job.methods)) for job in jobs)
    if processes == 1 or len(jobs) < 2 or frames < MIN_PARALLEL_FRAMES:
        for job in jobs:
            results[job.clip] = score_clip(job)
            done(job.clip)
        return results
    pool: Pool[ClipJob, dict[str, Result]] = Pool(score_clip, no_start, min(processes, len(jobs)))
    for job, result in pool.run(jobs):
        if result is None:
            died = NotScored("the process that scored this clip died, twice")
            result = dict.fromkeys([*(m.name for m in job.methods), *CONTROLS], died)
        results[job.clip] = result
        done(job.clip)
    return results


def _fill(rows: Sequence[MethodScores], results: Mapping[str, Mapping[str, Result]]) -> None:
    for clip in sorted(results):
        for row in rows:
            result = results[clip].get(row.name)
            if isinstance(result, NotScored):
                row.refused[clip] = result.why
            elif result is not None:
                row.scores[clip] = result


def _out_of_sync(rows: Sequence[MethodScores]) -> list[str]:
    """Clips on which all methods have about the same lag from the truth: the true video may itself be late."""
    remarks = []
    methods = [row for row in rows if not row.control]
    found = [(row.by_clip("lip_lag"), row.by_clip("lip_corr_best")) for row in methods]
    for clip in sorted({clip for row in methods for clip in row.scores}):
        lags = []
        for lag_of, best_of in found:
            lag, best = lag_of.get(clip), best_of.get(clip)
            if lag is not None and best is not None and best >= MIN_LAG_CORRELATION:
                lags.append(lag)
        if len(lags) >= 2 and (min(lags) >= MIN_TRUTH_LAG_FRAMES or max(lags) <= -MIN_TRUTH_LAG_FRAMES):
            where = "late" if max(lags) < 0 else "early"
            remarks.append(
                f"{clip}: {len(lags)} methods fit the truth best at lags of {min(lags):+.0f} to {max(lags):+.0f} "
                f"frames: the true video may itself be {where} by about {abs(statistics.median(lags)):.0f} frames"
            )
    return remarks
