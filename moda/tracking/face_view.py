"""A small network that estimates which pixels of a face are hidden by something before it, and whether it is upright.

It was trained on free faces before which masks, scarves, microphones, cups, phones, hands and odd shapes were drawn
(benchmarks/face_view_training.py): it separates skin, lips, teeth and beard from anything else. The same faces turned
the wrong way were the examples of wrong landmarks.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from moda.device import one_thread
from moda.geometry import to_image
from moda.landmarks import OUTER_LIPS
from moda.representation import HeadPose

VIEW_SIDE_UNITS = 240.0
"""Side of the square of the face that is looked at, canonical pixels at head scale 1."""
VIEW_CENTRE = np.array([0.0, 30.0, -60.0])
"""Its middle: between nose and mouth, canonical pixels."""
INPUT_SIDE_PX = 96
"""Side of what the network sees, pixels; it answers at a quarter of that."""
MIN_GREY_STD, FAINT_GREY_STD = 45.0, 4.0
"""Standard deviation of grey levels to which a fainter view is stretched, and the least one it is taken to have."""
MIN_DOWNSCALE = 0.7
"""A view that shrinks the picture by more than this is blurred before."""
CHANNELS = (12, 24, 40, 56)


class FaceViewNet(nn.Module):
    """A small U-Net: views (B, 3, 96, 96), 0..1 -> two kinds of logits.

    (B, 24, 24): that a pixel is hidden. (B,): that the face is upright and its landmarks are in place.
    """

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList()
        before = 3
        for width in CHANNELS:
            self.down.append(nn.Sequential(*_layer(before, width, stride=2), *_layer(width, width)))
            before = width
        self.up = nn.ModuleList(
            nn.Sequential(*_layer(deep + shallow, shallow))
            for deep, shallow in zip(CHANNELS[:1:-1], CHANNELS[-2:0:-1], strict=True)
        )
        self.last = nn.Conv2d(CHANNELS[1], 1, 1)
        self.upright = nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(CHANNELS[-1] * 9, 1))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        seen = [pictures * 4 - 2]
        for layer in self.down:
            seen.append(layer(seen[-1]))
        features = seen.pop()
        upright = self.upright(features)[:, 0]
        for layer in self.up:
            features = nn.functional.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False)
            features = layer(torch.cat([features, seen.pop()], dim=1))
        return self.last(features)[:, 0], upright


def _layer(before: int, after: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]


def view_of(pose: HeadPose) -> np.ndarray:
    """The (2, 3) map from pixels of a picture to those of the network's view, for one head's pose there."""
    centre = to_image(VIEW_CENTRE[None], pose)[0, :2]
    scale = INPUT_SIDE_PX / (VIEW_SIDE_UNITS * float(pose.scale))
    return similarity(centre, -float(pose.rotation[2]), scale, INPUT_SIDE_PX)


def similarity(centre: np.ndarray, degrees: float, scale: float, side: int) -> np.ndarray:
    """(2, 3): turns about `centre`, scales, and puts it in the middle of a square of that side."""
    turn = np.radians(degrees)
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.concatenate([matrix, (side / 2 - matrix @ centre)[:, None]], axis=1)


def take_view(image: np.ndarray, matrix: np.ndarray, side: int = INPUT_SIDE_PX) -> np.ndarray:
    """A view (side, side, 3) uint8 of a picture (H, W, 3) uint8, smooth where it shrinks."""
    scale = float(np.linalg.norm(matrix[:, 0]))
    centre = np.linalg.solve(matrix[:, :2], side / 2 - matrix[:, 2])
    low = np.clip(np.floor(centre - side / scale), 0, np.array(image.shape[1::-1]) - 1).astype(int)
    high = np.clip(np.ceil(centre + side / scale), low + 1, image.shape[1::-1]).astype(int)
    image = image[low[1] : high[1], low[0] : high[0]]  # all that a turned square can show
    matrix = np.concatenate([matrix[:, :2], (matrix[:, 2] + matrix[:, :2] @ low)[:, None]], axis=1)
    if scale < MIN_DOWNSCALE:
        image = cv2.GaussianBlur(image, (0, 0), 0.4 / scale)
    return cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


@lru_cache(maxsize=1)
def _network() -> FaceViewNet:
    network = FaceViewNet()
    path = resources.files("moda") / "package_data" / "face_view.npz"
    with resources.as_file(path) as file, np.load(file) as arrays:
        network.load_state_dict({name: torch.from_numpy(arrays[name].astype(np.float32)) for name in arrays.files})
    return network.eval()


class FaceView(NamedTuple):
    """The network's estimates for a face, 0..1.

    hidden: the share of the lips that something before them hides. upright: probability that the face is upright and
    the landmarks are in place.
    """

    hidden: float
    upright: float


def look_at(image: np.ndarray, landmarks: np.ndarray, pose: HeadPose) -> FaceView:
    """Estimates for a head of a picture (H, W, 3) uint8 RGB: landmarks (478, 3) and pose, pixels of that picture."""
    matrix = view_of(pose)
    view = torch.from_numpy(_contrasted(take_view(image, matrix))).permute(2, 0, 1)[None] / 255
    with torch.inference_mode(), one_thread(torch.device("cpu")):
        pixels, upright = _network()(torch.cat([view, view.flip(-1)]))
    hidden = torch.sigmoid(torch.stack([pixels[0], pixels[1].flip(-1)])).mean(dim=0).numpy()
    outline = (landmarks[list(OUTER_LIPS), :2] @ matrix[:, :2].T + matrix[:, 2]) / 4
    return FaceView(float(hidden[_filled(outline, len(hidden))].mean()), float(torch.sigmoid(upright).mean()))


def _contrasted(view: np.ndarray) -> np.ndarray:
    """A view as float32, 0..255, stretched about mid-grey if it is faint: the first frame of a fade, a dim room."""
    values, spread = view.astype(np.float32), float(view.std())
    if spread >= MIN_GREY_STD:
        return values
    stretched = (values - values.mean()) * (MIN_GREY_STD / max(spread, FAINT_GREY_STD)) + 128
    return np.asarray(np.clip(stretched, 0, 255), np.float32)


def _filled(outline: np.ndarray, side: int) -> np.ndarray:
    """(side, side) bool, the convex hull of points (K, 2), at least the pixels they lie in."""
    area = np.zeros((side, side), np.uint8)
    points = np.clip(np.floor(outline), 0, side - 1).astype(np.int32)
    cv2.fillConvexPoly(area, cv2.convexHull(points), 1)
    return area > 0
