"""The portrait of a reference picture: its face, pose, shoulders, person mask and what lies around its square."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from moda.errors import FaceError, MediaError
from moda.geometry import fit_head_pose, subject_mesh, to_canonical
from moda.imaging.crop import Box, crop_square, from_frame, resized, square_box, to_frame
from moda.imaging.drawing import polygon_mask
from moda.imaging.margin import crop_margin, margin_of, photo_goes_on, wide_box
from moda.landmarks import FACE_OVAL, INNER_LIP_PAIRS, N_LANDMARKS
from moda.media.in_memory import picture_from_array
from moda.representation import FRAME, Portrait
from moda.tracking.checks import ReferenceFace, check_face
from moda.tracking.face import FaceTracker
from moda.tracking.face_choice import MIN_FACE_PX, nearest_face, upright_face
from moda.tracking.face_view import look_at
from moda.tracking.person import PersonSegmenter, shoulder_points

SIZE_RANGE_PX = (32, 4096)
"""Smallest and largest side of a portrait, pixels."""
MAX_FACES = 16
"""Faces that are looked for in a picture."""
MIN_CONNECTED_MASK = 0.2
"""Parts of the person mask between which it falls below this are different things."""
_EDGE_RADIUS, _EDGE_EPSILON = 6, 1e-3
_UPPER_LIP = ((183, 184), (42, 74), (41, 73), (38, 72), (12, 11), (268, 302), (271, 303), (272, 304), (407, 408))
_LOWER_LIP = ((96, 77), (89, 90), (179, 180), (86, 85), (15, 16), (316, 315), (403, 404), (319, 320), (325, 307))
"""The points between inner and outer lip, above and below each of `INNER_LIP_PAIRS`, in its order."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reference:
    """A portrait, and the square of its picture that it shows (which may reach over the picture's border)."""

    portrait: Portrait
    box: Box
    picture: np.ndarray
    """(H, W, 3) uint8 RGB: the given one, turned if its face was not upright."""


def make_portrait(
    image: np.ndarray,
    size: int,
    *,
    face: np.ndarray | None = None,
    accept: bool = False,
    source: Path | str = "the picture",
) -> Portrait:
    """The portrait of `make_reference` for the largest face (or `face`), its square inside the picture."""
    return make_reference(image, size, face=face, accept=accept, source=source).portrait


def make_reference(
    image: np.ndarray,
    size: int,
    *,
    face: np.ndarray | None = None,
    number: int = 1,
    over_border: bool = False,
    accept: bool = False,
    source: Path | str = "the picture",
) -> Reference:
    """Find the face, crop around head and shoulders, and measure it as preparation does.

    image: (H, W, 3) uint8 RGB, or what else `picture_from_array` takes. size: side of the animated crop, pixels.
    face: (478, 3) landmarks in pixels of `image` of the face to take; default is face `number`, 1 = the largest.
    over_border: the square may reach over the picture's border (see `square_box`).
    accept: take a face that would be refused (`check_face`) and say so. A picture whose face is not upright is turned.
    source: what to call the picture in messages. What had to be assumed of the face is logged.
    Raises `FaceError` for no such face, one under `MIN_FACE_PX` pixels wide, or one that cannot be animated
    (`check_face`), `MediaError` for a picture too small.
    """
    image = picture_from_array(image)
    size = _whole("size", size, SIZE_RANGE_PX)
    if face is not None and (np.shape(face) != (N_LANDMARKS, 3) or not np.isfinite(face).all()):
        raise FaceError(f"face has shape {np.shape(face)}, wanted ({N_LANDMARKS}, 3), all finite: {source}")
    number = _whole("number", number, (1, 2**31))
    height, width = image.shape[:2]
    if min(height, width) < MIN_FACE_PX:
        raise MediaError(f"the picture is {width}x{height}, wanted at least {MIN_FACE_PX}x{MIN_FACE_PX}: {source}")
    with FaceTracker(video=False, max_faces=MAX_FACES) as tracker:
        if face is None:
            image, face = upright_face(tracker, image, number, source)
        box, square, landmarks = track_in_square(tracker, image, face, over_border)
    pose = fit_head_pose(landmarks[None])
    canonical = to_canonical(landmarks[None], pose)
    height, width = image.shape[:2]
    view = look_at(square, landmarks, pose[0])
    found = ReferenceFace(from_frame(landmarks, box), (width, height), canonical[0], pose[0], view)
    for remark in check_face(found, source, accept=accept):
        log.warning("%s: %s", source, remark)
    with PersonSegmenter() as segmenter:
        mask = _of_the_face(segmenter.mask(square), landmarks)
        around = _around(segmenter, image, box, mask, landmarks) if photo_goes_on(image, box, size) else None
    person = follow_edges(mask, square)
    portrait = Portrait(
        image=crop_square(image, box, size),
        landmarks=landmarks.astype(np.float32),
        pose=pose[0],
        subject=with_whole_lips(subject_mesh(canonical), canonical[0]).astype(np.float32),
        torso=shoulder_points(mask, landmarks).astype(np.float32),
        person=person if size == FRAME else resized(person, (size, size)),
        margin=None if around is None else crop_margin(image, box, around, size),
    )
    return Reference(portrait, box, image)


