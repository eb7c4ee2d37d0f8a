"""Scores of one clip in every row: each method's video and each control, framed, measured and cached."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path

import numpy as np

from moda.errors import MediaError, ModaError, OutputError
from moda.evaluation.cache import ClipCache
from moda.evaluation.clip_results import CACHE_FOLDER, SCORING_VERSION, Result, curve_of, keep_results
from moda.evaluation.controls import CONTROLS, ControlClip, OtherClip
from moda.evaluation.folders import audio_file
from moda.evaluation.framing import Framed, NotScored, frame_box, frame_pair, true_face
from moda.evaluation.jobs import ClipJob, MethodClip
from moda.evaluation.report.strips import moments_of, write_strip
from moda.evaluation.results import ClipScore, ClipValues
from moda.evaluation.tracking import MAX_TRACKED_FRAMES, content_hash, tracker_version
from moda.files import write_npz
from moda.imaging.crop import Box
from moda.media.audio import read_audio
from moda.media.video import VideoInfo, probe
from moda.metrics import METRICS
from moda.metrics.pictures import PicturePair, VideoPictures
from moda.metrics.registry import (
    NOT_RECORDED,
    ONE_SAMPLE,
    ClipPair,
    NotAvailable,
    Value,
)
from moda.metrics.samples import SAMPLERS
from moda.metrics.tracks import FaceTrack, VideoTrack
from moda.representation import FPS, samples_at

NO_CONTROL_PICTURES = NotAvailable("a control made of landmarks")
UNREADABLE_PICTURES = NotAvailable("the frames cannot be read")


def score_clip(job: ClipJob) -> dict[str, Result]:
    """One clip's result in every method's row that has it, then in every control's; kept for the next call."""
    results = _ClipScorer(job).results()
    keep_results(job, results)
    return results


