"""One decode, two outputs: the same frames as by any other way, at any rate and from any start."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from moda.errors import MediaError, OutputError
from moda.media.audio import write_wav
from moda.media.decode_and_store import (
    MIN_SEEK_SECONDS,
    SEEK_LEAD_FRAMES,
    VideoRange,
    frames_while_storing,
    frames_with_thumbnails,
    read_thumbnails,
)
from moda.media.video import VideoReader, VideoWriter, probe, read_frames
from moda.representation import FPS
from tests.media.numbered import SIDE, describe, ffmpeg, number, numbered

RATES = {"24": 24.0, "25": 25.0, "29.97": float(Fraction(30000, 1001)), "30": 30.0}
SECONDS = 14
TAGS = {"comment": "a test"}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """14 s of numbered pictures at every rate, with B-frames and long groups as videos from elsewhere have."""
    folder = tmp_path_factory.mktemp("rates")
    for name, fps in RATES.items():
        with VideoWriter(folder / f"{name}.mp4", SIDE, fps, preset="veryfast") as writer:
            for index in range(round(SECONDS * fps)):
                writer.write(numbered(index))
    write_wav(folder / "tone.wav", 0.3 * np.sin(np.arange(SECONDS * 16_000) * 0.1))
    late = ("-i", folder / "tone.wav", "-itsoffset", "0.41", "-i", folder / "24.mp4", "-c", "copy")
    ffmpeg(*late, folder / "late.mkv")
    return {name: folder / f"{name}.mp4" for name in RATES} | {"late": folder / "late.mkv"}


def stored(source: Path, target: Path, start: int, stop: int, size: int = 64, side: int = 64) -> list[np.ndarray]:
    pieces = frames_while_storing(
        VideoRange(source, probe(source), start, stop), target, size=size, side=side, crop=(0, 0, SIDE), tags=TAGS
    )
    return list(pieces)


@pytest.mark.parametrize("rate", [*RATES, "late"])
def test_frames_are_those_of_read_frames_from_any_start(videos, tmp_path, rate):
    whole = [number(frame) for frame in read_frames(videos[rate])]
    assert len(whole) == pytest.approx(SECONDS * FPS, abs=11) and len(set(whole)) > 300
    edge = round(MIN_SEEK_SECONDS * FPS)
    assert edge - SEEK_LEAD_FRAMES > 0
    for start, stop in ((0, 30), (7, 60), (edge, edge + 20), (edge + 1, edge + 20), (edge + 67, 330), (300, 10_000)):
        target = tmp_path / f"{start}.mp4"
        seen = [number(frame) for frame in stored(videos[rate], target, start, stop)]
        assert seen == whole[start:stop], (start, stop)
        with VideoReader(target) as reader:
            assert [number(reader[index]) for index in range(len(reader))] == seen


def test_what_is_stored_is_cropped_alike_and_made_for_random_access(astronaut, tmp_path):
    source, target = tmp_path / "source.mp4", tmp_path / "stored.mp4"
    pictures = [np.roll(astronaut[:512, :512], 3 * index, axis=1) for index in range(40)]
    with VideoWriter(source, 512, FPS, crf=10, preset="ultrafast") as writer:
        for picture in pictures:
            writer.write(picture)
    crop = (100, 20, 300)
    small = list(
        frames_while_storing(VideoRange(source, probe(source), 3, 40), target, size=256, side=128, crop=crop, tags=TAGS)
    )
    info = probe(target)
    assert (info.width, info.height, info.fps, info.has_audio) == (256, 256, 25.0, False)
    assert "comment         : a test" in describe(target)
    wanted = list(read_frames(source, size=256, crop=crop))[3:]
    seen_small = list(read_frames(source, size=128, crop=crop))[3:]
    assert len(small) == len(wanted) == 37
    with VideoReader(target) as reader:
        in_order = [reader[index] for index in range(len(reader))]
        assert len(in_order) == 37
        for index in (36, 0, 20, 19, 35, 11, 12, 13):  # far jumps and near ones, forwards and back
            assert (reader[index] == in_order[index]).all(), index
    for index in (0, 17, 36):
        assert np.abs(in_order[index].astype(int) - wanted[index]).mean() < 4.0
        assert np.abs(small[index].astype(int) - seen_small[index]).mean() < 4.0
        assert abs(float(in_order[index].mean()) - float(wanted[index].mean())) < 1.0  # colours, not shifted
        assert np.abs(in_order[index].astype(int) - wanted[index - 1]).mean() > 8.0  # the measure can tell frames


def test_a_key_frame_every_dozen_frames_and_no_b_frames(videos, tmp_path):
    target = tmp_path / "stored.mp4"
    assert len(stored(videos["25"], target, 0, 50)) == 50
    data = target.read_bytes()
    table = data.index(b"stss")
    count = int.from_bytes(data[table + 8 : table + 12], "big")
    keys = [int.from_bytes(data[table + 12 + 4 * k : table + 16 + 4 * k], "big") - 1 for k in range(count)]
    assert keys == [0, 12, 24, 36, 48]
    assert b"ctts" not in data  # no frame is shown at another time than its turn


def test_a_file_that_was_there_is_replaced_and_not_written_into(videos, tmp_path):
    """The clip's older file may be the same one under another name (a hard link)."""
    old, target = tmp_path / "old.mp4", tmp_path / "stored.mp4"
    old.write_bytes(b"precious")
    target.hardlink_to(old)
    assert len(stored(videos["25"], target, 0, 30)) == 30
    assert old.read_bytes() == b"precious" and len(VideoReader(target)) == 30


