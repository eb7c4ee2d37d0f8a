"""Metrics whose networks a user names: here small TorchScript ones whose values can be told by hand."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from moda.landmarks import LEFT_EYE, RIGHT_EYE
from moda.metrics import METRICS, SET_METRICS, ClipPair, ClipSet, FaceTrack, MetricSettings, NotAvailable, PairedTracks
from moda.metrics.identity import ALIGNED_POINTS, aligned, face_values
from moda.metrics.lip_leak import CORNERS, OPEN_RATIO
from moda.metrics.perceptual import distance
from moda.metrics.samples import SAMPLERS
from moda.nn.perceptual import vgg
from tests.metrics.picture_pairs import write_pair
from tests.metrics.waves import noise


class Means(nn.Module):
    """Mean red, green and blue."""

    def forward(self, pictures: Tensor, return_features: bool = False) -> Tensor:
        assert return_features
        return pictures.float().flatten(2).mean(dim=2)


class Faces(nn.Module):
    """A face's mean grey and 1."""

    def forward(self, pictures: Tensor) -> Tensor:
        grey = pictures.flatten(1).mean(dim=1, keepdim=True)
        return torch.cat([grey, torch.ones_like(grey)], dim=1)


def scripted(network: nn.Module, path: Path) -> Path:
    torch.jit.script(network).save(str(path))
    return path


@pytest.fixture
def clip(tmp_path, make_face, opening) -> ClipPair:
    """A face on grey of 128, generated on grey of 192."""
    face = FaceTrack(make_face(opening[:25]).landmarks)
    true, generated = ([np.full((64, 64, 3), level, np.uint8)] * 25 for level in (128, 192))
    return ClipPair(PairedTracks(face, face), pictures=write_pair(tmp_path, true, generated))


def with_settings(clip: ClipPair, **paths: Path) -> ClipPair:
    return replace(clip, settings=MetricSettings(**paths))  # type: ignore[arg-type]


def test_without_its_network_each_says_which_option_names_it(clip) -> None:
    for name, option in (("csim", "face"), ("perceptual", "perceptual"), ("lip_score", "lip")):
        assert f"--{option}-weights FILE" in METRICS[name].measure(clip).why  # type: ignore[union-attr]


def test_csim_is_the_cosine_of_the_networks_values(clip, tmp_path) -> None:
    path = scripted(Faces(), tmp_path / "faces.pt")
    one, two = (np.array([level / 127.5 - 1, 1]) for level in (128, 192))
    wanted = one @ two / (np.linalg.norm(one) * np.linalg.norm(two))
    assert METRICS["csim"].measure(with_settings(clip, face_weights=path)) == pytest.approx(wanted, abs=0.01)
    assert "faces.pt" in METRICS["csim"].variant(MetricSettings(face_weights=path))  # type: ignore[misc]


def test_faces_are_aligned_to_the_five_points() -> None:
    landmarks = np.zeros((478, 3))
    spots = ALIGNED_POINTS[:, ::-1] * [-1, 1] * 2 + [400, 100]  # turned by a quarter, twice the size, moved
    landmarks[list(RIGHT_EYE), :2], landmarks[list(LEFT_EYE), :2] = spots[0], spots[1]
    landmarks[1, :2], landmarks[61, :2], landmarks[291, :2] = spots[2], spots[3], spots[4]
    picture = np.zeros((512, 512, 3), np.uint8)
    for x, y in spots.round().astype(int):
        picture[y - 2 : y + 3, x - 2 : x + 3] = 255
    face = aligned(picture, landmarks)
    assert face.shape == (112, 112, 3)
    assert all(face[round(y), round(x), 0] > 0.9 for x, y in ALIGNED_POINTS)


def test_lip_score_of_a_network(clip, tmp_path) -> None:
    path = scripted(Faces(), tmp_path / "lips.pt")
    one, two = (np.array([level / 255, 1]) for level in (128, 192))
    wanted = one @ two / (np.linalg.norm(one) * np.linalg.norm(two))
    assert METRICS["lip_score"].measure(with_settings(clip, lip_weights=path)) == pytest.approx(wanted, abs=0.01)


def test_fid_of_a_network(clip, tmp_path) -> None:
    given = with_settings(clip, fid_weights=scripted(Means(), tmp_path / "means.pt"))
    rows = SAMPLERS["fid"].sample(given)
    assert isinstance(rows, np.ndarray) and rows.shape == (5, 3) and rows == pytest.approx(np.full((5, 3), 192), abs=2)
    files = {}
    for name, level in (("made", 192.0), ("true", 128.0)):
        files[name] = tmp_path / f"{name}.npz"
        np.savez(files[name], rows=np.full((5, 3), level, np.float32))
    clips = ClipSet(("a",), {}, {}, given.settings, *({"fid": {"a": files[name]}} for name in ("made", "true")))
    assert SET_METRICS["fid"].measure(clips, clips.whole()) == pytest.approx([3 * 64**2])


