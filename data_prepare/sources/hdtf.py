"""HDTF's own lists: which seconds and which square of which video is which clip.

For each of the three parts P (RD, WDA, WRA) the folder HDTF_dataset holds five lists, a line a video
or a clip, words apart by blanks:

    P_annotion_time.txt (sic)   Name.mp4 00:30-01:00 01:30-02:30   clips 0, 1, ... in the listed order
    P_crop_wh.txt               Name_0.mp4 306 480 41 480          left, width, top, height of clip 0
    P_resolution.txt            Name.mp4 720                       the video's height for those pixels
    P_video_url.txt             Name https://...                   (with or without .mp4)
    P_crop_ratio.txt            not used

Only the first is needed. A clip without a crop line, or with one that cannot be right, is cut in time
and cropped as any other video; `HdtfPlan.notes` says which and why.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from data_prepare.sources.videos import VIDEO_EXTENSIONS
from moda.errors import DataError
from moda.imaging.crop import Box
from moda.reading import read_lines

PARTS = ("RD", "WDA", "WRA")
_ENDING = re.compile(r"\.(?:" + "|".join(ending[1:] for ending in sorted(VIDEO_EXTENSIONS)) + r")$", re.IGNORECASE)
_NAME = re.compile(r"[^./\\][^/\\]*")
_DASH = re.compile(r"\s*[-\u2010-\u2015\u2212]\s*")
_TIME = re.compile(r"^(?:(\d{1,6}):)?(\d{1,6}):(\d\d(?:\.\d{1,6})?)$", re.ASCII)
_PIXELS = re.compile(r"-?\d{1,6}", re.ASCII)
_CLIP_NAME = re.compile(r"^(RD|WDA|WRA)_(.+?)(?:_\d+)+(?:\.[A-Za-z0-9]{1,5})?$")
_SAME_PERSON = {"WDA_WhipJimClyburn": "WDA_JamesClyburn"}
"""One person under two names (the lists even give one video under both)."""
_OVERHANG_SHARE = 0.05
"""A box may stick out of the picture by this share of its height; more, and it cannot be right."""


Remark = tuple[str, str]


class ListedBox(NamedTuple):
    """A crop as listed, pixels of a video of the listed height."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class HdtfCut:
    """One clip: seconds [start, stop) of a video, and its crop or None (cropped by our own rule).

    listed_height: height of the picture in which `box` counts; None: the video's own.
    """

    video: Path
    clip_id: str
    identity: str
    start_seconds: float
    stop_seconds: float
    box: ListedBox | None
    listed_height: int | None

    def box_in(self, width: int, height: int) -> Box | None:
        """The crop in a picture of this size, pixels; None if none is listed.

        Scaled by the heights' ratio. Of a box that is not square the square around its centre as wide
        as its longer side is taken, so that nothing listed is lost; a square larger than the picture
        shrinks to it, then moves inside.
        """
        if self.box is None:
            return None
        scale = height / self.listed_height if self.listed_height else 1.0
        side = max(1, min(round(max(self.box.width, self.box.height) * scale), width, height))
        left = round((self.box.left + 0.5 * self.box.width) * scale - 0.5 * side)
        top = round((self.box.top + 0.5 * self.box.height) * scale - 0.5 * side)
        return Box(min(max(left, 0), width - side), min(max(top, 0), height - side), side)


@dataclass(frozen=True)
class HdtfPlan:
    """What the lists ask for: clips that can be cut, clips that cannot, and remarks for the user.

    missing, notes: (clip id, or video where it has no clips; what is wrong or special).
    """

    cuts: tuple[HdtfCut, ...]
    missing: tuple[Remark, ...]
    notes: tuple[Remark, ...] = ()


