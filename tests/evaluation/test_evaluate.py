"""Evaluation and its report on tracks that are kept already, so no tracker runs (tests/cli does that)."""

import csv
import gc
import importlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from moda.errors import ConfigError, DataError, OutputError
from moda.evaluation.evaluate import evaluate
from moda.evaluation.report.page import page_text
from moda.evaluation.report.printed import read_printed
from moda.evaluation.report.records import clip_lines, scores_record, write_report
from moda.evaluation.report.tables import report_text, table_text
from moda.landmarks import LIPS
from moda.metrics import METRICS, NotAvailable, VideoTrack
from moda.reasons import folded
from tests.evaluation.videos import SYNC

evaluate_module = importlib.import_module("moda.evaluation.evaluate")
CONTROLS = [
    "ground truth", "still mouth", "first frame's mouth",
    "truth shifted 0.2 s", "truth shifted 1 s", "other clip's mouth",
]  # fmt: skip


def test_every_row_and_every_refusal(videos) -> None:
    result = videos.evaluate("off", "half")
    rows = {row.name: row for row in result.rows}
    assert list(rows) == [*CONTROLS, "off", "half"]
    assert rows["off"].values("lmd") == pytest.approx([5.0, 5.0], abs=1e-4)
    assert rows["half"].values("lmd") == pytest.approx([0.0], abs=1e-3)
    assert rows["half"].refused == {"b": "no generated video of this name", "c": "no true video of this name"}
    assert rows["ground truth"].values("ma") == [1.0, 1.0]
    assert rows["other clip's mouth"].scores["a"].notes == ("the mouth is that of b (persons not known), 100 frames",)
    assert not result.complete and videos.evaluate("off").complete


def reported(evaluation, output: Path, printed=None) -> dict[str, str]:
    """Texts of a report's files by name."""
    return {path.name: path.read_text() for path in write_report(evaluation, output, printed)}


def test_the_files(videos) -> None:
    result = videos.evaluate("off", "half")
    texts = reported(result, videos.output)
    assert sorted(path.name for path in videos.output.iterdir()) == [
        *("cache", "clips.csv", "frames", "methods", "report.html", "scores.json"),
        *("table.csv", "table.md", "table.tex", "tracks"),
    ]
    table, clips, scores, page = (texts[name] for name in ("table.md", "clips.csv", "scores.json", "report.html"))
    assert "| off " in table and "- half, c: no true video of this name" in table
    assert "- half, a: other resolution: generated 256x256, true 512x512" in table
    assert all(metric.definition in table for name, metric in METRICS.items() if name not in SYNC)

    rows = list(csv.DictReader(clips.splitlines()))
    assert len(rows) == 2 + 3 + 6 * 2
    first = next(row for row in rows if row["name"] == "off")
    assert first["clip"] == "a" and float(first["lmd"]) == pytest.approx(5.0, abs=1e-4)
    assert rows[0]["name"] == "ground truth"
    still = next(row for row in rows if row["name"] == "still mouth")
    assert still["lip_corr"] == "not available: the lips do not move"
    refused = next(row for row in rows if row["name"] == "half" and row["clip"] == "c")
    assert refused["notes"] == "not scored: no true video of this name"

    assert all(f"<h3>{clip}</h3>" in page for clip in "abc") and "not scored: half: no true video" in page

    record = json.loads(scores)
    assert record["comparisons"][0]["first"] == "off" and record["comparisons"][0]["second"] == "half"
    assert record["comparisons"][0]["metrics"]["lmd"]["first_is"] == "too few clips to tell (1, wanted 6)"
    assert record["metrics"]["opening_ratio"]["better"] == "one" and record["metrics"]["lmd"]["version"] == 1
    assert list(record["controls"]) == CONTROLS
    assert record["methods"]["off"]["metrics"]["lmd"]["mean"] == pytest.approx(5.0, abs=1e-4)
    correlation = record["controls"]["still mouth"]["metrics"]["lip_corr"]
    assert correlation == {
        "mean": None,
        "interval": None,
        "n": 0,
        "clips": {},
        "not_available": dict.fromkeys("ab", "the lips do not move"),
    }


