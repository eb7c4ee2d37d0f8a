"""Many videos: resume, repair, what does not go together, and the lists of a growing store."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from data_prepare.runner import _locked, _remove_orphans, prepare
from data_prepare.scan.video import scan_path
from data_prepare.sources.folder import find_sources
from data_prepare.splits import ClipFacts, SplitRule, make_splits
from data_prepare.store_splits import write_splits
from data_prepare.worker import Task, work
from moda.data.store import ClipStore
from moda.errors import DataError, OutputError
from moda.files import write_json
from tests.data_prepare.conftest import tree, write_film

QUIET = "deep__quiet_one-a3888861"
KEPT = [QUIET, "film_000", "film_001"]


@pytest.fixture
def store(prepared, tmp_path):
    shutil.copytree(prepared.out, tmp_path / "store")
    return tmp_path / "store"


def again(store, folder, options, **named):
    return prepare(find_sources(folder), store, options, rule=SplitRule(), **named)


def test_the_good_is_kept_and_every_bad_one_is_listed_with_step_and_reason(prepared):
    rows = {row.id: row for row in prepared.report.rows}
    assert prepared.report.complete and prepared.report.counts == {"kept": 3, "rejected": 7, "failed": 0}
    assert [name for name, row in rows.items() if row.status == "kept"] == KEPT
    for name, step, words in (
        ("no_face", "scan", "no face found in any of 3 frames"),
        ("short", "scan", "lasts 0.48 s, wanted at least 1 s"),
        ("silent", "scan", "has no audio"),
        ("empty", "scan", "empty (0 bytes)"),
        ("text", "scan", "not a video"),
        ("cut_off", "scan", "cut off"),
        ("hushed", "audio", "silence, below -60 dBFS"),
    ):
        assert (rows[name].status, rows[name].step) == ("rejected", step) and words in rows[name].reason
    written = json.loads((prepared.out / "report.json").read_text())
    assert written["totals"] | {"minutes": 0} == {
        "videos": 9, "clips": 10, "kept": 3, "rejected": 7, "failed": 0, "missing": 0, "frames": 124, "minutes": 0,
    }  # fmt: skip
    assert [clip["id"] for clip in written["clips"]] == list(rows)
    page = (prepared.out / "report.html").read_text()
    assert all(row.source in page for row in rows.values())


def test_nothing_but_finished_clips_is_left_in_the_store(prepared):
    assert sorted(path.name for path in (prepared.out / "clips").iterdir()) == sorted(KEPT)
    assert [path for path in tree(prepared.out) if Path(path).name.startswith(".")] == []
    clips = ClipStore.open(prepared.out)
    for name in KEPT:
        clip = clips.clip(name)
        assert clip.quality["tracked"] == 1.0 and clip.landmarks.shape == (clip.frames, 478, 3)
        assert set(clip.moments(["lips", "eyes", "head", "torso", "face"])) == {
            "lips", "eyes", "head", "torso", "face",
        }  # fmt: skip


def test_shots_of_one_video_are_one_person_and_in_one_list(prepared):
    clips = ClipStore.open(prepared.out)
    where = {clip.id: name for name in ("train", "val", "test") for clip in clips.split(name)}
    assert sorted(where) == sorted(KEPT) and where["film_000"] == where["film_001"] != where[QUIET]
    assert {row.id: row.split for row in prepared.report.rows if row.status == "kept"} == where


def test_progress_counts_videos_clips_and_frames(prepared):
    seen = prepared.seen
    assert (seen[0].done, seen[0].total) == (0, 9)
    assert seen[-1].done == seen[-1].total == 9 + 4 and seen[-1].eta == 0.0
    assert seen[-1].frames > 45 + 43 + 36 + 30
    assert all(a.frames <= b.frames and a.done <= b.done for a, b in pairwise(seen))
    early = next(progress for progress in seen if progress.frames)  # the time left is known long before a video is done
    assert early.expected > early.frames and early.eta is not None


def test_the_same_call_again_starts_no_process_and_changes_no_byte(store, prepared, footage, options):
    before = {path: path.stat().st_mtime_ns for path in (store / "clips").rglob("*")}

    def nobody(progress):
        assert multiprocessing.active_children() == []

    report = again(store, footage, options, on_progress=nobody)
    assert tree(store) == tree(prepared.out)
    assert {path: path.stat().st_mtime_ns for path in (store / "clips").rglob("*")} == before
    assert report.rows == prepared.report.rows


KILLED = """
import os, signal, sys
from pathlib import Path
from data_prepare import worker
from data_prepare.options import Options
from data_prepare.runner import clip_tasks
from data_prepare.sources.folder import find_sources
from data_prepare.worker import Task, work
from moda.data.store import ClipStore

