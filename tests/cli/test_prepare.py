"""The command: settings from a file and from options, what it refuses, and how it ends."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from data_prepare.runner import _locked
from moda.cli.prepare import PrepareConfig, _config, _parser, main
from moda.config import load_yaml, parse
from moda.data.store import ClipStore

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "scripts" / "prepare.py"
UNREADABLE = "locked.mp4"


def said(capsys) -> str:
    return " ".join(capsys.readouterr().err.split())


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with one file that is no video, in which the test stands."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere", "out"], "no such folder of videos: nowhere"),
        (["videos", "out", "--split", "1,1,1,1"], "split"),
        (["videos", "out", "--size", "65"], "size"),
        (["videos", "out", "--jobs", "0"], "jobs"),
        (["videos", "out", "--include", "none.txt"], "cannot read none.txt"),
        (["videos", "out", "--identities", "none.tsv"], "cannot read none.tsv"),
        (["videos", "out", "--config", "none.yaml"], "none.yaml"),
        (["videos", "out", "--set", "options.limits.min_fase=3"], "did you mean 'min_face'?"),
        (["videos", "out", "--set", "option.size=64"], "unknown key 'option"),
        (["videos", "out", "--set", "options.limits.min_tracked=2"], "options.limits.min_tracked"),
        (["videos", "out", "--hdtf", "lists", "--include", "x.txt"], "leave out include and identities"),
        (["videos", "out", "--hdtf", "lists", "--identities", "x.tsv"], "leave out include and identities"),
        (["videos", "out", "--hdtf", "lists"], "no HDTF lists in lists"),
        (["videos", "out", "--split-lists", "lists"], "lists"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(place, capsys, arguments, words):
    assert main(arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and words in lines[0]
    assert not Path("out").exists()


@pytest.mark.parametrize("text", ["options:\n", "options: 3\n", "options: [1]\n", "limits: {}\n", "- a\n"])
def test_a_settings_file_of_another_shape_is_a_mistake_or_means_the_defaults(place, capsys, text):
    Path("c.yaml").write_text(text)
    assert main(["videos", "out", "--config", "c.yaml", "--size", "65"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and "c.yaml" in lines[0]


def test_the_shipped_settings_are_the_defaults():
    path = REPOSITORY / "configs" / "default" / "prepare.yaml"
    assert parse(PrepareConfig, load_yaml(path), source=str(path)) == PrepareConfig()
    for name in PrepareConfig().options.model_dump():
        assert f"{name}:" in path.read_text() or name in ("sync", "annotations"), name


@pytest.mark.parametrize("option", ["--annotations", "--given"])  # --given: its earlier name, not in the help
def test_options_of_the_command_line_arrive(option):
    arguments = _parser().parse_args(["in", "out", option, "poses", "--size", "64", "--allow-silent", "--seed", "3"])
    config = _config(arguments)
    assert (config.options.annotations, config.options.size, config.options.allow_silent) == (Path("poses"), 64, True)
    assert config.seed == 3 and config.split == PrepareConfig().split


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as done:
        main(["--help"])
    shown = capsys.readouterr().out
    assert done.value.code == 0
    for option in ("--config", "--set", "--hdtf", "--annotations", "--split-lists", "--allow-silent", "--include"):
        assert option in shown


def test_an_unwritable_place_is_a_mistake(place, capsys):
    (place / "file").write_text("in the way")
    assert main(["videos", "file/out"]) == 2
    assert "cannot make a clip store" in said(capsys)


def test_a_second_process_is_refused_and_harms_nothing(place, capsys):
    ClipStore.create(place / "out", 512)
    before = sorted(place.rglob("*"))
    with _locked(place / "out"):
        during = sorted(place.rglob("*"))
        assert main(["videos", "out"]) == 2
        assert sorted(place.rglob("*")) == during
    assert "another preparation is writing into out: wait for it" in said(capsys)
    assert set(before) <= set(during)


def without_rights(command: list[str]) -> list[str]:
    """The command as somebody for whom file permissions hold, which they do not for root."""
    if os.geteuid() != 0:
        return command
    if shutil.which("setpriv") is None:
        pytest.skip("root reads every file, and there is no setpriv to give that up")
    return ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *command]


def test_the_command_prepares_reports_and_resumes(place, synthetic_video, sync_checkpoint, capsys):
    shutil.copy(synthetic_video, "videos/RD_Astronaut_000.mp4")
    Path("videos", UNREADABLE).write_bytes(b"x")
    Path("videos", UNREADABLE).chmod(0)
    Path("my.yaml").write_text(f"jobs: 1\nseed: 3\noptions:\n  size: 96\n  sync: {sync_checkpoint}\n")
    settings = ["videos", "out", "--config", "my.yaml", "--set", "options.limits.max_yaw=55", "--size", "64"]
    settings += ["--set", "options.limits.min_lip_motion=0", "--set", "options.limits.min_lip_range=0"]
    command = without_rights([sys.executable, str(SCRIPT), *settings])
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=place)
    assert done.returncode == 1, done.stderr
    assert "a.mp4 (scan): not a video" in done.stderr
    assert f"{UNREADABLE} (scan): Permission denied" in done.stderr
    assert "1 clips kept (0.1 minutes), 1 rejected, 1 failed" in done.stderr
    assert "the validation list is empty" in done.stderr
    assert "Traceback" not in done.stderr and "W0000" not in done.stderr and done.stdout == ""
    record = json.loads(Path("out/clips/RD_Astronaut_000/clip.json").read_text())
    assert record["identity"] == "RD_Astronaut_000"[:12]
    report = json.loads(Path("out/report.json").read_text())
    assert report["settings"]["size"] == 64 and report["settings"]["limits"]["max_yaw"] == 55
    assert json.loads(Path("out/splits/rule.json").read_text())["seed"] == 3
    assert Path("out/report.html").is_file()

    Path("videos", UNREADABLE).unlink()
    written = Path("out/clips/RD_Astronaut_000/clip.json").stat().st_mtime_ns
    assert main(settings) == 0  # what was rejected was handled
    assert "1 clips kept (0.1 minutes), 1 rejected, 0 failed" in said(capsys)
    assert Path("out/clips/RD_Astronaut_000/clip.json").stat().st_mtime_ns == written
    Path("only.txt").write_text("a.mp4\n")
    assert main([*settings, "--include", "only.txt"]) == 0
    assert ClipStore.open("out").ids == ["RD_Astronaut_000"]
