"""Trains the network of `moda.tracking.face_view`, which sees covered mouths.

FOLDERS hold pictures and videos with one face each, free of anything before the mouth (of a video the first frame and
those with the widest and the narrowest mouth are taken). What covers a face is drawn (benchmarks/covered_mouths.py).
The shipped weights come from an earlier form of this script (three processes, 1,300 steps of 14,000 samples).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional

from benchmarks.covered_mouths import JAW, KINDS, Face, cover
from moda.errors import ModaError
from moda.geometry import fit_head_pose
from moda.imaging.crop import face_size
from moda.landmarks import INNER_LIPS, OUTER_LIPS, lip_opening
from moda.media.picture import read_picture
from moda.media.video import read_frames
from moda.tracking.face import FaceTracker
from moda.tracking.face_view import INPUT_SIDE_PX, FaceViewNet, similarity, take_view, view_of

DRAWN_SIDE_PX, MARGIN_FACTOR = 192, 1.35
"""Faces are drawn over at this size, which shows so many times as much of the picture as the network sees."""
BATCH, TURNED_SAMPLES = 32, 10
"""Samples a step, and how many of them are turned the wrong way."""
LIPSTICKS = ((150, 20, 40), (90, 10, 30), (30, 20, 25), (200, 60, 80), (120, 60, 40), (60, 60, 140))
BEARDS = ((35, 28, 22), (60, 45, 35), (90, 80, 75), (150, 145, 140), (110, 70, 40))


def faces_of(path: Path, tracker: FaceTracker) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pictures and landmarks (478, 3)."""
    if path.suffix.lower() in (".mp4", ".mov", ".webm"):
        frames = [frame for _, frame in zip(range(32), read_frames(path, fps=4), strict=False)]
    else:
        frames = [read_picture(path)]
    found = [(frame, mesh) for frame in frames if (mesh := tracker.track(frame)) is not None]
    openness = [float(lip_opening(mesh) / face_size(mesh)) for _, mesh in found]
    for number in sorted({0, int(np.argmax(openness)), int(np.argmin(openness))} if found else ()):
        yield found[number]