def test_cells_say_why_and_how_many(videos, make_face, opening) -> None:
    videos.add("part/a.mp4", make_face(np.full(100, 9.0), moving=True).landmarks)  # a mouth that does not move
    videos.add("part/b.mp4", make_face(opening[::-1], moving=True).landmarks)
    videos.add("none/a.mp4", np.full((100, 478, 3), np.nan))
    result = videos.evaluate("part", "none")
    lips = table_text(result).split("Lips\n\n")[1].split("\n\n")[0].split("\n")
    rows = {line.split("|")[1].strip(): [c.strip() for c in line.split("|")[2:-1]] for line in lips}
    correlation = rows[""].index("lip corr [r] ↑")
    assert rows["part"][0] == "2" and rows["part"][correlation] == "1.00 (n=1)"
    assert rows["part"][1] != "" and "(n=" not in rows["part"][1]
    assert rows["none"][0] == "0 of 2" and set(rows["none"][1:]) == {"n/a"}
    assert rows["*still mouth*"][correlation] == "n/a"
    assert "no face in 100 of 100 frames" in "".join(clip_lines(result))


def test_what_is_not_available_is_listed_once(videos) -> None:
    result = videos.evaluate("off")
    for text in (report_text(result), page_text(result)):
        assert text.count("one sample only") == text.count("the lips do not move") == 1
        assert "all rows: diversity, head, diversity, eyes: one sample only" in text
    assert report_text(result).split("## Not available")[1].count("no audio in either video") == 1
    assert report_text(result).count("not asked for") == 1  # in one line, with what each metric needs
    assert "- not asked for: " in report_text(result) and "FID (--fid-weights FILE)" in report_text(result)
    table = table_text(result)
    assert "diversity, head [" not in table and "LMD [px]" in table and "THEval, 5 of motion" in table


def test_scores_over_all_clips_are_in_their_row(videos) -> None:
    result = videos.evaluate("off")
    rows = {row.name: row for row in result.rows}
    total = rows["ground truth"].overall["theval_5"]
    assert (total.value, total.interval, total.clips) == (1.0, None, 2)  # too few clips for an interval
    # Lips as a whole 5 px off: lip distances are the truth's, so only the shape's place is, which no score sees.
    assert rows["off"].overall["theval_5"].value == pytest.approx(1, abs=0.02)
    assert rows["still mouth"].overall["theval_5"].value < 0.95
    assert rows["off"].overall["shape_frechet"].value > 100 * rows["ground truth"].overall["shape_frechet"].value
    assert rows["off"].overall["fid"].value == NotAvailable("not asked for: --fid-weights FILE")
    record = scores_record(result)
    assert record["controls"]["ground truth"]["overall"]["theval_5"]["value"] == 1.0
    assert videos.evaluate("off").methods[0].overall == rows["off"].overall  # from the cache


def test_names_are_shown_on_the_page_and_never_act(videos, make_face, opening) -> None:
    landmarks = make_face(opening, moving=True).landmarks
    for folder in ("true", "off"):
        videos.add(f"{folder}/<img src=x>.mp4", landmarks)
    name = '<script>alert("1")</script>\u202e'
    page = page_text(evaluate(videos.root / "true", {name: videos.root / "off"}, videos.output, skip=SYNC))
    assert "&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;\\u202e" in page and "<h3>&lt;img src=x&gt;</h3>" in page
    assert "<script" not in page and "<img src=x" not in page and "\u202e" not in page
    assert "http" not in page.replace("https://github", "") and "@import" not in page


