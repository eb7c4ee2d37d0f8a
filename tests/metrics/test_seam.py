from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut

from moda.imaging.framing import Square
from moda.media.video_writer import VideoWriter
from moda.metrics import METRICS, ClipPair, NotAvailable, PairedTracks
from moda.metrics.pictures import PicturePair, VideoPictures
from moda.metrics.seam import border_step, seam_ratio, square_mask
from tests.metrics.conftest import MakeFace
from tests.metrics.picture_pairs import write_video

SQUARE = Square(10.2, 5.4, 20.0, 20.0)


def test_the_mask_is_the_square_in_whole_pixels_inside_the_picture() -> None:
    mask = square_mask(40, 60, SQUARE)
    assert mask.sum() == 400 and mask[5, 10] and not mask[4, 10] and not mask[25, 10] and not mask[5, 30]
    assert square_mask(20, 20, Square(-5, -5, 10, 10)).sum() == 25


def test_steps_and_their_ratio_by_hand() -> None:
    mask = square_mask(40, 60, SQUARE)
    source = np.full((40, 60, 3), 50, np.uint8)
    source[mask] += 3  # the source has an edge of 3 there
    brighter, darker = source.copy(), source.copy()
    brighter[mask] += 12  # a step of 15
    darker[mask] -= 14  # of 11, as visible as one upwards
    assert border_step(source, mask) == pytest.approx(3, abs=1e-3)
    assert border_step(darker, mask) == pytest.approx(11, abs=1e-3)
    assert seam_ratio([brighter, darker], source, mask) == pytest.approx((13 + 1) / (3 + 1), abs=1e-3)
    assert seam_ratio([np.full_like(source, 50)], source, mask) == pytest.approx(1 / 4, abs=1e-3)  # smoothed over


def test_what_changes_inside_is_no_seam() -> None:
    picture = astronaut()[100:300, 150:350]
    mask = square_mask(200, 200, Square(40, 30, 100, 100))
    changed = picture.copy()
    changed[60:100, 60:100] = 0
    assert seam_ratio([picture, changed], picture, mask) == 1


def test_half_of_a_border_counts_alone_and_none_is_an_error() -> None:
    corner = square_mask(20, 20, Square(-5, -5, 10, 10))
    picture = np.zeros((20, 20, 3), np.uint8)
    picture[corner] = 7
    assert border_step(picture, corner) == pytest.approx(7, abs=1e-3)
    with pytest.raises(ValueError, match="no border"):
        border_step(picture, np.ones((20, 20), bool))
    with pytest.raises(ValueError, match="fit together"):
        border_step(picture, corner[:10])


def write_tagged(path: Path, frames: list[np.ndarray], square: Square) -> VideoPictures:
    height, width = frames[0].shape[:2]
    with VideoWriter(path, (width, height), 25, crf=4, metadata=square.tag((width, height))) as writer:
        for frame in frames:
            writer.write(frame)
    return VideoPictures(path, write_video(path.with_suffix(".other.mp4"), frames).box, len(frames))


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return astronaut()[100:356, 100:356]


def score(true: VideoPictures, generated: VideoPictures, make_face: MakeFace) -> float | NotAvailable:
    faces = make_face(np.full(6, 5.0))
    return METRICS["seam"].measure(ClipPair(PairedTracks(faces, faces), pictures=PicturePair(true, generated, 6)))


def test_the_score_of_videos(tmp_path: Path, make_face: MakeFace, picture: np.ndarray) -> None:
    square = Square(60.0, 50.0, 120.0, 120.0)
    mask = square_mask(256, 256, square)
    pasted = picture.copy()
    pasted[mask] = np.clip(pasted[mask].astype(int) + 25, 0, 255)
    true = write_video(tmp_path / "true.mp4", [picture] * 6)
    whole = score(true, write_tagged(tmp_path / "whole.mp4", [picture] * 6, square), make_face)
    seen = score(true, write_tagged(tmp_path / "seen.mp4", [picture] + [pasted] * 5, square), make_face)
    assert whole == pytest.approx(1, abs=0.05)
    # Frames 0 and 5 are looked at: the mean of one without and one with the square.
    wanted = seam_ratio([picture, pasted], picture, mask)
    assert wanted > 1.3 and seen == pytest.approx(wanted, rel=0.1)


def test_what_cannot_be_scored_has_a_reason(tmp_path: Path, make_face: MakeFace, picture: np.ndarray) -> None:
    true = write_video(tmp_path / "true.mp4", [picture] * 6)
    said = score(true, true, make_face)
    assert said == NotAvailable("the video does not say where its square was")
    other = write_tagged(tmp_path / "other.mp4", [255 - picture] * 6, Square(60, 50, 120, 120))
    said = score(true, other, make_face)
    assert isinstance(said, NotAvailable) and "not the true video's first frame" in said.why
    full = write_tagged(tmp_path / "full.mp4", [picture] * 6, Square(-2, 0, 260, 260))
    said = score(true, full, make_face)
    assert isinstance(said, NotAvailable) and "no border" in said.why
