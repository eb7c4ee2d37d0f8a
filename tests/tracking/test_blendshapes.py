"""The network that is computed here gives what MediaPipe gives for the same landmarks."""

from __future__ import annotations

import numpy as np
import pytest

from moda.tracking import blendshapes as computed
from moda.tracking.blendshapes import _POINTS, NAMES, _weights, blendshapes
from moda.tracking.native import model_options, native_image, native_stderr_muted


def test_coefficients_are_mediapipes_own(astronaut: np.ndarray) -> None:
    with native_stderr_muted():
        from mediapipe.tasks.python import vision

        options = vision.FaceLandmarkerOptions(
            base_options=model_options("face_landmarker.task"), output_face_blendshapes=True
        )
        landmarker = vision.FaceLandmarker.create_from_options(options)
        found = [landmarker.detect(native_image(picture)) for picture in (astronaut, astronaut[:, ::-1])]
        landmarker.close()
    for result in found:
        points = np.array([(p.x, p.y, p.z) for p in result.face_landmarks[0]]) * 512
        names = tuple(category.category_name for category in result.face_blendshapes[0])
        scores = np.array([category.score for category in result.face_blendshapes[0]])
        assert names == NAMES
        assert np.abs(blendshapes(points[None])[0] - scores).max() < 2e-3
        assert scores[NAMES.index("mouthSmileLeft")] > 0.3  # she smiles


def test_place_and_scale_do_not_matter_and_the_number_of_frames_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computed, "_CHUNK_FRAMES", 4)
    points = np.random.default_rng(0).normal(0, 50, (10, 478, 3))
    values = blendshapes(points)
    assert values.shape == (10, 52) and ((values >= 0) & (values <= 1)).all()
    assert np.allclose(blendshapes(points[9:] * 3 + 70), values[9:], atol=1e-4)
    assert blendshapes(points[:0]).shape == (0, 52)


def test_the_weights_are_those_of_a_mixer() -> None:
    weights = _weights()
    assert (len(_POINTS), len(set(_POINTS)), len(weights.layers), len(weights.norms)) == (146, 146, 19, 8)
    assert [w.shape for w, _ in weights.layers[:3]] == [(96, 146), (64, 2), (384, 97)]
    assert weights.layers[-1][0].shape == (52, 64) and weights.token.shape == (1, 64)
    assert weights.scale == pytest.approx(1, abs=10) and 0 < weights.epsilon < 1e-2
