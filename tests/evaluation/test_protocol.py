import json
from pathlib import Path

import numpy as np
import pytest

from moda.cli.evaluate import main
from moda.errors import ConfigError, DataError
from moda.evaluation.check import compare, read_scores
from moda.evaluation.evaluate import evaluate
from moda.evaluation.folders import GeneratedClips, TrueClips
from moda.evaluation.handling import HANDLINGS, handled_truth
from moda.evaluation.protocol import check_weights, chosen_clips, read_protocol, weights_of
from moda.evaluation.report.records import write_report
from moda.evaluation.tracking import content_hash, tracker_version
from moda.locations import shipped
from moda.media.video import VideoWriter, probe, read_frames
from moda.metrics import METRICS, MetricSettings

PROTOCOL = shipped("configs/eval/protocol.yaml")
FEW = [name for name in METRICS if name not in ("lmd", "lip_corr")]


def changed(folder: Path, old: str, new: str) -> Path:
    path = folder / "protocol.yaml"
    text = PROTOCOL.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def test_the_protocol_that_ships_has_the_files_that_ship(tmp_path) -> None:
    fixed = read_protocol(PROTOCOL)
    assert len(fixed.protocol.clips) == 32 and fixed.protocol.weights == weights_of(MetricSettings())
    check_weights(fixed.protocol, MetricSettings())
    sync = fixed.protocol.weights["sync.pt"]
    other = read_protocol(changed(tmp_path, sync, "f" * 64)).protocol
    with pytest.raises(ConfigError, match=rf"sync\.pt is another file than .* {sync}, wanted ffff"):
        check_weights(other, MetricSettings())
    (tmp_path / "faces.pt").write_text("weights")
    with pytest.raises(ConfigError, match=r"faces\.pt is no file of the protocol MODA-HDTF-1"):
        check_weights(fixed.protocol, MetricSettings(face_weights=tmp_path / "faces.pt"))
    with pytest.raises(ConfigError, match="speech is silero, the protocol MODA-HDTF-1 has loudness"):
        check_weights(fixed.protocol, MetricSettings(speech="silero"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("fps: 25", "fps: 30", "fps is 30, this version of MODA scores at 25"),
        ("frames: 250", "frames: 0", "at least one frame"),
        ("RD_Radio16_000", "RD_Radio10_000", "clips that differ"),
        ("seeds:", "seed:", "seed"),
    ],
)
def test_mistakes_in_a_protocol(tmp_path, old, new, message) -> None:
    with pytest.raises(ConfigError, match=message):
        read_protocol(changed(tmp_path, old, new))


def test_only_its_clips_are_scored() -> None:
    protocol = read_protocol(PROTOCOL).protocol.model_copy(update={"clips": ["a", "b"]})
    videos = {clip: [Path(f"{clip}.mp4")] for clip in "abc"}
    true, methods = chosen_clips(protocol, TrueClips(videos), {"ours": GeneratedClips(videos, failed={"c": "no face"})})
    assert list(true.videos) == ["a", "b"] == list(methods["ours"].videos) and methods["ours"].failed == {}
    with pytest.raises(ConfigError, match="has 2 clips; without a true video: b"):
        chosen_clips(protocol, TrueClips({"a": videos["a"]}), {})


def scored(root: Path, name: str, landmarks: np.ndarray, protocol: Path | None = None, skip: tuple = ()) -> Path:
    """scores.json of one clip "a" whose track is kept already."""
    output = root / f"out_{name}"
    fixed = None if protocol is None else read_protocol(protocol)
    part = "" if fixed is None else f"-first{fixed.protocol.frames}"
    (output / "tracks").mkdir(parents=True, exist_ok=True)
    for folder in ("true", name):
        (root / folder).mkdir(exist_ok=True)
        path = root / folder / "a.mp4"
        path.write_bytes(folder.encode())
        track = output / "tracks" / f"{content_hash(path)}-{tracker_version()}{part}.npz"
        np.savez(track, landmarks=landmarks.astype(np.float32), width=512, height=512)
    result = evaluate(root / "true", {name: root / name}, output, skip=[*FEW, *skip], protocol=fixed)
    write_report(result, output)
    return output / "scores.json"


