"""Head pose and the way between the picture and the canonical face (docs/method.md, section 4).

    image = scale * R(rotation) @ canonical + translation        (x, y, z), orthographic
    canonical = R(rotation)^T @ (image - translation) / scale     its exact inverse

The paper writes the same relation as v_canonical = s * R (v - t) + c. All arrays are numpy; a
leading T is frames. Rotations are degrees pitch, yaw, roll about x, y, z, applied in that order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from moda.landmarks import (
    EYES,
    INNER_LIP_PAIRS,
    INNER_LIPS,
    LIPS,
    OUTER_LIP_PAIRS,
    canonical_face,
    eye_opening,
    lip_opening,
)
from moda.representation import HeadPose, Motion

GAUSS_NEWTON_STEPS = 8
REST_FRAMES_SHARE = 0.2
"""Share of frames, those with the most closed mouth, whose median mesh is the subject's rest."""


def rotation_matrix(rotation: np.ndarray) -> np.ndarray:
    """Degrees pitch, yaw, roll (..., 3) -> rotation matrices (..., 3, 3)."""
    flat = Rotation.from_euler("xyz", rotation.reshape(-1, 3), degrees=True).as_matrix()
    return flat.reshape(*rotation.shape[:-1], 3, 3)


def to_image(canonical: np.ndarray, pose: HeadPose) -> np.ndarray:
    """Canonical points (..., V, 3) to the square frame, pixels, under pose (...)."""
    turned = canonical @ np.swapaxes(rotation_matrix(pose.rotation), -1, -2)
    return turned * pose.scale[..., None, None] + pose.translation[..., None, :]


def to_canonical(landmarks: np.ndarray, pose: HeadPose) -> np.ndarray:
    """Points of the square frame (..., V, 3) to canonical space: the exact inverse of `to_image`."""
    return ((landmarks - pose.translation[..., None, :]) / pose.scale[..., None, None]) @ rotation_matrix(pose.rotation)


def fit_head_pose(landmarks: np.ndarray) -> HeadPose:
    """Pose of every frame: landmarks (T, 478, 3) pixels -> HeadPose (T).

    A perspective-n-point problem under orthographic projection: rotation and scale that carry the
    rigid canonical points onto the *detected x and y*, by Gauss-Newton from the best affine map.
    The detected z is used for nothing but the depth of the translation, since face trackers guess
    it. A frame where that diverges falls back to a similarity fit of all three coordinates.
    """
    face = canonical_face()
    weights = face.rigid_weights
    model = face.vertices[face.rigid]
    model_mean = weights @ model
    model = model - model_mean
    points = landmarks[:, face.rigid].astype(np.float64)
    points_mean = np.einsum("v,tvc->tc", weights, points)
    points = points - points_mean[:, None]

    rotation, scale = _orthographic_pnp(points[..., :2], model, weights)
    error = np.einsum(
        "v,tvc->t",
        weights,
        (points[..., :2] - (scale[:, None, None] * (model @ np.swapaxes(rotation, 1, 2)))[..., :2]) ** 2,
    )
    size = np.einsum("v,tvc->t", weights, points[..., :2] ** 2)
    bad = ~np.isfinite(error) | (error > 0.1 * size) | (scale <= 0)
    if bad.any():
        rotation[bad], scale[bad] = _similarity(points[bad], model, weights)
    translation = points_mean - scale[:, None] * np.einsum("tij,j->ti", rotation, model_mean)
    degrees = Rotation.from_matrix(rotation).as_euler("xyz", degrees=True)
    return HeadPose(degrees, translation, scale)


