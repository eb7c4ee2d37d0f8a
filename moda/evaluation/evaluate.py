"""Score folders of generated videos against a folder of true ones, with control rows."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from moda.errors import DataError, OutputError
from moda.evaluation.controls import CONTROLS
from moda.evaluation.folders import GeneratedClips, MadeClip, TrueClips, find_generated, find_true
from moda.evaluation.framing import NotScored, true_face
from moda.evaluation.report.strips import STRIPS_FOLDER
from moda.evaluation.results import Evaluation, MethodScores
from moda.evaluation.scoring import ClipJob, MethodClip, OtherVideo, Result, TrackedVideo, score_clips
from moda.evaluation.tracking import Unreadable, track_videos
from moda.files import clear_litter
from moda.metrics import METRICS
from moda.metrics.registry import MetricSettings
from moda.metrics.tracks import VideoTrack

TRACKS_FOLDER, CACHE_FOLDER = "tracks", "cache"
"""Folders of kept tracks and of kept scores inside the output folder."""
MIN_TRUTH_LAG_FRAMES = 2
"""Frames by which all methods must agree before the truth itself is called out of step."""
MIN_LAG_CORRELATION = 0.3
"""Least best-lag correlation for a method to have a say in that."""

Progress = Callable[[str, int, int, str], None]
Tracks = dict[Path, VideoTrack | Unreadable]


def evaluate(
    true_dir: Path,
    generated: Mapping[str, Path],
    output: Path,
    *,
    split: str | None = None,
    jobs: int = 1,
    skip: Collection[str] = (),
    settings: MetricSettings | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Pair videos by file stem, track each once (kept under `output`/tracks), score methods and controls.

    true_dir: folder of videos, or a clip store (`split`: only that list). skip: names of metrics to leave
    out. progress: called with "tracking" or "scoring", how many are done, of how many, and the one just
    done. Raises `DataError` for folders that do not exist or that have no file stem in common and for an
    unknown metric, `OutputError` for an output that cannot be written; anything wrong with a single clip
    is in its row.
    """
    if not generated:
        raise DataError("nothing to score: name at least one folder of generated videos, --generated NAME=DIR")
    metrics = chosen_metrics(skip)
    true = find_true(true_dir, split)
    methods = {name: find_generated(folder) for name, folder in generated.items()}
    paired = _paired(true_dir, true, generated, methods)
    for folder in (output, output / CACHE_FOLDER, output / STRIPS_FOLDER, output / TRACKS_FOLDER):
        _make_folder(folder)

    wanted = _videos(true, methods, paired)
    report = progress or (lambda *_: None)
    start = time.perf_counter()
    tracked = iter(range(1, len(wanted) + 1))
    tracks = track_videos(
        wanted, output / TRACKS_FOLDER, jobs, lambda path: report("tracking", next(tracked), len(wanted), path.name)
    )
    seconds = {"tracking": time.perf_counter() - start}
    rows = [MethodScores(name, control=False) for name in methods] + [
        MethodScores(name, control=True) for name in CONTROLS
    ]
    settings = settings or MetricSettings()
    todo = _jobs(rows, true, methods, sorted(paired), tracks, metrics, settings, output)
    scored = iter(range(1, len(todo) + 1))
    start = time.perf_counter()
    results = score_clips(todo, jobs, lambda clip: report("scoring", next(scored), len(todo), clip))
    seconds["scoring"] = time.perf_counter() - start
    _fill(rows, results)
    clips = sorted(set(true.videos).union(*(method.videos for method in methods.values())))
    kept = {name: METRICS[name] for name in metrics}
    return Evaluation(true_dir, dict(generated), rows, clips, _out_of_step(rows), kept, settings, seconds)


def chosen_metrics(skip: Collection[str]) -> tuple[str, ...]:
    """Names of the metrics but those to leave out; raises `DataError` for an unknown one."""
    unknown = sorted(set(skip) - set(METRICS))
    if unknown:
        raise DataError(f"no metric of this name to leave out: {', '.join(unknown)}; there are {', '.join(METRICS)}")
    return tuple(name for name in METRICS if name not in skip)


def _paired(
    true_dir: Path, true: TrueClips, generated: Mapping[str, Path], methods: Mapping[str, GeneratedClips]
) -> set[str]:
    """Clips that have a true video and one of some method; raises `DataError` if there is none."""
    paired = {clip for method in methods.values() for clip in method.videos if clip in true.videos}
    if not paired:
        stems = sorted({clip for method in methods.values() for clip in method.videos})
        raise DataError(
            f"no pairs: no file stem of {', '.join(map(str, generated.values()))} ({_few(stems)}) "
            f"is one of {true_dir} ({_few(sorted(true.videos))})"
        )
    return paired


def _videos(true: TrueClips, methods: Mapping[str, GeneratedClips], paired: Collection[str]) -> list[Path]:
    """What is to be tracked: both sides of every pair that is no riddle, and all its seeds."""
    wanted = [paths[0] for clip, paths in true.videos.items() if clip in paired and len(paths) == 1]
    for method in methods.values():
        wanted += [paths[0] for clip, paths in method.videos.items() if clip in paired and len(paths) == 1]
        wanted += [path for clip, paths in method.samples.items() if clip in paired for path in paths]
    return list(dict.fromkeys(wanted))


