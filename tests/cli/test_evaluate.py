"""scripts/eval.py end to end: real videos, real tracker."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from skimage.data import astronaut

from moda.cli.evaluate import _parser, main
from moda.evaluation.config import EvaluationConfig, read_config
from moda.evaluation.folders import find_true
from moda.evaluation.generate import CheckpointSet, generate_set
from moda.imaging.crop import Box, crop_square
from moda.media.video import VideoWriter
from moda.metrics import METRICS, SET_METRICS
from tests.random_checkpoints import write_checkpoints

FRAMES = 40


def write_clip(path: Path, shift: tuple[int, int] = (0, 0), frames: int = FRAMES, fps: float = 25.0) -> None:
    """The astronaut at 256 px under a crop that wanders with time; `shift` moves the picture by so many pixels."""
    path.parent.mkdir(exist_ok=True, parents=True)
    picture = astronaut()
    with VideoWriter(path, 256, fps) as writer:
        for t in range(frames):
            box = place(t * 25 / fps)
            writer.write(crop_square(picture, Box(box.left - shift[0], box.top - shift[1], 256), 256))


def place(time: float) -> Box:
    """The crop at a time, in frames of 25 a second."""
    return Box(110 + round(8 * np.sin(time / 6)), 20 + round(5 * np.sin(time / 4)), 256)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("clips")
    write_clip(root / "true" / "one.mp4")
    write_clip(root / "true" / "two.mp4", frames=36)
    write_clip(root / "moved" / "one.mp4", shift=(3, 4))
    write_clip(root / "moved" / "two.mp4")
    return root


def call(*words: object) -> int:
    return main([str(word) for word in words])


def test_two_clips_end_to_end(clips, tmp_path, capfd) -> None:
    code = call("--true", clips / "true", "--generated", f"moved={clips / 'moved'}", "--output", tmp_path, "--jobs", 2)
    printed = capfd.readouterr()
    assert code == 0, printed.err
    assert "| moved " in printed.out and "| *still mouth* " in printed.out
    assert "Traceback" not in printed.err and "W0000" not in printed.err  # nothing of the tracker's chatter
    record = json.loads((tmp_path / "scores.json").read_text())
    lmd = record["methods"]["moved"]["metrics"]["lmd"]["clips"]
    assert lmd["one"] == pytest.approx(10.0, abs=1.5)  # 5 px of a 256 px picture, as detected
    assert lmd["two"] < 1.5
    assert record["methods"]["moved"]["notes"] == {
        "one": ["no audio in either video"],
        "two": ["other length: generated 40 frames, true 36; the first 36 compared", "no audio in either video"],
    }
    truth = record["controls"]["ground truth"]["metrics"]
    assert truth["lmd"]["mean"] == 0 and truth["ma"]["mean"] == 1
    assert len(list((tmp_path / "tracks").glob("*.npz"))) == 3  # moved/two begins like true/one: the very same file
    assert not list(tmp_path.rglob("*.tmp*"))


def test_what_cannot_be_scored_is_listed_and_the_rest_goes_on(clips, tmp_path, capfd) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    write_clip(bad / "one.mp4", frames=48, fps=30.0)
    (bad / "two.mp4").write_text("this is no video")
    code = call("--true", clips / "true", "--generated", f"bad={bad}", "--output", tmp_path / "out")
    assert code == 1
    assert "not scored: bad, two: " in capfd.readouterr().err
    table = (tmp_path / "out" / "table.md").read_text()
    assert "1 of 2" in table
    assert "- bad, one: other frame rate: the generated video has 30 frames/s, read at 25 by time" in table
    record = json.loads((tmp_path / "out" / "scores.json").read_text())["methods"]["bad"]
    assert record["metrics"]["lmd"]["clips"]["one"] < 2.5  # the same moments, although other frames
    assert record["metrics"]["silence"]["not_available"]["one"] == "no audio in either video"
    page = (tmp_path / "out" / "report.html").read_text()
    strips = sorted(path.name for path in (tmp_path / "out" / "frames").glob("*.jpg"))
    assert len(strips) == 3 and all(f'src="frames/{name}"' in page for name in strips)  # the truth twice, bad/one
    assert "http" not in page  # it needs no network


def test_outputs_of_other_projects_are_read_as_they_lie(clips, tmp_path, capfd) -> None:
    """PC-AVS begins with the third frame; MakeItTalk's result is the middle of three pictures, at 62.5 frames/s."""
    picture, frames, true = astronaut(), 26, tmp_path / "true"
    write_clip(true / "one.mp4", frames=frames)
    write_clip(true / "two.mp4", frames=2)
    with VideoWriter(tmp_path / "one_pred_fls_one_audio_embed.mp4", (768, 256), 62.5) as writer:
        for t in range(round(frames * 2.5)):
            middle = crop_square(picture, place(t / 2.5), 256)
            writer.write(np.hstack([crop_square(picture, place(0), 256), middle, np.zeros_like(middle)]))
    driven = tmp_path / "pcavs" / "id_x_pose_y_audio_one" / "G_Pose_Driven_.mp4"
    driven.parent.mkdir(parents=True)
    with VideoWriter(driven, 256, 25.0) as writer:
        for t in range(2, frames - 2):
            writer.write(crop_square(picture, place(t), 256))
    words = [
        "--outputs",
        f"makeittalk={tmp_path}",
        f"pc-avs:PC-AVS 2={tmp_path / 'pcavs'}",
        "--output",
        tmp_path / "out",
    ]
    assert call("--true", true, *words, "--skip", *sorted((METRICS.keys() | SET_METRICS.keys()) - {"lmd", "ssim"})) == 1
    assert "not scored: PC-AVS 2, two: PC-AVS left no id_*_audio_two/G_Pose_Driven_.mp4" in capfd.readouterr().err
    record = json.loads((tmp_path / "out" / "scores.json").read_text())["methods"]
    for row in ("MakeItTalk", "PC-AVS 2"):
        assert record[row]["metrics"]["lmd"]["clips"]["one"] < 1.5, row
        assert record[row]["metrics"]["ssim"]["clips"]["one"] > 0.95, row
    assert "begins with the true video's frame 2" in record["PC-AVS 2"]["notes"]["one"][0]
    assert any(
        "MakeItTalk writes sound into its results, this one has none" in n for n in record["MakeItTalk"]["notes"]["one"]
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--true", "{clips}/true", "--outputs", "luck={clips}/moved"], "--outputs knows no method 'luck'"),
        (["--true", "{clips}/true", "--outputs", "ditto={clips}"], "no result of Ditto in"),
        (["--true", "{clips}/true", "--outputs", "{clips}/moved"], "--outputs got"),
        (["--true", "{clips}/gone", "--generated", "a={clips}/moved"], "no such folder"),
        (["--true", "{clips}/true", "--generated", "{clips}/moved"], "wanted NAME=DIR"),
        (["--true", "{clips}/true", "--generated", "a={clips}"], "no videos in"),
        (["--true", "{clips}/true", "--generated", "a={clips}/moved", "--jobs", "0"], "jobs"),
        (["--true", "{clips}/true", "--generated", "a={clips}/moved", "--split", "test"], "no clip store"),
        (["--true", "{clips}/true"], "nothing to score"),
        (["--generated", "a={clips}/moved"], "--true missing"),
        (["--true", "{clips}/true", "--generated", "a={clips}/moved", "--skip", "luck"], "no metric of this name"),
        (["--config", "{clips}/none.yaml"], "no such configuration file"),
    ],
)
def test_mistakes_are_one_line_and_code_2(clips, tmp_path, capfd, words, message) -> None:
    code = call(*[word.format(clips=clips) for word in words], "--output", tmp_path / "out")
    printed = capfd.readouterr().err
    lines = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(lines) == 1 and message in lines[0]
    assert not (tmp_path / "out").exists()


