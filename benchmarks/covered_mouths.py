"""Covered mouths, made from pictures of free ones: masks, scarves, microphones, cups, phones, hands, odd shapes.

Drawn by the face's landmarks, with cloth, folds, light and noise; seeded. `face_view_training.py` and
`reference_checks.py` both use these drawings, on different faces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from moda.landmarks import EYE_CORNERS, INNER_LIPS, OUTER_LIPS

JAW = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454)
"""The face's outline from ear to ear, by the chin."""
COLOURS = (
    (245, 245, 245), (225, 228, 232), (140, 185, 215), (120, 190, 190), (150, 200, 160), (25, 25, 28), (50, 50, 60),
    (235, 180, 190), (180, 40, 45), (215, 195, 170), (40, 60, 110), (240, 215, 90), (120, 80, 60),
)  # fmt: skip
MASK_COLOURS = 7
"""The first of them, which most masks have."""
MASKS = ("surgical", "low mask", "mouth only")
SHAPE_BITS = 4


class Face:
    """A picture (H, W, 3) uint8 RGB, its landmarks (478, 2 or 3), and axes along the face: unit = eyes' distance."""

    def __init__(self, image: np.ndarray, landmarks: np.ndarray) -> None:
        self.image, self.points = image, np.asarray(landmarks, np.float64)[:, :2]
        across = self.points[EYE_CORNERS[1]] - self.points[EYE_CORNERS[0]]
        down = self.points[152] - self.points[10]
        # A turned face's eyes are close together: its height is a measure too.
        self.unit = float(max(np.linalg.norm(across), 0.55 * np.linalg.norm(down)))
        self.across = across / (np.linalg.norm(across) + 1e-9)
        self.down = np.array([-self.across[1], self.across[0]])
        self.mouth = self.points[list(INNER_LIPS)].mean(axis=0)

    def at(self, places: np.ndarray | Sequence[Sequence[float]], centre: np.ndarray | None = None) -> np.ndarray:
        """(K, 2) units right and down of the mouth -> pixels."""
        places = np.asarray(places, np.float64)
        start = self.mouth if centre is None else centre
        return start + self.unit * (places[:, :1] * self.across + places[:, 1:] * self.down)

    def area(self, outline: np.ndarray, soft: float = 0.01) -> np.ndarray:
        """(H, W) float32, 1 inside an outline (K, 2) of pixels, its edge `soft` units wide."""
        area = np.zeros(self.image.shape[:2], np.uint8)
        points = np.round(outline * 2**SHAPE_BITS).astype(np.int32)
        cv2.fillPoly(area, [points], 255, lineType=cv2.LINE_AA, shift=SHAPE_BITS)
        blurred = cv2.GaussianBlur(area, (0, 0), max(0.4, soft * self.unit))
        return blurred.astype(np.float32) / 255

    def skin(self, rng: np.random.Generator) -> np.ndarray:
        """(3,) colour of a cheek or the forehead."""
        x, y = self.points[rng.choice([50, 280, 151, 205, 425])].round().astype(int)
        r = max(1, round(0.06 * self.unit))
        part = self.image[max(y - r, 0) : y + r + 1, max(x - r, 0) : x + r + 1].reshape(-1, 3)
        return np.median(part, axis=0) if len(part) else np.array([190.0, 150.0, 130.0])

    def mouth_area(self) -> np.ndarray:
        """(H, W) bool: the lips."""
        area = np.zeros(self.image.shape[:2], np.uint8)
        cv2.fillConvexPoly(area, cv2.convexHull(np.round(self.points[list(OUTER_LIPS)]).astype(np.int32)), 1)
        return area > 0


