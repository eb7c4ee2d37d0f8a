"""Whatever a store holds, its readers give what is there or one line that says what is wrong; none leaves the store."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from moda.data.clip import Clip
from moda.data.speech import SpeechCrops, SpeechDataConfig
from moda.data.store import ClipStore
from moda.data.sync_windows import read_offsets
from moda.errors import DataError, ModaError

RECORD = {"id": "a", "identity": "me", "frames": 30, "has_audio": True}
CONTENTS = [
    b"", b"\x00\x01", b"\xff\xfe", b"[]", b"3", b"null", b'"a"', b"{}", b"{", b"[" * 5_000, b'{"a": NaN}',
    b'{"id": 1e999}', b"\x93NUMPY", b"PK\x03\x04", b"\x80\x04K\x01.",
]  # fmt: skip
WRONG = [None, [], {}, "", "x", -1, 0, 1.5, 1e300, 10**400, True, "../../a"]


def header(dtype: str, shape: object) -> bytes:
    """An .npy file that claims this and holds 64 bytes."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00v\x00" + text.encode() + bytes(64)


NPY = [
    header("<f4", (30, 478, 3)), header("<f4", (10**12, 478, 3)), header("|O", (30, 478, 3)),
    header("<f8", (30, 478, 3)), header("<f4", (-1, 478, 3)), header("<f4", "(30, 478, 'x')"),
    header("<f4", "((((("), header("<f4", ()),
]  # fmt: skip


@pytest.fixture
def store(tmp_path, write_known_clip) -> ClipStore:
    store = ClipStore.create(tmp_path / "store", 64)
    write_known_clip(store, "a", "me", 30)
    store.write_splits({"train": ["a"]})
    return ClipStore.open(store.root)


def everything(root: Path) -> list[Callable[[], object]]:
    """All that is read of a store."""

    def clip() -> Clip:
        clips = ClipStore.open(root).split("train")
        return clips[0] if clips else ClipStore.open(root).clip("none")

    return [
        lambda: ClipStore.open(root).ids,
        clip,
        *(lambda name=name: np.asarray(getattr(clip(), name)).sum() for name in ("landmarks", "tracked", "torso")),
        lambda: clip().pose.rotation.sum(),
        lambda: clip().canonical_at(slice(0, 5)),
        lambda: clip().motion(0, 10),
        lambda: clip().moments(["lips", "head", "face", "subject"]),
        lambda: clip().rest,
        lambda: clip().audio_between(0, 640),
        lambda: clip().audio(),
    ]


def reads_or_says(root: Path) -> int:
    """How many readers said what is wrong; fails if one gave another error."""
    said = 0
    for read in everything(root):
        try:
            read()
        except ModaError as error:
            said += 1
            assert str(root) in str(error) or "'" in str(error)
    return said


def test_a_whole_store_is_read(store):
    assert reads_or_says(store.root) == 0


