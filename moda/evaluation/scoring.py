"""Scores of one clip in every row: methods and controls, one clip after another or in several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from moda.errors import MediaError
from moda.evaluation.cache import ClipCache
from moda.evaluation.controls import CONTROLS, ControlClip, OtherClip
from moda.evaluation.folders import MadeClip, audio_file
from moda.evaluation.framing import Framed, NotScored, frame_box, frame_pair, true_face
from moda.evaluation.report.strips import moments_of, write_strip
from moda.evaluation.results import ClipScore
from moda.evaluation.tracking import content_hash, tracker_version
from moda.imaging.crop import Box
from moda.media.audio import read_audio
from moda.media.video import VideoInfo, probe
from moda.metrics import METRICS
from moda.metrics.pictures import PicturePair, VideoPictures
from moda.metrics.registry import NOT_RECORDED, ONE_SAMPLE, ClipPair, MetricSettings, NotAvailable, Value
from moda.metrics.tracks import FaceTrack, VideoTrack
from moda.processes import end_with_parent
from moda.representation import FPS, samples_at

VERSION = 1
"""Raised whenever the same videos would reach the metrics otherwise: framing, controls, audio, pictures."""
MIN_PARALLEL_FRAMES = 2000
"""Frames of all videos from which several processes are worth their start."""
NO_CONTROL_PICTURES = NotAvailable("a control made of landmarks")


@dataclass(frozen=True)
class TrackedVideo:
    """A video and its track."""

    path: Path
    track: VideoTrack


@dataclass(frozen=True)
class MethodClip:
    """One method's video of a clip: its track, the tracks of all seeds, and what is known of its making."""

    name: str
    video: TrackedVideo
    samples: tuple[TrackedVideo, ...] = ()
    made: MadeClip = field(default_factory=MadeClip)


@dataclass(frozen=True)
class OtherVideo:
    """Another clip, whose mouth a control borrows."""

    name: str
    video: TrackedVideo
    other_person: bool


@dataclass(frozen=True)
class ClipJob:
    """All of one clip's rows.

    true: the true video. methods: those that have a video of it. other: whose mouth a control borrows.
    metrics: names of those to compute. output: where cache/ and frames/ are.
    """

    clip: str
    true: TrackedVideo
    methods: tuple[MethodClip, ...]
    other: OtherVideo | None
    metrics: tuple[str, ...]
    settings: MetricSettings
    output: Path


Result = ClipScore | NotScored


def score_clips(jobs: Sequence[ClipJob], processes: int, done: Callable[[str], None]) -> dict[str, dict[str, Result]]:
    """Results by clip and row. done: called with each clip's name. Raises `OutputError`."""
    results: dict[str, dict[str, Result]] = {}
    frames = sum(len(job.true.track) * (1 + len(job.methods)) for job in jobs)
    if processes == 1 or len(jobs) < 2 or frames < MIN_PARALLEL_FRAMES:
        for job in jobs:
            results[job.clip] = score_clip(job)
            done(job.clip)
        return results
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(processes, len(jobs)), mp_context=context, initializer=end_with_parent)
    try:
        futures = {pool.submit(_score_in_process, job): job for job in jobs}
        for future in as_completed(futures):
            job = futures[future]
            try:
                results[job.clip] = future.result()
            except BrokenProcessPool:
                died = NotScored("a scoring process died while this clip was waiting or being scored")
                results[job.clip] = dict.fromkeys([*(m.name for m in job.methods), *CONTROLS], died)
            done(job.clip)
    finally:
        pool.shutdown(cancel_futures=True)
    return results


def _score_in_process(job: ClipJob) -> dict[str, Result]:
    import torch

    torch.set_num_threads(1)  # the processes share the cores
    return score_clip(job)


def score_clip(job: ClipJob) -> dict[str, Result]:
    """One clip's result in every method's row that has it, then in every control's."""
    return _ClipScorer(job).results()