def drawing_view(image: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The face at `DRAWN_SIDE_PX`, and its landmarks (478, 2) there."""
    matrix = view_of(fit_head_pose(landmarks[None])[0])
    scale = DRAWN_SIDE_PX / (INPUT_SIDE_PX * MARGIN_FACTOR)
    matrix = matrix * scale
    matrix[:, 2] += (DRAWN_SIDE_PX - scale * INPUT_SIDE_PX) / 2
    return take_view(image, matrix, DRAWN_SIDE_PX), landmarks[:, :2] @ matrix[:, :2].T + matrix[:, 2]


def lipstick(image: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    face = Face(image, points)
    lips = np.clip(face.area(points[list(OUTER_LIPS)], 0.02) - face.area(points[list(INNER_LIPS)]), 0, 1)
    share = lips[..., None] * rng.uniform(0.2, 0.8)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None] / 128
    colour = np.array(LIPSTICKS[rng.integers(len(LIPSTICKS))], np.float32)
    return np.clip(image * (1 - share) + colour * grey * share, 0, 255).astype(np.uint8)


def beard(image: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A beard, or a moustache alone; it hides nothing, even where it hangs over the lips."""
    face = Face(image, points)
    if rng.random() < 0.7:
        top = rng.uniform(-0.25, 0.1)
        cheeks = face.at([(0.75, top), (0.3, top - 0.05), (0, top - 0.1), (-0.3, top - 0.05), (-0.75, top)])
        chin = points[list(JAW)][3:-3] + face.down * face.unit * rng.uniform(0, 0.3)
        outline = np.concatenate([chin, cheeks])
    else:
        outline = face.at([(-0.45, -0.05), (-0.3, -0.28), (0, -0.33), (0.3, -0.28), (0.45, -0.05)])
    over = rng.uniform(0, 0.8) if rng.random() < 0.3 else 0.0  # some grow over the lips
    area = face.area(outline, 0.06) * (1 - face.area(points[list(OUTER_LIPS)], 0.015) * (1 - over))
    if rng.random() < 0.5:
        area *= 1 - 0.8 * face.area(face.at([(-0.25, 0.2), (0.25, 0.2), (0.2, 0.35), (-0.2, 0.35)]), 0.03)
    hair = np.zeros((9, 9), np.float32)
    cv2.line(hair, (int(rng.integers(2, 7)), 0), (int(rng.integers(2, 7)), 8), 1, 1)
    noise = cv2.filter2D(rng.normal(0, 1, area.shape).astype(np.float32), -1, hair)
    noise /= noise.std()
    surface = np.array(BEARDS[rng.integers(len(BEARDS))], np.float32) + noise[..., None] * rng.uniform(8, 25)
    share = np.clip(area * (rng.uniform(0.4, 0.95) + 0.15 * noise), 0, 1)[..., None]
    return np.clip(image * (1 - share) + surface * share, 0, 255).astype(np.uint8)


def another_camera(view: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Light, colour, sharpness, noise, compression, and styles from black-and-white to paint."""
    x, chance, side = view.astype(np.float32), rng.random, len(view)
    if chance() < 0.12:
        x = np.repeat(x @ np.array([0.3, 0.59, 0.11], np.float32)[:, None], 3, axis=2)
        x *= rng.uniform(0.9, 1.1, 3 if chance() < 0.4 else 1)
    if chance() < 0.1:
        x = cv2.bilateralFilter(np.clip(x, 0, 255).astype(np.uint8), 7, 60, 5).astype(np.float32)
    if chance() < 0.05:
        step = rng.integers(16, 48)
        x = x // step * step + step / 2
    if chance() < 0.25:
        small = int(rng.integers(26, 80))
        x = cv2.resize(x, (small, small), interpolation=cv2.INTER_AREA)
        x = cv2.resize(x, (side, side), interpolation=cv2.INTER_CUBIC)
    elif chance() < 0.2:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.4, 1.6))
    x = 255 * (np.clip(x, 0, 255) / 255) ** np.exp(rng.normal(0, 0.3))
    x = x * np.exp(rng.normal(0, 0.12)) * np.exp(rng.normal(0, 0.06, 3)) + rng.normal(0, 8)
    if chance() < 0.08:  # faded in or out
        x = x + rng.uniform(0.3, 0.85) * (rng.uniform(0, 255) - x)
    if chance() < 0.08:
        x = x * rng.uniform(0.25, 0.6)
    if chance() < 0.5:
        x = x + rng.normal(0, rng.uniform(0, 9), x.shape)
    result = np.clip(x, 0, 255).astype(np.uint8)
    if chance() < 0.3:
        quality = int(rng.integers(20, 90))
        result = cv2.imdecode(cv2.imencode(".jpg", result, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    return result


def sample(
    image: np.ndarray, points: np.ndarray, others: list[np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A view (96, 96, 3) uint8 and what of it is hidden, (24, 24) uint8."""
    kinds, hidden, guessed = list(KINDS), np.zeros(image.shape[:2], np.float32), 1.0
    if rng.random() < 0.08:
        image = lipstick(image, points, rng)
    if rng.random() < 0.12:
        image = beard(image, points, rng)
    chance = rng.random()
    if 0.42 <= chance < 0.6:  # something beside the mouth
        angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.3)
        shift = away * np.cos(angle), away * np.sin(angle)
        image, hidden = cover(image, points, kinds[rng.integers(4, len(kinds))], rng, others, shift)
    elif chance >= 0.6:
        shift = tuple(rng.normal(0, 0.15, 2)) if rng.random() < 0.5 else (0.0, 0.0)
        image, hidden = cover(image, points, kinds[rng.integers(len(kinds))], rng, others, shift)
        guessed = 1.6  # a tracker's landmarks of a covered face are off
    matrix = similarity(
        DRAWN_SIDE_PX / 2 + DRAWN_SIDE_PX / MARGIN_FACTOR * rng.normal(0, 0.035 * guessed, 2), rng.normal(0, 6),
        INPUT_SIDE_PX * MARGIN_FACTOR / DRAWN_SIDE_PX * rng.uniform(0.88, 1.14), INPUT_SIDE_PX,
    )  # fmt: skip
    if rng.random() < 0.5:
        matrix[0] *= -1
        matrix[0, 2] += INPUT_SIDE_PX
    shown = take_view(np.repeat((hidden * 255).astype(np.uint8)[..., None], 3, axis=2), matrix)[..., 0]
    view = take_view(image, matrix)
    if rng.random() < 0.15:  # the picture ends, and its border goes on
        last = int(rng.integers(0.7 * INPUT_SIDE_PX, INPUT_SIDE_PX))
        view[last:], shown[last:] = view[last - 1], shown[last - 1]
    shown = cv2.resize(shown, (INPUT_SIDE_PX // 4,) * 2, interpolation=cv2.INTER_AREA)
    return another_camera(view, rng), shown


def turned(views: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """The same views the wrong way round, as wrong landmarks show them."""
    count = len(views)
    quarters = rng.choice([90, 180, 180, 270], count) + rng.normal(0, 15, count)
    angle = np.radians(np.where(rng.random(count) < 0.7, quarters, rng.uniform(60, 300, count)))
    scale = np.exp(rng.normal(0, 0.2, count))
    matrices = np.zeros((count, 2, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = scale * np.cos(angle)
    matrices[:, 1, 0] = scale * np.sin(angle)
    matrices[:, 0, 1] = -matrices[:, 1, 0]
    matrices[:, :, 2] = rng.normal(0, 0.3, (count, 2))
    grid = functional.affine_grid(torch.from_numpy(matrices).float(), list(views.shape), align_corners=False)
    return functional.grid_sample(views, grid, padding_mode="border", align_corners=False)


def train(views: np.ndarray, hidden: np.ndarray, steps: int, seed: int) -> FaceViewNet:
    """views: (N, 96, 96, 3) uint8, hidden: (N, 24, 24) uint8."""
    torch.manual_seed(seed)
    rng, network, running = np.random.default_rng(seed), FaceViewNet(), 0.0
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    upright = torch.cat([torch.zeros(TURNED_SAMPLES), torch.ones(BATCH - TURNED_SAMPLES)])
    for step in range(steps):
        chosen = rng.choice(len(views), BATCH)
        x = torch.from_numpy(views[chosen]).permute(0, 3, 1, 2).float() / 255
        x = (x * (1 + 0.08 * torch.randn(BATCH, 3, 1, 1))).clamp(0, 1)
        if rng.random() < 0.3:
            x = x[:, torch.randperm(3)]
        x = torch.cat([turned(x[:TURNED_SAMPLES], rng), x[TURNED_SAMPLES:]])
        pixels, certainty = network(x)
        wanted = torch.from_numpy(hidden[chosen[TURNED_SAMPLES:]]).float() / 255
        loss = functional.binary_cross_entropy_with_logits(pixels[TURNED_SAMPLES:], wanted)
        loss = loss + 0.2 * functional.binary_cross_entropy_with_logits(certainty, upright)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        running = float(loss.detach()) if not step else 0.98 * running + 0.02 * float(loss.detach())
        if step % 100 == 0:
            print(f"step {step}: loss {running:.4f}", flush=True)
    return network.eval()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, required=True, help="the weights, .npz")
    parser.add_argument("--samples", type=int, default=14_000)
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    faces = []
    with FaceTracker(video=False) as tracker:
        for path in sorted(file for folder in arguments.pictures for file in folder.iterdir() if file.is_file()):
            try:
                faces += [drawing_view(*face) for face in faces_of(path, tracker)]
            except ModaError as error:
                print(error)
    rng = np.random.default_rng(arguments.seed)
    views = np.zeros((arguments.samples, INPUT_SIDE_PX, INPUT_SIDE_PX, 3), np.uint8)
    hidden = np.zeros((arguments.samples, INPUT_SIDE_PX // 4, INPUT_SIDE_PX // 4), np.uint8)
    for i in range(arguments.samples):
        image, points = faces[rng.integers(len(faces))]
        others = [faces[k][0] for k in rng.integers(0, len(faces), 2)]
        views[i], hidden[i] = sample(image, points, others, rng)
    network = train(views, hidden, arguments.steps, arguments.seed)
    np.savez_compressed(
        arguments.output, **{name: value.numpy().astype(np.float16) for name, value in network.state_dict().items()}
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
