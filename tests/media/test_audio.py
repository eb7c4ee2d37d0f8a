"""Audio from every kind of file, and the files that are refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from imageio_ffmpeg import get_ffmpeg_exe

from moda.errors import MediaError, OutputError
from moda.media.audio import read_audio, resample, write_wav
from moda.media.track import SEEK_FROM_SECONDS
from moda.media.video import VideoWriter

TONE, LEVEL = 440.0, 0.5


def tone(rate: int, seconds: float = 1.0, frequency: float = TONE) -> np.ndarray:
    return LEVEL * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)


def assert_tone(wave: np.ndarray, seconds: float = 1.0, tolerance: float = 0.03) -> None:
    assert wave.dtype == np.float32
    assert wave.ndim == 1
    assert len(wave) / 16_000 == pytest.approx(seconds, abs=tolerance)
    middle = wave[2000 : len(wave) - 2000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) * 16_000 / len(middle) == pytest.approx(TONE, abs=2)
    assert np.sqrt((middle**2).mean()) == pytest.approx(LEVEL / np.sqrt(2), rel=0.05)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 96000, 44101])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_rate_and_stereo_become_mono_16k(tmp_path: Path, rate: int, channels: int) -> None:
    path = tmp_path / "tone.wav"
    soundfile.write(path, np.repeat(tone(rate)[:, None], channels, axis=1), rate)
    wave = read_audio(path)
    assert_tone(wave, tolerance=1e-4)
    expected = tone(16_000)
    assert np.abs(wave[500:-500] - expected[500 : len(wave) - 500]).max() < 2e-3


@pytest.mark.parametrize(
    ("name", "subtype", "rate"),
    [
        *(("a.flac", "PCM_24", 44100), ("a.ogg", "VORBIS", 44100), ("a.opus", "OPUS", 48000)),
        *(("a.mp3", "MPEG_LAYER_III", 44100), ("a.wav", "PCM_U8", 16000), ("a.wav", "MS_ADPCM", 22050)),
    ],
)
def test_formats(tmp_path: Path, name: str, subtype: str, rate: int) -> None:
    path = tmp_path / name
    soundfile.write(path, tone(rate), rate, subtype=subtype, format="OGG" if name.endswith("opus") else None)
    assert_tone(read_audio(path), tolerance=0.06)


@pytest.mark.parametrize("suffix", ["m4a", "mka", "wma"])
def test_other_formats_go_through_ffmpeg(tmp_path: Path, suffix: str) -> None:
    soundfile.write(tmp_path / "a.wav", tone(44100), 44100)
    path = tmp_path / f"a.{suffix}"
    command = [get_ffmpeg_exe(), "-loglevel", "error", "-i", str(tmp_path / "a.wav"), str(path)]
    subprocess.run(command, check=True)
    assert_tone(read_audio(path), tolerance=0.1)  # WMA is padded to whole packets


def test_stereo_is_the_mean_of_its_channels(tmp_path: Path) -> None:
    left, right = tone(16_000), tone(16_000, frequency=700)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), 16_000, subtype="FLOAT")
    assert np.abs(read_audio(tmp_path / "a.wav") - (left + right) / 2).max() < 1e-6


def test_what_16k_cannot_hold_is_removed_not_folded() -> None:
    assert np.sqrt((resample(tone(48_000, frequency=10_000), 48_000)[500:-500] ** 2).mean()) < 1e-3
    kept = resample(tone(48_000, frequency=7_000), 48_000)[500:-500]
    assert np.sqrt((kept**2).mean()) == pytest.approx(LEVEL / np.sqrt(2), rel=0.01)


def test_sound_of_a_video(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", tone(16_000))
    with VideoWriter(tmp_path / "v.mp4", 64, 25, tmp_path / "a.wav") as writer:
        for _ in range(25):
            writer.write(np.zeros((64, 64, 3), np.uint8))
    assert_tone(read_audio(tmp_path / "v.mp4"), tolerance=0.002)


def test_sound_that_starts_late_in_a_video_keeps_its_time(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", tone(16_000))
    with VideoWriter(tmp_path / "v.mp4", 64, 25) as writer:
        for _ in range(50):
            writer.write(np.zeros((64, 64, 3), np.uint8))
    command = [get_ffmpeg_exe(), "-loglevel", "error", "-i", str(tmp_path / "v.mp4"), "-itsoffset", "0.5"]
    command += ["-i", str(tmp_path / "a.wav"), "-c:v", "copy", "-c:a", "pcm_s16le", str(tmp_path / "late.mkv")]
    subprocess.run(command, check=True)
    wave = read_audio(tmp_path / "late.mkv")
    assert np.flatnonzero(np.abs(wave) > 0.05)[0] / 16_000 == pytest.approx(0.5, abs=0.01)


@pytest.fixture(scope="module")
def long_recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """70 s of noise whose level tells the second, in files that are read in every way."""
    folder = tmp_path_factory.mktemp("long")
    rng = np.random.default_rng(0)
    noise = np.convolve(rng.standard_normal(70 * 16_000), np.ones(8) / 8, mode="same")
    wave = noise * (0.05 + 0.1 * (np.arange(len(noise)) // 4000 % 7) / 7)
    write_wav(folder / "a.wav", wave)
    write_wav(folder / "cd.wav", np.repeat(wave[: 4 * 16_000], 3), 48_000)
    with VideoWriter(folder / "v.mp4", 64, 25, folder / "a.wav", preset="ultrafast") as writer:
        for _ in range(70 * 25):
            writer.write(np.zeros((64, 64, 3), np.uint8))
    source = [get_ffmpeg_exe(), "-loglevel", "error", "-i", str(folder / "v.mp4")]
    subprocess.run([*source, "-c", "copy", str(folder / "v.mkv")], check=True)
    subprocess.run([*source, "-c:v", "copy", "-ar", "44100", "-c:a", "mp2", str(folder / "v.ts")], check=True)
    return {name: folder / name for name in ("a.wav", "cd.wav", "v.mp4", "v.mkv", "v.ts")}


# Matroska's times are whole milliseconds, those of a transport stream 1/90,000 s: audio that was sought may lie
# elsewhere by half of it twice, as the time of the first frame is rounded too (older ffmpeg: 11 samples, newer: 5)
@pytest.mark.parametrize(
    ("name", "near", "tolerance"),
    [("a.wav", 0, 1e-6), ("cd.wav", 1, 1e-3), ("v.mp4", 1, 1e-3), ("v.ts", 1, 4e-3), ("v.mkv", 16, 1e-2)],
)
def test_a_part_is_the_slice_of_the_whole(
    long_recordings: dict[str, Path], name: str, near: int, tolerance: float
) -> None:
    whole = read_audio(long_recordings[name])
    edge = SEEK_FROM_SECONDS * 16_000
    for start, count in ((0, 8_000), (12_345, 16_001), (edge, 20_000), (edge + 1, 20_000), (edge + 77_777, 24_000)):
        if start + count > len(whole):
            continue
        part = read_audio(long_recordings[name], start=start, count=count)
        assert len(part) == count
        shifted = [whole[max(start + by, 0) : start + by + count] for by in range(-near, near + 1)]
        error = min(np.sqrt(np.mean((part - other) ** 2)) for other in shifted if len(other) == count)
        assert error < tolerance, (start, error)
        assert np.sqrt(np.mean((part - np.roll(part, near + 2)) ** 2)) > 2 * tolerance  # the measure would see it


@pytest.mark.parametrize("name", ["a.wav", "v.mp4"])
def test_a_part_beyond_the_end_is_shorter_and_may_be_nothing(long_recordings: dict[str, Path], name: str) -> None:
    whole = read_audio(long_recordings[name])
    part = read_audio(long_recordings[name], start=len(whole) - 5_000, count=16_000)
    assert len(part) == pytest.approx(5_000, abs=1)
    few = read_audio(long_recordings[name], start=len(whole) - 100, count=16_000)
    assert len(few) == pytest.approx(100, abs=1)
    assert read_audio(long_recordings[name], start=len(whole) + 100_000, count=16_000).shape == (0,)


def test_silence_is_fine(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.zeros(8000))
    assert np.array_equal(read_audio(tmp_path / "a.wav"), np.zeros(8000, np.float32))


def test_samples_beyond_one_are_scaled_down(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(16_000) * 65536, 16_000, subtype="FLOAT")
    wave = read_audio(tmp_path / "a.wav")
    assert np.abs(wave).max() == pytest.approx(1.0)


def _text(path: Path) -> None:
    path.write_text("these are words, not audio\n" * 50)


def _nan(path: Path) -> None:
    samples = tone(16_000)
    samples[100] = np.nan
    soundfile.write(path, samples, 16_000, subtype="FLOAT")


def _infinite(path: Path) -> None:
    samples = tone(44_100)
    samples[100] = np.inf
    soundfile.write(path, samples, 44_100, subtype="FLOAT")


def _silent_video(path: Path) -> None:
    with VideoWriter(path, 64, 25) as writer:
        for _ in range(5):
            writer.write(np.zeros((64, 64, 3), np.uint8))


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("missing.wav", lambda path: None, "no such audio file"),
        ("folder.wav", lambda path: path.mkdir(), "folder"),
        ("zero.wav", lambda path: path.write_bytes(b""), "empty"),
        ("text.wav", _text, "not an audio recording"),
        ("text.txt", _text, "audio"),
        ("header.wav", lambda path: soundfile.write(path, np.zeros(0), 16_000), "lasts 0.000 s"),
        ("one.wav", lambda path: soundfile.write(path, np.zeros(1), 16_000), "lasts 0.000 s"),
        ("short.wav", lambda path: soundfile.write(path, np.zeros(1500), 16_000), "lasts 0.094 s"),
        ("nan.wav", _nan, "1 samples are not finite"),
        ("infinite.wav", _infinite, "not finite"),
        ("silent.mp4", _silent_video, "no audio"),
    ],
)
def test_bad_files_are_refused_by_name(tmp_path: Path, name: str, make: object, said: str) -> None:
    path = tmp_path / name
    make(path)  # type: ignore[operator]
    with pytest.raises(MediaError, match=said) as error:
        read_audio(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_name_that_looks_like_an_option_or_an_address_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_wav(tmp_path / "a.wav", tone(16_000))
    for name in ("-y.mka", "http:a.mka", "%d [1];'x'.mka"):
        command = [get_ffmpeg_exe(), "-loglevel", "error", "-i", "a.wav", "-f", "matroska", "pipe:1"]
        Path(name).write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
        assert_tone(read_audio(Path(name)))


def test_write_wav_round_trip_and_clipping(tmp_path: Path) -> None:
    wave = tone(16_000)
    write_wav(tmp_path / "a.wav", wave)
    assert np.abs(read_audio(tmp_path / "a.wav") - wave).max() < 1e-4
    write_wav(tmp_path / "loud.wav", wave * 4)
    assert np.abs(read_audio(tmp_path / "loud.wav")).max() <= 1.0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.wav", "loud.wav"]


def test_write_wav_says_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"nowhere"):
        write_wav(tmp_path / "nowhere" / "a.wav", tone(16_000))
    (tmp_path / "taken.wav").mkdir()
    with pytest.raises(OutputError, match=r"taken\.wav"):
        write_wav(tmp_path / "taken.wav", tone(16_000))
    assert [p.name for p in tmp_path.iterdir()] == ["taken.wav"]
