"""Pictures of every kind, the portrait made of one, and what is refused."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moda.errors import FaceError, MediaError
from moda.geometry import to_image
from moda.imaging.crop import face_size
from moda.landmarks import lip_opening
from moda.media.picture import read_picture
from moda.media.video import VideoWriter
from moda.representation import FRAME, Portrait
from moda.tracking.portrait import _of_the_face, make_portrait
from tests.tracking.detect import detect_faces


@pytest.fixture(scope="module")
def portrait(astronaut: np.ndarray) -> Portrait:
    return make_portrait(astronaut, 256)


@pytest.mark.parametrize(("name", "tolerance"), [("a.png", 0), ("a.jpg", 3), ("a.webp", 6), ("a.bmp", 0)])
def test_formats(tmp_path: Path, astronaut: np.ndarray, name: str, tolerance: float) -> None:
    Image.fromarray(astronaut).save(tmp_path / name, quality=95)
    picture = read_picture(tmp_path / name)
    assert picture.dtype == np.uint8
    assert picture.shape == astronaut.shape
    assert np.abs(picture.astype(int) - astronaut).mean() <= tolerance


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(tmp_path: Path, astronaut: np.ndarray, orientation: int) -> None:
    turn = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: np.swapaxes(a, 0, 1),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2),
        8: lambda a: np.rot90(a, -1),
    }  # how the sensor saw an upright scene
    upright = astronaut[:300]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(turn[orientation](upright))
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_picture(tmp_path / "a.png"), upright)


def test_sixteen_bits_grey_palette_and_one_bit(tmp_path: Path, astronaut: np.ndarray) -> None:
    grey = np.array(Image.fromarray(astronaut).convert("L"))
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "grey16.png")
    Image.fromarray(grey).save(tmp_path / "grey8.png")
    Image.fromarray(astronaut).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "palette.png")
    Image.fromarray(grey).convert("1").save(tmp_path / "bits.png")
    Image.fromarray(astronaut).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    for name in ("grey16.png", "grey8.png"):
        assert np.array_equal(read_picture(tmp_path / name), np.repeat(grey[..., None], 3, axis=2))
    assert np.abs(read_picture(tmp_path / "palette.png").astype(int) - astronaut).mean() < 10
    assert np.abs(read_picture(tmp_path / "cmyk.jpg").astype(int) - astronaut).mean() < 6
    assert set(np.unique(read_picture(tmp_path / "bits.png"))) == {0, 255}


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    rgba = np.zeros((80, 80, 4), np.uint8)
    rgba[:, :40] = (200, 0, 0, 255)
    rgba[:, 40:60] = (0, 0, 0, 128)
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    picture = read_picture(tmp_path / "rgba.png")
    assert tuple(picture[5, 5]) == (200, 0, 0)
    assert np.abs(picture[5, 50].astype(int) - 127).max() <= 1
    assert tuple(picture[5, 70]) == (255, 255, 255)
    Image.fromarray(rgba[..., [0, 3]]).convert("LA").save(tmp_path / "la.png")
    assert tuple(read_picture(tmp_path / "la.png")[5, 70]) == (255, 255, 255)


def test_first_frame_of_a_video(tmp_path: Path, astronaut: np.ndarray) -> None:
    with VideoWriter(tmp_path / "v.mp4", 512, 25) as writer:
        for shift in (0, 40, 80):
            writer.write(np.roll(astronaut, shift, axis=1))
    assert np.abs(read_picture(tmp_path / "v.mp4").astype(int) - astronaut).mean() < 4


def test_bad_files_are_refused_by_name(tmp_path: Path, astronaut: np.ndarray) -> None:
    Image.fromarray(astronaut).save(tmp_path / "whole.png")
    Image.fromarray(astronaut).save(tmp_path / "whole.jpg")
    for suffix in ("png", "jpg"):
        whole = (tmp_path / f"whole.{suffix}").read_bytes()
        (tmp_path / f"half.{suffix}").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("words, not a picture\n" * 20)
    (tmp_path / "zero.png").write_bytes(b"")
    cases = {
        "half.png": "cut off",
        "half.jpg": "cut off",
        "text.png": "not a picture",
        "zero.png": "empty",
        "none.png": "no such",
    }
    for name, said in cases.items():
        with pytest.raises(MediaError, match=said) as error:
            read_picture(tmp_path / name)
        assert str(tmp_path / name) in str(error.value)
        assert "\n" not in str(error.value)


def test_portrait_is_measured_in_the_square_frame(portrait: Portrait) -> None:
    assert portrait.image.shape == (256, 256, 3)
    assert portrait.person.shape == (256, 256)
    assert FRAME * 0.45 < face_size(portrait.landmarks) < FRAME * 0.55
    seen = detect_faces(portrait.image)[0] * (FRAME / 256)
    assert np.linalg.norm((seen - portrait.landmarks)[:, :2], axis=1).mean() < 4
    assert 0.7 < portrait.pose.scale < 1.4
    placed = to_image(portrait.subject, portrait.pose)
    distance = np.linalg.norm((placed - portrait.landmarks)[:, :2], axis=1)
    assert np.median(distance) < 0.1  # rest differs at the mouth alone
    assert lip_opening(portrait.subject) < 0.5 < lip_opening(portrait.landmarks)
    assert np.isfinite(portrait.torso).all()
    left, right = portrait.torso[:9], portrait.torso[9:]
    chin = portrait.landmarks[152, 1]
    assert left[:, 0].max() < right[:, 0].min() and portrait.torso[:, 1].min() > chin


def test_person_mask_is_soft(portrait: Portrait) -> None:
    nose = (portrait.landmarks[1, :2] / 2).astype(int)
    assert portrait.person[nose[1], nose[0]] > 0.95
    assert portrait.person.min() >= 0 and portrait.person.max() <= 1
    between = ((portrait.person > 0.1) & (portrait.person < 0.9)).mean()
    assert 0.01 < between < 0.3
    assert portrait.person[:20].mean() < 0.5 < portrait.person[-60:].mean()


def test_what_stands_beside_the_person_is_not_part_of_it(astronaut: np.ndarray, portrait: Portrait) -> None:
    mask = np.zeros((FRAME, FRAME), np.float32)
    mask[100:, 150:350] = 1
    mask[90:100] = 0.3  # a soft edge goes with it
    mask[300:400, 420:460] = 1
    kept = _of_the_face(mask, portrait.landmarks)
    assert np.array_equal(kept[:, :400], mask[:, :400])
    assert mask[300:400, 420:460].all() and not kept[300:400, 420:460].any()
    nothing = np.zeros_like(mask)
    assert np.array_equal(_of_the_face(nothing, portrait.landmarks), nothing)


def test_a_smile_in_the_picture_is_closed_and_said(
    astronaut: np.ndarray, portrait: Portrait, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "moda")
    again = make_portrait(astronaut, 64, source="smile.png")
    assert "smile.png: the mouth is open" in caplog.text
    # Outer lip, two rings in the red of it, inner lip: in this order from above, and from below.
    for ring in ((0, 11, 12, 13), (17, 16, 15, 14)):
        heights = again.subject[list(ring), 1] * (1 if ring[0] == 0 else -1)
        assert (np.diff(heights) > 0).all()


def test_resolution_of_the_source_does_not_matter(astronaut: np.ndarray, portrait: Portrait) -> None:
    large = np.array(Image.fromarray(astronaut).resize((1536, 1536), Image.Resampling.BICUBIC))
    other = make_portrait(large, 256)
    assert np.linalg.norm((other.landmarks - portrait.landmarks)[:, :2], axis=1).mean() < 4
    assert np.abs(other.image.astype(int) - portrait.image).mean() < 8


def test_the_largest_face_is_taken_unless_one_is_named(astronaut: np.ndarray) -> None:
    twin = np.ascontiguousarray(astronaut[:400, 50:450][:, ::-1, ::-1])  # mirrored, and blue for red
    small = np.array(Image.fromarray(twin).resize((360, 360)))
    both = np.full((512, 880, 3), 128, np.uint8)
    both[:, :512] = astronaut
    both[100:460, 516:876] = small
    other = detect_faces(small)[0] + np.array([516, 100, 0])
    assert face_size(other) < 0.95 * face_size(detect_faces(astronaut)[0])
    largest, named = make_portrait(both, 128), make_portrait(both, 128, face=other)
    alone = make_portrait(astronaut, 128).image.astype(int)
    difference = [np.abs(portrait.image - alone).mean() for portrait in (largest, named)]
    assert difference[0] < 0.5 * difference[1], difference


def test_a_small_face_in_a_large_picture_is_found(astronaut: np.ndarray) -> None:
    wide = np.full((1500, 2400, 3), 90, np.uint8)
    wide[700:1212, 1600:2112] = astronaut
    assert make_portrait(wide, 128).image.shape == (128, 128, 3)


def test_a_face_of_30_pixels_is_refused_with_its_size(astronaut: np.ndarray) -> None:
    side = round(512 * 30 / np.ptp(detect_faces(astronaut)[0][:, 0]))
    canvas = np.full((300, 300, 3), 128, np.uint8)
    canvas[80 : 80 + side, 80 : 80 + side] = np.array(Image.fromarray(astronaut).resize((side, side)))
    with pytest.raises(FaceError, match=r"the face is (2|3)\d px wide, wanted at least 64: group\.jpg"):
        make_portrait(canvas, 256, source="group.jpg")


def test_no_face_and_tiny_pictures_are_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (400, 500, 3)).astype(np.uint8)
    with pytest.raises(FaceError, match=r"no face found in wall\.png"):
        make_portrait(noise, 256, source="wall.png")
    for height, width in ((1, 1), (63, 400), (1, 4000)):
        with pytest.raises(MediaError, match=rf"the picture is {width}x{height}, wanted at least 64x64: dot\.png"):
            make_portrait(np.zeros((height, width, 3), np.uint8), 256, source="dot.png")
