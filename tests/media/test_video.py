"""Video in and out: exact frames, exact times, exact lengths, and the files that are refused."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from moda.errors import MediaError, OutputError
from moda.media.audio import read_audio, write_wav
from moda.media.video import VideoReader, VideoWriter, check_streams, probe, read_frames
from tests.conftest import REPOSITORY
from tests.media.numbered import SIDE, describe, ffmpeg, number, numbered

COUNT = 130


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("video")


@pytest.fixture(scope="module")
def store_video(folder: Path) -> Path:
    """As the clip store keeps them."""
    with VideoWriter(folder / "store.mp4", SIDE, 25, gop=12, bframes=0) as writer:
        for index in range(COUNT):
            writer.write(numbered(index))
    return folder / "store.mp4"


@pytest.fixture(scope="module")
def sounding(folder: Path) -> Path:
    """60 frames with 2.4 s of audio, made from 3 s of it."""
    write_wav(folder / "tone.wav", 0.3 * np.sin(np.arange(48_000) * 0.1))
    with VideoWriter(folder / "sounding.mp4", SIDE, 25, folder / "tone.wav") as writer:
        for index in range(60):
            writer.write(numbered(index))
    return folder / "sounding.mp4"


def test_probe(store_video: Path, sounding: Path) -> None:
    info = probe(store_video)
    assert (info.width, info.height, info.fps, info.has_audio, info.rotation) == (SIDE, SIDE, 25.0, False, 0)
    assert info.seconds == pytest.approx(COUNT / 25, abs=0.011)
    assert probe(sounding).has_audio


def test_sequential_reading_gives_every_frame(store_video: Path) -> None:
    assert [number(frame) for frame in read_frames(store_video)] == list(range(COUNT))
    assert [number(frame) for frame in read_frames(store_video, fps=None)] == list(range(COUNT))
    for only in (range(2, COUNT, 5), [0, 3, 4, COUNT - 1], [], range(COUNT, COUNT)):
        assert [number(frame) for frame in read_frames(store_video, only=only)] == list(only)


def test_random_access_is_exact(store_video: Path) -> None:
    frames = list(read_frames(store_video))
    orders = [range(COUNT), range(COUNT - 1, -1, -1), np.random.default_rng(0).permutation(COUNT), [5, 5, 100, 4, 17]]
    with VideoReader(store_video) as reader:
        assert (len(reader), reader.fps, reader.width, reader.height) == (COUNT, 25.0, SIDE, SIDE)
        for order in orders:
            for index in order:
                frame = reader[int(index)]
                assert number(frame) == index
                assert np.abs(frame.astype(int) - frames[index]).max() <= 6  # two colour converters
        for outside in (-1, COUNT):
            with pytest.raises(IndexError, match=str(outside)):
                reader[outside]


def test_reader_works_after_close_and_in_another_process(store_video: Path) -> None:
    reader = VideoReader(store_video)
    reader[3]
    copy = pickle.loads(pickle.dumps(reader))
    assert number(copy[77]) == 77
    reader.close()
    assert number(reader[9]) == 9


def test_resampling_goes_by_time(folder: Path) -> None:
    for rate in (30.0, 12.5, 50.0):
        path = folder / f"at{rate:g}.mp4"
        with VideoWriter(path, SIDE, rate) as writer:
            for index in range(60):
                writer.write(numbered(index))
        seen = np.array([number(frame) for frame in read_frames(path, fps=25)])
        assert len(seen) == pytest.approx(60 * 25 / rate, abs=1)
        assert np.abs(seen / rate - np.arange(len(seen)) / 25).max() <= max(0.5 / rate, 0.02) + 1e-9


def test_picture_that_starts_late_keeps_its_time(folder: Path, store_video: Path, sounding: Path) -> None:
    path = folder / "late.mkv"
    ffmpeg("-i", folder / "tone.wav", "-itsoffset", "0.4", "-i", store_video, "-c", "copy", path)
    seen = [number(frame) for frame in read_frames(path)]
    assert seen[:12] == [0] * 11 + [1]
    assert len(seen) == COUNT + 10


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_applied(folder: Path, degrees: int) -> None:
    frame = np.zeros((48, 96, 3), np.uint8)
    frame[:24, :48] = (255, 0, 0)
    with VideoWriter(folder / "lying.mp4", (96, 48), 25) as writer:
        for _ in range(3):
            writer.write(frame)
    path = folder / f"turned{degrees}.mp4"
    ffmpeg("-display_rotation", str(degrees), "-i", folder / "lying.mp4", "-c", "copy", path)
    shown = next(read_frames(path))
    expected = np.rot90(frame, degrees // 90)
    assert shown.shape == expected.shape
    assert (probe(path).height, probe(path).width) == shown.shape[:2]
    assert np.abs(shown.astype(int) - expected).mean() < 8


def test_stretched_pixels_are_shown_square(folder: Path, store_video: Path) -> None:
    path = folder / "stretched.mp4"
    ffmpeg("-i", store_video, "-c", "copy", "-bsf:v", "h264_metadata=sample_aspect_ratio=2/1", path)
    assert (probe(path).width, probe(path).height) == (2 * SIDE, SIDE)
    assert next(read_frames(path)).shape == (SIDE, 2 * SIDE, 3)


def test_crop_and_size(folder: Path) -> None:
    frame = np.zeros((60, 100, 3), np.uint8)
    frame[20:50, 30:60] = (40, 200, 90)
    with VideoWriter(folder / "box.mp4", (100, 60), 25, crf=1) as writer:
        for _ in range(2):
            writer.write(frame)
    for size in (None, 16, 64):
        cut = next(read_frames(folder / "box.mp4", crop=(30, 20, 30), size=size))
        assert cut.shape == (size or 30, size or 30, 3)
        assert np.abs(cut[3:-3, 3:-3].astype(int) - (40, 200, 90)).max() < 8
    assert next(read_frames(folder / "box.mp4", size=(50, 30))).shape == (30, 50, 3)
    with pytest.raises(MediaError, match=r"outside the 100x60"):
        read_frames(folder / "box.mp4", crop=(80, 0, 30))


def test_stopping_early_closes_the_file(store_video: Path) -> None:
    def opened() -> int:
        return sum(link.resolve() == store_video for link in Path("/proc/self/fd").iterdir())

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc/self/fd to see which files are open")
    frames = read_frames(store_video)
    next(frames)
    assert opened() == 1
    frames.close()  # type: ignore[attr-defined]
    assert opened() == 0


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("text.mp4", b"words, not pictures\n" * 99, "not a video"),
        ("zero.mp4", b"", "empty"),
        ("none.mp4", None, "no such"),
    ],
)
def test_bad_files_are_refused_by_name(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    for read in (probe, VideoReader, lambda p: next(read_frames(p))):
        with pytest.raises(MediaError, match="not a video" if read is VideoReader and content else said) as error:
            read(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)


def test_sound_without_picture_is_refused(folder: Path, sounding: Path) -> None:
    with pytest.raises(MediaError, match="no picture"):
        probe(folder / "tone.wav")


def test_truncated_files(folder: Path, store_video: Path) -> None:
    whole = store_video.read_bytes()
    (folder / "half.mp4").write_bytes(whole[: len(whole) // 2])
    assert 0 < len(list(read_frames(folder / "half.mp4"))) < COUNT
    start = whole.index(b"mdat") + 8
    (folder / "header.mp4").write_bytes(whole[:start])
    with pytest.raises(MediaError, match=r"not one frame .*header\.mp4"):
        next(read_frames(folder / "header.mp4"))
    (folder / "no_header.mp4").write_bytes(whole[start:])
    with pytest.raises(MediaError, match="not a video"):
        next(read_frames(folder / "no_header.mp4"))


def test_written_file_is_what_players_want(sounding: Path) -> None:
    text = describe(sounding)
    assert "h264" in text and "yuv420p(tv, smpte170m" in text and "Audio: aac" in text
    assert "AI-generated talking portrait, made with MODA" in text
    data = sounding.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # faststart
    assert check_streams(sounding).has_audio


def test_check_streams_misses_the_sound(store_video: Path) -> None:
    with pytest.raises(MediaError, match="no audio"):
        check_streams(store_video)
    assert check_streams(store_video, audio=False).width == SIDE


@pytest.mark.parametrize("frames", [3, 25, 60, 100])
@pytest.mark.parametrize("fps", [25.0, 30000 / 1001])
def test_sound_is_cut_or_padded_to_the_frames(tmp_path: Path, frames: int, fps: float) -> None:
    write_wav(tmp_path / "tone.wav", 0.3 * np.sin(np.arange(32_000) * 0.1))
    with VideoWriter(tmp_path / "v.mp4", SIDE, fps, tmp_path / "tone.wav") as writer:
        for index in range(frames):
            writer.write(numbered(index))
    assert len(list(read_frames(tmp_path / "v.mp4", fps=None))) == frames
    assert probe(tmp_path / "v.mp4").seconds == pytest.approx(frames / fps, abs=0.02)
    assert len(read_audio(tmp_path / "v.mp4")) / 16_000 == pytest.approx(frames / fps, abs=0.02)


def test_sound_stays_in_step(tmp_path: Path) -> None:
    wave = np.zeros(48_000)
    wave[16_000:17_600] = 0.5 * np.sin(np.arange(1600) * 0.3)
    write_wav(tmp_path / "beep.wav", wave)
    with VideoWriter(tmp_path / "v.mp4", SIDE, 25, tmp_path / "beep.wav") as writer:
        for index in range(75):
            writer.write(numbered(index))
    audible = np.flatnonzero(np.abs(read_audio(tmp_path / "v.mp4")) > 0.1)
    assert audible[0] / 16_000 == pytest.approx(1.0, abs=0.005)


def test_colours_survive(tmp_path: Path) -> None:
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (224, 172, 105)]
    frame = np.concatenate([np.full((32, 32, 3), colour, np.uint8) for colour in colours], axis=1)
    with VideoWriter(tmp_path / "v.mp4", (128, 32), 25) as writer:
        writer.write(frame)
    for read in (next(read_frames(tmp_path / "v.mp4")), VideoReader(tmp_path / "v.mp4")[0]):
        for index, colour in enumerate(colours):
            assert np.abs(read[16, 32 * index + 16].astype(int) - colour).max() <= 4


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_behind_by_an_exception(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "v.mp4"
    path.write_text("an older result")
    with pytest.raises(error), VideoWriter(path, SIDE, 25) as writer:
        writer.write(numbered(1))
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["v.mp4"]
    assert path.read_text() == "an older result"


def test_writer_refuses_what_it_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="even"):
        VideoWriter(tmp_path / "v.mp4", (65, 64), 25)
    with pytest.raises(OutputError, match="no such folder"):
        VideoWriter(tmp_path / "nowhere" / "v.mp4", 64, 25)
    with pytest.raises(OutputError, match="folder"):
        VideoWriter(tmp_path, 64, 25)
    with pytest.raises(MediaError, match="no such audio"):
        VideoWriter(tmp_path / "v.mp4", 64, 25, tmp_path / "none.wav")
    with pytest.raises(OutputError, match="no frames"), VideoWriter(tmp_path / "v.mp4", 64, 25):
        pass
    with pytest.raises(ValueError, match="wanted"), VideoWriter(tmp_path / "v.mp4", 64, 25) as writer:
        writer.write(np.zeros((32, 64, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


MOVING = """
import sys
import numpy as np
from PIL import Image
from moda.media.video import VideoWriter
from tests.conftest import REPOSITORY, moving_picture
width, height = map(int, sys.argv[2:])
picture = np.asarray(Image.open(REPOSITORY / "assets" / "demo.png").convert("RGB"))
with VideoWriter(sys.argv[1], (width, height), 25) as writer:
    for frame in moving_picture(picture, 11, max(width, height)):
        writer.write(frame[:height, :width])