footage, out, options = Path(sys.argv[1]), Path(sys.argv[2]), Options.model_validate_json(sys.argv[3])
ClipStore.create(out, options.size)
for name in ("scans", "rejected"):
    (out / name).mkdir(exist_ok=True)
source = next(source for source in find_sources(footage) if source.name == "film.mp4")
scan = work(Task(out, source, options, source.clip_id))
first, second = clip_tasks(scan.task, scan.scan)
assert work(first).status == "kept"
die = lambda job: os.kill(os.getpid(), signal.SIGKILL)
worker.STEPS = [step._replace(run=die) if step.name == "quality" else step for step in worker.STEPS]
work(second)
"""


def test_a_run_after_a_killed_one_ends_byte_equal_to_an_undisturbed_one(store, prepared, footage, options):
    for name in ("film_000", "film_001", QUIET):
        shutil.rmtree(store / "clips" / name)
    film = next(source for source in find_sources(footage) if source.name == "film.mp4")
    scan_path(store, film).unlink()
    command = [sys.executable, "-c", KILLED, str(footage), str(store), options.model_dump_json()]
    assert subprocess.run(command, check=False).returncode == -9
    left = [path.name for path in (store / "clips").iterdir()]
    assert len(left) == 2 and "film_000" in left and any(name.startswith(".film_001.") for name in left)
    finished = (store / "clips" / "film_000" / "clip.json").stat().st_mtime_ns
    # another kill, between the two moves of a finished clip, and others while a file was written
    for name in (f".{QUIET}.0.moda-tmp", f".{QUIET}.1.moda-tmp"):
        shutil.copytree(prepared.out / "clips" / QUIET, store / "clips" / name)
    (store / ".report.json.0.moda-tmp").write_text("{")
    (store / "splits" / ".train.txt.0.moda-tmp").write_text("half")
    (store / "scans" / ".film.raw.0.moda-tmp").write_bytes(b"half")
    again(store, footage, options)
    assert tree(store) == tree(prepared.out)
    assert (store / "clips" / "film_000" / "clip.json").stat().st_mtime_ns == finished


def test_an_interrupted_run_leaves_no_half_clip_and_no_process(tmp_path, footage, options):
    def interrupt(progress):
        if progress.frames > 0:
            raise KeyboardInterrupt

    sources = [source for source in find_sources(footage) if source.name == "film.mp4"]
    with pytest.raises(KeyboardInterrupt):
        prepare(sources, tmp_path / "out", options, rule=SplitRule(), on_progress=interrupt)
    for process in multiprocessing.active_children():
        process.join(10)
    assert not multiprocessing.active_children()
    assert ClipStore.open(tmp_path / "out").ids == [] and not (tmp_path / "out" / "report.json").exists()
    with _locked(tmp_path / "out"):  # it can be had again, and clears what is left
        assert list((tmp_path / "out" / "clips").iterdir()) == []


def test_clips_that_are_no_shot_any_more_are_removed(store, footage, options, talking, tmp_path):
    """film.mp4 had two shots; the new one of that name has one."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for clip in ("film_000", "film_001"):  # as if prepared from here
        path = store / "clips" / clip / "clip.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "source_folder": str(folder)}))
    write_film(folder / "film.mp4", talking(40))
    others = tree(store / "clips" / QUIET)
    report = again(store, folder, options)
    assert [(row.id, row.status) for row in report.rows] == [("film", "kept")]
    assert sorted(path.name for path in (store / "clips").iterdir()) == sorted([QUIET, "film"])
    assert tree(store / "clips" / QUIET) == others  # of a video that is not among these
    assert (store / "splits" / "train.txt").read_text() == "film\n"


def test_a_failed_scan_leaves_the_clips_of_its_video(store, footage, options):
    film = next(source for source in find_sources(footage) if source.name == "film.mp4")
    scan_path(store, film).unlink()
    scan_path(store, film).mkdir()  # cannot be replaced by a file
    outcome = work(Task(store, film, options, "film"))
    assert outcome.status == "failed" and outcome.step == "scan"
    _remove_orphans(ClipStore.open(store), [outcome])
    assert {path.name for path in (store / "clips").iterdir()} == set(KEPT)
    _remove_orphans(ClipStore.open(store), [replace(outcome, status="rejected")])
    assert {path.name for path in (store / "clips").iterdir()} == {QUIET}


def test_two_runs_do_not_write_into_one_store(store, prepared, footage, options):
    with _locked(store), pytest.raises(OutputError, match="another preparation is writing"):
        again(store, footage, options)
    assert tree(store) == tree(prepared.out)