class _ClipScorer:
    """Scores the rows of one clip, which share the true face, its frames and its audio."""

    def __init__(self, job: ClipJob) -> None:
        self.job = job
        self.metrics = {name: METRICS[name] for name in job.metrics}
        self.true = job.true
        self.true_track = job.true.track.load()
        self.moments: tuple[int, ...] = ()
        self._content: dict[Path, str] = {}
        self._waves: dict[Path, np.ndarray] = {}
        self._true_pictures: dict[Box, VideoPictures] = {}

    def results(self) -> dict[str, Result]:
        face = true_face(self.true_track)
        if isinstance(face, NotScored):
            return dict.fromkeys([*(m.name for m in self.job.methods), *CONTROLS], face)
        self.moments = moments_of(face.opening)
        results: dict[str, Result] = {method.name: self.method(method) for method in self.job.methods}
        other = self.job.other
        lender: OtherClip | None = None
        if other is not None:
            found = true_face(other.video.track.load())
            lender = None if isinstance(found, NotScored) else OtherClip(other.name, found, other.other_person)
        return results | {name: self.control(name, face, lender) for name in CONTROLS}

    def method(self, method: MethodClip) -> Result:
        """Score one method's video."""
        made, track = method.made, method.video.track.load()
        framed = frame_pair(self.true_track, track, made.shown, made.starts)
        if isinstance(framed, NotScored):
            return framed
        path = method.video.path
        info = _facts(path)
        audio = path if info is not None and info.has_audio else None
        source = audio or self.audio
        notes = [*framed.notes, *self._notes(info, audio, made.sound_of)]
        if len(framed.pair) >= MAX_TRACKED_FRAMES:
            notes.append(f"long: the first {MAX_TRACKED_FRAMES / FPS / 60:g} minutes are scored")
        sources = (
            SCORING_VERSION, tracker_version(), "method", self.content(self.true.path), self.content(path),
            tuple(self.content(sample.path) for sample in method.samples), self.content(source),
            method.made, framed.true_box, framed.generated_box, len(framed.pair),
        )  # fmt: skip
        cache = ClipCache(self.job.output / CACHE_FOLDER, *sources)
        pictures = self.pictures(framed, method, track, info)
        skipped = 0 if audio is not None else made.starts

        def build() -> ClipPair:
            factor = made.real_time_factor
            return ClipPair(
                framed.pair, self.wave(source, len(framed.pair), notes, skipped), pictures, framed.other_framing,
                self.samples(method), NOT_RECORDED if factor is None else factor, self.job.settings, self.job.clip,
            )  # fmt: skip

        values, samples = self.measure(cache, build)
        name = f"{self.job.clip}__{method.name}__{cache.digest[:8]}"
        moments = tuple(moment - made.starts for moment in self.moments)
        strip = write_strip(self.job.output, name, pictures, "generated", moments)
        opening = np.r_[np.full(made.starts, np.nan), framed.pair.generated.opening]
        return ClipScore(ClipValues(values), len(framed.pair), tuple(notes), curve_of(opening), strip, samples)

    def control(self, name: str, face: FaceTrack, other: OtherClip | None) -> Result:
        """Score one control."""
        made = CONTROLS[name](face, other)
        if isinstance(made, NotAvailable):
            return NotScored(made.why)
        lender = self.job.other
        sources = (
            SCORING_VERSION, tracker_version(), name, self.content(self.true.path), self.content(self.audio),
            None if made.start is not None or lender is None else self.content(lender.video.path), len(made.tracks),
        )  # fmt: skip
        cache = ClipCache(self.job.output / CACHE_FOLDER, *sources)
        pictures = self.control_pictures(made)
        notes = list(made.notes)

        def build() -> ClipPair:
            wave = self.wave(self.audio, len(made.tracks), notes)
            return ClipPair(made.tracks, wave, pictures, settings=self.job.settings, name=self.job.clip)

        values, samples = self.measure(cache, build)
        strip = opening = None
        if made.start == 0:  # pages draw no other control
            opening = curve_of(made.tracks.generated.opening)
            strip = write_strip(
                self.job.output, f"{self.job.clip}__truth__{cache.digest[:8]}", pictures, "true", self.moments
            )
        return ClipScore(ClipValues(values), len(made.tracks), tuple(notes), opening, strip, samples)

    def measure(
        self, cache: ClipCache, build: Callable[[], ClipPair]
    ) -> tuple[dict[str, Value], dict[str, str | NotAvailable]]:
        """Values by metric, files of rows by sampler: from the cache if they are there, else computed and cached."""
        cached = cache.read(self.job.metrics)
        files = {name: cache.rows(name, key) for name, key in self.job.samplers.items()}
        if cached.keys() == self.metrics.keys() and all(path.is_file() for path in files.values()):
            return cached, {name: path.name for name, path in files.items()}
        clip = build()
        values = {
            name: cached[name] if name in cached else metric.measure(clip) for name, metric in self.metrics.items()
        }
        if values != cached:
            cache.write(values, self.job.metrics)
        return values, {
            name: path.name if path.is_file() else _sample(name, clip, path) for name, path in files.items()
        }

    def pictures(
        self, framed: Framed, method: MethodClip, track: VideoTrack, info: VideoInfo | None
    ) -> PicturePair | NotAvailable:
        """The frames of a method's pair."""
        if info is None or self.true_info is None:
            return UNREADABLE_PICTURES
        box, panel = framed.generated_box, method.made.panel
        if panel is not None:
            box = box._replace(left=box.left + panel.number * track.width)
        return PicturePair(
            self.true_pictures(framed.true_box),
            VideoPictures(method.video.path, box, len(track)),
            len(framed.pair),
            method.made.starts,
        )

    def control_pictures(self, made: ControlClip) -> PicturePair | NotAvailable:
        """The frames of a control that shows the truth."""
        if made.start is None:
            return NO_CONTROL_PICTURES
        if self.true_info is None:
            return UNREADABLE_PICTURES
        true = self.true_pictures(frame_box(self.true_track))
        return PicturePair(true, true, len(made.tracks), 0, made.start)

    def true_pictures(self, box: Box) -> VideoPictures:
        """The true video's frames in a square of it; the same object for the same square."""
        if box not in self._true_pictures:
            self._true_pictures[box] = VideoPictures(self.true.path, box, len(self.true_track))
        return self._true_pictures[box]

    def samples(self, method: MethodClip) -> tuple[FaceTrack, ...] | NotAvailable:
        """The faces of all seeds in the square frame, all as long as the shortest."""
        if not method.samples:
            return ONE_SAMPLE
        faces = []
        for number, sample in enumerate(method.samples):
            framed = frame_pair(self.true_track, sample.track.load(), method.made.shown)
            if isinstance(framed, NotScored):
                return NotAvailable(f"sample {number}: {framed.why}")
            faces.append(framed.pair.generated)
        frames = min(map(len, faces))
        return tuple(face.cut(0, frames) for face in faces)

    @cached_property
    def true_info(self) -> VideoInfo | None:
        """Streams of the true video's file; None if it cannot be read."""
        return _facts(self.true.path)

    @cached_property
    def audio(self) -> Path | None:
        """The file with the true audio, if there is one."""
        path = audio_file(self.true.path)
        if path != self.true.path:
            return path
        return path if self.true_info is not None and self.true_info.has_audio else None

    def wave(self, source: Path | None, frames: int, notes: list[str], skipped: int = 0) -> np.ndarray | None:
        """`frames` frames of a file's audio, after those skipped; an error is added to `notes`."""
        if source is None:
            return None
        if source not in self._waves:
            try:
                self._waves[source] = read_audio(source)
            except MediaError as error:
                notes.append(f"the audio cannot be read: {error}")
                return None
        return self._waves[source][samples_at(skipped) : samples_at(skipped + frames)]

    def content(self, path: Path | None) -> str | None:
        """Digest of a file, read once."""
        if path is None:
            return None
        if path not in self._content:
            self._content[path] = content_hash(path)
        return self._content[path]

    def _notes(self, info: VideoInfo | None, audio: Path | None, sound_of: str | None) -> Iterable[str]:
        for name, facts in (("generated", info), ("true", self.true_info)):
            if facts is not None and abs(facts.fps - FPS) > 0.01:
                yield f"other frame rate: the {name} video has {facts.fps:.5g} frames/s, read at {FPS:g} by time"
        if audio is None and sound_of is not None and info is not None:
            yield f"{sound_of} writes sound into its results, this one has none: its last step may have failed"
        if audio is None:
            yield (
                "no audio in either video"
                if self.audio is None
                else "the generated video has no audio: the true video's is used"
            )


def _sample(name: str, clip: ClipPair, path: Path) -> str | NotAvailable:
    """Write a clip's rows, unless there are none; the file's name. Raises `OutputError`."""
    try:
        rows = SAMPLERS[name].sample(clip)
    except OutputError:
        raise
    except ModaError as error:
        return NotAvailable(" ".join(str(error).split()), lasting=False)
    if isinstance(rows, NotAvailable):
        return rows
    write_npz(path, {"rows": rows})
    return path.name


def _facts(path: Path) -> VideoInfo | None:
    try:
        return probe(path)
    except MediaError:
        return None
