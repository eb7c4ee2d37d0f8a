"""The limits beyond which a clip is rejected."""

from __future__ import annotations

import numpy as np
import pytest

from data_prepare.options import Limits
from data_prepare.steps.quality import beyond, mesh_misfit, pauses
from moda.landmarks import canonical_face

GOOD = {"face_px": 90.0, "sharpness": 200.0, "yaw_most": 20.0, "out_of_crop": 0.0}


def test_a_good_clip_and_one_at_the_limits_are_within():
    limits = Limits()
    assert beyond(GOOD, limits) == []
    edge = {
        "face_px": limits.min_face,
        "sharpness": limits.min_sharpness,
        "yaw_most": limits.max_yaw,
        "out_of_crop": limits.max_outside,
    }
    assert beyond(edge, limits) == []


@pytest.mark.parametrize(
    ("figure", "value", "words"),
    [
        ("face_px", 31.0, "the face is 31 px, wanted 32"),
        ("sharpness", 2.9, "the face is blurred (sharpness 2.9, wanted 3)"),
        ("yaw_most", 60.1, "the head is turned by 60.1 degrees, wanted 60 at most"),
        ("out_of_crop", 0.51, "the face leaves the crop in 51% of the frames, wanted 50%"),
    ],
)
def test_each_limit_is_named_with_its_figure(figure, value, words):
    assert beyond({**GOOD, figure: value}, Limits()) == [words]


def test_all_that_is_wrong_is_named():
    assert len(beyond({"face_px": 1, "sharpness": 0, "yaw_most": 90, "out_of_crop": 1}, Limits())) == 4
    assert beyond({"face_px": 1, "sharpness": 0, "yaw_most": 90, "out_of_crop": 1}, Limits(min_face=0, max_yaw=99)) == [
        "the face is blurred (sharpness 0.0, wanted 3)",
        "the face leaves the crop in 100% of the frames, wanted 50%",
    ]


def test_pauses_are_frames_far_below_the_loud_ones():
    rng = np.random.default_rng(0)
    wave = 0.1 * rng.standard_normal(100 * 640)
    wave[20 * 640 : 45 * 640] *= 0.01
    assert pauses(wave, 100) == pytest.approx(0.25)
    assert pauses(0.1 * rng.standard_normal(100 * 640), 100) == 0.0


def test_a_mesh_that_is_thrown_about_misfits():
    face = canonical_face()
    meshes = np.zeros((40, 478, 3))
    meshes[:, : len(face.vertices)] = face.vertices
    assert mesh_misfit(meshes) == pytest.approx(0.0, abs=1e-9)
    meshes[10:14, :, 0] += 7.0
    assert mesh_misfit(meshes) == pytest.approx(7.0)
    meshes[11:14] = meshes[0]  # one frame of forty is no hand before the face
    assert mesh_misfit(meshes) < 1.0