@pytest.mark.parametrize("name", ["film.mp4", "deep/quiet one.mp4"])
def test_a_folder_whose_names_are_those_of_another_folder_is_refused(store, prepared, options, tmp_path, name):
    (tmp_path / "other" / "deep").mkdir(parents=True)
    (tmp_path / "other" / name).write_bytes(b"another video")
    with pytest.raises(DataError, match="other/ into another store"):
        again(store, tmp_path / "other", options)
    assert tree(store) == tree(prepared.out)


def test_a_folder_that_was_moved_is_no_other_folder(store, prepared, footage, options, tmp_path):
    for path in (store / "clips").glob("*/clip.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "source_folder": str(tmp_path / "gone")}))
    assert again(store, footage, options).counts == prepared.report.counts


def test_a_store_of_another_size_is_refused(store, prepared, footage, options):
    with pytest.raises(DataError, match="has size 64, wanted 128"):
        again(store, footage, options.model_copy(update={"size": 128}))
    assert tree(store) == tree(prepared.out)


def test_another_name_for_a_person_needs_no_work(store, footage, options, tmp_path):
    table = tmp_path / "people.tsv"
    table.write_text("file\tidentity\nfilm.mp4\tann\ndeep/quiet one.mp4\tann\n")
    sources = find_sources(footage, identities=table)
    report = prepare(sources, store, options, rule=SplitRule())
    assert {row.identity for row in report.rows if row.status == "kept"} == {"ann"}
    assert [len(report.splits.lists[name]) for name in ("train", "val", "test")] == [3, 0, 0]
    assert ClipStore.open(store).clip(QUIET).identity == "ann"


def add_people(store, *people):
    """A clip of each, as far as the lists need it."""
    for who in people:
        (store / "clips" / who).mkdir()
        record = {"id": who, "identity": who, "frames": 100, "has_audio": True, "quality": {}}
        write_json(store / "clips" / who / "clip.json", record)


def test_growing_a_store_moves_nobody_and_a_new_rule_deals_again(tmp_path):
    store = ClipStore.create(tmp_path, 64)

    add = partial(add_people, tmp_path)

    add(*(f"p{i}" for i in range(10)))
    before = write_splits(store, SplitRule()).lists
    add(*(f"q{i}" for i in range(30)))
    after = write_splits(ClipStore.open(tmp_path), SplitRule())
    assert all(set(before[name]) <= set(after.lists[name]) for name in before)
    assert after.people["train"] == 32 and sum(after.people.values()) == 40
    shutil.rmtree(tmp_path / "clips" / before["test"][0])
    gone = write_splits(ClipStore.open(tmp_path), SplitRule())
    add(before["test"][0])  # who comes back is where he was
    assert before["test"][0] not in gone.lists["test"]
    assert write_splits(ClipStore.open(tmp_path), SplitRule()).lists == after.lists
    dealt = write_splits(ClipStore.open(tmp_path), SplitRule.parse("0.5,0.25,0.25", 0))
    assert [len(dealt.lists[name]) for name in ("train", "val", "test")] == [20, 10, 10]


def test_a_run_that_failed_in_part_fixes_nobodys_place(tmp_path):
    store = ClipStore.create(tmp_path, 64)

    add = partial(add_people, tmp_path)

    people = [f"p{i}" for i in range(20)]
    add(*people[:4])
    partly = write_splits(store, SplitRule(), whole=False)
    assert any("assigned again" in note for note in partly.notes)
    assert json.loads((tmp_path / "splits" / "rule.json").read_text())["identities"] == {}
    add(*people[4:])
    whole = write_splits(ClipStore.open(tmp_path), SplitRule())
    undisturbed = make_splits([ClipFacts(who, who, 100) for who in sorted(people)], SplitRule())
    assert whole.lists == undisturbed.lists and whole.notes == ()
    add("new")
    grown = write_splits(ClipStore.open(tmp_path), SplitRule(), whole=False)  # those of the whole run stay
    assert all(set(whole.lists[name]) <= set(grown.lists[name]) for name in whole.lists)
    assert "new" not in json.loads((tmp_path / "splits" / "rule.json").read_text())["identities"]
    for content in ("", "[]", '{"identities": 3, "shares": [0.8, 0.1, 0.1], "seed": 0}', "{NaN"):
        (tmp_path / "splits" / "rule.json").write_text(content)
        assert sum(map(len, write_splits(ClipStore.open(tmp_path), SplitRule()).lists.values())) == 21
    (tmp_path / "clips" / "new" / "clip.json").write_text("{")
    damaged = write_splits(ClipStore.open(tmp_path), SplitRule())
    assert sum(map(len, damaged.lists.values())) == 20 and any("damaged" in note for note in damaged.notes)


def test_a_place_that_cannot_be_written_is_one_error(tmp_path, footage, options):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot make a clip store"):
        again(tmp_path / "file" / "out", footage, options)
    assert os.listdir(tmp_path) == ["file"]