def test_an_output_in_the_way(clips, tmp_path, capfd) -> None:
    (tmp_path / "file").write_text("")
    code = call("--true", clips / "true", "--generated", f"a={clips / 'moved'}", "--output", tmp_path / "file")
    assert code == 2 and "cannot make the folder" in capfd.readouterr().err


def test_videos_of_our_checkpoints_are_made_and_scored(tmp_path, clip_store, capfd) -> None:
    """A clip store as test list, two seeds, one clip without audio; the second call makes nothing again."""
    checkpoints = write_checkpoints(tmp_path)
    infer = {"checkpoints": {stage: str(path) for stage, path in checkpoints.items()}, "size": 64}
    (tmp_path / "infer.yaml").write_text(yaml.safe_dump(infer))
    settings = {
        "truth": str(clip_store.root),
        "output": str(tmp_path / "out"),
        "sets": {"random": {"config": str(tmp_path / "infer.yaml"), "set": ["crf=20"]}},
        "seeds": [3, 4],
        "skip": ["sync_c", "sync_d", "sync_offset", "sync_c0"],
        "printed": {"setting": "HDTF test set"},
        "device": "cpu",
        "jobs": 1,
    }
    (tmp_path / "eval.yaml").write_text(yaml.safe_dump(settings))
    code = call("--config", tmp_path / "eval.yaml")
    printed = capfd.readouterr()
    assert code == 0, printed.err
    assert "printed in the paper, not measured here" in printed.out

    made = tmp_path / "out" / "generated" / "random"
    videos = sorted(path.relative_to(made).as_posix() for path in made.rglob("*.mp4"))
    assert videos == [f"seed_{seed}/{clip}.mp4" for seed in (3, 4) for clip in clip_store.ids]
    record = json.loads((made / "seed_3" / "generation.json").read_text())
    assert record["animation"]["crf"] == 20 and record["failed"] == {}
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())["methods"]["random"]
    for clip in clip_store.ids:
        factor = record["clips"][clip]["real_time_factor"]
        assert factor > 0 and scores["metrics"]["real_time_factor"]["clips"][clip] == factor
        assert any(note.startswith("shows the square of the true picture") for note in scores["notes"][clip])
        assert scores["metrics"]["diversity_head"]["clips"][clip] > 0.1  # each seed has a motion of its own
        assert scores["metrics"]["lmd"]["clips"][clip] > 0  # the square it shows is known, so places compare

    times = {path: path.stat().st_mtime_ns for path in made.rglob("*.mp4")}
    assert call("--config", tmp_path / "eval.yaml") == 0
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*.mp4")} == times