def _wave(shape: tuple[int, int], rng: np.random.Generator, length: float) -> np.ndarray:
    """Folds: a bent sine of that wavelength in pixels, (H, W), -1..1."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    angle = rng.uniform(0, np.pi)
    bend = cv2.resize(rng.normal(0, 1, (4, 4)).astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.sin((x * np.cos(angle) + y * np.sin(angle)) * (2 * np.pi / length) + 2 * bend + rng.uniform(0, 6))


def _colour(face: Face, rng: np.random.Generator, mask: bool = False) -> np.ndarray:
    choice = rng.random()
    if mask and choice < 0.5:
        return np.clip(np.array(COLOURS[rng.integers(MASK_COLOURS)]) * rng.uniform(0.7, 1.05), 0, 255)
    if choice < 0.3:
        return np.clip(face.skin(rng) * rng.uniform(0.75, 1.25) + rng.normal(0, 10, 3), 0, 255)
    if choice < 0.75:
        return np.clip(np.array(COLOURS[rng.integers(len(COLOURS))]) + rng.normal(0, 8, 3), 0, 255)
    return rng.uniform(0, 255, 3)


def cloth(face: Face, rng: np.random.Generator, others: Sequence[np.ndarray], mask: bool = False) -> np.ndarray:
    """A surface of the picture's size, (H, W, 3) float32: plain, patterned, or a piece of another picture."""
    shape = face.image.shape[:2]
    base = np.broadcast_to(_colour(face, rng, mask), (*shape, 3)).astype(np.float32)
    kind = rng.choice(["plain", "stripes", "checks", "dots", "blobs", "picture"], p=[0.5, 0.1, 0.08, 0.08, 0.09, 0.15])
    second = _colour(face, rng)
    size = face.unit * rng.uniform(0.06, 0.4)
    if kind == "stripes":
        share = _wave(shape, rng, size) > rng.uniform(-0.5, 0.5)
    elif kind == "checks":
        share = (_wave(shape, rng, size) > 0) ^ (_wave(shape, rng, size) > 0)
    elif kind == "dots":
        share = (_wave(shape, rng, size) * _wave(shape, rng, size)) > 0.4
    elif kind == "blobs":
        few = tuple(max(2, round(side / size)) for side in shape)
        share = cv2.resize(rng.normal(0, 1, few).astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC) > 0.3
    elif kind == "picture" and len(others):
        other = others[rng.integers(len(others))]
        side = int(rng.uniform(0.25, 1) * min(other.shape[:2]))
        top, left = (int(rng.integers(0, length - side + 1)) for length in other.shape[:2])
        part = np.rot90(other[top : top + side, left : left + side], rng.integers(1, 4))  # no mouth in its place
        part = cv2.resize(np.ascontiguousarray(part), shape[::-1], interpolation=cv2.INTER_AREA)
        return part.astype(np.float32)
    else:
        share = np.zeros(shape, bool)
    soft = cv2.GaussianBlur(share.astype(np.float32), (0, 0), max(0.4, 0.01 * face.unit))[..., None]
    return base * (1 - soft) + second.astype(np.float32) * soft