def read_hdtf(lists: Path, videos: Path) -> HdtfPlan:
    """All clips of the lists whose video is in the folder `videos`, in the lists' order.

    lists: the folder HDTF_dataset, or the one it lies in. A video is looked for as P_Name.*, P/Name.*,
    Name.* or any one video in P_Name/, P/Name/ or Name/.
    Raises `DataError` if there are no lists, no such folder, or a line cannot be read (file and line).
    """
    if not any((lists / f"{part}_annotion_time.txt").is_file() for part in PARTS):
        if not (lists / "HDTF_dataset").is_dir():
            raise DataError(f"no HDTF lists in {lists}: wanted RD_annotion_time.txt, WDA_..., or WRA_...")
        return read_hdtf(lists / "HDTF_dataset", videos)
    if not videos.is_dir():
        raise DataError(f"no such folder of videos: {videos}")
    plans = [_plan_part(part, lists, videos) for part in PARTS]
    cuts, missing, notes = (tuple(chain.from_iterable(column)) for column in zip(*plans, strict=True))
    return HdtfPlan(cuts, missing, notes)


def _plan_part(part: str, lists: Path, videos: Path) -> tuple[list[HdtfCut], list[Remark], list[Remark]]:
    """Cuts, missing and notes (`HdtfPlan`) of one part."""
    spans = read_times(lists / f"{part}_annotion_time.txt")
    boxes = read_boxes(lists / f"{part}_crop_wh.txt")
    heights = read_heights(lists / f"{part}_resolution.txt")
    urls = read_urls(lists / f"{part}_video_url.txt")
    cuts: list[HdtfCut] = []
    missing: list[Remark] = []
    notes = [(f"{part}_{video}", "listed, but without time spans: no clip") for video in urls if video not in spans]
    known = {f"{video}_{index}" for video, times in spans.items() for index in range(len(times))}
    notes += [(f"{part}_{clip}", "a crop is listed, but no time span: no clip") for clip in boxes if clip not in known]
    for video, times in spans.items():
        path, reason = _find_video(part, video, videos)
        if path is None and video in urls:
            reason = f"{reason}; it is {urls[video]}"
        height = heights.get(video)
        for index, (start, stop) in enumerate(times):
            clip_id = f"{part}_{video}_{index:03d}"
            if path is None:
                missing.append((clip_id, reason))
                continue
            box, remarks = _checked_box(boxes.get(f"{video}_{index}"), height)
            others = [i for i, (a, b) in enumerate(times) if i != index and a < stop and start < b]
            remarks += [f"its time overlaps that of clip {i:03d}" for i in others]
            notes += [(clip_id, remark) for remark in remarks]
            identity = hdtf_identity(clip_id) or clip_id
            cuts.append(HdtfCut(path, clip_id, identity, start, stop, box, height if box else None))
    return cuts, missing, notes


def _checked_box(box: ListedBox | None, height: int | None) -> tuple[ListedBox | None, list[str]]:
    """The box if it can be right, and what is to say about it."""
    if box is None:
        return None, ["no crop is listed: cropped around the face"]
    if height is None:
        return box, ["no height is listed: the crop is taken in pixels of the video as it is"]
    if box.top + box.height > height * (1 + _OVERHANG_SHARE) or min(box.left, box.top) < -_OVERHANG_SHARE * height:
        listed = f"{box.width}x{box.height} at {box.left},{box.top}"
        return None, [f"the listed crop {listed} lies outside a picture {height} high: cropped around the face"]
    return box, []


def _find_video(part: str, video: str, videos: Path) -> tuple[Path | None, str]:
    """The video's file, or None and why not."""
    names = (f"{part}_{video}", f"{part}/{video}", video)
    for name in names:
        parent, stem = (videos / name).parent, Path(name).name
        if found := [path for path in _videos_in(parent) if _ENDING.sub("", path.name) == stem]:
            return found[0], ""
    for name in names:
        found = _videos_in(videos / name)
        if len(found) == 1:
            return found[0], ""
        if found:
            return None, f"{len(found)} videos in {videos / name}, wanted one"
    return None, f"no video {part}_{video}.*, {part}/{video}.* or {video}.* in {videos}"


def _videos_in(folder: Path) -> list[Path]:
    """Videos right in a folder, .mp4 first, then by name."""
    if not os.path.isdir(folder):
        return []
    found = [
        path for path in folder.iterdir() if path.suffix.lower() in VIDEO_EXTENSIONS and not path.name.startswith(".")
    ]
    return sorted((path for path in found if path.is_file()), key=lambda path: (path.suffix.lower() != ".mp4", path))


