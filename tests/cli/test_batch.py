"""Many videos in one process: lists, folders, bad rows, failures, resuming, the summary."""

from __future__ import annotations

import csv
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moda.cli.infer import main
from moda.media.audio import write_wav
from moda.media.video import probe
from moda.pipeline import Animator
from moda.provenance import read_record


@pytest.fixture
def work(tmp_path: Path, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `in put/` (two voices, a face and a picture without one), which is not the current one."""
    monkeypatch.setattr(logging.getLogger("moda"), "handlers", [])
    folder = tmp_path / "in put"
    folder.mkdir()
    for name, seconds in (("ärger.wav", 0.4), ("two.wav", 0.6)):
        write_wav(folder / name, np.random.default_rng(0).normal(0, 0.1, round(seconds * 16_000)))
    Image.fromarray(astronaut).save(folder / "face.png")
    Image.new("RGB", (200, 200)).save(folder / "wall.png")
    monkeypatch.chdir(tmp_path)
    return folder


def infer(config: Path, *arguments: object) -> int:
    return main([*map(str, arguments), "--config", str(config), "--device", "cpu"])


def summary(folder: Path) -> list[dict[str, str]]:
    with (folder / "jobs_summary.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def count_loads(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    loads: list[object] = []
    load = Animator.from_config.__func__  # type: ignore[attr-defined]

    def counted(cls: type, *arguments: object, **named: object) -> Animator:
        loads.append(arguments)
        return load(cls, *arguments, **named)  # type: ignore[no-any-return]

    monkeypatch.setattr(Animator, "from_config", classmethod(counted))
    return loads


def test_a_list_goes_on_after_failures_and_names_their_lines(
    config: Path, work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = count_loads(monkeypatch)
    jobs = work / "jobs.csv"
    jobs.write_text(
        "\ufeffaudio,picture,output,seed,consent\n"
        'ärger.wav,face.png,a.mp4,1,"Me, myself"\n'
        "none.wav,face.png,b.mp4,1,\n"
        "\n"
        "two.wav,wall.png,c.mp4,2,\n"
        "two.wav,face.png,d.mp4,zwei,\n"
        "two.wav,face.png,a.mp4,2,\n"
        "two.wav,face.png,two.wav,2,\n"
        "two.wav,face.png,,,\n"
        "two.wav,face.png,d.mp4,1,x,y\n"
        "two.wav,jobs.csv,e.mp4,1,\n",
        encoding="utf-8",
    )
    assert infer(config, "--jobs", jobs, "--output", work / "out") == 1
    rows = summary(work / "out")
    assert [row["status"] for row in rows] == ["made", *["failed"] * 5, "made", "failed", "failed"]
    problems = {row["job"].removeprefix(f"{jobs} "): row["error"] for row in rows if row["error"]}
    for line, words in {
        "line 3": "no such audio file", "line 5": "no face found", "line 6": "'seed' is 'zwei', wanted a whole number",
        "line 7": "a.mp4 is written by", "line 8": "should end in .mp4",
        "line 10": "6 cells, wanted 5", "line 11": "not a picture",
    }.items():  # fmt: skip
        assert words in problems[line], problems
    assert len(loads) == 1
    out = capsys.readouterr().out
    assert "9 jobs: 2 made, 7 failed" in out and f"{jobs} line 3: no such audio file" in out
    assert probe(work / "out" / "a.mp4").seconds == pytest.approx(0.4, abs=0.05)
    assert (work / "out" / "two--face.mp4").is_file()
    record = read_record(work / "out" / "a.mp4")
    assert record and record["consent"] == "Me, myself" and record["seed"] == 1
    assert set(record["checkpoints"]) == {"audio2repr", "faco", "renderer"}


def test_what_was_made_is_kept_and_what_changed_is_made_again(
    config: Path, work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, out = work / "jobs.csv", work / "out"
    jobs.write_text("audio,picture,output\närger.wav,face.png,a.mp4\ntwo.wav,face.png,b.mp4\n")
    assert infer(config, "--jobs", jobs, "--output", out) == 0
    whole, changed = (out / "a.mp4").read_bytes(), (out / "b.mp4").stat().st_mtime_ns
    (out / "a.mp4").write_bytes(whole[: len(whole) // 2])  # no video any more
    loads = count_loads(monkeypatch)
    assert infer(config, "--jobs", jobs, "--output", out) == 0
    assert [row["status"] for row in summary(out)] == ["made", "made before"]
    assert (out / "a.mp4").read_bytes() == whole and (out / "b.mp4").stat().st_mtime_ns == changed and len(loads) == 1
    assert infer(config, "--jobs", jobs, "--output", out) == 0 and len(loads) == 1
    assert "2 jobs: 2 made before" in capsys.readouterr().out
    for change in (["--set", "gains.head=0"], ["--seed", "3"], ["--consent", "me"]):
        assert infer(config, "--jobs", jobs, "--output", out, *change) == 0
        assert [row["status"] for row in summary(out)] == ["made", "made"], change
    write_wav(work / "two.wav", np.zeros(8_000))
    assert infer(config, "--jobs", jobs, "--output", out, "--consent", "me") == 0
    assert [row["status"] for row in summary(out)] == ["made before", "made"]


def test_every_voice_of_a_folder_with_every_portrait(config: Path, work: Path) -> None:
    pictures = work / "pictures"
    pictures.mkdir()
    (work / "face.png").rename(pictures / "face.png")
    (work / "notes.txt").write_text("no audio")
    assert infer(config, work, pictures, "--output", work / "out") == 0
    made = sorted(path.name for path in (work / "out").glob("*.mp4"))
    assert made == ["two--face.mp4", "ärger--face.mp4"]


def test_an_interruption_leaves_a_summary(config: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("moda.jobs.making.make_video", interrupted)
    assert infer(config, work / "two.wav", work, "--output", work / "out") == 130
    assert summary(work / "out") == []


def test_a_defect_in_one_job_is_told_and_does_not_end_the_others(
    config: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("moda.jobs.making.make_video", broken)
    assert infer(config, work / "two.wav", work, "--output", work / "out") == 1
    assert [row["error"] for row in summary(work / "out")] == ["ZeroDivisionError: a defect"] * 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("audio,pictures\na,b\n", "save_motion, consent; did you mean 'picture'?"),
        ("audio\na\n", "has no column 'picture'"),
        ("", "has no column 'audio'"),
        ("audio,picture\n", "no jobs in"),
        ("audio,picture,audio\n", "names a column twice"),
        ('audio,picture\n"a,b\n', "is not CSV"),
        (b"\xff\xfea\x00", "not text in UTF-8"),
    ],
)  # fmt: skip
def test_what_is_no_list_is_told(
    config: Path, work: Path, text: str | bytes, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (work / "jobs.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    assert infer(config, "--jobs", work / "jobs.csv", "--output", work / "out") == 2
    assert words in capsys.readouterr().err and not (work / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "wanted an audio file and a picture, or --jobs"),
        (["two.wav"], "wanted an audio file and a picture"),
        (["two.wav", "face.png", "--jobs", "x.csv"], "leave the others out"),
        (["--jobs", "x.csv", "--motion", "m.npz"], "columns of the list"),
        (["--jobs", "x.csv", "--output", "a.mp4"], "--output is the folder for many videos"),
        (["--jobs", "x.csv"], "cannot read the list of jobs x.csv: No such file"),
        ([".", "face.png"], "no audio files in the folder"),
    ],
)
def test_arguments_that_contradict(
    config: Path, tmp_path: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    try:
        code = infer(config, *arguments)
    except SystemExit as refused:
        code = int(refused.code or 0)
    assert code == 2 and words in capsys.readouterr().err
