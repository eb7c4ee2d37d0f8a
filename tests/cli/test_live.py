"""`moda live`: a file in real time to raw frames and to a video; what cannot be is told in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from moda.cli.live import main
from moda.media.audio import write_wav
from tests.conftest import speech_like

PICTURE = Path(__file__).resolve().parents[2] / "assets" / "demo.png"


def test_a_file_is_played_into_a_pipe(tmp_path: Path) -> None:
    write_wav(tmp_path / "voice.wav", speech_like(0.8))
    given = [str(PICTURE), "--audio", str(tmp_path / "voice.wav"), "--output", "-", "--device", "cpu"]
    done = subprocess.run([sys.executable, "-m", "moda", "live", *given, "--set", "size=64"], capture_output=True)
    assert done.returncode == 0, done.stderr
    frames = np.frombuffer(done.stdout, np.uint8).reshape(-1, 64, 64, 3)
    assert len(frames) == 20 and frames.std() > 20
    assert b"20 frames, 0 skipped; the first came" in done.stderr


def test_what_cannot_be_played_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert main([str(PICTURE), "--idle", "1"]) == 2
    assert "no display" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert main([str(PICTURE), "--audio", "mic", "--output", str(tmp_path / "a.mp4")]) == 2
    assert "moda[live]" in capsys.readouterr().err
    assert main([str(PICTURE), "--audio", str(tmp_path / "none.wav"), "--output", str(tmp_path / "a.mp4")]) == 2
    with pytest.raises(SystemExit):
        main([str(PICTURE)])
