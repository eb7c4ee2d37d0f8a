"""What other methods leave on disk: which file is the result for which clip, and what of its frames is compared.

Names, folders, panels and first frames are those of each project's published inference code, read in November 2026;
nothing is fetched and none of it is run. docs/others.md says how to run each so that its files are found here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from moda.errors import DataError, few
from moda.evaluation.folders import VIDEO_SUFFIXES, GeneratedClips, MadeClip, Panel

DATE = "????_??_??_??.??.??"
"""SadTalker's name of a run."""


@dataclass(frozen=True)
class Layout:
    """One project's way of leaving results.

    name: the row's. results: patterns of paths inside the folder, {clip} for a clip's name and * for any text within
    a name; a clip's result is what the first pattern finds of which there is something. dots: names keep what is after
    their first dot. panel: the part of a frame that is the result. starts: the clip's frame that the video shows
    first, at 25 frames a second. sound: the result has sound.
    """

    name: str
    results: tuple[str, ...]
    dots: bool = True
    panel: Panel | None = None
    starts: int = 0
    sound: bool = True


LAYOUTS: dict[str, Layout] = {
    # Rudrabha/Wav2Lip, inference.py: --outfile, results/result_voice.mp4 by default; size and frame rate of the input.
    "wav2lip": Layout("Wav2Lip", ("{clip}.mp4", "{clip}/result_voice.mp4")),
    # OpenTalker/SadTalker, inference.py: RESULT_DIR/DATE.mp4, whatever was done to it; what --verbose leaves in
    # RESULT_DIR/DATE are earlier stages. 25 frames/s.
    "sadtalker": Layout("SadTalker", (f"{{clip}}/{DATE}.mp4",)),
    # Hangz-nju-cuhk/Talking-Face_PC-AVS, data/voxtest_dataset.py: id_X_pose_Y_audio_CLIP, frames from the third to the
    # third but last; inference.py: G_Pose_Driven_.mp4, or with no pose source G_Fix_Pose_.mp4, without sound;
    # avconcat.mp4 shows all side by side. 224 px, an aligned crop of the face.
    "pc-avs": Layout(
        "PC-AVS", ("id_*_audio_{clip}/G_Pose_Driven_.mp4", "id_*_audio_{clip}/G_Fix_Pose_.mp4"), starts=2, sound=False
    ),
    # yzhou359/MakeItTalk, main_end2end.py and src/approaches/train_image_translation.py: into examples/; portrait,
    # result and landmarks side by side, 256 px each, 62.5 frames/s.
    "makeittalk": Layout("MakeItTalk", ("*_pred_fls_{clip}_audio_embed.mp4",), panel=Panel(1, 3)),
    # wangsuzhen/Audio2Head, inference.py: PICTURE_SOUND.mp4, the picture drawn to 256 x 256, 25 frames/s.
    "audio2head": Layout("Audio2Head", ("{clip}_{clip}.mp4", "*_{clip}.mp4")),
    # KwaiVGI/LivePortrait, src/live_portrait_pipeline.py: SOURCE--DRIVING.mp4, in its first version without sound
    # and with it as --sound; _concat shows all side by side. Driven by a video, not by sound.
    "liveportrait": Layout("LivePortrait", ("*--{clip}--sound.mp4", "*--{clip}.mp4")),
    # TMElyralab/MuseTalk, its inference program: VIDEO_SOUND.mp4, both names up to their first dot.
    "musetalk": Layout("MuseTalk", ("{clip}_{clip}.mp4", "*_{clip}.mp4"), dots=False),
    # antgroup/ditto-talkinghead, inference.py: --output_path; NAME.tmp.mp4 beside it has no sound. 25 frames/s.
    "ditto": Layout("Ditto", ("{clip}.mp4",)),
}


def layout_of(spec: str) -> tuple[str, Layout]:
    """The row's name and layout of METHOD or METHOD:NAME; raises `DataError`."""
    method, _, name = spec.partition(":")
    layout = LAYOUTS.get(method.strip().lower())
    if layout is None:
        raise DataError(f"--outputs knows no method '{method}'; it knows {', '.join(LAYOUTS)}; else use --generated")
    return name.strip() or layout.name, layout


def find_outputs(folder: Path, layout: Layout, clips: Collection[str]) -> GeneratedClips:
    """One method's folder: the result of each clip that has one, and why others have none.

    Raises `DataError` when the folder does not exist or has no result of any clip.
    """
    if not folder.is_dir():
        raise DataError(f"no such folder: {folder}" if not folder.exists() else f"not a folder: {folder}")
    files = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in VIDEO_SUFFIXES
    }
    looked_for = " or ".join(layout.results)
    named: dict[str, list[str]] = {}  # clips by their name in files
    for clip in clips:
        named.setdefault(clip if layout.dots else clip.split(".")[0], []).append(clip)
    found: dict[str, list[str]] = {}
    claims: dict[str, list[str]] = {}
    for pattern in layout.results:
        matched = _matching(pattern, named, files.keys() - claims.keys())
        found |= {clip: names for clip, names in matched.items() if clip not in found}
        for clip, names in matched.items():
            for name in names:
                claims.setdefault(name, []).append(clip)
    failed = {
        clip: f"{layout.name} left no {looked_for.replace('{clip}', clip)}" for clip in clips if clip not in found
    }
    for name, owners in claims.items():
        for clip in owners if len(owners) > 1 else ():
            if name in found.get(clip, ()):
                del found[clip]
                failed[clip] = (
                    f"{name} may be of {' or of '.join(sorted(owners))}: name picture and sound after the clip"
                )
    if not claims:
        raise DataError(
            f"no result of {layout.name} in {folder} for any of {len(clips)} clips ({', '.join(sorted(clips)[:3])}): "
            f"looked for {looked_for}; there {'are ' + few(list(files)) if files else 'is no video'}"
        )
    made = MadeClip(panel=layout.panel, starts=layout.starts, sound_of=layout.name if layout.sound else None)
    videos = {clip: [files[name] for name in names] for clip, names in found.items()}
    return GeneratedClips(videos, {}, dict.fromkeys(videos, made), failed)


def _matching(pattern: str, named: Mapping[str, Sequence[str]], paths: Iterable[str]) -> dict[str, list[str]]:
    """Paths that a pattern finds, by clip; named: clips by the name that stands for {clip}."""
    tail = len(pattern) - pattern.rindex("{clip}") - len("{clip}")  # characters after the name; none of them is a *
    found: dict[str, list[str]] = {}
    for path in sorted(paths):
        end = len(path) - tail
        for name in {path[start:end] for start in range(end)} & named.keys():
            wanted = "".join(re.escape(name) if part == "{clip}" else _glob(part) for part in _parts(pattern))
            if re.fullmatch(wanted, path):
                for clip in named[name]:
                    found.setdefault(clip, []).append(path)
    return found


def _parts(pattern: str) -> list[str]:
    return re.split(r"(\{clip\})", pattern)


def _glob(text: str) -> str:
    return re.escape(text).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