def test_reasons_that_differ_in_figures_are_one_line() -> None:
    said = [("ours", f"c{number}", f"{number} frames of 100 without a face") for number in range(5)]
    said += [("theirs", "c1", "9 frames of 100 without a face"), ("theirs", "c2", "no audio")]
    assert folded(said, {"ours": 8, "theirs": 8}) == [
        ("ours (5 of 8 clips); theirs (c1)", "0–9 frames of 100 without a face"),
        ("theirs, c2", "no audio"),
    ]
    everywhere = [(row, clip, "one sample") for row in ("ours", "theirs") for clip in "ab"]
    assert folded(everywhere, {"ours": 2, "theirs": 2}) == [("all rows", "one sample")]
    assert folded(everywhere, {"ours": 2, "theirs": 2, "truth": 2}) == [("ours, theirs (all clips)", "one sample")]


def test_a_truth_that_all_methods_find_late_is_remarked_on(videos, make_face, opening) -> None:
    for name, lag in (("one", -4), ("two", -5)):
        videos.add(f"{name}/a.mp4", make_face(np.roll(opening, lag), moving=True).landmarks)
    remarks = videos.evaluate("one", "two").remarks
    assert len(remarks) == 1
    assert "at lags of -5 to -4 frames: the true video may itself be late by about 4 frames" in remarks[0]
    assert videos.evaluate("off", "one", "two").remarks == []  # one method is in step


def test_two_videos_of_one_name_are_not_guessed_between(videos) -> None:
    (videos.root / "off" / "b.mov").write_bytes(b"which?")
    row = videos.evaluate("off").methods[0]
    assert list(row.scores) == ["a"] and row.refused["b"].startswith("several videos of this name: b.mov, b.mp4")


def test_mistakes(videos, tmp_path) -> None:
    videos.add("stranger/z.mp4", np.ones((3, 478, 3)))
    with pytest.raises(DataError, match=r"no pairs: no file stem of .*stranger \(z\) is one of .*true \(a, b\)"):
        videos.evaluate("stranger")
    with pytest.raises(DataError, match="no such folder"):
        videos.evaluate("gone")
    with pytest.raises(DataError, match="name at least one folder"):
        videos.evaluate()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot make the folder"):
        evaluate(tmp_path / "true", {"off": tmp_path / "off"}, tmp_path / "file" / "out")


def test_cached_scores_are_read_and_old_versions_are_not(videos, monkeypatch) -> None:
    first = videos.evaluate("off").methods[0].values("lmd")
    kept = sorted((videos.output / "cache").glob("*.json"))
    whole = [path for path in kept if path.name.startswith("clip-")]
    kept = [path for path in kept if path not in whole]
    assert len(kept) == 2 * (1 + 6) and len(whole) == 2
    calls = []
    for name in ("lmd", "ma"):
        metric = METRICS[name]
        counted = replace(metric, compute=lambda clip, metric=metric: calls.append(metric.name) or metric.compute(clip))
        monkeypatch.setitem(METRICS, name, counted)
    assert videos.evaluate("off").methods[0].values("lmd") == first and calls == []
    monkeypatch.setitem(METRICS, "lmd", replace(METRICS["lmd"], version=99))
    assert videos.evaluate("off").methods[0].values("lmd") == first and calls == ["lmd"] * 14
    kept[0].write_text("{")
    for path in (videos.output / "cache").glob("clip-*.json"):
        path.unlink()
    assert videos.evaluate("off").methods[0].values("lmd") == first and "ma" in calls


def test_metrics_can_be_left_out(videos) -> None:
    result = evaluate(videos.root / "true", {"off": videos.root / "off"}, videos.output, skip=[*SYNC, "lip_lag", "ma"])
    assert "ma" not in result.metrics and "lmd" in result.metrics
    assert "MA" not in "".join(clip_lines(result)).split("\n")[0] and write_report(result, videos.output)
    with pytest.raises(DataError, match="no metric of this name to leave out: luck; there are lmd, "):
        evaluate(videos.root / "true", {"off": videos.root / "off"}, videos.output, skip=["luck"])


def test_a_very_long_clip_is_told(videos, monkeypatch) -> None:
    monkeypatch.setattr("moda.evaluation.scoring.MAX_TRACKED_FRAMES", 100)
    notes = videos.evaluate("off").methods[0].scores["a"].notes
    assert any(note.startswith("long: the first ") for note in notes)


