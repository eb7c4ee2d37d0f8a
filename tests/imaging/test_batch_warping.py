"""The warp by torch against that by OpenCV, and triangles drawn by either."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from moda.imaging.batch_conditioning import BatchConditioner
from moda.imaging.conditioning import ReferenceConditioner, stack_inputs
from moda.imaging.drawing import SUBPIXEL_BITS
from moda.imaging.rasterising import last_drawn
from moda.imaging.windows import cut
from moda.representation import Portrait
from tests.imaging.test_warping import moved, portrait  # noqa: F401  (a fixture)

CPU = torch.device("cpu")
DEVICES = [
    CPU,
    pytest.param(
        torch.device("cuda"),
        marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")],
    ),
]
EQUAL_SHARE = 0.999
"""Share of the pixels of each picture that are within one grey level of OpenCV's."""


def drawn_by_opencv(polygons: np.ndarray, frame: np.ndarray, frames: int, size: int) -> np.ndarray:
    canvas = np.zeros((frames, size, size), np.int32)
    for number, (polygon, place) in enumerate(zip(polygons, frame, strict=True), 1):
        cv2.fillConvexPoly(canvas[place], polygon, number, cv2.LINE_8, SUBPIXEL_BITS)
    return canvas


@pytest.mark.parametrize("device", DEVICES)
def test_triangles_are_drawn_as_opencv_draws_them(device: torch.device) -> None:
    """Of all sizes and shapes, slivers and points among them."""
    rng = np.random.default_rng(0)
    size, count = 96, 900
    corners = rng.uniform(2, size - 3, (count, 1, 2)) + rng.normal(0, 1, (count, 3, 2)) * rng.choice(
        [0, 0.3, 2, 12], (count, 1, 1)
    )
    polygons = np.round(np.clip(corners, 0, size - 1) * (1 << SUBPIXEL_BITS)).astype(np.int32)
    frame = np.sort(rng.integers(0, 3, count))
    ours = last_drawn(polygons, frame, 3, size, device).cpu().numpy()
    expected = drawn_by_opencv(polygons, frame, 3, size)
    assert (expected > 0).mean() > 0.5
    assert np.array_equal(ours, expected)


def test_triangles_beside_the_picture_and_across_its_border() -> None:
    rng = np.random.default_rng(1)
    size = 64
    corners = rng.uniform(-40, size + 40, (200, 1, 2)) + rng.normal(0, 12, (200, 3, 2))
    corners = np.concatenate([corners, [[[-5e3, -5e3], [6e3, 20], [30, 6e3]]]])  # wider than the picture
    polygons = np.round(corners * (1 << SUBPIXEL_BITS)).astype(np.int32)
    frame = np.zeros(len(polygons), int)
    ours = last_drawn(polygons, frame, 1, size, CPU).numpy()
    assert (ours != drawn_by_opencv(polygons, frame, 1, size)).mean() < 0.01
    nothing = last_drawn(polygons[:0], frame[:0], 2, size, CPU)
    assert nothing.shape == (2, size, size) and not nothing.any()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [128, 256])
def test_pictures_are_those_of_opencv(portrait: Portrait, size: int, device: torch.device) -> None:  # noqa: F811
    """Turned, moved across the border, and with an open mouth."""
    turns = [{}, {"yaw": 20.0, "pitch": -8.0}, {"roll": 15.0, "yaw": -35.0}, {"x": 150.0, "y": 90.0}]
    landmarks = np.concatenate([moved(portrait, **turn) for turn in turns])
    landmarks[1, :, 1] += np.where(landmarks[1, :, 1] > landmarks[1, 13, 1], 12.0, 0.0)
    torso = portrait.torso + np.linspace(0, 9, 4)[:, None, None]
    conditioner = ReferenceConditioner(portrait, size, warp=True, eyes=True)
    frames = conditioner.frames(landmarks, torso, 7)
    expected = stack_inputs(frames)
    batch = BatchConditioner(conditioner, device)
    made = batch.inputs(batch.prepare(landmarks, torso, 7))
    assert made.inputs.keys() == expected.keys()
    assert made.windows == {
        "mouth": [frame.window for frame in frames],
        "eyes": [frame.eyes.window for frame in frames if frame.eyes],
    }
    for name, tensor in made.inputs.items():
        assert tensor.device.type == device.type and tensor.dtype == expected[name].dtype, name
        assert tensor.shape == expected[name].shape, name
    for name in ("condition", "reference", "frame", "eyes.condition", "eyes.reference", "eyes.frame"):
        assert torch.equal(made.inputs[name].cpu(), expected[name]), name
    for name in ("region", "eyes.region"):
        assert torch.allclose(made.inputs[name].cpu(), expected[name], atol=1e-6), name
    for index, frame in enumerate(frames):
        ours = made.pictures[index].permute(1, 2, 0).cpu().numpy()
        assert frame.picture is not None and frame.window is not None
        levels = np.abs(ours.astype(int) - frame.picture).max(axis=2)
        assert (levels <= 1).mean() >= EQUAL_SHARE, f"frame {index}: {(levels > 1).sum()} pixels"
        inside = made.inputs["warped"][index].permute(1, 2, 0).cpu().numpy()
        assert np.array_equal(inside, cut(ours, frame.window))
        validity = np.abs(made.inputs["validity"][index, 0].cpu().numpy() - frame.validity)
        assert (validity < 1e-3).mean() >= EQUAL_SHARE
