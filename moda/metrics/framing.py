"""Two videos on common ground: the same frames, and pixels of one square frame, or a reason why not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moda.media.crop import Box, square_box, to_frame
from moda.metrics.tracks import FaceTrack, PairedTracks, VideoTrack
from moda.representation import FRAME

MAX_UNTRACKED = 0.10
"""Largest share of frames without a face; a video with more is not scored."""
MAX_ASPECT = 0.02
"""Largest relative difference of aspect ratio between a pair."""
MAX_SIZE = 1.25
"""Largest ratio of head sizes between a pair, either way (medians over the clip)."""
MAX_OFFSET = 0.15
"""Largest distance between head positions of a pair, as a share of the frame's side (medians)."""


@dataclass(frozen=True)
class NotScored:
    """A clip that cannot be scored, and the reason in words."""

    why: str


@dataclass(frozen=True)
class Framed:
    """A pair on common ground, with what a reader of its scores should know."""

    pair: PairedTracks
    notes: tuple[str, ...]


def frame_box(true: VideoTrack) -> Box:
    """The square frame of a true video: all of it when it is square, else the crop preparation would cut."""
    if true.width == true.height:
        return Box(0, 0, true.width)
    return square_box(true.landmarks[true.tracked], true.width, true.height)


def true_face(true: VideoTrack) -> FaceTrack | NotScored:
    """The true track in pixels of its square frame, or why it cannot be used."""
    why = _untracked(true)
    return NotScored(f"true video: {why}") if why else FaceTrack(to_frame(true.landmarks, frame_box(true)))


def frame_pair(true: VideoTrack, generated: VideoTrack) -> Framed | NotScored:
    """Cut both to their common length, scale both to the true video's square frame, compare framings.

    The generated video may have another resolution, but must show the head as large and in the
    same place: distances in pixels between two crops would mean nothing.
    """
    face = true_face(true)
    if isinstance(face, NotScored):
        return face
    why = _untracked(generated)
    if why:
        return NotScored(f"generated video: {why}")
    sizes = f"generated {generated.width}x{generated.height}, true {true.width}x{true.height}"
    aspect = (generated.width / generated.height) / (true.width / true.height)
    if abs(aspect - 1) > MAX_ASPECT:
        return NotScored(f"other aspect ratio: {sizes}; cut both to the same picture")

    notes = []
    if (generated.width, generated.height) != (true.width, true.height):
        notes.append(f"other resolution: {sizes}")
    if true.width != true.height:
        notes.append("not square: scored in the crop that preparation would cut")
    scaled = generated.landmarks * (true.width / generated.width)
    frames = min(len(true), len(generated))
    if len(true) != len(generated):
        notes.append(f"other length: generated {len(generated)} frames, true {len(true)}; the first {frames} compared")
    pair = PairedTracks(face.cut(0, frames), FaceTrack(to_frame(scaled[:frames], frame_box(true))))
    if not pair.valid.any():
        return NotScored("no frame of the common part has a face in both videos")
    if not pair.valid.all():
        notes.append(f"no face in {int((~pair.valid).sum())} of {frames} frames, left out")
    why = _other_framing(pair)
    return NotScored(why) if why else Framed(pair, tuple(notes))


def _untracked(track: VideoTrack) -> str | None:
    if len(track) == 0:
        return "no frames"
    missing = int((~track.tracked).sum())
    if missing > MAX_UNTRACKED * len(track):
        return f"no face in {missing} of {len(track)} frames (more than {MAX_UNTRACKED:.0%})"
    return None


def _other_framing(pair: PairedTracks) -> str | None:
    """Why the two videos show the head differently, if they do, from medians over the tracked frames."""
    size = np.median(pair.generated.pose.scale) / np.median(pair.true.pose.scale)
    offset = np.median(pair.generated.pose.translation[:, :2], axis=0) - np.median(
        pair.true.pose.translation[:, :2], axis=0
    )
    distance = float(np.linalg.norm(offset)) / FRAME
    if max(size, 1 / size) <= MAX_SIZE and distance <= MAX_OFFSET:
        return None
    return (
        f"other framing: the generated head is {size:.2f} times as large and {distance:.0%} of the frame away "
        f"(at most {MAX_SIZE} times and {MAX_OFFSET:.0%}); cut both to the same crop"
    )