class _ClipScorer:
    """What the rows of one clip share: the true face, its frames and its audio."""

    def __init__(self, job: ClipJob) -> None:
        self.job = job
        self.metrics = {name: METRICS[name] for name in job.metrics}
        self.true = job.true
        self.moments: tuple[int, ...] = ()
        self._content: dict[Path, str] = {}
        self._true_pictures: dict[Box, VideoPictures] = {}

    def results(self) -> dict[str, Result]:
        face = true_face(self.true.track)
        if isinstance(face, NotScored):
            return dict.fromkeys([*(m.name for m in self.job.methods), *CONTROLS], face)
        self.moments = moments_of(face.opening)
        results: dict[str, Result] = {method.name: self.method(method) for method in self.job.methods}
        other = self.job.other
        lender: OtherClip | None = None
        if other is not None:
            lent = true_face(other.video.track)
            lender = None if isinstance(lent, NotScored) else OtherClip(other.name, lent, other.other_person)
        return results | {name: self.control(name, face, lender) for name in CONTROLS}

    def method(self, method: MethodClip) -> Result:
        """Score one method's video."""
        framed = frame_pair(self.true.track, method.video.track, method.made.shown)
        if isinstance(framed, NotScored):
            return framed
        path = method.video.path
        info = _facts(path)
        audio = path if info is not None and info.has_audio else None
        source = audio or self.audio
        notes = [*framed.notes, *self._notes(info, audio)]
        sources = (
            VERSION, tracker_version(), "method", self.content(self.true.path), self.content(path),
            tuple(self.content(sample.path) for sample in method.samples), self.content(source),
            method.made, framed.true_box, framed.generated_box,
        )  # fmt: skip
        cache = ClipCache(self.job.output / "cache", *sources)
        pictures = self.pictures(framed, method, info)

        def build() -> ClipPair:
            factor = method.made.real_time_factor
            return ClipPair(
                framed.pair, self.wave(source, len(framed.pair), notes), pictures, framed.other_framing,
                self.samples(method), NOT_RECORDED if factor is None else factor, self.job.settings,
            )  # fmt: skip

        values = self.measure(cache, build)
        name = f"{self.job.clip}__{method.name}__{cache.digest[:8]}"
        strip = write_strip(self.job.output, name, pictures, "generated", self.moments)
        opening = framed.pair.generated.opening.astype(np.float32)
        return ClipScore(values, len(framed.pair), tuple(notes), opening, strip)

    def control(self, name: str, face: FaceTrack, other: OtherClip | None) -> Result:
        """Score one control."""
        made = CONTROLS[name](face, other)
        if isinstance(made, NotAvailable):
            return NotScored(made.why)
        lender = self.job.other
        sources = (
            VERSION, tracker_version(), name, self.content(self.true.path), self.content(self.audio),
            None if made.start is not None or lender is None else self.content(lender.video.path),
        )  # fmt: skip
        cache = ClipCache(self.job.output / "cache", *sources)
        pictures = self.control_pictures(made)
        notes = list(made.notes)

        def build() -> ClipPair:
            wave = self.wave(self.audio, len(made.tracks), notes)
            return ClipPair(made.tracks, wave, pictures, settings=self.job.settings)

        values = self.measure(cache, build)
        strip = None
        if made.start == 0:
            strip = write_strip(
                self.job.output, f"{self.job.clip}__truth__{cache.digest[:8]}", pictures, "true", self.moments
            )
        opening = made.tracks.generated.opening.astype(np.float32)
        return ClipScore(values, len(made.tracks), tuple(notes), opening, strip)

    def measure(self, cache: ClipCache, build: Callable[[], ClipPair]) -> dict[str, Value]:
        """Values by metric: from the cache where they are there, else computed and kept."""
        kept = cache.read(self.metrics, self.job.settings)
        if kept.keys() == self.metrics.keys():
            return kept
        clip = build()
        values = {name: kept[name] if name in kept else metric.measure(clip) for name, metric in self.metrics.items()}
        if values != kept:
            cache.write(values, self.metrics, self.job.settings)
        return values

    def pictures(self, framed: Framed, method: MethodClip, info: VideoInfo | None) -> PicturePair | NotAvailable:
        """The frames of a method's pair."""
        if info is None or self.true_info is None:
            return NotAvailable("the frames cannot be read")
        video = method.video
        return PicturePair(
            self.true_pictures(framed.true_box),
            VideoPictures(video.path, framed.generated_box, len(video.track)),
            len(framed.pair),
        )

    def control_pictures(self, made: ControlClip) -> PicturePair | NotAvailable:
        """The frames of a control that shows the truth."""
        if made.start is None:
            return NO_CONTROL_PICTURES
        if self.true_info is None:
            return NotAvailable("the frames cannot be read")
        true = self.true_pictures(frame_box(self.true.track))
        return PicturePair(true, true, len(made.tracks), 0, made.start)

    def true_pictures(self, box: Box) -> VideoPictures:
        """The true video's frames in a square of it; the same object for the same square."""
        if box not in self._true_pictures:
            self._true_pictures[box] = VideoPictures(self.true.path, box, len(self.true.track))
        return self._true_pictures[box]

    def samples(self, method: MethodClip) -> tuple[FaceTrack, ...] | NotAvailable:
        """The faces of all seeds on common ground, all as long as the shortest."""
        if not method.samples:
            return ONE_SAMPLE
        faces = []
        for number, sample in enumerate(method.samples):
            framed = frame_pair(self.true.track, sample.track, method.made.shown)
            if isinstance(framed, NotScored):
                return NotAvailable(f"sample {number}: {framed.why}")
            faces.append(framed.pair.generated)
        frames = min(map(len, faces))
        return tuple(face.cut(0, frames) for face in faces)

    @cached_property
    def true_info(self) -> VideoInfo | None:
        """What the true video's file holds; None if it cannot be read."""
        return _facts(self.true.path)

    @cached_property
    def audio(self) -> Path | None:
        """The file with the true audio, if there is one."""
        path = audio_file(self.true.path)
        if path != self.true.path:
            return path
        return path if self.true_info is not None and self.true_info.has_audio else None

    def wave(self, source: Path | None, frames: int, notes: list[str]) -> np.ndarray | None:
        """The first `frames` frames of a file's audio; what went wrong is noted."""
        if source is None:
            return None
        try:
            return read_audio(source)[: samples_at(frames)]
        except MediaError as error:
            notes.append(f"the audio cannot be read: {error}")
            return None

    def content(self, path: Path | None) -> str | None:
        """Digest of a file, read once."""
        if path is None:
            return None
        if path not in self._content:
            self._content[path] = content_hash(path)
        return self._content[path]

    def _notes(self, info: VideoInfo | None, audio: Path | None) -> Iterable[str]:
        for name, facts in (("generated", info), ("true", self.true_info)):
            if facts is not None and abs(facts.fps - FPS) > 0.01:
                yield f"other frame rate: the {name} video has {facts.fps:.5g} frames/s, read at {FPS:g} by time"
        if audio is None:
            yield (
                "no audio in either video"
                if self.audio is None
                else "the generated video has no audio: the true video's is used"
            )


def _facts(path: Path) -> VideoInfo | None:
    try:
        return probe(path)
    except MediaError:
        return None
