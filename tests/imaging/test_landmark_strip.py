"""Strips of thumbnails."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moda.errors import OutputError
from moda.imaging.landmark_strip import MAX_THUMBNAILS, THUMBNAIL_SIDE_PX, evenly, thumbnail, write_strip
from moda.landmarks import LEFT_EYE_CONTOUR, canonical_face

GREY = 128


def face(scale: float, x: float, y: float) -> np.ndarray:
    vertices = canonical_face().vertices
    return np.concatenate([vertices, np.repeat(vertices[[33, 263]], 5, axis=0)]) * scale + np.array([x, y, 0.0])


def blank(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), GREY, np.uint8)


@pytest.mark.parametrize("frames", [1, 2, 7, 8, 9, 75, 752])
def test_evenly_takes_the_middle_of_equal_parts(frames: int) -> None:
    chosen = evenly(frames)
    assert len(chosen) == min(frames, MAX_THUMBNAILS) == len(set(chosen))
    for index, frame in enumerate(chosen):
        middle = (index + 0.5) * frames / len(chosen)
        assert abs(frame - middle) <= 1 and 0 <= frame < frames


@pytest.mark.parametrize(("height", "width"), [(360, 640), (640, 360), (50, 50), (2160, 3840)])
def test_landmarks_stand_where_they_are_in_the_picture(height: int, width: int) -> None:
    scale = min(height, width) / 512
    landmarks = face(scale, 0.3 * width, 0.5 * height)
    drawn = thumbnail(blank(height, width), landmarks).astype(int)
    assert drawn.shape == (THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX, 3)
    rows, columns = np.nonzero(drawn[..., 1] - drawn[..., 0] > 25)  # green: the subject's left eye and brow
    factor = THUMBNAIL_SIDE_PX / max(height, width)
    left, top = (THUMBNAIL_SIDE_PX - factor * width) / 2, (THUMBNAIL_SIDE_PX - factor * height) / 2
    eye = landmarks[list(LEFT_EYE_CONTOUR), :2].mean(axis=0) * factor + (left, top)
    assert abs(columns.mean() - eye[0]) < 0.05 * THUMBNAIL_SIDE_PX * scale * factor * 10
    assert -0.08 * THUMBNAIL_SIDE_PX <= rows.mean() - eye[1] <= 3, "the brow lies above the eye"
    outside = np.ones((THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX), bool)
    outside[
        max(0, round(top)) : round(THUMBNAIL_SIDE_PX - top), max(0, round(left)) : round(THUMBNAIL_SIDE_PX - left)
    ] = False
    assert (drawn[outside] < 90).all(), "black beside a picture that is not square"


def test_a_picture_without_a_face_has_a_red_border() -> None:
    drawn = thumbnail(blank(200, 200), None).astype(int)
    edge = np.concatenate([drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]])
    assert (edge[:, 0] - edge[:, 1] > 100).all()
    assert np.abs(drawn[10:-10, 10:-10] - GREY).max() <= 1
    assert (thumbnail(blank(200, 200), face(0.4, 100, 90))[0, 0] == GREY).all(), "none with a face"


def test_shoulders_are_blue() -> None:
    line = np.stack([np.linspace(20, 180, 18), np.full(18, 150.0), np.zeros(18)], axis=1)
    drawn = thumbnail(blank(200, 200), face(0.2, 100, 60), line).astype(int)
    row = round(150 * THUMBNAIL_SIDE_PX / 200)
    assert ((drawn[row - 2 : row + 3, ..., 2] - drawn[row - 2 : row + 3, ..., 0]).max(axis=0)[15:50] > 40).all()


def test_a_strip_is_one_jpeg_of_at_most_eight_and_the_same_twice(tmp_path: Path) -> None:
    pictures = [np.full((90, 160, 3), 10 * index, np.uint8) for index in range(20)]
    landmarks = [face(0.15, 80, 40) if index % 2 else None for index in range(20)]
    write_strip(tmp_path / "a.jpg", pictures, landmarks)
    write_strip(tmp_path / "b.jpg", pictures, landmarks)
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg", "b.jpg"]
    with Image.open(tmp_path / "a.jpg") as strip:
        assert strip.size == (MAX_THUMBNAILS * THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX) and strip.format == "JPEG"
        shades = np.asarray(strip.convert("RGB"))[THUMBNAIL_SIDE_PX // 2 + 33, 10::THUMBNAIL_SIDE_PX, 0].astype(int)
    assert (np.abs(shades - [10 * index for index in evenly(20)]) <= 12).all(), "in order, evenly chosen"
    write_strip(tmp_path / "a.jpg", pictures[:3], landmarks[:3])
    with Image.open(tmp_path / "a.jpg") as strip:
        assert strip.size == (3 * THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX)


def test_wild_points_do_not_fail(tmp_path: Path) -> None:
    wild = face(1.0, 0.0, 0.0)
    wild[:50] = np.nan
    wild[50:90] = 1e9
    write_strip(tmp_path / "wild.jpg", [blank(64, 64)], [wild])
    assert (tmp_path / "wild.jpg").stat().st_size > 500


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 pictures"):
        write_strip(tmp_path / "a.jpg", [], [])
    with pytest.raises(ValueError, match="1 sets of landmarks"):
        write_strip(tmp_path / "a.jpg", [blank(9, 9)] * 2, [None])
    with pytest.raises(OutputError, match=r"cannot write .*nowhere"):
        write_strip(tmp_path / "nowhere" / "a.jpg", [blank(9, 9)], [None])
