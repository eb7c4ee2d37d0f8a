"""`moda info`: what files are, by their content, and what generated videos state of their making."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moda.cli.info import main
from moda.data.store import ClipStore
from moda.media.audio import write_wav
from moda.media.marking import SOURCE_TYPE, mark_generated, read_source_type
from moda.media.video import VideoWriter
from moda.provenance import TAG
from moda.representation import Motion
from tests.random_checkpoints import write_checkpoints


def info(*paths: object) -> list[dict[str, object]]:
    """Facts of paths, as `--json` prints them."""
    import contextlib
    import io

    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        assert main([*map(str, paths), "--json"]) == 0
    return [json.loads(line) for line in text.getvalue().splitlines()]


def write_video(path: Path, **metadata: str) -> Path:
    with VideoWriter(path, 64, 25, metadata=metadata) as writer:
        for value in range(5):
            writer.write(np.full((64, 64, 3), 40 * value, np.uint8))
    return path


def test_kinds_are_told_by_content_not_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = write_checkpoints(tmp_path)["faco"].rename(tmp_path / "ein netz.bin")
    motion = Motion(np.ones((6, 40, 3)), np.zeros((6, 60, 3)), np.zeros((6, 7)), np.zeros((6, 18, 3)), 30.0)
    motion.save(tmp_path / "motion.dat")
    write_wav(tmp_path / "voice.bin", np.zeros(8_000))
    Image.new("RGB", (30, 20)).save(tmp_path / "picture.bin", format="PNG")
    video = write_video(tmp_path / "v.mp4").rename(tmp_path / "video.bin")
    names = [checkpoint, tmp_path / "motion.dat", tmp_path / "voice.bin", tmp_path / "picture.bin", video]
    found = info(*names)
    assert [facts["kind"] for facts in found] == ["checkpoint", "motion", "audio", "picture", "video"]
    assert found[0]["stage"] == "faco" and len(str(found[0]["sha256"])) == 64
    assert (found[1]["frames"], found[1]["fps"], found[1]["seconds"]) == (6, 30.0, 0.2)
    assert found[4]["digital source type"] == SOURCE_TYPE and "AI-generated" in str(found[4]["comment"])
    assert info("renderer")[0]["stage"] == "renderer"
    assert main([str(path) for path in names]) == 0
    assert "\nlips: 120 channels, 1 to 1\n" in capsys.readouterr().out


def test_a_store_and_a_clip(clip_store: ClipStore) -> None:
    store, clip = info(clip_store.root, clip_store.split("train")[0].folder)
    assert store["kind"] == "clip store" and str(store["train"]).startswith("1 clips of 1 people")
    assert clip["kind"] == "clip" and clip["audio"] is True


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty (0 bytes)"),
        (b"hello", "is of no kind that is known here"),
        (b"PK\x03\x04 damaged", "is of no kind that is known here"),
        ("zip", "is an archive, but neither"),
        ("text.pt", "cut short or damaged"),
        ("folder", "a folder without store.json, clip.json or config.json"),
        (None, "no such checkpoint"),
    ],
)
def test_what_is_unknown_is_told_and_the_others_are_shown(
    tmp_path: Path, content: bytes | str | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / ("a.pt" if content == "text.pt" else "a.bin")
    if content == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", "a")
    elif content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    write_wav(tmp_path / "voice.wav", np.zeros(8_000))
    assert main([str(path), str(tmp_path / "voice.wav")]) == 2
    out, err = capsys.readouterr()
    assert words in err and "kind: audio" in out


def test_the_mark_is_a_box_that_readers_of_mp4_accept(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    assert read_source_type(path) == SOURCE_TYPE
    data = path.read_bytes()
    at = data.index(b"uuid") - 4
    assert at + int.from_bytes(data[at : at + 4], "big") == len(data)
    assert read_source_type(write_video(tmp_path / "b.mp4", comment="a clip of a person")) is None
    for cut in (len(data) - 10, at + 4, 3):  # damaged or cut off: told, or no mark, never a traceback
        path.write_bytes(data[:cut])
        try:
            assert read_source_type(path) is None
        except Exception as error:
            assert "XMP mark" in str(error)


def test_a_mark_with_a_document_type_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", comment="x")
    mark_generated(path)
    data = path.read_bytes()
    path.write_bytes(data.replace(b'<?xpacket end="w"?>', b"<!DOCTYPE a><!--- -->"[:19].ljust(19)))
    assert main([str(path)]) == 2


def test_provenance_outlives_a_copy_into_another_container(tmp_path: Path) -> None:
    imageio = pytest.importorskip("imageio_ffmpeg")
    record = {"tool": "MODA", "seed": 7, "job": "x"}
    path = write_video(tmp_path / "a.mp4", **{TAG: json.dumps(record)})
    subprocess.run([imageio.get_ffmpeg_exe(), "-v", "error", "-i", path, "-c", "copy", tmp_path / "b.mkv"], check=True)
    for name in ("a.mp4", "b.mkv"):
        assert info(tmp_path / name)[0]["provenance"] == record
    assert info(write_video(tmp_path / "c.mp4", **{TAG: "{no json"}))[0]["provenance"] == "none of this project"
