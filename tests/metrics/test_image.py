import numpy as np
import pytest
from skimage.data import astronaut

from moda.metrics import METRICS, ClipPair, NotAvailable, PairedTracks
from moda.metrics.image import MAX_PSNR_DB, luma, psnr, ssim
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
    assert psnr(true, true) == MAX_PSNR_DB


def test_ssim_of_one_window_by_hand(picture, noisy) -> None:
    """Two pictures of 11 x 11 pixels have one window: weighted means, variances and covariance of luma."""
    x, y = (luma(image[:11, :11]).astype(float) for image in (picture, noisy))
    axis = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    weights = np.outer(axis, axis) / axis.sum() ** 2
    mean_x, mean_y = (weights * x).sum(), (weights * y).sum()
    variance_x, variance_y = (weights * (x - mean_x) ** 2).sum(), (weights * (y - mean_y) ** 2).sum()
    covariance = (weights * (x - mean_x) * (y - mean_y)).sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    wanted = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    wanted /= (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    assert 0.05 < wanted < 0.9
    assert ssim(picture[:11, :11], noisy[:11, :11]) == pytest.approx(wanted, abs=1e-4)


def test_ssim_is_symmetric_and_1_for_equal_pictures(picture, noisy) -> None:
    assert 0.2 < ssim(picture, noisy) < 0.9
    assert ssim(noisy, picture) == pytest.approx(ssim(picture, noisy), abs=1e-6)
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
    assert METRICS["psnr"].measure(same) == MAX_PSNR_DB
    assert METRICS["ssim"].measure(same) == pytest.approx(1.0, abs=1e-6)


def test_another_framing_and_no_pictures_are_reported(make_face) -> None:
    faces = make_face(np.full(3, 5.0))
    for name in ("ssim", "psnr"):
        value = METRICS[name].measure(ClipPair(PairedTracks(faces, faces)))
        assert isinstance(value, NotAvailable) and "pictures" in value.why
        value = METRICS[name].measure(ClipPair(PairedTracks(faces, faces), other_framing="another crop"))
        assert isinstance(value, NotAvailable) and value.why == "another crop"