"""
NOISE = """
import sys
import numpy as np
from moda.media.video import VideoWriter
random = np.random.default_rng(0)
with VideoWriter(sys.argv[1], 256, 25, crf=1) as writer:
    for index in range(int(sys.argv[2])):
        writer.write(random.integers(0, 255, (256, 256, 3), np.uint8))
        print(index, flush=True)
"""


def test_a_full_disk_is_an_error_with_its_reason(tmp_path: Path) -> None:
    # A limit on the file's size stops the encoder as a full disk does.
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))"
    command = [sys.executable, "-c", limit + NOISE, str(tmp_path / "v.mp4"), "60"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("moda.errors.OutputError: cannot write")
    assert "File too large" in last
    assert list(tmp_path.iterdir()) == []


def test_a_killed_program_leaves_no_file_of_the_final_name(tmp_path: Path) -> None:
    command = [sys.executable, "-c", NOISE, str(tmp_path / "v.mp4"), "100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while process.stdout.readline().strip() != "3":
            pass
        process.send_signal(signal.SIGKILL)
    time.sleep(0.3)
    assert not (tmp_path / "v.mp4").exists()


@pytest.mark.parametrize(("width", "height"), [(96, 96), (272, 272), (128, 96)])
def test_the_same_frames_give_the_same_file_whatever_was_in_memory(tmp_path: Path, width: int, height: int) -> None:
    """glibc fills what it gives and takes back with a byte of one's choice: x264 reads memory that nobody wrote."""
    made = []
    for filling in ("1", "254"):
        path = tmp_path / f"{filling}.mp4"
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "MALLOC_PERTURB_": filling}
        subprocess.run([sys.executable, "-c", MOVING, str(path), str(width), str(height)], env=environment, check=True)
        made.append(path.read_bytes())
    assert made[0] == made[1]
