"""A mouth that is open in the reference closes whole."""

from __future__ import annotations

import numpy as np

from moda.geometry import subject_mesh
from moda.landmarks import INNER_LIP_PAIRS, N_MESH, OUTER_LIP_PAIRS, canonical_face
from moda.tracking.portrait import _LOWER_LIP, _UPPER_LIP, with_whole_lips


def open_face(gap: float) -> np.ndarray:
    """(478, 3): the canonical face, its lower lip (all rings) lower and its upper lip higher by half of `gap`."""
    face = np.zeros((478, 3))
    face[:N_MESH] = canonical_face().vertices
    for (upper, lower), (outer_upper, outer_lower), above, below in zip(
        INNER_LIP_PAIRS, OUTER_LIP_PAIRS, _UPPER_LIP, _LOWER_LIP, strict=True
    ):
        face[[upper, outer_upper, *above], 1] -= gap / 2
        face[[lower, outer_lower, *below], 1] += gap / 2
    return face


def test_the_rings_keep_their_order_when_the_mouth_closes() -> None:
    face = open_face(30)
    subject = subject_mesh(face[None])
    whole = with_whole_lips(subject, face)
    for (upper, lower), (outer_upper, outer_lower), above, below in zip(
        INNER_LIP_PAIRS, OUTER_LIP_PAIRS, _UPPER_LIP, _LOWER_LIP, strict=True
    ):
        heights = lambda mesh, points: mesh[list(points), 1]  # noqa: E731
        # The lips are as thick as they were, every ring where it was between their edges.
        for ring in ((outer_upper, *above[::-1], upper), (lower, *below, outer_lower)):
            np.testing.assert_allclose(np.diff(heights(whole, ring)), np.diff(heights(face, ring)), atol=1e-4)
        assert abs(whole[upper, 1] - whole[lower, 1]) < 1e-4
    assert np.diff([subject[13, 1], subject[12, 1]]) < -10  # without it, they are left behind


def test_nothing_else_moves_and_a_closed_mouth_stays() -> None:
    face = open_face(30)
    subject = subject_mesh(face[None])
    moved = np.flatnonzero(np.abs(with_whole_lips(subject, face) - subject).max(axis=1) > 1e-6)
    assert set(moved) == {point for pair in (*_UPPER_LIP, *_LOWER_LIP) for point in pair}
    closed = subject_mesh(face[None]).astype(float)
    assert np.array_equal(with_whole_lips(closed, closed), closed)
