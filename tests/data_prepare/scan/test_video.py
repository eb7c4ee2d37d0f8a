"""The first look at a video: its shots, and what a list says instead."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from data_prepare.job import Rejected
from data_prepare.options import Options
from data_prepare.runner import clip_tasks, scanned
from data_prepare.scan.shots import Shot
from data_prepare.scan.video import Scan, read_scan, scan_path, scan_stamp, scan_video, write_scan
from data_prepare.sources.folder import ListedPart, SourceVideo, find_sources
from data_prepare.sources.hdtf import HdtfCut, ListedBox
from data_prepare.worker import ClipMaker, Task
from moda.imaging.crop import Box
from moda.media.video import VideoReader, read_frames
from tests.data_prepare.conftest import FIRST, SECOND, SIDE, write_film


def source_of(path):
    return SourceVideo(path, path.parent, path.name, path.stem, path.stem)


def scan(path, tmp_path, options, source=None):
    return scan_video(source or source_of(path), tmp_path, options, lambda frames: None)


def test_two_shots_of_two_people_are_two_clips_that_meet_at_the_cut(prepared):
    records = {
        name: json.loads((prepared.out / "clips" / name / "clip.json").read_text()) for name in ("film_000", "film_001")
    }
    first, second = records["film_000"], records["film_001"]
    assert first["span"][0] <= 2 and abs(first["span"][1] - FIRST) <= 2
    assert abs(second["span"][0] - FIRST) <= 2 and abs(second["span"][1] - FIRST - SECOND) <= 2
    left, right = first["shot"]["box"], second["shot"]["box"]
    assert left[0] < SIDE - left[0] - left[2] and right[0] > SIDE - right[0] - right[2]  # mirrored
    assert not (prepared.out / "clips" / "film").exists()
    for name, record in records.items():
        with VideoReader(prepared.out / "clips" / name / "video.mp4") as video:
            assert len(video) == record["frames"]
            steps = [np.abs(video[i].astype(int) - video[i + 1]).mean() for i in range(len(video) - 1)]
        assert max(steps) < 12  # no frame of the other shot


@pytest.mark.parametrize("how", ["grey", "covered"])
def test_a_face_that_leaves_and_comes_back_gives_two(tmp_path, talking, options, how):
    frames = talking(45 + 50 + 45)
    for frame in frames[45:95]:
        area = frame if how == "grey" else frame[20:130, 60:180]
        area[:] = 120
    found = scan(write_film(tmp_path / "v.mp4", frames), tmp_path, options)
    assert len(found.shots) == 2 and found.frames == 140
    before, after = found.shots
    slack = 2 if how == "grey" else 12
    assert before.start == 0 and abs(before.stop - 45) <= slack
    assert abs(after.start - 95) <= slack and after.stop == 140
    assert found.left_out == 140 - sum(shot.stop - shot.start for shot in found.shots)
    task = Task(tmp_path, source_of(tmp_path / "v.mp4"), options, "v")
    assert [t.clip_id for t in clip_tasks(task, found)] == ["v_000", "v_001"]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_shot_too_short_beside_others_is_left_out(tmp_path, talking, options):
    frames = talking(30) + [np.full((SIDE, SIDE, 3), 90, np.uint8)] * 30 + talking(50, mirrored=True)
    found = scan(write_film(tmp_path / "v.mp4", frames), tmp_path, options)
    assert [(shot.start, shot.stop) for shot in found.shots] == [(60, 110)]


def test_a_long_shot_is_divided(tmp_path, talking, options):
    short = options.model_copy(update={"max_seconds": 2.0})
    found = scan(write_film(tmp_path / "v.mp4", talking(90)), tmp_path, short)
    assert [(shot.start, shot.stop) for shot in found.shots] == [(0, 45), (45, 90)]


def test_a_face_too_small_is_a_reason_with_its_size(footage, tmp_path, options):
    strict = Options.model_validate({**options.model_dump(), "limits": {"min_face": 150}})
    with pytest.raises(Rejected, match=r"the face is 5\d pixels large in the source, wanted at least 150"):
        scan(footage / "film.mp4", tmp_path, strict)


def listed(path, start, stop, box, height=None):
    cut = HdtfCut(path, "RD_Film_0", "Film", start / 25, stop / 25, box, height)
    return SourceVideo(path, path.parent, "film.mp4 0-1 s", "RD_Film_0", "Film", ListedPart(start, stop, cut))


def test_a_list_says_which_frames_and_which_square_over_a_cut_too(footage, tmp_path, options):
    source = listed(footage / "film.mp4", 10, 41, ListedBox(80, 20, 320, 320), 512)
    found = scan(source.path, tmp_path, options, source)
    assert found == Scan((Shot(10, 41, Box(40, 10, 160), 1, exact=True),), 31)
    (tmp_path / "clips").mkdir()
    (task,) = clip_tasks(Task(tmp_path, source, options, "RD_Film_0"), found)
    ClipMaker(task).make()
    record = json.loads((tmp_path / "clips" / "RD_Film_0" / "clip.json").read_text())
    assert record["span"] == [10, 41] and record["frames"] == 31 and record["identity"] == "Film"
    wanted = list(read_frames(source.path, size=64, crop=(40, 10, 160)))[10:41]
    with VideoReader(tmp_path / "clips" / "RD_Film_0" / "video.mp4") as video:
        assert len(video) == 31
        for index in (0, 15, 30):
            error = [np.abs(video[index].astype(int) - other).mean() for other in wanted]
            assert error[index] < 5 and error[index] < min(error[:index] + error[index + 1 :], default=99)
    across = listed(footage / "film.mp4", 20, 70, ListedBox(0, 0, 512, 512), 512)
    assert [tuple(shot[:2]) for shot in scan(across.path, tmp_path, options, across).shots] == [(20, 70)]


def test_a_listed_part_without_a_square_is_cropped_by_the_face_and_one_beyond_the_end_is_refused(
    footage, tmp_path, options
):
    source = listed(footage / "film.mp4", 0, 40, None)
    (shot,) = scan(source.path, tmp_path, options, source).shots
    assert (shot.start, shot.stop, shot.exact) == (0, 40, True) and 60 < shot.box.side < 200
    beyond = listed(footage / "film.mp4", 60, 160, None)
    with pytest.raises(Rejected, match="only 28 of about 100 frames"):
        scan(beyond.path, tmp_path, options, beyond)


def test_a_stored_scan_is_used_until_its_options_version_or_file_change(footage, options, tmp_path, monkeypatch):
    source = next(source for source in find_sources(footage) if source.name == "film.mp4")
    wanted = Scan((Shot(1, 40, Box(0, 2, 60), 2), Shot(50, 88, Box(1, 2, 62), 1, exact=True)), 88)
    (tmp_path / "scans").mkdir()
    write_scan(scan_path(tmp_path, source), wanted, scan_stamp(source, options))
    task = Task(tmp_path, source, options, source.clip_id)
    known = scanned(task)
    assert known is not None and known.scan == wanted and known.status == "scanned"
    assert isinstance(known.scan.shots[0].box, Box)
    others = [
        options.model_copy(update={"max_seconds": 7.0}),
        options.model_copy(update={"allow_silent": True}),
        Options.model_validate({**options.model_dump(), "limits": {"min_face": 33}}),
    ]
    assert [scanned(replace(task, options=other)) for other in others] == [None] * 3
    same = options.model_copy(update={"size": 128, "correct_offset": False})
    assert scanned(replace(task, options=same)) is not None
    with monkeypatch.context() as patch:
        patch.setattr("data_prepare.scan.video.VERSION", 99)
        assert scanned(task) is None
    copy = tmp_path / "film.mp4"
    copy.write_bytes(source.path.read_bytes())
    moved = replace(source, path=copy, folder=tmp_path)
    stat = source.path.stat()
    os.utime(copy, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert scanned(replace(task, source=moved)) is not None
    os.utime(copy, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert scanned(replace(task, source=moved)) is None
    scan_path(tmp_path, source).write_text("{broken")
    assert scanned(task) is None


def test_why_a_video_gave_nothing_is_stored_too(prepared, footage, options):
    for name, words in (("no_face.mp4", "no face found"), ("cut_off.mp4", "cut off"), ("short.mp4", "lasts 0.48 s")):
        source = next(source for source in find_sources(footage) if source.name == name)
        known = read_scan(scan_path(prepared.out, source), scan_stamp(source, options))
        assert known is not None and known.shots == () and words in known.reason
