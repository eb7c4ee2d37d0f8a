"""Photographs become a photo store."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prepare.photos import PhotoTask, prepare_photo, prepare_photos
from moda.cli.prepare import main
from moda.data.photos import PhotoStore
from moda.errors import DataError, OutputError


@pytest.fixture
def folder(tmp_path: Path, astronaut: np.ndarray) -> Path:
    """One photograph in a subfolder, one picture without a face, and one file that is no picture."""
    root = tmp_path / "photos"
    (root / "space").mkdir(parents=True)
    Image.fromarray(astronaut).save(root / "space" / "eileen.png")
    Image.new("RGB", (200, 200), (90, 120, 200)).save(root / "sky.jpg")
    (root / "notes.jpeg").write_text("no picture")
    (root / "readme.txt").write_text("not looked at")
    return root


def test_a_folder_becomes_a_store_once(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    results = {found.name: found for found in prepare_photos(folder, out, size=192)}
    assert {name: found.status for name, found in results.items()} == {
        "space/eileen.png": "kept", "sky.jpg": "rejected", "notes.jpeg": "rejected",
    }  # fmt: skip
    assert "no face" in results["sky.jpg"].reason and "not a picture" in results["notes.jpeg"].reason
    store = PhotoStore.open(out)
    assert len(store) == 1
    photo = store.photo(0)
    assert photo.image.shape == (192, 192, 3) and photo.landmarks.shape == (478, 3)
    assert photo.landmarks[:, :2].min() > 0 and photo.landmarks[:, :2].max() < 512

    monkeypatch.setattr("data_prepare.photos.prepare_photo", lambda task: pytest.fail("nothing is missing"))
    before = {path: path.stat().st_mtime_ns for path in (out / "photos").iterdir()}
    again = prepare_photos(folder, out, size=192)
    assert {found.name: found for found in again} == results
    assert {path: path.stat().st_mtime_ns for path in (out / "photos").iterdir()} == before


def test_a_small_photograph_is_not_enlarged_and_a_changed_one_is_made_again(
    tmp_path: Path, astronaut: np.ndarray
) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    Image.fromarray(astronaut).save(folder / "a.png")
    (out / "photos").mkdir(parents=True)
    task = PhotoTask(folder, "a.png", out, "a", 2048)
    assert prepare_photo(task).status == "kept"
    with np.load(task.arrays) as found:
        assert found["image"].shape[0] <= 512
    Image.new("RGB", (200, 200)).save(folder / "a.png")
    assert prepare_photo(task).status == "rejected"
    assert not task.arrays.exists(), "what was made of the earlier picture is gone"


def test_what_is_no_longer_in_the_folder_leaves_the_store(tmp_path: Path) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_text("no picture")
    assert len(prepare_photos(folder, out, size=128)) == 2
    (folder / "a.jpg").unlink()
    (out / "photos" / "of_others.json").write_text('{"folder": "/elsewhere", "status": "kept"}')
    prepare_photos(folder, out, size=128)
    assert sorted(path.name for path in (out / "photos").glob("*.json")) == ["b.json", "of_others.json"]


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    with pytest.raises(DataError, match="no photographs in"):
        prepare_photos(folder, out, size=128)
    (folder / "a.jpg").write_text("no picture")
    prepare_photos(folder, out, size=128)
    with pytest.raises(DataError, match="size 128, wanted 1 and 256"):
        prepare_photos(folder, out, size=256)
    with pytest.raises(DataError, match="holds no photograph"):
        PhotoStore.open(out)
    with pytest.raises(DataError, match="no photo store at"):
        PhotoStore.open(folder)
    other = tmp_path / "album"
    (other / "photos").mkdir(parents=True)
    (other / "photos" / "mine.jpg").write_text("mine")
    with pytest.raises(OutputError, match="is no photo store"):
        prepare_photos(folder, other, size=128)
    assert main(["--photos", str(folder), str(out), "--split", "1,0,0"]) == 2
    assert "--split is for videos" in capsys.readouterr().err