def shade(surface: np.ndarray, area: np.ndarray, face: Face, rng: np.random.Generator, folds: float) -> np.ndarray:
    """Light on a surface: that of the face behind it, a gradient, and folds."""
    shape = area.shape
    light = np.ones(shape, np.float32)
    if rng.random() < 0.6:
        grey = cv2.GaussianBlur(
            cv2.cvtColor(face.image, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 0.25 * face.unit
        )
        light *= (grey / max(float(np.average(grey, weights=area + 1e-6)), 10.0)) ** rng.uniform(0.2, 0.9)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    slope = rng.normal(0, 0.12, 2) / face.unit
    light *= 1 + (x - face.mouth[0]) * slope[0] + (y - face.mouth[1]) * slope[1]
    if rng.random() < folds:
        for _ in range(rng.integers(1, 4)):
            light *= 1 + rng.uniform(0.02, 0.15) * _wave(shape, rng, face.unit * rng.uniform(0.12, 0.8))
    if rng.random() < 0.5:  # round: darker towards the edge
        inside = cv2.distanceTransform((area > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
        light *= 1 - rng.uniform(0.1, 0.5) * np.exp(-inside / (rng.uniform(0.05, 0.3) * face.unit))
    lit = surface * np.clip(light, 0.1, 2)[..., None]
    grain = rng.normal(0, 1, (*shape, 1)).astype(np.float32) * rng.uniform(0, 5)
    return np.clip(lit + grain, 0, 255)


def pleats(area: np.ndarray, face: Face, rng: np.random.Generator) -> np.ndarray:
    """Light of a mask's folds, which run across the face: (H, W) float32."""
    y, x = np.mgrid[: area.shape[0], : area.shape[1]].astype(np.float32)
    across, down = ((x - face.mouth[0]) * axis[0] + (y - face.mouth[1]) * axis[1] for axis in (face.across, face.down))
    down = (down + rng.uniform(-0.4, 0.2) * across**2 / face.unit) / (face.unit * rng.uniform(0.13, 0.35))
    return 1 - rng.uniform(0.05, 0.3) * ((down + rng.random()) % 1) ** rng.uniform(1, 4)


Shape = tuple[list[np.ndarray], float]
"""Outlines (K, 2) in pixels of parts with one surface each, and how likely they are folded."""


def _mask(face: Face, rng: np.random.Generator, top: Sequence[int]) -> Shape:
    outline = np.concatenate([face.points[list(JAW)], face.points[list(top)]])
    chin = 0.12 * rng.random() * face.unit
    outline[4:17] += face.down * chin
    centre = outline.mean(axis=0)
    outline = centre + (outline - centre) * rng.uniform(0.9, 1.08, 2) + rng.normal(0, 0.02 * face.unit, outline.shape)
    return [outline], 0.7


def surgical(face: Face, rng: np.random.Generator) -> Shape:
    """A mask from the nose's bridge to the chin."""
    bridge = int(rng.choice([197, 195, 5, 4]))
    return _mask(face, rng, (347, bridge, 118) if rng.random() < 0.5 else (346, 349, bridge, 120, 117))


def low_mask(face: Face, rng: np.random.Generator) -> Shape:
    """A mask under the nose."""
    return _mask(face, rng, (425, 2, 205))


def mouth_only(face: Face, rng: np.random.Generator) -> Shape:
    """A mask, tape or veil over mouth and chin alone."""
    wide, up, below = rng.uniform(0.4, 0.7), rng.uniform(0.15, 0.3), rng.uniform(0.15, 0.6)
    corners = [(-wide, -up), (0, -up * rng.uniform(1, 1.4)), (wide, -up), (wide * 0.9, below), (-wide * 0.9, below)]
    return [face.at(np.array(corners) + rng.normal(0, 0.03, (5, 2)))], 0.5


def scarf(face: Face, rng: np.random.Generator) -> Shape:
    """Cloth wound about the lower face and the neck."""
    top = rng.uniform(-0.65, -0.12)
    x = np.linspace(-1.2, 1.2, 9)
    edge = top + 0.1 * rng.normal(0, 1) * x + rng.uniform(-0.15, 0.3) * x**2 + rng.normal(0, 0.03, 9)
    outline = np.concatenate([np.stack([x, edge], 1), [(1.6, 2.5), (-1.6, 2.5)]])
    return [face.at(outline)], 1.0


def _ellipse(radii: Sequence[float], turn: float = 0.0, points: int = 24) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    flat = np.stack([radii[0] * np.cos(angle), radii[1] * np.sin(angle)], 1)
    return flat @ _turn(turn).T


def _turn(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def microphone(face: Face, rng: np.random.Generator) -> Shape:
    """A round head on a stick."""
    radius = rng.uniform(0.2, 0.5)
    turn = rng.normal(0, 0.8)
    centre = rng.normal(0, 0.1, 2)
    head = _ellipse((radius, radius * rng.uniform(0.9, 1.4)), turn) + centre
    width = radius * rng.uniform(0.3, 0.8)
    stick = np.array([(-width, 0), (width, 0), (width * 0.8, 3), (-width * 0.8, 3)]) @ _turn(turn).T + centre
    return [face.at(stick), face.at(head)], 0.2


def cup(face: Face, rng: np.random.Generator) -> Shape:
    """A cup or glass at the lips, its bottom towards the camera or below."""
    wide, high = rng.uniform(0.35, 0.75), rng.uniform(0.5, 1.1)
    top = rng.uniform(-0.3, 0.05)
    body = np.array([(-wide, top), (wide, top), (wide * 0.8, top + high), (-wide * 0.8, top + high)])
    turn = _turn(rng.normal(0, 0.25))
    rim = _ellipse((wide, wide * rng.uniform(0.15, 0.5))) + np.array([0, top])
    return [face.at(body @ turn.T), face.at(rim @ turn.T)], 0.1


def phone(face: Face, rng: np.random.Generator) -> Shape:
    """A rectangle: a phone, a card, a sheet of paper."""
    size = rng.uniform(0.35, 0.9, 2)
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * size + rng.normal(0, 0.05, (4, 2))
    outline = corners @ _turn(rng.normal(0, 0.6)).T + rng.normal(0, 0.15, 2)
    return [face.at(outline)], 0.1


def hand(face: Face, rng: np.random.Generator) -> Shape:
    """Fingers side by side over the mouth, and the back of the hand."""
    turn = rng.uniform(-np.pi, np.pi)
    width = rng.uniform(0.11, 0.16)
    parts = []
    palm = _ellipse((width * 2.4, width * 3)) + np.array([0, 0.75])
    shift = rng.normal(0, 0.12, 2)
    for finger in range(4):
        length = width * rng.uniform(3.5, 5)
        x = (finger - 1.5) * width * rng.uniform(1.0, 1.15)
        bar = _ellipse((width * 0.55, length), rng.normal(0, 0.06)) + np.array([x, 0.1])
        parts.append(face.at(bar @ _turn(turn).T + shift))
    return [face.at(palm @ _turn(turn).T + shift), *parts], 0.3


def odd_shape(face: Face, rng: np.random.Generator) -> Shape:
    """A blob."""
    radius = rng.uniform(0.3, 0.8) * (1 + 0.3 * rng.normal(0, 1, 9))
    angle = np.linspace(0, 2 * np.pi, 9, endpoint=False)
    blob = np.stack([np.cos(angle), np.sin(angle)], 1) * np.abs(radius)[:, None] * rng.uniform(0.5, 1, 2)
    return [face.at(blob + rng.normal(0, 0.15, 2))], 0.4


KINDS: dict[str, Callable[[Face, np.random.Generator], Shape]] = {
    "surgical": surgical, "low mask": low_mask, "mouth only": mouth_only, "scarf": scarf, "microphone": microphone,
    "cup": cup, "phone": phone, "hand": hand, "odd shape": odd_shape,
}  # fmt: skip


def cover(
    image: np.ndarray,
    landmarks: np.ndarray,
    kind: str,
    rng: np.random.Generator,
    others: Sequence[np.ndarray] = (),
    shift: Sequence[float] = (0.0, 0.0),
) -> tuple[np.ndarray, np.ndarray]:
    """The picture with something before the face, uint8, and (H, W) float32: how much of each pixel that hides.

    others: pictures whose pieces serve as patterns. shift: moves it right and down, in eyes' distances.
    """
    face = Face(image, landmarks)
    outlines, folds = KINDS[kind](face, rng)
    moved = face.unit * (shift[0] * face.across + shift[1] * face.down)
    soft = rng.uniform(0.003, 0.03)
    picture, hidden = image.astype(np.float32), np.zeros(image.shape[:2], np.float32)
    mask = kind in MASKS
    surface = cloth(face, rng, others, mask)
    if kind == "hand":
        surface = np.broadcast_to(face.skin(rng) * rng.uniform(0.8, 1.2), picture.shape).astype(np.float32)
    for number, outline in enumerate(outlines):
        area = face.area(outline + moved, soft)
        if number and kind != "hand":
            surface = cloth(face, rng, others)
        if rng.random() < 0.5:  # its shadow
            dark = cv2.GaussianBlur(area, (0, 0), 0.06 * face.unit) * rng.uniform(0.1, 0.4)
            picture = picture * (1 - dark[..., None])
        lit = shade(surface, area, face, rng, folds)
        if mask and rng.random() < 0.6:
            lit = lit * pleats(area, face, rng)[..., None]
        picture = picture * (1 - area[..., None]) + lit * area[..., None]
        hidden = np.maximum(hidden, area)
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8), hidden
