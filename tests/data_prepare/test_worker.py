"""One clip: what is run again when something changes, and that the result is as if made from nothing."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest

from data_prepare import worker
from data_prepare.job import Offset, Rejected, Step
from data_prepare.options import Options
from data_prepare.own_files import link_files
from data_prepare.runner import clip_tasks, finished, scanned
from data_prepare.scan.video import read_scan, scan_path, scan_stamp
from data_prepare.sources.folder import find_sources
from data_prepare.step_results import RESULTS_FILE
from data_prepare.steps import STEPS
from data_prepare.steps.offset import moved
from data_prepare.worker import ClipMaker, Task, outdated, rejection_path, work
from moda.media.audio import read_audio
from tests.data_prepare.conftest import tree

QUIET = "deep__quiet_one-a3888861"
ALL = {step.name for step in STEPS}
REMADE = {
    "probe": ALL,
    "normalise": ALL - {"probe"},
    "audio": {"audio", "offset", "quality", "preview", "pack"},
    "torso": {"torso", "preview", "pack"},
    "pose": {"pose", "audio", "offset", "quality", "preview", "pack"},
    "offset": {"audio", "offset", "quality", "preview", "pack"},
    "quality": {"quality", "preview", "pack"},
    "preview": {"preview", "pack"},
    "pack": {"pack"},
}


def tasks_of(out, footage, options, name):
    source = next(source for source in find_sources(footage) if source.name == name)
    task = Task(out, source, options, source.clip_id)
    return clip_tasks(task, read_scan(scan_path(out, source), scan_stamp(source, options)))


@pytest.fixture
def store(prepared, tmp_path):
    """A copy of the prepared store."""
    shutil.copytree(prepared.out, tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def task(store, footage, options):
    """The clip with low audio: what 16 bits hold of it is less than what was read."""
    (task,) = tasks_of(store, footage, options, "deep/quiet one.mp4")
    assert task.clip_id == QUIET
    return task


@pytest.fixture
def change(monkeypatch):
    """change(name, run=None): that step has a new version, and does something else."""

    def with_new(name, run=None):
        def new(step: Step) -> Step:
            return step if step.name != name else step._replace(version=99, run=run or step.run)

        monkeypatch.setattr(worker, "STEPS", [new(step) for step in worker.STEPS])

    return with_new


def made(task, out=None):
    """Make the clip, into another store if `out` is given; (its files, names of the steps that ran)."""
    if out is not None:
        (out / "clips").mkdir(parents=True, exist_ok=True)
        task = Task(out, task.source, task.options, task.clip_id, task.shot)
    maker = ClipMaker(task)
    maker.make()
    assert [path.name for path in (task.out / "clips").iterdir() if path.name.startswith(".")] == []
    return tree(task.out / "clips" / task.clip_id), maker.ran


@pytest.mark.parametrize("name", [step.name for step in STEPS])
def test_a_new_version_makes_again_what_depends_on_it_and_nothing_else(task, change, name):
    assert outdated(worker.stored_stamps(task.out / "clips" / QUIET), worker.task_stamps(task)) == set()
    change(name)
    assert outdated(worker.stored_stamps(task.out / "clips" / QUIET), worker.task_stamps(task)) == REMADE[name]


def test_without_a_record_or_with_another_source_or_shot_all_is_made(task):
    wanted = worker.task_stamps(task)
    assert outdated({}, wanted) == ALL
    assert outdated(wanted, wanted) == set()
    for key, value in (("bytes", 1), ("mtime_ns", 2), ("name", "x"), ("shot", [])):
        other = {**wanted, "source": {**wanted["source"], key: value}}
        assert outdated(other, wanted) == ALL, key


def torso_moved(job):
    next(step for step in STEPS if step.name == "torso").run(job)
    job.torso = job.torso + np.float32(3.0)


def audio_moved(job):
    next(step for step in STEPS if step.name == "offset").run(job)
    job.offset = Offset(3.0, 0.5, True, True)
    job.wave = moved(job.padded_audio, job.frames, 3.0)


def louder(job):
    next(step for step in STEPS if step.name == "quality").run(job)
    job.quality = {**job.quality, "new": 1.0}


def cut_short(job):
    next(step for step in STEPS if step.name == "normalise").run(job)
    job.landmarks = job.landmarks + np.float32(2.0)


@pytest.mark.parametrize(
    ("name", "run"),
    [("torso", torso_moved), ("offset", audio_moved), ("quality", louder), ("normalise", cut_short), ("pack", None)],
)
def test_what_is_made_again_is_byte_equal_to_what_is_made_from_nothing(task, change, tmp_path, name, run):
    before = tree(task.out / "clips" / QUIET)
    change(name, run)
    again, ran = made(task)
    assert set(ran) == REMADE[name]
    fresh, ran = made(task, tmp_path / "fresh")
    assert set(ran) == ALL
    assert again == fresh
    assert again["clip.json"] != before["clip.json"]
    if name != "pack":
        assert again["moments.npz"] != before["moments.npz"] or name in ("offset", "quality")
        assert again != before


def test_nothing_to_do_leaves_the_same_bytes(task, prepared):
    files, ran = made(task)
    assert ran == [] and files == tree(prepared.out / "clips" / QUIET)


def test_a_step_that_was_renamed_is_not_run_again(task):
    path = task.out / "clips" / QUIET / "clip.json"
    record = json.loads(path.read_text())
    record["stamps"]["steps"]["sound"] = record["stamps"]["steps"].pop("audio")
    path.write_text(json.dumps(record))
    assert made(task)[1] == []


@pytest.mark.parametrize("later", ["audio", "pack"])
def test_a_crash_in_a_later_step_leaves_the_old_clip_whole(task, change, later):
    """Steps that are made again write files; those of the old clip are the same ones under another name."""
    clips = task.out / "clips"
    before = tree(clips)

    def crash(job):
        raise KeyboardInterrupt

    change("normalise", cut_short)
    change(later, crash)
    with pytest.raises(KeyboardInterrupt):
        ClipMaker(task).make()
    assert tree(clips) == before


def test_a_crash_while_the_video_is_written_again_leaves_the_old_one_whole(task, change):
    before = tree(task.out / "clips")
    seen = []

    def crash(frames):
        seen.append(frames)
        if len(seen) == 20:
            raise KeyboardInterrupt

    change("normalise")
    with pytest.raises(KeyboardInterrupt):
        ClipMaker(task, crash).make()
    assert tree(task.out / "clips") == before


def test_what_a_user_put_into_a_clip_stays_when_it_is_made_again_or_rejected(task, change, monkeypatch):
    clip = task.out / "clips" / QUIET
    (clip / "labels").mkdir()
    (clip / "labels" / "phones.txt").write_text("a b c")
    (clip / "notes.txt").write_text("mine")
    change("quality", louder)
    made(task)
    assert (clip / "labels" / "phones.txt").read_text() == "a b c" and (clip / "clip.json").is_file()
    (clip / "clip.json").write_text("{")  # all of it is made again
    made(task)
    assert (clip / "labels" / "phones.txt").read_text() == "a b c" and (clip / "clip.json").is_file()

    def reject(job):
        raise Rejected("not fit any more")

    with monkeypatch.context() as patch:
        patch.setattr(
            worker, "STEPS", [s if s.name != "quality" else s._replace(version=98, run=reject) for s in STEPS]
        )
        assert work(task).status == "rejected"
    assert sorted(path.name for path in clip.iterdir()) == ["labels", "notes.txt"]
    made(task)
    assert (clip / "labels" / "phones.txt").read_text() == "a b c" and (clip / "clip.json").is_file()


@pytest.mark.parametrize("name", ["landmarks.npy", "moments.npz", "clip.json", "video.mp4", "audio.wav", "made.json"])
def test_a_finished_clip_that_is_damaged_is_made_again(task, name):
    clip = task.out / "clips" / QUIET
    before = tree(clip)
    assert finished(task).status == "kept"
    path = clip / name
    if name in ("video.mp4", "audio.wav"):
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:200])
    if name == "made.json":  # read by preparation alone
        assert finished(task).status == "kept"
        return
    assert finished(task) is None
    made(task)
    assert tree(clip) == before


def test_links_share_files_until_one_is_replaced(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("old")
    (tmp_path / "b").mkdir()
    link_files(tmp_path / "a", tmp_path / "b")
    assert os.path.samefile(tmp_path / "a" / "x", tmp_path / "b" / "x")
    (tmp_path / "new").write_text("new")
    os.replace(tmp_path / "new", tmp_path / "b" / "x")
    assert (tmp_path / "a" / "x").read_text() == "old"


def test_a_step_that_fails_is_no_verdict_on_the_video_and_is_tried_again(task, change, monkeypatch):
    old = tree(task.out / "clips" / QUIET)

    def fail(job):
        raise ValueError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(worker, "STEPS", [s if s.name != "torso" else s._replace(version=99, run=fail) for s in STEPS])
        outcome = work(task)
        assert (outcome.status, outcome.step, outcome.reason) == ("failed", "torso", "ValueError: a bug")
        assert outcome.ran == () and tree(task.out / "clips" / QUIET) == old
        assert not rejection_path(task).exists() and finished(task) is None
    change("torso")
    outcome = work(task)
    assert outcome.status == "kept" and set(outcome.ran) == REMADE["torso"]


def test_a_rejected_clip_is_remembered_until_something_changes(store, footage, options, change):
    (task,) = tasks_of(store, footage, options, "hushed.mp4")
    known = finished(task)
    assert known is not None and (known.status, known.step) == ("rejected", "audio")
    assert "silence, below -60 dBFS" in known.reason
    (other,) = tasks_of(store, footage, options.model_copy(update={"correct_offset": False}), "hushed.mp4")
    assert finished(other) is None
    change("pose")
    assert finished(task) is None


def test_a_clip_that_is_not_fit_any_more_goes_away(store, footage, options):
    strict = Options.model_validate({**options.model_dump(), "limits": {"min_sharpness": 1e6}})
    (task,) = tasks_of(store, footage, strict, "deep/quiet one.mp4")
    outcome = work(task)
    assert (outcome.status, outcome.step) == ("rejected", "quality") and "blurred" in outcome.reason
    assert outcome.ran == ()
    assert not (store / "clips" / QUIET).exists()
    known = finished(task)
    assert known is not None and known.reason == outcome.reason


def test_a_changed_source_makes_everything_again(store, footage, options, tmp_path):
    folder = tmp_path / "videos"
    shutil.copytree(footage, folder)
    (task,) = tasks_of(store, footage, options, "deep/quiet one.mp4")
    source = next(source for source in find_sources(folder) if source.name == "deep/quiet one.mp4")
    os.utime(source.path, ns=(1, 1))
    again = Task(store, source, options, task.clip_id, task.shot)
    assert scanned(Task(store, source, options, task.clip_id)) is None and finished(again) is None
    outcome = work(again)
    assert outcome.status == "kept" and set(outcome.ran) == ALL
    record = json.loads((store / "clips" / QUIET / "clip.json").read_text())
    assert record["stamps"]["source"]["mtime_ns"] == 1 and record["source_folder"] == str(folder)
    assert finished(again) is not None and finished(task) is None


def test_a_damaged_clip_is_made_from_nothing(task, change, tmp_path):
    fresh, _ = made(task, tmp_path / "fresh")
    path = task.out / "clips" / QUIET
    for name, content in (("landmarks.npy", b"broken"), (RESULTS_FILE, b"{}"), ("audio.wav", b""), ("video.mp4", b"x")):
        shutil.rmtree(path)
        shutil.copytree(tmp_path / "fresh" / "clips" / QUIET, path)
        (path / name).write_bytes(content)
        record = json.loads((path / "clip.json").read_text())
        record["stamps"]["steps"]["preview"] = "an older one"
        (path / "clip.json").write_text(json.dumps(record))
        outcome = work(task)
        assert outcome.status == "kept", outcome
        assert tree(path) == fresh, name


def test_a_silent_video_is_kept_when_asked_for(tmp_path, footage, options, talking):
    from tests.data_prepare.conftest import write_film

    (tmp_path / "in").mkdir()
    write_film(tmp_path / "in" / "mute.mp4", talking(26), level=0.0)
    (source,) = find_sources(tmp_path / "in")
    for name in ("clips", "scans", "rejected"):
        (tmp_path / "out" / name).mkdir(parents=True)
    silent = options.model_copy(update={"allow_silent": True})
    scan = work(Task(tmp_path / "out", source, silent, "mute"))
    (task,) = clip_tasks(scan.task, scan.scan)
    assert work(task).status == "kept"
    folder = tmp_path / "out" / "clips" / "mute"
    record = json.loads((folder / "clip.json").read_text())
    assert record["has_audio"] is False and record["offset"] is None and record["frames"] == 26
    assert "loudness_dbfs" not in record["quality"] and not (folder / "audio.wav").exists()


def test_the_sound_of_a_clip_lasts_as_long_as_its_picture(prepared):
    for folder in (prepared.out / "clips").iterdir():
        record = json.loads((folder / "clip.json").read_text())
        assert len(read_audio(folder / "audio.wav")) == 640 * record["frames"]


def test_a_place_that_cannot_be_written_is_no_verdict_on_the_video(store, footage, options):
    (quiet,) = tasks_of(store, footage, options, "deep/quiet one.mp4")
    (hushed,) = tasks_of(store, footage, options, "hushed.mp4")
    for name in ("clips", "scans", "rejected"):
        shutil.rmtree(store / name)
    assert work(quiet).status == "failed"
    assert work(Task(store, quiet.source, options, QUIET)).status == "failed"
    (store / "clips").mkdir()
    outcome = work(hushed)
    assert outcome.status == "failed" and "silence" in outcome.reason and "cannot write" in outcome.reason
