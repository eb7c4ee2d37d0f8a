"""Files that say what cannot be, that name other files, and whose header is wrong about their length."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from imageio_ffmpeg import get_ffmpeg_exe

from moda.errors import MediaError
from moda.media.audio import read_audio
from moda.media.container import MAX_PIXELS
from moda.media.picture import read_picture
from moda.media.video import VideoReader, probe, read_frames
from tests.media.numbered import ffmpeg


def voice(seconds: float = 2.0, rate: int = 16_000) -> np.ndarray:
    return 0.3 * np.sin(0.2 * np.arange(round(seconds * rate)))


def wave_file(rate: int, channels: int = 1, samples: int = 1000) -> bytes:
    data = bytes(2 * channels * samples)
    form = struct.pack("<HHIIHH", 1, channels, rate, (2 * channels * rate) & 0xFFFFFFFF, (2 * channels) & 0xFFFF, 16)
    return b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt \x10\0\0\0" + form + b"data" + struct.pack(
        "<I", len(data)
    ) + data  # fmt: skip


@pytest.mark.parametrize(
    ("content", "said"),
    [
        *((wave_file(2), "2 Hz"), (wave_file(2**31 - 1), "2147483647 Hz"), (wave_file(48_000, 200), "200 channels")),
        *(
            (wave_file(0), "not an audio recording"),
            (wave_file(48_000, 0), "channels"),
            (wave_file(8000, 65_535, 3), "channels"),
        ),
    ],
)
def test_sound_that_cannot_be_is_refused_by_what_it_says(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=said):
        read_audio(path)


def test_a_flac_of_weeks_is_refused_by_what_it_says(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, voice(), 16_000)
    data = bytearray(path.read_bytes())
    data[21] |= 0x0F
    data[22:26] = b"\xff" * 4
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"lasts 1,193 hours"):
        read_audio(path)


@pytest.mark.parametrize("suffix", ["mkv", "mjpeg"])  # the container says 64x64, or nothing
def test_a_picture_that_is_too_large_is_not_decoded(tmp_path: Path, suffix: str) -> None:
    source, path = tmp_path / f"a.{suffix}", tmp_path / f"large.{suffix}"
    ffmpeg("-f", "lavfi", "-i", "color=red:size=64x64", "-frames:v", "1", "-c:v", "mjpeg", source)
    data = source.read_bytes()
    at = data.index(b"\xff\xc0") + 5
    assert data[at : at + 4] == struct.pack(">HH", 64, 64)
    path.write_bytes(data[:at] + struct.pack(">HH", 16_000, 16_000) + data[at + 4 :])
    assert MAX_PIXELS < 16_000**2
    for read in (lambda path: next(read_frames(path)), *([probe] if suffix == "mjpeg" else [])):
        with pytest.raises(MediaError, match="large"):
            read(path)


def other_files(folder: Path) -> dict[str, str]:
    """Texts that make a reader of playlists open secret.mp4."""
    secret = folder / "secret.mp4"
    return {
        "dash": (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
            'mediaPresentationDuration="PT2S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period>'
            '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1">'
            f"<BaseURL>file://{secret}</BaseURL></Representation></AdaptationSet></Period></MPD>"
        ),
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        "hls_sibling": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nsecret.mp4\n#EXT-X-ENDLIST\n",
        "ffconcat": "ffconcat version 1.0\nfile secret.mp4\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 1234 RTP/AVP 0\n",
    }


@pytest.mark.parametrize("kind", ["dash", "hls", "hls_sibling", "ffconcat", "sdp"])
@pytest.mark.parametrize("name", ["voice.m4a", "me.png", "x.mp4", "list.m3u8", "list.mpd"])
def test_a_file_that_names_another_leads_nowhere(tmp_path: Path, kind: str, name: str) -> None:
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x64:duration=1", "-f", "lavfi", "-i", "sine=duration=1",
           "-movflags", "+frag_keyframe+empty_moov", tmp_path / "secret.mp4")  # fmt: skip
    assert probe(tmp_path / "secret.mp4").has_audio
    path = tmp_path / name
    path.write_text(other_files(tmp_path)[kind])
    for read in (read_audio, probe, VideoReader, read_picture, lambda path: next(read_frames(path))):
        with pytest.raises(MediaError, match=name):
            read(path)


def test_a_name_with_a_pattern_is_one_file(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x64:duration=1", tmp_path / "a.mp4")
    (tmp_path / "a.mp4").rename(tmp_path / "%d.mp4")
    assert probe(tmp_path / "%d.mp4").width == 64
    odd = Path(bytes(tmp_path).decode() + "/\udcff.mp4")
    (tmp_path / "%d.mp4").rename(odd)
    assert probe(odd).width == 64


PIPED = {
    "wav": ["-f", "wav"], "rf64.wav": ["-rf64", "always", "-f", "wav"], "w64": ["-f", "w64"], "flac": ["-f", "flac"],
    "aiff": ["-f", "aiff"], "au": ["-f", "au"], "caf": ["-f", "caf"], "ogg": ["-f", "ogg", "-c:a", "libvorbis"],
}  # fmt: skip


@pytest.mark.parametrize("kind", PIPED)
def test_what_came_through_a_pipe_has_its_true_length(tmp_path: Path, kind: str) -> None:
    soundfile.write(tmp_path / "a.wav", voice(), 16_000)
    command = [get_ffmpeg_exe(), "-loglevel", "error", "-i", str(tmp_path / "a.wav"), *PIPED[kind], "pipe:1"]
    path = tmp_path / f"piped.{kind}"
    path.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    wave = read_audio(path)
    assert len(wave) == 32_000
    assert np.abs(wave[200:-200] - voice()[200:-200]).max() < (0.05 if kind == "ogg" else 1e-3)


@pytest.mark.parametrize("said", [0, 1000, 0x7FFFFFFF, 0xFFFFFFFF])
@pytest.mark.parametrize("rest", [b"", b"LIST\x04\0\0\0abcd"])
def test_a_wav_that_is_wrong_about_its_length(tmp_path: Path, said: int, rest: bytes) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, voice(), 16_000)
    data = path.read_bytes()
    at = data.index(b"data") + 4
    path.write_bytes(data[:at] + struct.pack("<I", said) + data[at + 4 :] + rest)
    assert len(read_audio(path)) == pytest.approx(32_000, abs=len(rest))


def test_what_stands_behind_the_samples_of_a_wav_is_not_heard(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, voice(), 16_000)
    data = path.read_bytes()
    for rest in (b"LIST" + struct.pack("<I", 2000) + b"x" * 2000, bytes(3000)):
        path.write_bytes(data + rest)
        assert len(read_audio(path)) == 32_000


def test_channels_of_opposite_sign_do_not_cancel(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.wav"
    hum = 0.05 * np.sin(2 * np.pi * 50 * np.arange(32_000) / 16_000)
    soundfile.write(path, np.stack([voice() + hum, -0.9 * voice() + hum], axis=1), 16_000)
    assert np.abs(read_audio(path) - voice() - hum).max() < 1e-3
    assert "opposite sign" in caplog.text
