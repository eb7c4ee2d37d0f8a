"""Folders as other projects leave them: which file is which clip's result, and what is said where none is."""

from pathlib import Path

import pytest

from moda.errors import DataError
from moda.evaluation.folders import Panel
from moda.evaluation.outputs import LAYOUTS, find_outputs, layout_of

CLIPS = ("RD_Radio1_000", "RD_Radio10_000", "WDA_A.Kim_000")
DATE = "2026_11_28_07.00.00"
LEFT = {
    "wav2lip": ["{clip}.mp4"],
    "sadtalker": [f"{{clip}}/{DATE}{end}.mp4" for end in ("", "/first##{clip}", "/first##{clip}_full")],
    "pc-avs": [
        f"id_{{clip}}_pose_{{clip}}_audio_{{clip}}/{name}"
        for name in ("G_Pose_Driven_.mp4", "G_Fix_Pose_.mp4", "Input_.mp4", "avconcat.mp4", "ref_id_0.jpg")
    ],
    "makeittalk": ["{clip}_pred_fls_{clip}_audio_embed.mp4", "{clip}.wav", "dump/x.pickle"],
    "audio2head": ["{clip}_{clip}.mp4", "temp/x"],
    "liveportrait": ["{clip}--{clip}.mp4", "{clip}--{clip}_concat.mp4"],
    "musetalk": ["{dotless}_{dotless}.mp4", "{dotless}/00000000.png"],
    "ditto": ["{clip}.mp4", "{clip}.mp4.tmp.mp4"],
}  # fmt: skip
"""Files of each project by its own names, the result first."""


def leave(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def names(method: str, clip: str) -> list[str]:
    return [name.format(clip=clip, dotless=clip.split(".")[0]) for name in LEFT[method]]


@pytest.mark.parametrize("method", LAYOUTS)
def test_each_clip_has_its_result_and_nothing_else(tmp_path: Path, method: str) -> None:
    for clip in CLIPS:
        leave(tmp_path, *names(method, clip))
    found = find_outputs(tmp_path, LAYOUTS[method], CLIPS)
    assert found.videos == {clip: [tmp_path / names(method, clip)[0]] for clip in CLIPS}
    assert not found.failed
    made = found.made[CLIPS[0]]
    assert made.panel == (Panel(1, 3) if method == "makeittalk" else None)
    assert made.starts == (2 if method == "pc-avs" else 0)
    assert (made.sound_of is None) == (method == "pc-avs")


@pytest.mark.parametrize("method", LAYOUTS)
def test_a_missing_clip_is_told_with_the_name_that_was_looked_for(tmp_path: Path, method: str) -> None:
    leave(tmp_path, *names(method, CLIPS[0]))
    found = find_outputs(tmp_path, LAYOUTS[method], CLIPS)
    assert list(found.videos) == [CLIPS[0]] and set(found.failed) == set(CLIPS[1:])
    assert found.failed[CLIPS[1]].startswith(f"{LAYOUTS[method].name} left no ") and CLIPS[1] in found.failed[CLIPS[1]]


def test_a_clip_twice_is_kept_twice_for_its_row_to_refuse(tmp_path: Path) -> None:
    leave(tmp_path, f"a/{DATE}.mp4", "a/2026_11_28_08.00.00.mp4", f"b/{DATE}.mp4")
    found = find_outputs(tmp_path, LAYOUTS["sadtalker"], ["a", "b"])
    assert len(found.videos["a"]) == 2 and len(found.videos["b"]) == 1
    leave(tmp_path / "pc", *(f"id_{who}_pose_x_audio_a/G_Pose_Driven_.mp4" for who in "pq"))
    assert len(find_outputs(tmp_path / "pc", LAYOUTS["pc-avs"], ["a"]).videos["a"]) == 2


def test_names_that_can_be_read_in_two_ways_are_not_guessed(tmp_path: Path) -> None:
    leave(tmp_path, "x_b_a.mp4", "b_a_b_a.mp4")
    found = find_outputs(tmp_path, LAYOUTS["audio2head"], ["a", "b_a"])
    assert found.videos == {"b_a": [tmp_path / "b_a_b_a.mp4"]}, "picture and sound of one clip are certain"
    leave(tmp_path / "two", "x_b_a.mp4")
    found = find_outputs(tmp_path / "two", LAYOUTS["audio2head"], ["a", "b_a"])
    assert not found.videos and found.failed["a"] == found.failed["b_a"]
    assert found.failed["a"] == "x_b_a.mp4 may be of a or of b_a: name picture and sound after the clip"
    leave(tmp_path / "dots", "p_k.mp4")
    found = find_outputs(tmp_path / "dots", LAYOUTS["musetalk"], ["k.1", "k.2"])
    assert "may be of k.1 or of k.2" in found.failed["k.1"]


def test_of_liveportrait_the_file_with_sound_is_taken(tmp_path: Path) -> None:
    leave(tmp_path, "s--a.mp4", "s--a--sound.mp4", "s--a_concat.mp4", "s--a_concat--sound.mp4")
    found = find_outputs(tmp_path, LAYOUTS["liveportrait"], ["a"])
    assert found.videos == {"a": [tmp_path / "s--a--sound.mp4"]}


def test_mistakes(tmp_path: Path) -> None:
    leave(tmp_path, "result_voice.mp4")
    with pytest.raises(
        DataError, match=r"no result of Wav2Lip in .* of 2 clips \(a, b\): looked for \{clip\}.mp4 or .*result_voice"
    ):
        find_outputs(tmp_path, LAYOUTS["wav2lip"], ["b", "a"])
    with pytest.raises(DataError, match="no such folder"):
        find_outputs(tmp_path / "gone", LAYOUTS["wav2lip"], ["a"])
    with pytest.raises(DataError, match="knows no method 'wave2lip'; it knows wav2lip, sadtalker"):
        layout_of("wave2lip")
    assert layout_of("Wav2Lip:Wav2Lip-GAN") == ("Wav2Lip-GAN", LAYOUTS["wav2lip"])


def test_a_thousand_clips(tmp_path: Path) -> None:
    many = [f"clip_{number:05d}" for number in range(1000)]
    leave(tmp_path, *(f"{clip}_{clip}.mp4" for clip in many))
    assert len(find_outputs(tmp_path, LAYOUTS["musetalk"], many).videos) == 1000
