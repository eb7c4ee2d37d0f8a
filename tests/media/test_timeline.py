"""Streams that change in the middle, and files joined from several: the true length, and audio in step with picture."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from moda.errors import MediaError
from moda.media.audio import read_audio
from moda.media.decode_and_store import VideoRange, frames_while_storing
from moda.media.video import VideoWriter, probe, read_frames
from tests.media.numbered import ffmpeg

FIRST, SECOND = 300, 600


def tone(frequency: int, rate: int, seconds: float = 2.0) -> list[str]:
    return ["-f", "lavfi", "-i", f"sine=frequency={frequency}:duration={seconds}:sample_rate={rate}"]


def pitch(wave: np.ndarray, second: float) -> float:
    piece = wave[round(second * 16_000) :][:4000]
    return float(np.argmax(np.abs(np.fft.rfft(piece * np.hanning(len(piece))))) * 4)


def joined(folder: Path, suffix: str, first: list[str], second: list[str]) -> Path:
    """Two files, one behind the other."""
    ffmpeg(*tone(FIRST, 48_000), *first, folder / f"a.{suffix}")
    ffmpeg(*tone(SECOND, 44_100), *second, folder / f"b.{suffix}")
    path = folder / f"ab.{suffix}"
    path.write_bytes((folder / f"a.{suffix}").read_bytes() + (folder / f"b.{suffix}").read_bytes())
    return path


MONO, STEREO = ["-ac", "1"], ["-ac", "2"]


@pytest.mark.parametrize(
    ("suffix", "codec", "padding"),
    [
        *(("ogg", "libvorbis", 0), ("oga", "flac", 0), ("flac", "flac", 0), ("mp3", "libmp3lame", 0)),
        *(("wav", "pcm_s16le", 0), ("ts", "mp2", 0.04), ("aac", "aac", 0.1)),
    ],
)
@pytest.mark.parametrize("channels", [(MONO, STEREO), (STEREO, MONO)])
def test_joined_sound_is_heard_whole(
    tmp_path: Path, suffix: str, codec: str, padding: float, channels: tuple[list[str], list[str]]
) -> None:
    path = joined(tmp_path, suffix, [*channels[0], "-c:a", codec], [*channels[1], "-c:a", codec])
    wave = read_audio(path)
    assert len(wave) / 16_000 == pytest.approx(4.0, abs=padding + 0.001)
    assert [pitch(wave, second) for second in (0.5, 1.7, 2.3, 3.5)] == pytest.approx([FIRST] * 2 + [SECOND] * 2, abs=5)


@pytest.mark.parametrize("first", [["-ac", "6"], ["-ac", "1"]])
def test_channels_that_change_in_one_stream(tmp_path: Path, first: list[str]) -> None:
    """As the two seconds of a transport stream whose clock goes on."""
    codec = ["-c:a", "ac3"]
    ffmpeg(*tone(FIRST, 48_000), *first, *codec, tmp_path / "a.ts")
    ffmpeg(*tone(SECOND, 48_000), "-ac", "2", *codec, "-output_ts_offset", "2", tmp_path / "b.ts")
    path = tmp_path / "ab.ts"
    path.write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    wave = read_audio(path)
    assert len(wave) / 16_000 == pytest.approx(4.0, abs=0.04)
    assert [pitch(wave, second) for second in (1.5, 2.5)] == pytest.approx([FIRST, SECOND], abs=5)


def flashes(folder: Path, name: str, size: int, rate: int, colour_range: str, offset: float) -> Path:
    """Two seconds, at whose middle a white picture and a beep begin together."""
    shown = f"color=black:size={size}x{size}:rate=25:duration=2,drawbox=color=white:t=fill:enable='gte(t,1)'"
    audible = f"sine=frequency=500:duration=2:sample_rate={rate},volume=0:enable='lt(t,1)'"
    path = folder / name
    ffmpeg(
        *("-f", "lavfi", "-i", f"{shown},scale=out_range={colour_range},format=yuv420p", "-f", "lavfi", "-i", audible),
        *("-c:v", "libx264", "-color_range", colour_range, "-c:a", "aac", "-ac", "1" if rate == 48_000 else "2"),
        *("-output_ts_offset", str(offset), path),
    )
    return path


@pytest.mark.parametrize("offset", [0.0, 2.0])  # the clock starts anew, or goes on
def test_picture_and_sound_that_change_stay_in_step(tmp_path: Path, offset: float) -> None:
    first = flashes(tmp_path, "a.ts", 64, 48_000, "tv", 0)
    second = flashes(tmp_path, "b.ts", 96, 44_100, "pc", offset)
    path = tmp_path / "ab.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    info = probe(path)
    frames, wave = list(read_frames(path)), read_audio(path)
    assert info.seconds == pytest.approx(4.0, abs=0.1)
    assert len(frames) == pytest.approx(100, abs=2) and {frame.shape for frame in frames} == {(64, 64, 3)}
    assert len(wave) / 16_000 == pytest.approx(4.0, abs=0.08)
    white = np.array([frame.mean() > 128 for frame in frames])
    loud = np.abs(wave[: len(wave) // 640 * 640]).reshape(-1, 640).max(axis=1) > 0.02
    for number, seen in enumerate((white, loud)):
        starts = np.flatnonzero(np.diff(seen.astype(int)) == 1) + 1
        assert starts.tolist() == pytest.approx([25, 75], abs=2), number
    assert np.max([frame.max() for frame in frames[30:45]]) == pytest.approx(
        int(np.max([frame.max() for frame in frames[80:95]])), abs=3
    )
    stored = frames_while_storing(
        VideoRange(path, info, 0, len(frames)), tmp_path / "s.mp4", size=64, side=64, crop=(0, 0, 64), tags={}
    )
    assert [picture.mean() > 128 for picture in stored] == white.tolist()
    assert len(list(read_frames(tmp_path / "s.mp4"))) == len(frames)


def test_a_wide_picture_in_a_narrow_one_keeps_its_shape(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "color=white:size=64x96:rate=25:duration=1", "-c:v", "libx264", tmp_path / "a.ts")
    ffmpeg("-f", "lavfi", "-i", "color=white:size=128x64:rate=25:duration=1", "-c:v", "libx264", tmp_path / "b.ts")
    (tmp_path / "ab.ts").write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    frames = list(read_frames(tmp_path / "ab.ts"))
    assert frames[5].shape == frames[-5].shape == (96, 64, 3)
    assert frames[5].min() > 230 and (frames[-5][:, 32].mean(axis=1) > 200).sum() == pytest.approx(32, abs=2)


def test_a_gap_is_silence_and_the_time_goes_on(tmp_path: Path) -> None:
    ffmpeg(*tone(FIRST, 48_000), "-c:a", "aac", tmp_path / "a.ts")
    ffmpeg(*tone(SECOND, 48_000), "-c:a", "aac", "-output_ts_offset", "4", tmp_path / "b.ts")
    (tmp_path / "ab.ts").write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    wave = read_audio(tmp_path / "ab.ts")
    assert len(wave) / 16_000 == pytest.approx(6.0, abs=0.08)
    assert np.abs(wave[round(2.2 * 16_000) : round(3.8 * 16_000)]).max() < 1e-3


def test_the_default_track_is_taken_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "two.mkv"
    ffmpeg(
        *(*tone(FIRST, 48_000), *tone(SECOND, 48_000), "-map", "0", "-map", "1", "-c:a", "flac"),
        *("-disposition:a:0", "0", "-disposition:a:1", "default", "-metadata:s:a:1", "language=eng", path),
    )
    with caplog.at_level(logging.WARNING):
        assert pitch(read_audio(path), 1.0) == pytest.approx(SECOND, abs=5)
    assert "has 2 audio tracks: took number 2 (eng), which is marked as default" in caplog.text


def test_a_cover_is_no_video(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "color=red:size=64x64", "-frames:v", "1", tmp_path / "cover.png")
    ffmpeg(
        *(*tone(FIRST, 48_000), "-i", tmp_path / "cover.png", "-map", "0", "-map", "1", "-c:v", "copy"),
        *("-disposition:v:0", "attached_pic", tmp_path / "song.m4a"),
    )
    with pytest.raises(MediaError, match="no picture"):
        probe(tmp_path / "song.m4a")
    assert len(read_audio(tmp_path / "song.m4a")) == pytest.approx(32_000, abs=500)


def test_a_file_that_ends_before_it_says_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ffmpeg(*tone(FIRST, 48_000, 8), tmp_path / "a.flac")
    whole = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "half.flac").write_bytes(whole[: len(whole) // 2])
    with caplog.at_level(logging.WARNING):
        assert 2 < len(read_audio(tmp_path / "half.flac")) / 16_000 < 6
    assert "half.flac" in caplog.text


def test_frames_of_no_steady_rate_are_shown_at_their_times(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "v.mp4", 64, 25) as writer:
        for index in range(50):
            writer.write(np.full((64, 64, 3), 5 * index, np.uint8))
    keep = "select='not(between(n,10,29))'"
    ffmpeg("-i", tmp_path / "v.mp4", "-vf", keep, "-fps_mode", "vfr", "-c:v", "ffv1", tmp_path / "vfr.mkv")
    levels = [int(frame.mean() / 5 + 0.5) for frame in read_frames(tmp_path / "vfr.mkv")]
    assert levels == [*range(10), *[9] * 20, *range(30, 50)]
