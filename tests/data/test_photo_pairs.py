"""Renderer pairs of single photographs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from moda.data.frames import FramePairs
from moda.data.photo_pairs import FramesAndPhotos, PhotoPairs, lip_shapes, mirrored, with_lids
from moda.data.photos import PhotoStore, arrays_of
from moda.data.store import ClipStore
from moda.files import write_json, write_npz
from moda.geometry import to_canonical
from moda.landmarks import LEFT_EYEBROW, RIGHT_EYEBROW, eye_opening, lip_opening, other_side
from moda.representation import Portrait
from tests.imaging.test_warping import portrait  # noqa: F401  (a fixture)


@pytest.fixture
def store(portrait: Portrait, tmp_path: Path) -> PhotoStore:  # noqa: F811
    (tmp_path / "photos").mkdir()
    write_json(tmp_path / "photos.json", {"format": 1, "size": 512})
    for name in ("a", "b"):
        write_npz(tmp_path / "photos" / f"{name}.npz", arrays_of(portrait, portrait.image), compress=True)
        write_json(tmp_path / "photos" / f"{name}.json", {"status": "kept"})
    write_json(tmp_path / "photos" / "c.json", {"status": "rejected"})
    return PhotoStore.open(tmp_path)


def test_the_store_gives_back_what_was_measured(store: PhotoStore, portrait: Portrait) -> None:  # noqa: F811
    photo = store.photo(1)
    assert len(store) == 2 and (photo.person == 1).all()
    assert np.array_equal(photo.image, portrait.image)
    assert np.allclose(photo.landmarks, portrait.landmarks, atol=1e-3)
    assert np.allclose(photo.pose.rotation, portrait.pose.rotation, atol=1e-4)


def test_a_mirror_exchanges_the_sides(portrait: Portrait) -> None:  # noqa: F811
    sides = np.array(other_side())
    assert np.array_equal(sides[sides], np.arange(478))
    assert set(sides[list(LEFT_EYEBROW)]) == set(RIGHT_EYEBROW) and sides[473] == 468
    twin = mirrored(portrait)
    assert np.allclose(twin.landmarks[33, :2], [512 - portrait.landmarks[263, 0], portrait.landmarks[263, 1]])
    assert twin.pose.rotation[1] == pytest.approx(-portrait.pose.rotation[1], abs=1.0)
    again = mirrored(twin)
    assert np.array_equal(again.image, portrait.image) and np.allclose(again.landmarks, portrait.landmarks, atol=1e-3)
    assert (twin.torso[:9, 0] < twin.torso[9:, 0]).all() == (portrait.torso[:9, 0] < portrait.torso[9:, 0]).all()


def test_lids_close_and_open(portrait: Portrait) -> None:  # noqa: F811
    face = to_canonical(portrait.landmarks[None].astype(float), portrait.pose)[0]
    opening = float(eye_opening(face))
    for closing in (-0.3, 0.5, 1.0):
        assert float(eye_opening(with_lids(face, closing))) == pytest.approx((1 - closing) * opening, abs=0.02)


def test_the_truth_is_the_photograph_and_the_reference_is_posed_anew(
    store: PhotoStore, clip_store: ClipStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the reference is a little off, the warp comes closer to the truth; a closed mouth is among them."""
    shapes = lip_shapes(clip_store.split("train"))
    assert shapes.shape == (12, 40, 3)
    pairs = PhotoPairs(store, shapes, size=128, eyes=True, colour=0.0)
    posed = []
    original = pairs._reference
    monkeypatch.setattr(pairs, "_reference", lambda *given: posed.append(original(*given)) or posed[-1])
    np.random.seed(0)
    items = [pairs[i % 2] for i in range(12)]
    assert items[0]["target"].shape == (1, 3, 48, 48) and items[0]["eyes.target"].shape == (1, 3, 24, 48)
    faces = [to_canonical(found.landmarks[None].astype(float), found.pose)[0] for found in posed]
    assert min(lip_opening(face) for face in faces) < 0.5
    assert np.ptp([eye_opening(face) for face in faces]) > 0.1, "some lids are moved"
    for name in ("", "eyes."):
        far, near = (
            np.mean([(item[name + other].float() - item[name + "target"].float()).abs().mean() for item in items])
            for other in ("reference", "warped")
        )
        assert 0 < near < far, name


def test_photographs_come_with_every_item_of_frames(store: PhotoStore, clip_store: ClipStore) -> None:
    clips = clip_store.split("train")
    frames = FramePairs(clips, size=128, warp=True, targets=3, train=True, eyes=True)
    both = FramesAndPhotos(frames, PhotoPairs(store, lip_shapes(clips), size=128, eyes=True, colour=0.1), 2)
    np.random.seed(0)
    item = both[0]
    assert len(both) == len(frames) and {len(tensor) for tensor in item.values()} == {5}
    np.random.seed(0)
    again = both[0]
    assert all(torch.equal(item[name], again[name]) for name in item)
    assert both.statistics()["photographs"] == 2
    before = both.fingerprint()
    (store.root / "photos" / "a.npz").write_bytes(b"other")
    assert both.fingerprint() != before