class Moments(nn.Module):
    """Of a video (1, 3, 16, 224, 224): its mean, and that of its first frame less that of its last."""

    def forward(self, videos: Tensor, rescale: bool = True, resize: bool = True) -> Tensor:
        assert not rescale and not resize and list(videos.shape[1:]) == [3, 16, 224, 224]
        frames = videos.mean(dim=[1, 3, 4])
        return torch.stack([frames.mean(dim=1), frames[:, 0] - frames[:, 15]], dim=1)


def test_fvd_takes_stretches_of_16_frames(tmp_path, make_face, opening) -> None:
    face = FaceTrack(make_face(opening[:40]).landmarks)
    true, generated = ([np.full((64, 64, 3), level, np.uint8) for level in range(80, 160, 2)] for _ in range(2))
    clip = ClipPair(PairedTracks(face, face), pictures=write_pair(tmp_path, true, generated))
    rows = SAMPLERS["fvd"].sample(with_settings(clip, fvd_weights=scripted(Moments(), tmp_path / "video.pt")))
    wanted = [[(80 + 15 + 32 * part) / 127.5 - 1, -30 / 127.5] for part in (0, 1)]  # the last 8 of 40 are left out
    assert rows == pytest.approx(np.array(wanted), abs=0.02)
    short = replace(clip, pictures=replace(clip.pictures, frames=15))  # type: ignore[type-var]
    few = SAMPLERS["fvd"].sample(with_settings(short, fvd_weights=tmp_path / "video.pt"))
    assert few == NotAvailable("fewer than 16 frames")


def test_files_that_are_no_network_and_networks_that_fail(clip, tmp_path) -> None:
    text = tmp_path / "text.pt"
    text.write_text("no network")
    why = METRICS["csim"].measure(with_settings(clip, face_weights=text)).why  # type: ignore[union-attr]
    assert str(text) in why and "no TorchScript" in why and "\n" not in why
    other = scripted(nn.Linear(2, 2), tmp_path / "other.pt")
    why = METRICS["csim"].measure(with_settings(clip, face_weights=other)).why  # type: ignore[union-attr]
    assert "cannot score" in why and "wanted a face recogniser" in why
    why = METRICS["csim"].measure(with_settings(clip, face_weights=tmp_path / "none.pt")).why  # type: ignore[union-attr]
    assert why.startswith("no weights at")


def test_perceptual_distance_is_that_of_normalised_maps() -> None:
    torch.manual_seed(0)
    network = vgg("vgg19")
    one, two = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    maps = [network(torch.from_numpy(p).permute(2, 0, 1)[None].float() / 127.5 - 1) for p in (one, two)]
    unit = [[m[0] / m[0].square().sum(0, keepdim=True).sqrt() for m in layers] for layers in maps]
    wanted = sum(float(((a - b) ** 2).sum(0).mean()) for a, b in zip(*unit, strict=True))
    assert distance(network, one, two) == pytest.approx(wanted, rel=1e-3)
    assert distance(network, one, one) == 0


def test_a_mouth_that_opens_in_silence_leaks(make_face) -> None:
    closed = make_face(np.zeros(1)).canonical[0]
    width = np.linalg.norm(closed[CORNERS[0], :2] - closed[CORNERS[1], :2])
    face = make_face(width * OPEN_RATIO * np.r_[np.full(30, 0.8), np.full(10, 1.2)])

    def measure(wave: np.ndarray):
        return METRICS["lip_leak"].measure(ClipPair(PairedTracks(face, face), wave))

    assert measure(np.zeros(40 * 640, np.float32)) == pytest.approx(10 / 40)
    assert measure(noise((1.6, 0.1))) == NotAvailable("only for videos that were made from silence")


@pytest.mark.skipif(find_spec("dlib") is None or find_spec("face_recognition_models") is None, reason="moda[faces]")
def test_dlib_tells_people_apart() -> None:
    from skimage.data import astronaut

    from moda.imaging.crop import crop_square, square_box
    from moda.locations import shipped
    from moda.media.picture import read_picture
    from moda.tracking.face import FaceTracker

    places = find_spec("face_recognition_models").submodule_search_locations  # type: ignore[union-attr]
    path = Path(places[0]) / "models" / "dlib_face_recognition_resnet_model_v1.dat"  # type: ignore[index]
    values = []
    with FaceTracker(video=False) as tracker:
        other = read_picture(shipped("assets/renderer_sheet.jpg"))
        for picture in (astronaut(), astronaut()[:, ::-1], other):
            found = tracker.faces(np.ascontiguousarray(picture))[0]
            square = crop_square(picture, square_box(found, picture.shape[1], picture.shape[0]), 512)
            values.append(face_values(path, square, tracker.faces(square)[0]))
    apart = [float(np.linalg.norm(values[0] - other)) for other in values[1:]]
    assert apart[0] < 0.4 < 0.6 < apart[1]  # dlib counts faces nearer than 0.6 as one person's