@pytest.mark.parametrize(
    "name",
    ["store.json", "splits/train.txt", *(f"clips/a/{name}" for name in ("clip.json", "landmarks.npy", "tracked.npy"))]
    + [f"clips/a/{name}" for name in ("rotation.npy", "moments.npz", "audio.wav", "subject.npy", "torso.npy")],
)
def test_a_file_that_holds_something_else_is_said(store, name):
    path = store.root / name
    whole = path.read_bytes()
    contents = [*CONTENTS, whole[: len(whole) // 2], whole[:-1], whole[:100], *(NPY if name.endswith(".npy") else [])]
    for content in contents:
        path.write_bytes(content)
        reads_or_says(store.root)
    path.write_bytes(b"")
    assert reads_or_says(store.root) > 0
    path.unlink()
    assert reads_or_says(store.root) > 0
    path.mkdir()
    assert reads_or_says(store.root) > 0
    path.rmdir()
    os.mkfifo(path)
    assert reads_or_says(store.root) > 0


def test_values_of_the_wrong_kind_are_said(store):
    path = store.root / "clips" / "a" / "clip.json"
    for name in ("id", "identity", "frames", "has_audio", "quality"):
        for value in WRONG:
            path.write_text(json.dumps({**RECORD, name: value}))
            reads_or_says(store.root)
        path.write_text(json.dumps({**RECORD, name: []}))
        with pytest.raises(DataError, match=rf"clip\.json is not a clip's record: '{name}' is '\[\]'"):
            ClipStore.open(store.root).clip("a")
    path.write_text(json.dumps({**RECORD, "frames": 31}))
    with pytest.raises(DataError, match=r"landmarks\.npy holds float32 \(30, 478, 3\), wanted float32 \(31, 478, 3\)"):
        _ = ClipStore.open(store.root).clip("a").landmarks
    for name in ("format", "fps", "size", "sample_rate"):
        for value in WRONG:
            record = {"format": 2, "fps": 25, "size": 64, "sample_rate": 16000, name: value}
            (store.root / "store.json").write_text(json.dumps(record))
            with pytest.raises(DataError, match=r"clip store .* (does not fit|has size)|cannot read"):
                ClipStore.open(store.root)


def test_arrays_of_other_kinds_are_refused_by_what_they_claim(store):
    folder = store.root / "clips" / "a"
    objects = np.array([{}], object)
    for array in (np.zeros((30, 478, 3)), np.zeros((30, 3, 478), np.float32), np.zeros(3, "U5"), objects):
        np.save(folder / "landmarks.npy", array)
        with pytest.raises(DataError, match=r"landmarks\.npy"):
            _ = store.clip("a").landmarks
    np.savez(folder / "moments.npz", rest=objects, lips=objects)
    with pytest.raises(DataError, match=r"moments\.npz"):
        _ = ClipStore.open(store.root).clip("a").rest


@pytest.mark.parametrize("name", ["../../b", "/b", "..", ".", ".hidden", "a/../a", "", "a\x00", "a/"])
def test_no_name_leaves_the_store(store, tmp_path, write_known_clip, name):
    other = ClipStore.create(tmp_path / "other", 64)
    write_known_clip(other, "b", "me", 30)
    for place in (tmp_path / "b", store.root / "clips" / ".hidden"):
        place.symlink_to(other.root / "clips" / "b")
    with pytest.raises(DataError, match=r"no clip|no name of a clip"):
        store.clip(name)
    (store.root / "splits" / "train.txt").write_text(f"{name}\n")
    if name:
        with pytest.raises(DataError, match=r"no clip|no name of a clip"):
            store.split("train")


def test_a_clip_of_another_name_is_refused(store):
    (store.root / "clips" / "a").rename(store.root / "clips" / "b")
    with pytest.raises(DataError, match="is of the clip 'a'"):
        store.clip("b")


@pytest.mark.parametrize("encoded", [b"\xef\xbb\xbfa\r\n", "\ufeffa\n".encode("utf-16-le"), b"\n a \n\n"])
def test_a_list_of_any_editor_is_read(store, encoded):
    (store.root / "splits" / "train.txt").write_bytes(encoded)
    assert [clip.id for clip in store.split("train")] == ["a"]


def test_offsets_and_labelled_speech_say_what_is_wrong(tmp_path):
    path = tmp_path / "offsets.tsv"
    path.write_bytes(b"\xef\xbb\xbfa\t1.5\nb\t-2\t0.9\n")
    assert read_offsets(path) == {"a": 1.5, "b": -2.0}
    for content in (b"a\tnan\n", b"a\tinf\n", b"a\n", b"a\tx\n", b"\xff\xfea"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"offsets\.tsv"):
            read_offsets(path)
    root = tmp_path / "speech"
    (root / "splits").mkdir(parents=True)
    meta = {"format": 1, "teacher": "t", "symbols": ["a", "b"]}
    np.savez(root / "x.npz", wave=np.zeros(1280, np.int16), posteriors=np.zeros((4, 2), np.float16))
    (root / "splits" / "train.txt").write_text("x\n")
    (root / "speech.json").write_text(json.dumps(meta))
    assert len(SpeechCrops(SpeechDataConfig(root=root), training=True)) == 1
    for name, contents in (
        ("speech.json", [*CONTENTS, *(json.dumps({**meta, "symbols": value}).encode() for value in WRONG)]),
        ("splits/train.txt", [b"", b"../x\n", b"/x\n", b"y\n"]),
        ("x.npz", [*CONTENTS, header("<f4", (10**12,))]),
    ):
        whole = (root / name).read_bytes()
        for content in contents:
            (root / name).write_bytes(content)
            with pytest.raises(DataError):
                SpeechCrops(SpeechDataConfig(root=root), training=True)
        (root / name).write_bytes(whole)
