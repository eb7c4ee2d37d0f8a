import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.special import gamma
from scipy.stats import gennorm
from skimage.data import astronaut

from moda.imaging.crop import Box
from moda.metrics import METRICS, ClipPair, NotAvailable, PairedTracks
from moda.metrics.image import luma
from moda.metrics.niqe import (
    BLOCK_SIDE_PX,
    FEATURES,
    block_features,
    fit_generalised_gaussian,
    halve,
    local_contrast,
    niqe,
    pristine,
)
from moda.metrics.pictures import PicturePair, VideoPictures
from tests.metrics.picture_pairs import write_video


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return astronaut()


def noisy(picture: np.ndarray, deviation: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, deviation, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def test_the_package_holds_the_pristine_statistics() -> None:
    reference = pristine()
    assert reference.mean.shape == (FEATURES,) and reference.covariance.shape == (FEATURES, FEATURES)
    assert np.allclose(reference.covariance, reference.covariance.T)
    offsets = np.arange(-3, 4)
    gaussian = np.exp(-0.5 * (offsets / (7 / 6)) ** 2)  # 7 pixels, sigma 7/6
    assert reference.window == pytest.approx(gaussian / gaussian.sum(), rel=1e-6)


def test_agrees_with_an_independent_program(picture) -> None:
    # basicsr 1.4.2's calculation from the same luma and parameters, run once by hand: 3.0580, 7.7737 and 9.9925.
    assert niqe(picture) == pytest.approx(3.0580, abs=2e-3)
    assert niqe(gaussian_filter(picture, (2, 2, 0))) == pytest.approx(7.7737, abs=2e-3)
    assert niqe(noisy(picture, 25)) == pytest.approx(9.9925, abs=2e-3)


def test_rises_with_blur_and_with_noise(picture) -> None:
    blurred = [niqe(gaussian_filter(picture, (sigma, sigma, 0))) for sigma in (0, 1, 2, 3)]
    assert np.all(np.diff(blurred) > 0.5), blurred
    grained = [niqe(noisy(picture, deviation)) for deviation in (0, 12, 25, 50)]
    assert np.all(np.diff(grained) > 0.5), grained


@pytest.mark.parametrize("shape", [0.6, 1.0, 2.0, 4.0])
def test_fit_finds_the_generalised_gaussian_that_made_the_samples(shape) -> None:
    samples = gennorm.rvs(shape, scale=1.7, size=(1, 200_000), random_state=np.random.default_rng(1))
    found, left, right = fit_generalised_gaussian(samples)
    assert found[0] == pytest.approx(shape, rel=0.03)
    assert left[0] == pytest.approx(1.7, rel=0.05) and right[0] == pytest.approx(1.7, rel=0.05)


def test_fit_of_two_different_sides() -> None:
    # The density's two sides have masses proportional to their scales: draw a side, then a half-Gaussian.
    generator = np.random.default_rng(2)
    left, right, shape = 0.5, 1.5, 2.0
    positive = generator.random(400_000) < right / (left + right)
    half = np.abs(gennorm.rvs(shape, size=positive.size, random_state=generator))
    samples = np.where(positive, right * half, -left * half)[None]
    found, found_left, found_right = fit_generalised_gaussian(samples)
    assert found[0] == pytest.approx(shape, rel=0.03)
    assert found_left[0] == pytest.approx(left, rel=0.03) and found_right[0] == pytest.approx(right, rel=0.03)
    mean = (found_right - found_left) * gamma(2 / found) / gamma(1 / found)
    assert mean[0] == pytest.approx(samples.mean(), rel=0.03)


def test_fit_takes_the_nearest_shape_of_the_table() -> None:
    samples = np.random.default_rng(3).laplace(size=(20, 500))
    shapes = np.arange(200, 10001) / 1000
    ratios = gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes))
    for row, found in zip(samples, fit_generalised_gaussian(samples)[0], strict=True):
        left, right = np.sqrt(np.mean(row[row < 0] ** 2)), np.sqrt(np.mean(row[row > 0] ** 2))
        skew = left / right
        wanted = np.mean(np.abs(row)) ** 2 / np.mean(row**2) * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
        assert found == pytest.approx(shapes[np.argmin((ratios - wanted) ** 2)])


