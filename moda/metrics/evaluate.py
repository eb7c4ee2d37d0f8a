"""Score folders of generated videos against a folder of true ones, with control rows."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from moda.errors import DataError, OutputError
from moda.metrics import METRICS
from moda.metrics.clip_pair import ClipPair
from moda.metrics.controls import CONTROLS
from moda.metrics.folders import find_videos
from moda.metrics.framing import NotScored, frame_pair, true_face
from moda.metrics.registry import NotAvailable, Value
from moda.metrics.tracking import Unreadable, track_videos
from moda.metrics.tracks import PairedTracks, VideoTrack

TRACKS = "tracks"
"""Folder of kept tracks inside the output folder."""
LATE = 2
"""Frames by which all methods must agree before the truth itself is called out of step."""
AGREES = 0.3
"""Least best-lag correlation for a method to have a say in that."""


@dataclass(frozen=True)
class ClipScore:
    """One clip of one row: a value by metric name, the frames compared, what a reader should know."""

    values: dict[str, Value]
    frames: int
    notes: tuple[str, ...] = ()


@dataclass
class Row:
    """A method or a control: its scored clips and, by clip, why others were not scored."""

    name: str
    control: bool
    scores: dict[str, ClipScore] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def values(self, metric: str) -> list[float]:
        """The clips' values of a metric, those that are available."""
        values = [score.values[metric] for score in self.scores.values()]
        return [value for value in values if not isinstance(value, NotAvailable)]


@dataclass(frozen=True)
class Evaluation:
    """All that the report prints: methods first, then controls; clips are those with any video of a pair."""

    true: Path
    generated: dict[str, Path]
    rows: list[Row]
    clips: list[str]
    remarks: list[str]

    @property
    def complete(self) -> bool:
        """Every pair of every method could be scored."""
        return not any(row.refused for row in self.rows if not row.control)


def evaluate(
    true_dir: Path,
    generated: Mapping[str, Path],
    output: Path,
    *,
    split: str | None = None,
    jobs: int = 1,
    progress: Callable[[int, int, Path], None] | None = None,
) -> Evaluation:
    """Pair videos by file stem, track each once (kept under `output`/tracks), score methods and controls.

    true_dir: folder of videos, or a clip store (`split`: only that list). progress: called with
    videos done, videos in all, and the video just done. Raises `DataError` for folders that do not
    exist or that have no file stem in common, `OutputError` for an output that cannot be written;
    anything wrong with a single clip is in its row.
    """
    if not generated:
        raise DataError("nothing to score: name at least one folder of generated videos, --generated NAME=DIR")
    true_videos = find_videos(true_dir, split)
    method_videos = {name: find_videos(folder) for name, folder in generated.items()}
    paired = {clip for videos in method_videos.values() for clip in videos if clip in true_videos}
    if not paired:
        stems = sorted({clip for videos in method_videos.values() for clip in videos})
        raise DataError(
            f"no pairs: no file stem of {', '.join(map(str, generated.values()))} ({_few(stems)}) "
            f"is one of {true_dir} ({_few(sorted(true_videos))})"
        )
    wanted = [paths[0] for clip, paths in true_videos.items() if clip in paired and len(paths) == 1]
    for videos in method_videos.values():
        wanted += [paths[0] for clip, paths in videos.items() if clip in paired and len(paths) == 1]
    wanted = list(dict.fromkeys(wanted))
    done = 0

    def count(path: Path) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, len(wanted), path)

    _make_folder(output)
    tracks = track_videos(wanted, output / TRACKS, jobs, count)
    rows = [_score_method(name, true_videos, videos, tracks) for name, videos in method_videos.items()]
    rows += _score_controls({clip: true_videos[clip] for clip in sorted(paired)}, tracks)
    clips = sorted(set(true_videos) | {clip for videos in method_videos.values() for clip in videos})
    return Evaluation(true_dir, dict(generated), rows, clips, _out_of_step(rows))


def _make_folder(output: Path) -> None:
    """Make the output folder and be sure that it can be written, before any work is done."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {output}: {error.strerror or error}; choose another output"
        ) from error
    if not os.access(output, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write into the folder {output}: no permission; choose another output")


def _score_method(
    name: str,
    true_videos: dict[str, list[Path]],
    videos: dict[str, list[Path]],
    tracks: dict[Path, VideoTrack | Unreadable],
) -> Row:
    row = Row(name, control=False)
    for clip in sorted(set(true_videos) | set(videos)):
        if clip not in videos:
            row.refused[clip] = "no generated video of this name"
        elif clip not in true_videos:
            row.refused[clip] = "no true video of this name"
        else:
            true = _track_of(true_videos[clip], tracks)
            made = _track_of(videos[clip], tracks)
            if isinstance(true, NotScored) or isinstance(made, NotScored):
                row.refused[clip] = "; ".join(t.why for t in (true, made) if isinstance(t, NotScored))
                continue
            framed = frame_pair(true, made)
            if isinstance(framed, NotScored):
                row.refused[clip] = framed.why
            else:
                row.scores[clip] = _score(framed.pair, framed.notes)
    return row


def _score_controls(true_videos: dict[str, list[Path]], tracks: dict[Path, VideoTrack | Unreadable]) -> list[Row]:
    rows = [Row(name, control=True) for name in CONTROLS]
    for clip, paths in true_videos.items():
        track = _track_of(paths, tracks)
        face = track if isinstance(track, NotScored) else true_face(track)
        for row in rows:
            if isinstance(face, NotScored):
                row.refused[clip] = face.why
                continue
            pair = CONTROLS[row.name](face)
            if isinstance(pair, NotAvailable):
                row.refused[clip] = pair.why
            else:
                row.scores[clip] = _score(pair)
    return rows


def _track_of(paths: list[Path], tracks: dict[Path, VideoTrack | Unreadable]) -> VideoTrack | NotScored:
    if len(paths) > 1:
        return NotScored(f"several videos of this name: {', '.join(path.name for path in paths)} in {paths[0].parent}")
    track = tracks[paths[0]]
    return NotScored(track.why) if isinstance(track, Unreadable) else track


def _score(pair: PairedTracks, notes: tuple[str, ...] = ()) -> ClipScore:
    return ClipScore({name: metric.measure(ClipPair(pair)) for name, metric in METRICS.items()}, len(pair), notes)


def _out_of_step(rows: list[Row]) -> list[str]:
    """Clips on which all methods follow the sound at about the same distance from the truth: is the truth late?"""
    remarks = []
    methods = [row for row in rows if not row.control]
    for clip in sorted({clip for row in methods for clip in row.scores}):
        lags = []
        for row in methods:
            if clip not in row.scores:
                continue
            values = row.scores[clip].values
            lag, best = values["lip_lag"], values["lip_corr_best"]
            if not isinstance(lag, NotAvailable) and not isinstance(best, NotAvailable) and best >= AGREES:
                lags.append(lag)
        if len(lags) >= 2 and (min(lags) >= LATE or max(lags) <= -LATE):
            where = "late" if max(lags) < 0 else "early"
            remarks.append(
                f"{clip}: {len(lags)} methods fit the truth best at lags of {min(lags):+.0f} to {max(lags):+.0f} "
                f"frames: the true video may itself be {where} by about {abs(statistics.median(lags)):.0f} frames"
            )
    return remarks


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
