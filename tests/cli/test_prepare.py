import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from moda.cli.prepare import main

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "prepare.py"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere", "out"], "no such folder of videos"),
        ([".", "out", "--split", "1,1,1"], "wanted three shares"),
        ([".", "out", "--size", "65"], "--size 65"),
        ([".", "out", "--jobs", "0"], "--jobs 0"),
        ([".", "out", "--include", "none.txt"], "cannot read the list"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    Path("a.mp4").write_bytes(b"x")
    assert main(arguments) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith("error: ") and words in said[-1]
    assert not Path("out").exists()


def test_an_unwritable_place_is_a_mistake(tmp_path, capsys):
    (tmp_path / "a.mp4").write_bytes(b"x")
    (tmp_path / "file").write_text("in the way")
    assert main([str(tmp_path), str(tmp_path / "file" / "out")]) == 2
    assert "cannot make a clip store" in capsys.readouterr().err


def test_the_command_prepares_reports_and_resumes(tmp_path, synthetic_video):
    videos, out = tmp_path / "videos", tmp_path / "out"
    videos.mkdir()
    shutil.copy(synthetic_video, videos / "RD_Astronaut_000.mp4")
    (videos / "broken.mp4").write_text("no video")
    command = [sys.executable, str(SCRIPT), str(videos), str(out), "--jobs", "1", "--size", "64"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=dict(os.environ))
    assert done.returncode == 1, done.stderr
    assert "broken.mp4 (probe): not a video" in done.stderr and "1 kept" in done.stderr
    assert "warning: the validation list is empty" in done.stderr
    assert "Traceback" not in done.stderr and "W0000" not in done.stderr and done.stdout == ""
    assert json.loads((out / "clips" / "RD_Astronaut_000" / "clip.json").read_text())["identity"] == "Astronaut"
    (videos / "broken.mp4").unlink()
    assert main([str(videos), str(out), "--jobs", "1", "--size", "64"]) == 0
    assert json.loads((out / "report.json").read_text())["totals"]["skipped_as_up_to_date"] == 1
