"""Dense optical flow between neighbouring pictures, and pictures pulled along it."""

from __future__ import annotations

import cv2
import numpy as np


def backward_flow(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Where each pixel of `after` was in `before`: (H, W, 2) float32 pixels, x and y.

    before, after: (H, W, 3) RGB uint8, at least 16 px a side. DIS flow (Kroeger et al. 2016), medium preset, on grey.
    """
    grey = [cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY) for picture in (before, after)]
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.asarray(method.calc(grey[1], grey[0], None), np.float32)


def pull(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """The picture moved along a backward flow: out(p) = picture(p + flow(p)), between pixels by bilinear weights.

    picture: (H, W, 3) uint8 or float. Returns float32 (H, W, 3). What lies outside is the nearest edge pixel.
    """
    height, width = picture.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.asarray(
        cv2.remap(
            np.asarray(picture, np.float32),
            x + flow[..., 0],
            y + flow[..., 1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
    )