def test_local_contrast_of_a_single_point_by_hand() -> None:
    image = np.zeros((21, 21))
    image[10, 10] = 100.0
    weight = pristine().window[3] ** 2
    mean, square = 100 * weight, 100**2 * weight
    wanted = (100 - mean) / (np.sqrt(square - mean**2) + 1)
    contrast = local_contrast(image)
    assert contrast[10, 10] == pytest.approx(wanted)
    assert contrast[2, 2] == 0


def test_halving_agrees_with_pillow_inside_and_keeps_the_mean(picture) -> None:
    light = luma(picture).astype(np.float32)
    half = halve(light)
    pillow = np.asarray(Image.fromarray(light).resize((256, 256), Image.Resampling.BICUBIC))
    assert half.shape == (256, 256)
    assert np.abs(half - pillow)[4:-4, 4:-4].max() < 0.02  # at the edges Pillow cuts the filter, MATLAB mirrors
    assert halve(np.full((8, 12), 7.0)) == pytest.approx(np.full((4, 6), 7.0))
    ramp = np.tile(np.arange(40.0), (8, 1))
    assert halve(ramp)[0, 4:-4] == pytest.approx(np.arange(20)[4:-4] * 2 + 0.5)


def test_blocks_are_whole_and_in_place(picture) -> None:
    light = luma(picture).astype(np.float64)
    features = block_features(light)
    assert features.shape == (25, FEATURES)
    # The rest over right and below does not count.
    assert np.array_equal(features, block_features(light[:480, :480]))
    # A change inside one block, away from its borders, changes that block only.
    other = light.copy()
    other[BLOCK_SIDE_PX + 30 : BLOCK_SIDE_PX + 60, 2 * BLOCK_SIDE_PX + 30 : 2 * BLOCK_SIDE_PX + 60] = 0
    changed = np.flatnonzero(np.abs(block_features(other) - features).max(axis=1) > 1e-9)
    assert changed.tolist() == [1 * 5 + 2]


def test_flat_blocks_are_left_out_and_a_flat_picture_has_no_value(picture) -> None:
    flat = picture.copy()
    flat[:, : 2 * BLOCK_SIDE_PX] = 40  # two columns of blocks: flat, but for the border's reach into the second
    value = niqe(flat)
    assert np.isfinite(value)
    assert np.isnan(niqe(np.full((480, 480, 3), 90, np.uint8)))


def test_refuses_small_pictures(picture) -> None:
    with pytest.raises(ValueError, match="480 px"):
        niqe(picture[:479])


def test_registered_score_is_the_mean_of_every_tenth_generated_frame(tmp_path, make_face, picture) -> None:
    faces = make_face(np.full(11, 5.0))
    blurred = gaussian_filter(picture, (2, 2, 0))
    video = write_video(tmp_path / "a.mp4", [picture] + [blurred] * 10)
    clip = ClipPair(PairedTracks(faces, faces), pictures=PicturePair(video, video, 11))
    first, last = (niqe(frame) for frame in video.read(0, 11, 10, 512))
    assert last > first + 2
    assert METRICS["niqe"].measure(clip) == pytest.approx((first + last) / 2)
    late = ClipPair(clip.tracks, pictures=PicturePair(video, video, 1, 0, 10))
    assert METRICS["niqe"].measure(late) == last and list(video.known("niqe 512")) == [0, 10]
    small = VideoPictures(tmp_path / "a.mp4", Box(0, 0, 478), 11)
    value = METRICS["niqe"].measure(ClipPair(PairedTracks(faces, faces), pictures=PicturePair(video, small, 11)))
    assert isinstance(value, NotAvailable) and "478 px" in value.why and "480" in value.why
    fits = VideoPictures(tmp_path / "a.mp4", Box(0, 0, 480), 11)  # read as it is, not enlarged to 512
    own = np.mean([niqe(frame[:480, :480]) for frame in video.read(0, 11, 10, 512)])
    value = METRICS["niqe"].measure(ClipPair(PairedTracks(faces, faces), pictures=PicturePair(small, fits, 11)))
    assert value == pytest.approx(own, abs=0.02)