def _lines(path: Path) -> list[tuple[str, str, str]]:
    """(where it is, first word without a video's ending, the rest) of every line; nothing if there is no file."""
    if not path.exists():
        return []
    result = []
    for number, line in enumerate(read_lines(path), start=1):
        name, rest = (*line.split(maxsplit=1), "", "")[:2]
        if not name or name.startswith("#"):
            continue
        where, name = f"{path}, line {number}", _ENDING.sub("", name)
        if not _NAME.fullmatch(name):
            raise DataError(f"{where}: got {name!r}, wanted the plain name of a video, without folders")
        result.append((where, name, rest.strip()))
    return result


def _once(where: str, name: str, value: object, table: dict[str, Any]) -> None:
    if table.setdefault(name, value) != value:
        raise DataError(f"{where}: {name} was listed before, with other values")


def _seconds(word: str) -> float | None:
    """'08:10', '75:02', '1:02:03' or '00:07.5' -> seconds; None if it is none of them."""
    found = _TIME.match(word)
    if found is None or float(found[3]) >= 60:
        return None
    return int(found[1] or 0) * 3600.0 + int(found[2]) * 60.0 + float(found[3])


def read_times(path: Path) -> dict[str, tuple[tuple[float, float], ...]]:
    """P_annotion_time.txt -> the clips' (start, stop) seconds by video, in the listed order."""
    table: dict[str, tuple[tuple[float, float], ...]] = {}
    for where, video, rest in _lines(path):
        spans = []
        for word in _DASH.sub("-", rest).split():
            start, stop = (*map(_seconds, word.split("-", 1)), None)[:2]
            if start is None or stop is None or stop <= start:
                raise DataError(f"{where}: got {word!r}, wanted a time span as 00:30-01:00")
            spans.append((start, stop))
        if not spans:
            raise DataError(f"{where}: no time span after {video}, wanted one as 00:30-01:00")
        _once(where, video, tuple(spans), table)
    return table


def read_boxes(path: Path) -> dict[str, ListedBox]:
    """P_crop_wh.txt -> crops by `Name_0`; {} if there is no such file."""
    table: dict[str, ListedBox] = {}
    for where, clip, rest in _lines(path):
        words = rest.split()
        left = width = top = height = 0
        if len(words) == 4 and all(map(_PIXELS.fullmatch, words)):
            left, width, top, height = map(int, words)
        found = re.match(r"^(.+)_(\d{1,6})$", clip, re.ASCII)
        if width <= 0 or height <= 0 or found is None:
            raise DataError(f"{where}: got {clip} {rest!r}, wanted a clip and its left, width, top, height in pixels")
        _once(where, f"{found[1]}_{int(found[2])}", ListedBox(left, top, width, height), table)
    return table


def read_heights(path: Path) -> dict[str, int]:
    """P_resolution.txt -> heights by video; 0 in the list (unknown) is left out."""
    table: dict[str, int] = {}
    for where, video, rest in _lines(path):
        if not _PIXELS.fullmatch(rest) or int(rest) < 0:
            raise DataError(f"{where}: got {rest!r}, wanted the video's height in pixels")
        _once(where, video, int(rest), table)
    return {video: height for video, height in table.items() if height > 0}


def read_urls(path: Path) -> dict[str, str]:
    """P_video_url.txt -> addresses by video; {} if there is no such file."""
    return {video: rest for _, video, rest in _lines(path)}


def hdtf_identity(clip_name: str) -> str | None:
    """Who is in a clip named as HDTF's are, with or without a file's ending; None for any other name.

    'WDA_BarackObama0_000' and 'WDA_BarackObama1_001.mp4' -> 'WDA_BarackObama': the digits count videos of
    one person. 'RD_Radio11_000' -> 'RD_Radio11': there they tell one radio video from another.
    """
    found = _CLIP_NAME.match(clip_name)
    if found is None:
        return None
    part, video = found.groups()
    who = f"{part}_{video if part == 'RD' else video.rstrip('0123456789') or video}"
    return _SAME_PERSON.get(who, who)
