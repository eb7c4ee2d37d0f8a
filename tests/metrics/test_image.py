import numpy as np
import pytest
from skimage.data import astronaut
from skimage.metrics import structural_similarity

from moda.metrics import METRICS, ClipPair, NotAvailable, PairedTracks
from moda.metrics.image import PSNR_CAP, box_mask, luma, psnr, seam, ssim
from moda.metrics.pictures import PicturePair
from tests.metrics.picture_pairs import write_pair


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return astronaut()[100:300, 150:350]


@pytest.fixture(scope="module")
def noisy(picture: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 20, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def test_luma_of_the_primaries() -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    assert luma(colours)[0] == pytest.approx([76.245, 149.685, 29.07, 255.0], abs=1e-3)


def test_psnr_of_an_offset_by_hand() -> None:
    true = np.full((20, 20, 3), 100, np.uint8)
    generated = true.copy()
    generated[..., 0] += 3  # squared error 9 in one channel of three: 10 log10(65025 / 3)
    assert psnr(true, generated) == pytest.approx(43.3599, abs=1e-3)
    assert psnr(true, 255 - true) == pytest.approx(10 * np.log10(255**2 / 55**2))  # no wrap of uint8
    assert psnr(true, true) == PSNR_CAP


def test_ssim_agrees_with_scikit_image(picture, noisy) -> None:
    wanted = structural_similarity(
        luma(picture), luma(noisy), gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert 0.2 < wanted < 0.9
    assert ssim(picture, noisy) == pytest.approx(float(wanted), abs=1e-5)
    assert ssim(noisy, picture) == pytest.approx(float(wanted), abs=1e-5)
    assert ssim(picture, picture) == pytest.approx(1.0, abs=1e-6)


def test_ssim_of_two_flat_pictures_by_hand() -> None:
    one, two = np.full((16, 16, 3), 100, np.uint8), np.full((16, 16, 3), 120, np.uint8)
    light = (0.01 * 255) ** 2
    assert ssim(one, two) == pytest.approx((2 * 100 * 120 + light) / (100**2 + 120**2 + light), abs=1e-5)


def test_ssim_refuses_what_has_no_window(picture) -> None:
    with pytest.raises(ValueError, match="11 px"):
        ssim(picture[:10], picture[:10])
    with pytest.raises(ValueError, match="equal"):
        ssim(picture, picture[:-1])


def test_seam_of_a_brighter_square_is_its_step() -> None:
    source = np.full((40, 60, 3), 50, np.uint8)
    pasted = box_mask(40, 60, left=10, top=5, side=20)
    assert pasted.sum() == 400 and pasted[5, 10] and not pasted[4, 10] and not pasted[25, 10]
    picture = source.copy()
    picture[pasted] += 12
    assert seam(picture, source, pasted) == pytest.approx(12, abs=1e-3)
    picture[pasted] -= 24  # darker: as visible
    assert seam(picture, source, pasted) == pytest.approx(12, abs=1e-3)


def test_seam_counts_only_the_border_and_what_the_source_has_there(picture) -> None:
    pasted = box_mask(200, 200, left=40, top=30, side=100)
    assert seam(picture, picture, pasted) == 0
    inside = picture.copy()
    inside[60:100, 60:100] = 0  # a new thing, away from the border
    assert seam(inside, picture, pasted) == 0
    # The border that a source has there already is no seam.
    framed = np.full((40, 60, 3), 50, np.uint8)
    mask = box_mask(40, 60, 10, 5, 20)
    framed[mask] = 80
    assert seam(framed, framed, mask) == 0
    assert seam(np.full_like(framed, 50), framed, mask) == pytest.approx(-30, abs=1e-3)


def test_seam_at_the_edge_of_the_picture_needs_a_border() -> None:
    source = np.zeros((20, 20, 3), np.uint8)
    corner = box_mask(20, 20, left=-5, top=-5, side=10)
    assert corner.sum() == 25
    picture = source.copy()
    picture[corner] = 7
    assert seam(picture, source, corner) == pytest.approx(7, abs=1e-3)
    with pytest.raises(ValueError, match="no border"):
        seam(source, source, np.ones((20, 20), bool))
    with pytest.raises(ValueError, match="fit together"):
        seam(source, source, corner[:10])


def test_registered_scores_take_every_fifth_frame(tmp_path, make_face) -> None:
    faces = make_face(np.full(11, 5.0))
    picture = astronaut()[:256, 100:356]
    noisy = np.clip(picture + np.random.default_rng(0).normal(0, 20, picture.shape), 0, 255).astype(np.uint8)
    # 11 frames: 0, 5 and 10 are scored; of the noisy ones only frame 5 counts.
    pictures = write_pair(tmp_path, [picture] * 11, [picture if t in (0, 10) else noisy for t in range(11)])
    clip = ClipPair(PairedTracks(faces, faces), pictures=pictures)
    pairs = list(zip(pictures.true(5, 256), pictures.generated(5, 256), strict=True))
    for name, score in (("psnr", psnr), ("ssim", ssim)):
        first, middle, last = (score(*pair) for pair in pairs)
        assert middle < 0.8 * min(first, last)
        assert METRICS[name].measure(clip) == pytest.approx((first + middle + last) / 3)
    same = ClipPair(PairedTracks(faces, faces), pictures=PicturePair(pictures.true_video, pictures.true_video, 11))
    assert METRICS["psnr"].measure(same) == PSNR_CAP
    assert METRICS["ssim"].measure(same) == pytest.approx(1.0, abs=1e-6)


def test_another_framing_and_no_pictures_are_said(make_face) -> None:
    faces = make_face(np.full(3, 5.0))
    for name in ("ssim", "psnr"):
        value = METRICS[name].measure(ClipPair(PairedTracks(faces, faces)))
        assert isinstance(value, NotAvailable) and "pictures" in value.why
        value = METRICS[name].measure(ClipPair(PairedTracks(faces, faces), other_framing="another crop"))
        assert isinstance(value, NotAvailable) and value.why == "another crop"


def test_identity_says_why_there_is_none(make_face) -> None:
    faces = make_face(np.full(3, 5.0))
    value = METRICS["identity"].measure(ClipPair(PairedTracks(faces, faces)))
    assert isinstance(value, NotAvailable) and "recogniser" in value.why