def track_in_square(
    tracker: FaceTracker, image: np.ndarray, face: np.ndarray, over_border: bool = False
) -> tuple[Box, np.ndarray, np.ndarray]:
    """The square around a face (478, 3) of a picture: its box, pixels (FRAME, FRAME, 3), and landmarks found there."""
    height, width = image.shape[:2]
    box = square_box(face, width, height, over_border=over_border)
    square = crop_square(image, box, FRAME)
    expected = to_frame(face, box)
    again = nearest_face(tracker.faces(square), expected)
    return box, square, expected if again is None else again


def with_whole_lips(subject: np.ndarray, canonical: np.ndarray) -> np.ndarray:
    """The mesh at rest (478, 3), its points between inner and outer lips moved as the lips' edges were.

    subject: `subject_mesh` of the one frame `canonical` (478, 3): it closes the edges alone, and points left where an
    open mouth had them would fold the lips as soon as these move.
    """
    whole = np.array(subject)
    for (upper, lower), above, below in zip(INNER_LIP_PAIRS, _UPPER_LIP, _LOWER_LIP, strict=True):
        for edge, between in ((upper, above), (lower, below)):
            whole[list(between)] += subject[edge] - canonical[edge]
    return whole


def _whole(name: str, value: int, limits: tuple[int, int]) -> int:
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and limits[0] <= value <= limits[1]:
        return int(value)
    raise MediaError(f"{name} is {value!r}, wanted a whole number from {limits[0]} to {limits[1]}")


def _around(
    segmenter: PersonSegmenter, image: np.ndarray, box: Box, mask: np.ndarray, landmarks: np.ndarray
) -> np.ndarray:
    """Person mask of the square with its margin, around the one (FRAME, FRAME) of the square itself."""
    pad = margin_of(FRAME)
    wide = crop_square(image, wide_box(box), FRAME + 2 * pad)
    found = segmenter.mask(wide)
    found[pad : pad + FRAME, pad : pad + FRAME] = mask
    return follow_edges(_of_the_face(found, landmarks, pad), wide)


def _of_the_face(mask: np.ndarray, landmarks: np.ndarray, pad: int = 0) -> np.ndarray:
    """The person mask without what does not hang together with the face: a vase, another person.

    mask: (FRAME + 2 * pad,) * 2. landmarks: (478, 3), pixels of the square frame inside it.
    """
    _, labels = cv2.connectedComponents((mask > MIN_CONNECTED_MASK).astype(np.uint8))
    oval = polygon_mask((landmarks[list(FACE_OVAL), :2] + pad) * (FRAME / len(mask)), len(mask)) > 0.5
    seen = labels[oval & (labels > 0)]
    if seen.size == 0:
        return mask
    own = (labels == np.bincount(seen).argmax()).astype(np.uint8)
    return mask * cv2.dilate(own, np.ones((2 * _EDGE_RADIUS + 1,) * 2, np.uint8))


def follow_edges(mask: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Soft person mask whose edge follows the picture's (guided filter, He et al. 2010): hair keeps its outline."""
    guide = image.astype(np.float32) / 255.0
    soft = cv2.ximgproc.guidedFilter(guide, mask.astype(np.float32), _EDGE_RADIUS, _EDGE_EPSILON)
    return np.clip(soft, 0.0, 1.0).astype(np.float32)