def test_a_place_that_cannot_be_written_is_an_error_about_the_output(videos, tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        stored(videos["25"], tmp_path / "no folder" / "v.mp4", 0, 30)
    (tmp_path / "a folder.mp4").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        stored(videos["25"], tmp_path / "a folder.mp4", 0, 30)
    thumbnails = frames_with_thumbnails(
        VideoRange(videos["25"], probe(videos["25"])), tmp_path / "no folder" / "t.raw", every=5, height=64, side=16
    )
    with pytest.raises(OutputError, match="cannot write"):
        list(thumbnails)


LIMITED = """
import resource, sys
from pathlib import Path
from moda.media.decode_and_store import VideoRange, frames_while_storing, frames_with_thumbnails
from moda.media.video import probe
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
source, target = Path(sys.argv[1]), Path(sys.argv[2])
if sys.argv[3] == "video":
    frames = frames_while_storing(
        VideoRange(source, probe(source), 0, 350), target, size=256, side=32, crop=(0, 0, 64), tags={}
    )
else:
    frames = frames_with_thumbnails(VideoRange(source, probe(source)), target, every=5, height=64, side=32)
for frame in frames:
    pass
"""


@pytest.mark.parametrize("what", ["video", "thumbnails"])
def test_a_full_disk_is_an_error_about_the_output_and_not_about_the_video(videos, tmp_path, what):
    # A limit on the file's size stops ffmpeg as a full disk does.
    command = [sys.executable, "-c", LIMITED, str(videos["25"]), str(tmp_path / "t"), what]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("moda.errors.OutputError: cannot write"), done.stderr[-300:]


def test_a_source_that_is_no_video_is_an_error_about_the_source(videos, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(videos["25"].read_bytes()[:2000])
    info = probe(videos["25"])
    with pytest.raises(MediaError, match=r"broken\.mp4"):
        list(
            frames_while_storing(
                VideoRange(broken, info, 0, 9), tmp_path / "v.mp4", size=64, side=64, crop=(0, 0, 64), tags={}
            )
        )
    with pytest.raises(MediaError, match="outside"):
        list(
            frames_while_storing(
                VideoRange(videos["25"], info, 0, 9), tmp_path / "v.mp4", size=64, side=64, crop=(10, 0, 64), tags={}
            )
        )


@pytest.mark.parametrize(("start", "stop"), [(0, None), (40, 101), (300, None), (300, 10_000)])
def test_thumbnails_of_all_frames_and_a_look_at_a_few(videos, tmp_path, start, stop):
    source, raw = videos["29.97"], tmp_path / "t.raw"
    whole = [number(frame) for frame in read_frames(source)][start:stop]
    part = VideoRange(source, probe(source), start, stop)
    frames = frames_with_thumbnails(part, raw, every=12, height=48, side=32)
    looked = list(frames)
    assert looked[0].shape == (48, 48, 3)  # shrunk to the height
    thumbnails = read_thumbnails(raw, 32)
    assert thumbnails.shape == (len(whole), 32, 32) and thumbnails.dtype == np.uint8
    assert [number(picture) for picture in thumbnails] == whole
    assert [number(frame) for frame in looked] == whole[::12]


def test_a_look_at_a_wide_picture_keeps_its_shape_and_a_small_one_its_size(tmp_path):
    source = tmp_path / "wide.mp4"
    with VideoWriter(source, (160, 96), FPS) as writer:
        for _ in range(30):
            writer.write(np.full((96, 160, 3), 200, np.uint8))
    for height, shape in ((48, (48, 80, 3)), (200, (96, 160, 3))):
        part = VideoRange(source, probe(source))
        frames = list(frames_with_thumbnails(part, tmp_path / "t", every=10, height=height, side=16))
        assert [frame.shape for frame in frames] == [shape] * 3
        assert (np.abs(read_thumbnails(tmp_path / "t", 16).astype(int) - 200) < 4).all()


def test_no_thumbnails_are_an_empty_array(tmp_path):
    (tmp_path / "t").write_bytes(b"")
    assert read_thumbnails(tmp_path / "t", 32).shape == (0, 32, 32)
