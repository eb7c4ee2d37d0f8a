import json
import multiprocessing
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from data_prepare.job import Options
from data_prepare.runner import prepare, write_splits
from data_prepare.sources import Source
from data_prepare.splits import SplitRule
from data_prepare.steps import VERSIONS
from data_prepare.worker import prepare_clip, up_to_date
from moda.data.clip import ClipStore, write_json
from moda.errors import DataError, OutputError
from moda.media.audio import write_wav
from moda.media.video import VideoWriter

SMALL = Options(size=64)


def noise_video(path: Path, frames: int, sound: bool = True) -> None:
    rng = np.random.default_rng(0)
    wav = path.with_suffix(".w.wav")
    write_wav(wav, rng.uniform(-0.1, 0.1, frames * 640))
    with VideoWriter(path, 128, 25, wav if sound else None, preset="ultrafast") as writer:
        for _ in range(frames):
            writer.write(rng.integers(0, 255, (128, 128, 3), dtype=np.uint8))
    wav.unlink()


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, synthetic_video):
    """A folder with one good video and all kinds of bad ones, and the report of preparing it."""
    videos = tmp_path_factory.mktemp("videos")
    (videos / "deep").mkdir()
    shutil.copy(synthetic_video, videos / "deep" / "good one.mp4")
    noise_video(videos / "no_face.mp4", 30)
    noise_video(videos / "short.mp4", 12)
    noise_video(videos / "silent.mp4", 30, sound=False)
    (videos / "empty.mp4").write_bytes(b"")
    (videos / "text.mp4").write_text("this is not a video")
    whole = synthetic_video.read_bytes()
    (videos / "cut_off.mp4").write_bytes(whole[: len(whole) // 3])
    out = tmp_path_factory.mktemp("store")
    seen = []
    report = prepare(videos, out, SMALL, rule=SplitRule(), jobs=2, on_progress=seen.append)
    return videos, out, report, seen


def test_the_good_is_kept_and_every_bad_one_is_listed_with_step_and_reason(mixed):
    _, out, report, _ = mixed
    outcomes = {outcome.source: outcome for outcome in report.outcomes}
    assert len(outcomes) == 7 and not report.complete
    assert outcomes["deep/good one.mp4"].status == "kept"
    for name, step, words in (
        ("no_face.mp4", "scout", "no face found"),
        ("short.mp4", "probe", "lasts 0.48 s, wanted at least 1 s"),
        ("silent.mp4", "probe", "has no sound"),
        ("empty.mp4", "probe", "empty (0 bytes)"),
        ("text.mp4", "probe", "not a video"),
    ):
        assert outcomes[name].status == "rejected" and outcomes[name].step == step, outcomes[name]
        assert words in outcomes[name].reason
    assert outcomes["cut_off.mp4"].status == "rejected"
    written = json.loads((out / "report.json").read_text())
    assert written["totals"]["kept"] == 1 and written["totals"]["rejected"] == 6 and written["totals"]["failed"] == 0
    assert [clip["source"] for clip in written["clips"]] == sorted(outcomes)


def test_nothing_but_finished_clips_is_left_in_the_store(mixed):
    _, out, report, _ = mixed
    good = next(outcome.id for outcome in report.outcomes if outcome.status == "kept")
    assert [path.name for path in (out / "clips").iterdir()] == [good]
    assert sorted(path.name for path in (out / "clips" / good).iterdir()) == [
        "audio.wav", "clip.json", "motion.npz", "track.npz", "video.mp4",
    ]  # fmt: skip
    assert ClipStore.open(out).clip(good).quality["tracked"] == 1.0


def test_one_person_is_all_in_train(mixed):
    _, out, report, _ = mixed
    assert len(report.splits["train"]) == 1 and report.splits["val"] == report.splits["test"] == []
    assert (out / "splits" / "val.txt").read_text() == ""


def test_progress_counts_videos_and_frames(mixed):
    *_, seen = mixed
    assert seen[0].done == 0 and seen[-1].done == seen[-1].total == 7
    assert seen[-1].frames >= 75 and seen[-1].eta == 0.0
    assert all(before.frames <= after.frames for before, after in pairwise(seen))


def test_the_same_call_again_keeps_what_is_there(mixed):
    videos, out, report, _ = mixed
    good = next(outcome for outcome in report.outcomes if outcome.status == "kept")
    record = out / "clips" / good.id / "clip.json"
    before = record.stat().st_mtime_ns
    again = prepare(videos, out, SMALL, rule=SplitRule(), include=_listing(out, good.source))
    assert again.complete and again.outcomes[0].skipped and again.outcomes[0].frames == good.frames
    assert record.stat().st_mtime_ns == before


def _listing(out: Path, name: str) -> Path:
    path = out / "list.txt"
    path.write_text(name + "\n")
    return path


def test_what_makes_a_clip_out_of_date(mixed, tmp_path):
    videos, out, report, _ = mixed
    good = next(outcome for outcome in report.outcomes if outcome.status == "kept")
    clips = tmp_path / "clips"
    shutil.copytree(out / "clips", clips)
    source = Source(videos / good.source, good.source, good.id, "deep")
    path = clips / good.id / "clip.json"
    record = json.loads(path.read_text())
    assert record["identity"] == "deep" and record["steps"] == VERSIONS
    assert up_to_date(clips, source) == good.frames
    write_json(path, {**record, "steps": {**VERSIONS, "torso": 0}})
    assert up_to_date(clips, source) is None
    write_json(path, {**record, "source_stamp": {**record["source_stamp"], "bytes": 1}})
    assert up_to_date(clips, source) is None
    path.write_text("{ half")
    assert up_to_date(clips, source) is None


def test_a_changed_identity_is_written_without_preparing_again(mixed, tmp_path):
    videos, out, report, _ = mixed
    good = next(outcome for outcome in report.outcomes if outcome.status == "kept")
    clips = tmp_path / "clips"
    shutil.copytree(out / "clips", clips)
    assert up_to_date(clips, Source(videos / good.source, good.source, good.id, "renamed")) == good.frames
    assert json.loads((clips / good.id / "clip.json").read_text())["identity"] == "renamed"


def test_another_folder_does_not_overwrite_clips_of_the_same_name(mixed, tmp_path):
    videos, out, report, _ = mixed
    good = next(outcome for outcome in report.outcomes if outcome.status == "kept")
    (tmp_path / "deep").mkdir()
    other = tmp_path / "deep" / "good one.mp4"
    other.write_bytes(b"another video")
    with pytest.raises(DataError, match="prepare this folder into another store"):
        up_to_date(out / "clips", Source(other, good.source, good.id, "deep"))
    again = prepare(tmp_path, out, SMALL, rule=SplitRule())
    assert again.outcomes[0].status == "failed" and "another store" in again.outcomes[0].reason
    assert up_to_date(out / "clips", Source(videos / good.source, good.source, good.id, "deep")) == good.frames


def test_a_source_gone_bad_takes_its_old_clip_away(mixed, tmp_path):
    videos, out, report, _ = mixed
    good = next(outcome for outcome in report.outcomes if outcome.status == "kept")
    clips = tmp_path / "clips"
    shutil.copytree(out / "clips", clips)
    outcome = prepare_clip(clips, Source(videos / "empty.mp4", good.source, good.id, "deep"), SMALL)
    assert outcome.status == "rejected"
    assert list(clips.iterdir()) == []


def test_a_silent_video_is_kept_when_asked_for(tmp_path, write_clip, astronaut):
    (tmp_path / "clips").mkdir()
    video = write_clip(tmp_path / "quiet.mp4", astronaut, seconds=1.2, sound=False)
    source = Source(video, "quiet.mp4", "quiet", "quiet")
    outcome = prepare_clip(tmp_path / "clips", source, Options(size=64, allow_silent=True))
    assert outcome.status == "kept" and outcome.frames == 30
    assert not (tmp_path / "clips" / "quiet" / "audio.wav").exists()
    record = json.loads((tmp_path / "clips" / "quiet" / "clip.json").read_text())
    assert record["has_audio"] is False and "loudness_dbfs" not in record["quality"]
    assert up_to_date(tmp_path / "clips", source, allow_silent=False) is None
    assert prepare_clip(tmp_path / "clips", source, SMALL).status == "rejected"


def test_a_process_that_dies_is_tried_again(tmp_path, synthetic_video):
    (tmp_path / "in").mkdir()
    shutil.copy(synthetic_video, tmp_path / "in" / "a.mp4")
    killed = []

    def kill_once(progress):
        children = multiprocessing.active_children()
        if children and not killed:
            children[0].kill()
            killed.append(children[0].pid)

    report = prepare(tmp_path / "in", tmp_path / "out", SMALL, rule=SplitRule(), on_progress=kill_once)
    assert killed and report.complete


def test_an_interrupted_run_leaves_no_half_clip_and_no_process(tmp_path, synthetic_video):
    (tmp_path / "in").mkdir()
    shutil.copy(synthetic_video, tmp_path / "in" / "a.mp4")

    def interrupt(progress):
        if progress.frames > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "in", tmp_path / "out", SMALL, rule=SplitRule(), on_progress=interrupt)
    for process in multiprocessing.active_children():
        process.join(10)
    assert not multiprocessing.active_children()
    assert ClipStore.open(tmp_path / "out").ids == []


def test_two_runs_do_not_write_into_one_store(tmp_path):
    from data_prepare.runner import _locked

    ClipStore.create(tmp_path / "s", 64)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").write_bytes(b"")
    with _locked(tmp_path / "s"), pytest.raises(OutputError, match="another preparation"):
        prepare(tmp_path / "in", tmp_path / "s", SMALL, rule=SplitRule())


def test_growing_a_store_moves_nobody_and_a_new_rule_deals_again(tmp_path):
    store = ClipStore.create(tmp_path, 64)

    def add(*people):
        for who in people:
            (tmp_path / "clips" / who).mkdir()
            record = {"id": who, "identity": who, "frames": 100, "has_audio": True, "quality": {}}
            write_json(tmp_path / "clips" / who / "clip.json", record)

    add(*(f"p{i}" for i in range(10)))
    before, _ = write_splits(store, SplitRule())
    add(*(f"q{i}" for i in range(30)))
    after, people = write_splits(ClipStore.open(tmp_path), SplitRule())
    assert all(set(before[name]) <= set(after[name]) for name in before)
    assert sum(people.values()) == 40 and people["train"] == 32
    dealt, _ = write_splits(ClipStore.open(tmp_path), SplitRule(0.5, 0.25, 0.25))
    assert [len(dealt[name]) for name in ("train", "val", "test")] == [20, 10, 10]