def test_tracks_and_sound_are_held_for_one_clip_at_a_time(videos, make_face, opening, monkeypatch) -> None:
    """Or the memory of 10,000 clips would be that of all their landmarks."""
    for number in range(6):
        landmarks = make_face(np.roll(opening, 7 * number), moving=True).landmarks
        videos.add(f"true6/{number}.mp4", landmarks)
        videos.add(f"many/{number}.mp4", landmarks)
    alive = []
    score_clip = evaluate_module.score_clip

    def counted(job):
        result = score_clip(job)
        gc.collect()
        alive.append(sum(type(each) is VideoTrack for each in gc.get_objects()))
        return result

    monkeypatch.setattr(evaluate_module, "score_clip", counted)
    evaluate(videos.root / "true6", {"many": videos.root / "many"}, videos.output, skip=SYNC)
    assert len(alive) == 6 and max(alive) <= 1


def test_several_seeds_are_diverse_and_the_first_is_scored(videos, make_face, opening) -> None:
    for seed, lag in ((0, 0), (1, 30)):
        for clip, values in (("a", opening), ("b", opening[::-1])):
            landmarks = make_face(values, moving=True).landmarks.copy()
            turned = np.roll(landmarks, lag, axis=0)
            videos.add(f"sets/seed_{seed}/{clip}.mp4", turned)
    row = videos.evaluate("sets").methods[0]
    assert row.values("lmd") == pytest.approx([0.0, 0.0], abs=1e-3)
    assert min(row.values("diversity_head")) > 1.0
    off = videos.evaluate("off").methods[0]
    assert off.missing("diversity_head")["a"] == "one sample only, no seeds to compare"


def test_six_clips_give_intervals_and_verdicts(videos, make_face, opening) -> None:
    for number in range(6):
        landmarks = make_face(np.roll(opening, 7 * number), moving=True).landmarks
        videos.add(f"true6/{number}.mp4", landmarks)
        for name, size in (("near", 0.5), ("far", 2.0)):
            moved = landmarks.copy()
            moved[:, list(LIPS), 0] += size * (1 + 0.1 * number)
            videos.add(f"{name}/{number}.mp4", moved)
    folders = {name: videos.root / name for name in ("near", "far")}
    result = evaluate(videos.root / "true6", folders, videos.output, skip=SYNC)
    texts = reported(result, videos.output)
    table, scores = texts["table.md"], texts["scores.json"]
    lmd = json.loads(scores)["methods"]["near"]["metrics"]["lmd"]
    assert lmd["mean"] == pytest.approx(0.625, abs=1e-3)
    assert 0.5 < lmd["interval"][0] < 0.6 < 0.65 < lmd["interval"][1] < 0.75
    pair = json.loads(scores)["comparisons"][0]["metrics"]
    assert pair["lmd"]["first_is"] == "better" and pair["lmd"]["difference"] == pytest.approx(-1.875, abs=1e-3)
    assert pair["lip_corr"]["first_is"] == "no difference shown"
    assert "### near against far" in table and "### far against still mouth" in table


def test_the_papers_numbers_stand_apart(videos) -> None:
    printed = read_printed(Path(__file__).parents[2] / "configs/eval/paper_table.yaml", "HDTF test set")
    texts = reported(videos.evaluate("off"), videos.output, printed)
    table, scores, page = texts["table.md"], texts["scores.json"], texts["report.html"]
    assert json.loads(scores)["printed"]["rows"]["MODA"] == [6.92, 1.59, 1.96, 4.16, 0.56]
    for text in (table, page):
        assert "printed in the paper, not measured here" in text and "AD-NeRF" not in text
        assert all(words in " ".join(text.split()) for words in ("at which size of picture", "settings its Sync was"))
    assert "Wav2Lip-GAN" not in json.loads(scores)["methods"]
    with pytest.raises(ConfigError, match="there are: LSP test set, HDTF test set"):
        read_printed(Path(__file__).parents[2] / "configs/eval/paper_table.yaml", "LRS2")