def _make_folder(folder: Path) -> None:
    """Make a folder and be sure that it can be written, before any work is done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {folder}: {error.strerror or error}; choose another output"
        ) from error
    clear_litter(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write into the folder {folder}: no permission; choose another output")


def _jobs(
    rows: Sequence[MethodScores],
    true: TrueClips,
    methods: Mapping[str, GeneratedClips],
    paired: Sequence[str],
    tracks: Tracks,
    metrics: tuple[str, ...],
    settings: MetricSettings,
    output: Path,
) -> list[ClipJob]:
    """One job a clip that can be scored at all; for the rest, the reasons go into the rows."""
    by_name = {row.name: row for row in rows}
    true_videos = {clip: _tracked(true.videos[clip], tracks) for clip in paired}
    jobs = []
    for clip in sorted(set(true.videos).union(*(method.videos for method in methods.values()))):
        truth = true_videos.get(clip)
        given = []
        for name, method in methods.items():
            if clip not in method.videos and clip not in true.videos:
                continue  # another method's stray
            if clip not in method.videos:
                failed = method.failed.get(clip)
                by_name[name].refused[clip] = (
                    f"not generated: {failed}" if failed else "no generated video of this name"
                )
            elif clip not in true.videos:
                by_name[name].refused[clip] = "no true video of this name"
            else:
                video = _tracked(method.videos[clip], tracks)
                if isinstance(truth, TrackedVideo) and isinstance(video, TrackedVideo):
                    given.append(_method_clip(name, clip, method, video, tracks))
                else:
                    whys = [found.why for found in (truth, video) if isinstance(found, NotScored)]
                    by_name[name].refused[clip] = "; ".join(whys)
        if isinstance(truth, TrackedVideo):
            other = _other(clip, paired, true_videos, true.identities)
            jobs.append(ClipJob(clip, truth, tuple(given), other, metrics, settings, output))
        elif isinstance(truth, NotScored):
            for name in CONTROLS:
                by_name[name].refused[clip] = truth.why
    return jobs


def _method_clip(name: str, clip: str, method: GeneratedClips, video: TrackedVideo, tracks: Tracks) -> MethodClip:
    samples = [_tracked([path], tracks) for path in method.samples.get(clip, ())]
    good = tuple(sample for sample in samples if isinstance(sample, TrackedVideo))
    return MethodClip(name, video, good if len(good) > 1 else (), method.made.get(clip, MadeClip()))


def _other(
    clip: str,
    paired: Sequence[str],
    videos: Mapping[str, TrackedVideo | NotScored],
    identities: Mapping[str, str],
) -> OtherVideo | None:
    """The next clip, in the order of names and around, that is of another person; where that is not known, the next."""
    place = list(paired).index(clip)
    following = [*paired[place + 1 :], *paired[:place]]
    others = [
        (name, video)
        for name in following
        if isinstance(video := videos[name], TrackedVideo) and not isinstance(true_face(video.track), NotScored)
    ]
    known = clip in identities
    for name, video in others:
        if known and identities.get(name, identities[clip]) != identities[clip]:
            return OtherVideo(name, video, True)
    return OtherVideo(*others[0], False) if others and not known else None


def _tracked(paths: list[Path], tracks: Tracks) -> TrackedVideo | NotScored:
    if len(paths) > 1:
        return NotScored(f"several videos of this name: {', '.join(path.name for path in paths)} in {paths[0].parent}")
    track = tracks[paths[0]]
    return NotScored(track.why) if isinstance(track, Unreadable) else TrackedVideo(paths[0], track)


def _fill(rows: Sequence[MethodScores], results: Mapping[str, Mapping[str, Result]]) -> None:
    for clip in sorted(results):
        for row in rows:
            result = results[clip].get(row.name)
            if isinstance(result, NotScored):
                row.refused[clip] = result.why
            elif result is not None:
                row.scores[clip] = result


def _out_of_step(rows: Sequence[MethodScores]) -> list[str]:
    """Clips on which all methods follow the audio at about the same distance from the truth: is the truth late?"""
    remarks = []
    methods = [row for row in rows if not row.control]
    for clip in sorted({clip for row in methods for clip in row.scores}):
        lags = []
        for row in methods:
            lag, best = row.by_clip("lip_lag").get(clip), row.by_clip("lip_corr_best").get(clip)
            if lag is not None and best is not None and best >= MIN_LAG_CORRELATION:
                lags.append(lag)
        if len(lags) >= 2 and (min(lags) >= MIN_TRUTH_LAG_FRAMES or max(lags) <= -MIN_TRUTH_LAG_FRAMES):
            where = "late" if max(lags) < 0 else "early"
            remarks.append(
                f"{clip}: {len(lags)} methods fit the truth best at lags of {min(lags):+.0f} to {max(lags):+.0f} "
                f"frames: the true video may itself be {where} by about {abs(statistics.median(lags)):.0f} frames"
            )
    return remarks


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
