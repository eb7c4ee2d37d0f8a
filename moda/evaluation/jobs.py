"""Which videos are scored against which: one job a clip, or the reason why it cannot be scored."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path

from moda.errors import DataError, few
from moda.evaluation.controls import CONTROLS
from moda.evaluation.folders import GeneratedClips, MadeClip, TrueClips
from moda.evaluation.framing import NotScored, untracked
from moda.evaluation.results import MethodScores
from moda.evaluation.tracking import TrackFile, Unreadable
from moda.metrics.registry import MetricSettings

Tracks = Mapping[Path, TrackFile | Unreadable]


@dataclass(frozen=True)
class TrackedVideo:
    """A video and its track, which is read when it is needed: those of all clips together would fill the memory."""

    path: Path
    track: TrackFile


@dataclass(frozen=True)
class MethodClip:
    """One method's video of a clip: its track, the tracks of all seeds, and how it was generated."""

    name: str
    video: TrackedVideo
    samples: tuple[TrackedVideo, ...] = ()
    made: MadeClip = field(default_factory=MadeClip)


@dataclass(frozen=True)
class OtherVideo:
    """Another clip, whose mouth a control shows."""

    name: str
    video: TrackedVideo
    other_person: bool


@dataclass(frozen=True)
class ClipJob:
    """All of one clip's rows.

    true: the true video. methods: those that have a video of it. other: whose mouth a control shows.
    metrics, samplers: keys of those to compute, by name. output: where cache/ and frames/ are.
    """

    clip: str
    true: TrackedVideo
    methods: tuple[MethodClip, ...]
    other: OtherVideo | None
    metrics: Mapping[str, str]
    samplers: Mapping[str, str]
    settings: MetricSettings
    output: Path


def paired_clips(
    true_dir: Path, true: TrueClips, generated: Mapping[str, Path], methods: Mapping[str, GeneratedClips]
) -> set[str]:
    """Clips that have a true video and one of some method; raises `DataError` if there is none."""
    paired = {clip for method in methods.values() for clip in method.videos if clip in true.videos}
    if not paired:
        stems = sorted({clip for method in methods.values() for clip in method.videos})
        raise DataError(
            f"no pairs: no file stem of {', '.join(map(str, generated.values()))} ({few(stems)}) "
            f"is one of {true_dir} ({few(sorted(true.videos))})"
        )
    return paired


def videos_to_track(true: TrueClips, methods: Mapping[str, GeneratedClips], paired: Collection[str]) -> list[Path]:
    """Videos to track: both sides of every pair whose name is unique, and all its seeds."""
    wanted = [paths[0] for clip, paths in true.videos.items() if clip in paired and len(paths) == 1]
    for method in methods.values():
        wanted += [paths[0] for clip, paths in method.videos.items() if clip in paired and len(paths) == 1]
        wanted += [path for clip, paths in method.samples.items() if clip in paired for path in paths]
    return list(dict.fromkeys(wanted))


def clip_jobs(
    rows: Sequence[MethodScores],
    true: TrueClips,
    methods: Mapping[str, GeneratedClips],
    paired: Sequence[str],
    tracks: Tracks,
    metrics: Mapping[str, str],
    samplers: Mapping[str, str],
    settings: MetricSettings,
    output: Path,
) -> list[ClipJob]:
    """One job for each clip that can be scored at all; for the rest, the reasons go into the rows."""
    by_name = {row.name: row for row in rows}
    true_videos = {clip: _tracked(true.videos[clip], tracks) for clip in paired}
    lenders = [
        (name, video)
        for name, video in true_videos.items()
        if isinstance(video, TrackedVideo) and not untracked(video.track.frames, video.track.faceless)
    ]
    jobs = []
    for clip in sorted(set(true.videos).union(*(method.videos for method in methods.values()))):
        truth = true_videos.get(clip)
        candidates = []
        for name, method in methods.items():
            if clip not in method.videos and clip not in true.videos:
                continue  # a clip of another method only
            if clip not in method.videos:
                by_name[name].refused[clip] = method.failed.get(clip) or "no generated video of this name"
            elif clip not in true.videos:
                by_name[name].refused[clip] = "no true video of this name"
            else:
                video = _tracked(method.videos[clip], tracks)
                if isinstance(truth, TrackedVideo) and isinstance(video, TrackedVideo):
                    candidates.append(_method_clip(name, clip, method, video, tracks))
                else:
                    whys = [found.why for found in (truth, video) if isinstance(found, NotScored)]
                    by_name[name].refused[clip] = "; ".join(whys)
        if isinstance(truth, TrackedVideo):
            other = _other(clip, lenders, true.identities)
            jobs.append(ClipJob(clip, truth, tuple(candidates), other, metrics, samplers, settings, output))
        elif isinstance(truth, NotScored):
            for name in CONTROLS:
                by_name[name].refused[clip] = truth.why
    return jobs


def _method_clip(name: str, clip: str, method: GeneratedClips, video: TrackedVideo, tracks: Tracks) -> MethodClip:
    samples = [_tracked([path], tracks) for path in method.samples.get(clip, ())]
    good = tuple(sample for sample in samples if isinstance(sample, TrackedVideo))
    return MethodClip(name, video, good if len(good) > 1 else (), method.made.get(clip, MadeClip()))


def _other(clip: str, lenders: Sequence[tuple[str, TrackedVideo]], identities: Mapping[str, str]) -> OtherVideo | None:
    """The next clip of another person, in the order of names and around; where people are not known, the next clip.

    lenders: clips with a face, by name.
    """
    place = bisect_right(lenders, clip, key=itemgetter(0))
    known = clip in identities
    for step in range(len(lenders)):
        name, video = lenders[(place + step) % len(lenders)]
        other_person = known and identities.get(name, identities[clip]) != identities[clip]
        if name != clip and (other_person or not known):
            return OtherVideo(name, video, other_person)
    return None


def _tracked(paths: list[Path], tracks: Tracks) -> TrackedVideo | NotScored:
    if len(paths) > 1:
        return NotScored(f"several videos of this name: {', '.join(path.name for path in paths)} in {paths[0].parent}")
    track = tracks[paths[0]]
    return NotScored(track.why) if isinstance(track, Unreadable) else TrackedVideo(paths[0], track)