def test_two_files_and_what_stands_between_them(tmp_path, make_face, opening, capsys) -> None:
    face = make_face(opening, moving=True).landmarks
    one, two = scored(tmp_path, "one", face), scored(tmp_path, "two", face + 1)
    assert compare(read_scores(one), read_scores(two)).whole
    assert main(["--check", str(one), str(two)]) == 0
    assert "may be compared" in capsys.readouterr().out

    short = scored(tmp_path, "short", face[:60])
    found = compare(read_scores(one), read_scores(short))
    assert found.hindrances == ("other numbers of frames: a",) and not found.metrics

    fewer = scored(tmp_path, "fewer", face, skip=("lmd",))
    assert compare(read_scores(one), read_scores(fewer)).metrics == {"lmd": "only in one of them"}
    assert main(["--check", str(one), str(fewer)]) == 1
    assert "may be compared, except for:\n- lmd: only in one of them" in capsys.readouterr().out

    record = json.loads(one.read_text())
    record["metrics"]["lmd"]["version"] = 99
    record["settings"]["tracker"] = "another"
    record["true_clips"]["a"]["sha256"] = "0"
    record["versions"]["numpy"] = "0.1"
    found = compare(read_scores(one), record)
    assert found.metrics == {"lmd": "version: 1 and 99"}
    assert found.hindrances == (
        f"tracker: {tracker_version()} and another", "other true videos (by their hash): a",
    )  # fmt: skip
    assert [remark.split(":")[0] for remark in found.remarks] == ["numpy"]
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(DataError, match=r"x\.json is no scores\.json"):
        read_scores(tmp_path / "x.json")


def test_a_protocol_is_in_the_scores(tmp_path, make_face, opening) -> None:
    text = PROTOCOL.read_text()
    start, end = text.index("clips: ["), text.index("# Frames 0")
    path = tmp_path / "protocol.yaml"
    path.write_text(f"{text[:start]}clips: [a]\n{text[end:]}")
    face = make_face(opening, moving=True).landmarks
    with_it, without = scored(tmp_path, "one", face, path), scored(tmp_path, "two", face)
    record = read_scores(with_it)
    assert record["protocol"]["name"] == "MODA-HDTF-1" and record["weights"] == record["protocol"]["weights"]
    path.write_text(path.read_text().replace("frames: 250", "frames: 30"))  # the same folder, fewer frames
    short = read_scores(scored(tmp_path, "one", face[:30], path))
    assert short["true_clips"]["a"]["frames"] == 30
    means = [each["controls"]["truth shifted 0.2 s"]["metrics"]["lmd"]["mean"] for each in (record, short)]
    assert means[0] != means[1]  # not the score of 100 frames from the cache
    found = compare(record, read_scores(without))
    assert len(found.hindrances) == 1 and found.hindrances[0].startswith("protocol: MODA-HDTF-1 (")


def test_the_truth_handled_otherwise(tmp_path) -> None:
    frames = [np.full((64, 64, 3), 10 * t, np.uint8) for t in range(10)]
    for frame in frames:
        frame[:4] = 255  # an edge that a closer cut loses
    with VideoWriter(tmp_path / "a.mp4", 64, 25, crf=5) as writer:
        for frame in frames:
            writer.write(frame)
    folders = handled_truth({"a": tmp_path / "a.mp4"}, tmp_path / "out")
    assert list(folders) == list(HANDLINGS)
    paths = {name: folder / "a.mp4" for name, folder in folders.items()}
    assert probe(paths["truth at 30 frames/s"]).fps == pytest.approx(30)
    closer = next(read_frames(paths["truth cut 10 % closer"]))
    assert closer.shape == (64, 64, 3) and closer[1].max() < 128 < frames[0][1].max()
    assert paths["truth coded at crf 35"].stat().st_size <= paths["truth coded at crf 23"].stat().st_size
    before = {path: path.stat().st_mtime_ns for path in paths.values()}
    handled_truth({"a": tmp_path / "a.mp4"}, tmp_path / "out")
    assert {path: path.stat().st_mtime_ns for path in paths.values()} == before  # kept