def test_a_person_with_a_renderer_is_shown_by_it(tmp_path, clip_store, capfd) -> None:
    """One configuration for a test list in which each person has a renderer."""
    checkpoints = write_checkpoints(tmp_path)
    (tmp_path / "own").mkdir()
    other = write_checkpoints(tmp_path / "own", renderer={"wrap_time": False})["renderer"]
    infer = {"checkpoints": {stage: str(path) for stage, path in checkpoints.items()}, "size": 64}
    (tmp_path / "infer.yaml").write_text(yaml.safe_dump(infer))
    who = clip_store.clip(clip_store.ids[0]).identity
    section = {"config": str(tmp_path / "infer.yaml"), "people": {who: [f"checkpoints.renderer={other}"]}}
    config = EvaluationConfig.model_validate({"truth": "t", "output": "o", "sets": {"ours": section}})
    made_by = CheckpointSet("ours", config.animations()["ours"], config.people("ours"))
    assert made_by.of(who).named()["renderer"] == other
    assert made_by.of("somebody else").named() == made_by.of(None).named() != made_by.of(who).named()

    true = find_true(clip_store.root)
    clips = {clip: paths[0] for clip, paths in true.videos.items()}
    generate_set(made_by, clips, tmp_path / "made", torch.device("cpu"), identities=true.identities)
    first = json.loads((tmp_path / "made" / "generation.json").read_text())
    assert first["people"][who]["checkpoints"]["renderer"] == str(other) and set(first["clips"]) == set(clips)
    other.write_bytes(checkpoints["renderer"].read_bytes())  # trained anew: that person's clips alone are made again
    generate_set(made_by, clips, tmp_path / "made", torch.device("cpu"), identities=true.identities)
    second = json.loads((tmp_path / "made" / "generation.json").read_text())["clips"]
    again = {clip for clip in clips if second[clip]["stamp"] != first["clips"][clip]["stamp"]}
    assert again == {clip for clip, identity in true.identities.items() if identity == who} and len(again) == 1

    section["people"] = {"Nobody": ["crf=20"]}
    settings = {"truth": str(clip_store.root), "output": str(tmp_path / "out"), "sets": {"ours": section}}
    (tmp_path / "eval.yaml").write_text(yaml.safe_dump(settings))
    assert call("--config", tmp_path / "eval.yaml", "--device", "cpu") == 2
    assert "the set 'ours' names people of whom there is no clip: Nobody" in capfd.readouterr().err


def test_a_clip_that_cannot_be_generated_is_reported(tmp_path, write_clip, astronaut, capfd) -> None:
    for name, audio in (("silent", False), ("spoken", True)):
        write_clip(tmp_path / "true" / f"{name}.mp4", astronaut, seconds=1.5, audio=audio)
    checkpoints = write_checkpoints(tmp_path)
    infer = {"checkpoints": {stage: str(path) for stage, path in checkpoints.items()}, "size": 64}
    (tmp_path / "infer.yaml").write_text(yaml.safe_dump(infer))
    (tmp_path / "eval.yaml").write_text(yaml.safe_dump({"sets": {"random": {"config": str(tmp_path / "infer.yaml")}}}))
    words = ["--config", tmp_path / "eval.yaml", "--true", tmp_path / "true", "--output", tmp_path / "out"]
    assert call(*words, "--device", "cpu", "--jobs", "1") == 1
    printed = capfd.readouterr()
    assert "not scored: random, silent: not generated: the true video has no audio" in printed.err
    assert (tmp_path / "out" / "generated" / "random" / "spoken.mp4").is_file()  # one seed: no folder of its own


def test_sets_and_methods_may_not_share_a_name(tmp_path, clips, capfd) -> None:
    (tmp_path / "eval.yaml").write_text(yaml.safe_dump({"sets": {"moved": {}}}))
    words = ["--config", tmp_path / "eval.yaml", "--true", clips / "true", "--output", tmp_path / "out"]
    assert call(*words, "--generated", f"moved={clips / 'moved'}") == 2
    assert "the set 'moved' has the name of another row" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_shipped_configuration_is_whole() -> None:
    path = Path(__file__).parents[2] / "configs" / "eval" / "paper.yaml"
    config = read_config(_parser().parse_args(["--config", str(path)]))
    printed = config.printed_table()
    assert printed is not None and printed.rows["MODA"][0] == 6.92
    assert [animation.size for animation in config.animations().values()] == [512]
