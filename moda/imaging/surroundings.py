"""Where hair, neck and shoulders of a reference go: a smooth field around the face, so that nothing folds or tears.

Above the chin the field is the head's rigid motion, that of a plane some way behind the face; below the neck it is
the shoulders' motion, which ends at the picture's border; between them it changes from one to the other. Along the
face oval it is corrected to meet the face mesh, and the correction fades with the distance. It is computed backwards,
at a few nodes: for each place of the target the place of the reference that is seen there, so every pixel has one.

The constants were chosen by the L1 of the warp alone on 145 frames of 17 people and by looking at turned heads: a
deeper plane and a shorter reach have a little less L1, and tear the hair from the far temple.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from moda.geometry import rotation_matrix, to_canonical
from moda.imaging.edge_skin import EdgeSkin
from moda.imaging.eye_texture import EyeTexture
from moda.imaging.mouth_texture import MouthTexture
from moda.landmarks import FACE_OVAL, N_MESH
from moda.representation import FRAME, HeadPose

FIELD_NODES = 24
"""Nodes of the field along a side."""
HAIR_DEPTH_PX = 60.0
"""How far behind the face oval's middle the plane of the hair lies, canonical pixels."""
NECK_TOP_SHARE, NECK_LENGTH_SHARE = 0.15, 0.45
"""The neck begins so far above the chin and is so long, as shares of the face's height."""
CORRECTION_REACH_SHARE = 0.18
"""How far from the oval the field is corrected to meet it, as a share of the face's height."""
OVAL_BLEND_PX = 4.0
"""Pixels of the square frame within which points of the oval share a place."""
SHOULDER_BLEND_PX = 48.0
"""The same of shoulder points: less lets them pull hair into strands."""
BORDER_PINS, PIN_WEIGHT = 9, 0.5
"""Points along the picture's lower border at which nothing moves, and the weight of each against a shoulder point's."""

CHIN, FOREHEAD = 152, 10


class Target(NamedTuple):
    """Where a frame puts the face, and what moves the rest.

    landmarks: (478, 3). texture: (520, 2), where the reference has the texture of the mesh points, of the inside of the
    eyes and of that of the mouth (`textured_triangles`). head: (2, 3), the affine map from the target's head plane to
    the reference's. torso: (18, 2) shoulder points. Pixels of the square frame.
    """

    landmarks: np.ndarray
    texture: np.ndarray
    head: np.ndarray
    torso: np.ndarray


class Surroundings:
    """The field of one reference. landmarks: (478, 3), torso: (18, 3), pixels of the square frame."""

    def __init__(self, landmarks: np.ndarray, torso: np.ndarray, pose: HeadPose) -> None:
        oval = landmarks[list(FACE_OVAL)]
        self._skin = EdgeSkin(landmarks[:N_MESH])
        self._eyes, self._mouth = EyeTexture(landmarks), MouthTexture(landmarks)
        self._torso = torso[:, :2]
        self._height = float(np.linalg.norm(landmarks[CHIN, :2] - landmarks[FOREHEAD, :2]))
        self._depth = float(to_canonical(oval, pose)[:, 2].mean()) + HAIR_DEPTH_PX
        self._from_plane = self._plane_to_image(pose)
        centres = (np.arange(FIELD_NODES) + 0.5) * (FRAME / FIELD_NODES)
        self._nodes = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
        self._pins = _pins()

    def targets(self, landmarks: np.ndarray, torso: np.ndarray, pose: HeadPose) -> list[Target]:
        """Frames with landmarks (b, 478, 3), torso (b, 18, 3) and head pose (b)."""
        found = []
        for index, (points, shoulders) in enumerate(zip(landmarks, torso, strict=True)):
            linear, offset = self._plane_to_image(pose[index])
            back = self._from_plane[0] @ np.linalg.inv(linear)
            head = np.column_stack([back, self._from_plane[1] - back @ offset])
            texture = self._eyes.places(points, self._skin.places(points[:N_MESH]))
            texture = self._mouth.places(points, texture)
            found.append(Target(points, texture, head, shoulders[:, :2]))
        return found

    def field(self, target: Target, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Where the reference is seen, less the place itself: (size, size, 2) pixels of a size x size picture; and
        the share of reference pixels behind each pixel there (size, size), 0..1.
        """
        packed = cv2.resize(self.nodes(target, size), (size, size), interpolation=cv2.INTER_LINEAR)
        return packed[..., :2], packed[..., 2]

    def nodes(self, target: Target, size: int) -> np.ndarray:
        """What `field` interpolates: (`FIELD_NODES`, `FIELD_NODES`, 3), the two displacements and the share."""
        oval, source = target.landmarks[list(FACE_OVAL), :2], target.texture[list(FACE_OVAL)]
        moved = self._head_and_body(self._nodes, target)
        gap = source - oval - self._head_and_body(oval, target)
        squared = _squared_distances(self._nodes, oval)
        weights = 1 / (squared + OVAL_BLEND_PX**2) ** 2
        fade = np.exp(-squared.min(axis=1) / (CORRECTION_REACH_SHARE * self._height) ** 2)
        moved += (fade / weights.sum(axis=1))[:, None] * (weights @ gap)
        grid = moved.reshape(FIELD_NODES, FIELD_NODES, 2)
        across, down = (np.gradient(grid, FRAME / FIELD_NODES, axis=axis) for axis in (1, 0))
        share = (1 + across[..., 0]) * (1 + down[..., 1]) - across[..., 1] * down[..., 0]
        return np.dstack([grid * (size / FRAME), np.clip(share, 0, 1)]).astype(np.float32)

    def _head_and_body(self, points: np.ndarray, target: Target) -> np.ndarray:
        """Displacement (N, 2) back to the reference at target points (N, 2), before it is made to meet the oval."""
        head = points @ target.head[:, :2].T + target.head[:, 2] - points
        top = target.landmarks[CHIN, 1] - NECK_TOP_SHARE * self._height
        down = np.clip((points[:, 1:] - top) / (NECK_LENGTH_SHARE * self._height), 0, 1)
        body = down * down * (3 - 2 * down)
        pulls = 1 / (_squared_distances(points, target.torso) + SHOULDER_BLEND_PX**2) ** 2
        holds = PIN_WEIGHT / (_squared_distances(points, self._pins) + SHOULDER_BLEND_PX**2) ** 2
        shoulders = pulls @ (self._torso - target.torso) / (pulls.sum(axis=1) + holds.sum(axis=1))[:, None]
        return np.asarray(head * (1 - body) + shoulders * body)

    def _plane_to_image(self, pose: HeadPose) -> tuple[np.ndarray, np.ndarray]:
        """Linear part (2, 2) and offset (2,) of the head plane's place in the square frame."""
        turn = pose.scale * rotation_matrix(pose.rotation)
        return turn[:2, :2], turn[:2, 2] * self._depth + pose.translation[:2]


def _pins() -> np.ndarray:
    """Points on the lower border and on the lower half of the other two, (P, 2), pixels of the square frame."""
    along = np.linspace(0, FRAME, BORDER_PINS)
    lower = along[(along > FRAME / 2) & (along < FRAME)]
    sides = [np.column_stack([np.full_like(lower, side), lower]) for side in (0, FRAME)]
    return np.concatenate([np.column_stack([along, np.full_like(along, FRAME)]), *sides])


def _squared_distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, 2) and (M, 2) -> (N, M)."""
    across, down = (points[:, None, axis] - others[None, :, axis] for axis in (0, 1))
    return np.asarray(across * across + down * down)