def _orthographic_pnp(points: np.ndarray, model: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centred points (T, V, 2) and model (V, 3) -> rotations (T, 3, 3) and scales (T,)."""
    gram = np.linalg.inv(np.einsum("v,vi,vj->ij", weights, model, model))
    affine = np.einsum("v,tvc,vi->tci", weights, points, model) @ gram
    u, singular, vt = np.linalg.svd(affine, full_matrices=False)
    rows = u @ vt
    rotation = np.concatenate([rows, np.cross(rows[:, 0], rows[:, 1])[:, None]], axis=1)
    scale = singular.mean(axis=1)
    for _ in range(GAUSS_NEWTON_STEPS):
        turned = model @ np.swapaxes(rotation, 1, 2)
        x, y, z = turned[..., 0], turned[..., 1], turned[..., 2]
        s, zero = scale[:, None], np.zeros_like(x)
        jacobian = np.stack(
            [np.stack([zero, s * z, -s * y, x], -1), np.stack([-s * z, zero, s * x, y], -1)], axis=2
        )  # (T, V, 2, 4): small turns about x, y, z; scale
        residual = points - s[..., None] * turned[..., :2]
        normal = np.einsum("v,tvci,tvcj->tij", weights, jacobian, jacobian)
        normal += 1e-9 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(4)
        step = np.linalg.solve(normal, np.einsum("v,tvci,tvc->ti", weights, jacobian, residual)[..., None])[..., 0]
        rotation = Rotation.from_rotvec(np.clip(step[:, :3], -0.5, 0.5)).as_matrix() @ rotation
        scale = scale + step[:, 3]
    return rotation, scale


def _similarity(points: np.ndarray, model: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted similarity (Umeyama 1991, eq. 40-42) of centred points (T, V, 3) and model (V, 3)."""
    covariance = np.einsum("v,tvc,vi->tci", weights, points, model)
    u, singular, vt = np.linalg.svd(covariance)
    sign = np.ones_like(singular)
    sign[:, 2] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation = (u * sign[:, None]) @ vt
    scale = (singular * sign).sum(axis=1) / np.einsum("v,vi->", weights, model**2)
    return rotation, np.maximum(scale, 1e-6)


def fit_under_rotation(landmarks: np.ndarray, rotation: np.ndarray) -> HeadPose:
    """Pose of every frame whose rotation is known: landmarks (T, 478, 3) pixels, rotation (T, 3) degrees.

    The scale and translation that carry the rigid canonical points, so turned, onto the detected x and
    y: the closed form of what `fit_head_pose` minimises, with its weights, so that its own rotation
    gives its own pose. A scale of 0 or less says that the rotation contradicts the landmarks.
    """
    face = canonical_face()
    weights = face.rigid_weights
    turned = face.vertices[face.rigid] @ np.swapaxes(rotation_matrix(rotation), 1, 2)
    turned_mean = np.einsum("v,tvc->tc", weights, turned)
    points = landmarks[:, face.rigid].astype(np.float64)
    points_mean = np.einsum("v,tvc->tc", weights, points)
    model = (turned - turned_mean[:, None])[..., :2]
    shared = np.einsum("v,tvc,tvc->t", weights, model, (points - points_mean[:, None])[..., :2])
    scale = shared / np.einsum("v,tvc->t", weights, model**2)
    return HeadPose(rotation.astype(np.float64), points_mean - scale[:, None] * turned_mean, scale)


def relative_head(pose: HeadPose, reference: HeadPose) -> np.ndarray:
    """Pose (T) as head motion (T, 7) from a reference pose (one frame); inverse of `apply_head`."""
    return np.concatenate(
        [
            pose.rotation - reference.rotation,
            pose.translation - reference.translation,
            (pose.scale / reference.scale - 1.0)[..., None],
        ],
        axis=-1,
    )


def apply_head(reference: HeadPose, head: np.ndarray) -> HeadPose:
    """Head motion (T, 7) on top of a reference pose (one frame) -> HeadPose (T)."""
    return HeadPose(
        reference.rotation + head[..., 0:3],
        reference.translation + head[..., 3:6],
        reference.scale * (1.0 + head[..., 6]),
    )


def rest_pose(pose: HeadPose) -> HeadPose:
    """The pose a clip's head motion is relative to: the median of every channel."""
    return HeadPose(np.median(pose.rotation, 0), np.median(pose.translation, 0), np.median(pose.scale, 0))


def subject_mesh(canonical: np.ndarray) -> np.ndarray:
    """A person's canonical mesh at rest: (T, 478, 3) -> (478, 3), pixels.

    The paper takes the mean mesh. A mean mouth is half open, and a one-shot reference is not, so
    the two would not agree: here it is the median over the frames with the most closed mouth, of
    which those with open eyes; what gap is left is closed. With T = 1 it is that frame, closed.
    """
    opening = lip_opening(canonical)
    closed = np.flatnonzero(opening <= np.quantile(opening, REST_FRAMES_SHARE))
    eyes = eye_opening(canonical[closed])
    open_eyed = closed[eyes >= np.median(eyes)]
    return close_mouth(np.median(canonical[open_eyed], axis=0)).astype(np.float32)


def close_mouth(mesh: np.ndarray) -> np.ndarray:
    """Bring the lips of one canonical mesh (478, 3) together: each inner pair meets in its middle.

    The outer lips follow by the same amount, so that the lips keep their thickness. The two rings of points between
    them stay where they are: a mesh of one picture needs `media.neutral.with_whole_lips`.
    """
    closed = mesh.astype(np.float64, copy=True)
    for (upper, lower), (outer_upper, outer_lower) in zip(INNER_LIP_PAIRS, OUTER_LIP_PAIRS, strict=True):
        gap = mesh[lower] - mesh[upper]
        gap = gap * (gap[1] > 0)
        closed[upper] += 0.5 * gap
        closed[lower] -= 0.5 * gap
        closed[outer_upper] += 0.5 * gap
        closed[outer_lower] -= 0.5 * gap
    return closed


def rest_torso(torso: np.ndarray) -> np.ndarray:
    """The shoulder line a clip's torso motion is relative to: the median, (T, 18, 3) -> (18, 3)."""
    return np.median(torso, axis=0)


def face_offsets(canonical: np.ndarray, subject: np.ndarray) -> np.ndarray:
    """Dense face motion P^F: canonical meshes (T, 478, 3) minus the subject's (478, 3)."""
    return canonical - subject


@dataclass(frozen=True)
class Rest:
    """What a clip's motion is relative to: pose of one frame, torso (18, 3) pixels."""

    pose: HeadPose
    torso: np.ndarray

    @staticmethod
    def of(pose: HeadPose, torso: np.ndarray) -> Rest:
        """Rest of a whole clip: pose (T), torso (T, 18, 3)."""
        return Rest(rest_pose(pose), rest_torso(torso))


def motion_targets(
    canonical: np.ndarray,
    pose: HeadPose,
    torso: np.ndarray,
    subject: np.ndarray,
    *,
    rest: Rest | None = None,
) -> Motion:
    """What stage 1 learns to predict, from T frames of a tracked clip (docs/method.md, section 1).

    rest: of the whole clip, where the frames are only a part of it.
    """
    offsets = face_offsets(canonical, subject)
    rest = rest or Rest.of(pose, torso)
    return Motion(
        lips=offsets[:, list(LIPS)],
        eyes=offsets[:, list(EYES)],
        head=relative_head(pose, rest.pose),
        torso=torso - rest.torso,
    )


def mouth_centre(landmarks: np.ndarray) -> np.ndarray:
    """Mean of the inner-lip contour: (..., 478, D) -> (..., D)."""
    return landmarks[..., list(INNER_LIPS), :].mean(axis=-2)
