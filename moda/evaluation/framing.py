"""A pair of videos in common frames and in pixels of one square frame, or the reason why that cannot be done."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moda.imaging.crop import Box, from_frame, square_box, to_frame
from moda.metrics.tracks import FaceTrack, PairedTracks, VideoTrack
from moda.representation import FPS, FRAME

MAX_UNTRACKED_SHARE = 0.10
"""Largest share of frames without a face; a video with more is not scored."""
MAX_ASPECT_DIFFERENCE = 0.02
"""Largest relative difference of aspect ratio between a pair in one frame."""
MAX_HEAD_SIZE_RATIO = 1.25
"""Largest ratio of head sizes between a pair in one frame, either way (medians over the clip)."""
MAX_HEAD_OFFSET_SHARE = 0.15
"""Largest distance between head positions of a pair in one frame, as a share of its side (medians)."""
NOTED_HEAD_SIZE_RATIO, NOTED_HEAD_OFFSET_SHARE = 1.05, 0.03
"""From these on, an allowed difference is noted: distances in pixels include it."""


@dataclass(frozen=True)
class NotScored:
    """A clip that cannot be scored, and the reason in words."""

    why: str


@dataclass(frozen=True)
class Framed:
    """A pair in the square frame, with notes for the reader of its scores.

    pair: both in pixels of a square frame. other_framing: why positions of the two cannot be compared (each
    is then in a square frame of its own, and only aligned measures are comparable); None when they can.
    true_box, generated_box: the squares of the two pictures that show the same, in pixels of each.
    """

    pair: PairedTracks
    notes: tuple[str, ...]
    other_framing: str | None
    true_box: Box
    generated_box: Box


def frame_box(track: VideoTrack) -> Box:
    """The square frame of a video: all of it when it is square, else the crop preparation would cut."""
    if track.width == track.height:
        return Box(0, 0, track.width)
    return square_box(track.landmarks[track.tracked], track.width, track.height)


def true_face(true: VideoTrack) -> FaceTrack | NotScored:
    """The true track in pixels of its square frame, or why it cannot be used."""
    why = untracked(len(true), int((~true.tracked).sum()))
    return NotScored(f"true video: {why}") if why else FaceTrack(to_frame(true.landmarks, frame_box(true)))


def frame_pair(
    true: VideoTrack, generated: VideoTrack, shown: Box | None = None, starts: int = 0
) -> Framed | NotScored:
    """Cut both to their common length and bring both into the true video's square frame, if that can be done.

    shown: the square of the true picture that the generated video is known to show, where it is a crop of
    it. Otherwise both should show the same picture, at any resolution; where the head is not as large and
    in the same place, or the shape of the picture is another, `other_framing` is set. starts: the true frame that
    the generated video shows first.
    """
    face = true_face(true)
    if isinstance(face, NotScored):
        return face
    why = untracked(len(generated), int((~generated.tracked).sum()))
    if why:
        return NotScored(f"generated video: {why}")
    frames = min(len(true) - starts, len(generated))
    if frames < 1:
        return NotScored(f"the true video has {len(true)} frames, the generated one begins with its frame {starts}")
    face = face.cut(starts, starts + frames)
    box = frame_box(true)
    notes = _notes(true, generated, shown, frames, starts)

    other = _other_shape(true, generated) if shown is None else None
    if other is None:
        if shown is None:
            landmarks = generated.landmarks[:frames] * (true.width / generated.width)
        else:
            landmarks = from_frame(to_frame(generated.landmarks[:frames], Box(0, 0, generated.width)), shown)
        pair = PairedTracks(face, FaceTrack(to_frame(landmarks, box)))
        if pair.valid.any():
            other, note = _place(pair)
            notes += [] if note is None else [note]
    if other is not None:
        own = to_frame(generated.landmarks[:frames], frame_box(generated))
        pair = PairedTracks(face, FaceTrack(own))
        notes.append(f"{other}: only aligned measures compare the two")
    if not pair.valid.any():
        return NotScored("no frame of the common part has a face in both videos")
    if not pair.valid.all():
        notes.append(f"no face in {int((~pair.valid).sum())} of {frames} frames, left out")
    if other is not None:
        boxes = box, frame_box(generated)
    elif shown is not None:
        boxes = shown, Box(0, 0, generated.width)
    else:
        boxes = box, scaled_box(box, generated.width / true.width, generated.width, generated.height)
    return Framed(pair, tuple(notes), other, *boxes)


def scaled_box(box: Box, factor: float, width: int, height: int) -> Box:
    """A square of a picture in another resolution of it, whole pixels, inside the picture."""
    side = min(round(box.side * factor), width, height)
    left = min(max(round(box.left * factor), 0), width - side)
    return Box(left, min(max(round(box.top * factor), 0), height - side), side)


def _notes(true: VideoTrack, generated: VideoTrack, shown: Box | None, frames: int, starts: int) -> list[str]:
    notes = []
    if starts:
        notes.append(f"begins with the true video's frame {starts}, at {FPS:g} a second, and is compared from there")
    if shown is not None:
        notes.append(f"shows the square of the true picture at ({shown.left}, {shown.top}), side {shown.side}")
    elif (generated.width, generated.height) != (true.width, true.height):
        notes.append(f"other resolution: {_sizes(true, generated)}")
    if true.width != true.height:
        notes.append("not square: scored in the crop that preparation would cut")
    if len(true) != len(generated):
        notes.append(
            f"other length: generated {len(generated)} frames, true {len(true)}; "
            f"{'' if starts else 'the first '}{frames} compared"
        )
    return notes


def _sizes(true: VideoTrack, generated: VideoTrack) -> str:
    return f"generated {generated.width}x{generated.height}, true {true.width}x{true.height}"


def untracked(frames: int, faceless: int) -> str | None:
    """Why a video of which so many frames show no face cannot be scored, if it cannot."""
    if frames == 0:
        return "no frames"
    if faceless > MAX_UNTRACKED_SHARE * frames:
        return f"no face in {faceless} of {frames} frames (more than {MAX_UNTRACKED_SHARE:.0%})"
    return None


def _other_shape(true: VideoTrack, generated: VideoTrack) -> str | None:
    aspect = (generated.width / generated.height) / (true.width / true.height)
    return f"other aspect ratio: {_sizes(true, generated)}" if abs(aspect - 1) > MAX_ASPECT_DIFFERENCE else None


def _place(pair: PairedTracks) -> tuple[str | None, str | None]:
    """Why the two heads are not in one place, or else a note on it, from medians over the tracked frames."""
    size = np.median(pair.generated.pose.scale) / np.median(pair.true.pose.scale)
    offset = np.median(pair.generated.pose.translation[:, :2], axis=0) - np.median(
        pair.true.pose.translation[:, :2], axis=0
    )
    distance = float(np.linalg.norm(offset)) / FRAME
    words = f"the generated head is {size:.2f} times as large and {distance:.0%} of the frame away"
    ratio = max(size, 1 / size)
    if ratio > MAX_HEAD_SIZE_RATIO or distance > MAX_HEAD_OFFSET_SHARE:
        return f"other framing: {words} (at most {MAX_HEAD_SIZE_RATIO} times and {MAX_HEAD_OFFSET_SHARE:.0%})", None
    if ratio > NOTED_HEAD_SIZE_RATIO or distance > NOTED_HEAD_OFFSET_SHARE:
        return None, f"{words}: LMD, LMD-v and MA hold that too"
    return None, None
