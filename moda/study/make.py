"""`moda study make`: the folder of a study, a page to be hosted and a key that stays private."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from moda.errors import DataError, MediaError, OutputError
from moda.evaluation.folders import find_videos
from moda.files import make_folder, temporary_folder, write_json, write_text
from moda.media.video import VideoInfo, VideoWriter, probe, read_frames
from moda.printing import render_page
from moda.study.design import Order, Shown, draw_orders
from moda.study.key import KEY_FORMAT, KEY_VERSION, QUESTIONS

CRF = 12
"""Of the copies: H.264 whose losses are not seen."""
SECONDS_A_RATING, SECONDS_A_PAIR = 10.0, 6.0
"""For the estimate of a participant's time, beside the videos themselves."""
LENGTH_SECONDS = 0.5
"""Videos of a clip whose lengths differ by more are remarked on."""
MIN_MINUTES_SAID = 1

CONSENT = """You will watch short videos of talking people and say what you think of them. Most of the videos were \
made by a computer.

Please use headphones or loudspeakers, with the sound on.

Taking part is voluntary, and you may stop at any time by closing the page. Your answers stay on this device until \
you save them as a file at the end. The file holds your answers, the times they took and a random number, nothing \
about you."""
"""What participants agree to unless `make_study` gets a text of the study's own."""


@dataclass(frozen=True)
class Plan:
    """What a study shows. truth: the method that is the true recordings, if one is.

    controls: true videos with another clip's sound that every participant rates. participants: different orders.
    clips_each, pairs_each: of one participant; None: all clips, and a pair a clip.
    """

    methods: Mapping[str, Path]
    truth: str | None = None
    controls: int | None = None
    participants: int = 48
    clips_each: int | None = None
    pairs_each: int | None = None
    seed: int = 0
    consent: str = CONSENT


def make_study(plan: Plan, output: Path, say: Callable[[str], None], done: Callable[[int, int], None]) -> int:
    """Write `output`: page/ with index.html and the videos under opaque names, and key.json; returns their number.

    say: gets remarks, a line each. done: gets how many of how many videos are written.
    Raises `DataError` for folders that make no study, `MediaError` for a video that cannot be read or has no sound,
    `OutputError` if `output` is there already or cannot be written. It appears whole or not at all.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise OutputError(
            f"{output} is there already; choose a new folder, or remove it: its answers need its key.json"
        )
    videos = _common_videos(plan.methods, say)
    controls = _control_clips(plan, list(videos))
    clips_each = _within("clips", plan.clips_each, len(videos), len(videos))
    most = clips_each * math.comb(len(plan.methods), 2)
    orders = draw_orders(
        list(plan.methods),
        list(videos),
        list(controls),
        participants=plan.participants,
        clips_each=clips_each,
        pairs_each=_within("pairs", plan.pairs_each, most, clips_each),
        seed=plan.seed,
    )
    infos = {clip: {method: _checked(path) for method, path in each.items()} for clip, each in videos.items()}
    _remark_lengths(infos, say)
    names = _opaque_names([*(Shown(m, clip) for clip in videos for m in plan.methods), *_shown(controls)], plan.seed)
    key = _key(plan, list(videos), controls, names, orders)
    make_folder(output.absolute().parent)
    try:
        with temporary_folder(output.absolute()) as folder:
            (folder / "page" / "videos").mkdir(parents=True)
            for number, (shown, name) in enumerate(names.items()):
                source = videos[shown.clip][shown.method or _truth(plan)]
                sound = source if shown.method else videos[controls[shown.clip]][_truth(plan)]
                _copy(source, sound, folder / "page" / "videos" / f"{name}.mp4")
                done(number + 1, len(names))
            seconds = {name: infos[shown.clip][shown.method or _truth(plan)].seconds for shown, name in names.items()}
            write_text(folder / "page" / "index.html", _page(key, plan.consent, seconds))
            write_json(folder / "key.json", key)
            os.replace(folder, output)
    except OSError as error:
        raise OutputError(f"cannot write {output}: {error.strerror or error}") from error
    return len(names)


def _common_videos(methods: Mapping[str, Path], say: Callable[[str], None]) -> dict[str, dict[str, Path]]:
    """Videos by clip and method, of the clips that every method has once; the others are named in one line."""
    if len(methods) < 2:
        raise DataError(f"a study compares methods: wanted 2 or more NAME=DIR, got {len(methods)}")
    found = {method: find_videos(folder) for method, folder in methods.items()}
    clips = sorted({clip for each in found.values() for clip in each})
    wrong = {}
    for clip in clips:
        missing = [method for method, each in found.items() if clip not in each]
        twice = [method for method, each in found.items() if len(each.get(clip, ())) > 1]
        if missing or twice:
            wrong[clip] = f"not in {', '.join(missing)}" if missing else f"more than once in {', '.join(twice)}"
    common = [clip for clip in clips if clip not in wrong]
    named = "; ".join(f"{clip} ({why})" for clip, why in wrong.items())
    if not common:
        raise DataError(f"no clip is in the folders of all methods: {named}; the files of a clip have one name")
    if wrong:
        say(f"{len(wrong)} of {len(clips)} clips left out: {named}")
    return {clip: {method: each[clip][0] for method, each in found.items()} for clip in common}


def _control_clips(plan: Plan, clips: Sequence[str]) -> dict[str, str]:
    """Clips that are shown as controls, and whose sound each gets."""
    if plan.truth is not None and plan.truth not in plan.methods:
        raise DataError(f"the truth is '{plan.truth}', which is none of the methods: {', '.join(plan.methods)}")
    possible = 0 if plan.truth is None or len(clips) < 2 else len(clips)
    if plan.controls and not possible:
        why = "name the true recordings by --truth" if plan.truth is None else "it needs 2 clips"
        raise DataError(f"a control is a true video with another clip's sound: {why}")
    count = _within("controls", plan.controls, possible, min(2, possible), least=0)
    order = random.Random(f"controls {plan.seed}").sample(list(clips), len(clips))
    return {clip: order[(place + 1) % len(order)] for place, clip in enumerate(order[:count])}


def _within(what: str, wanted: int | None, most: int, default: int, least: int = 1) -> int:
    if wanted is not None and not least <= wanted <= most:
        raise DataError(f"{what} of a participant: got {wanted}, wanted {least} to {most}")
    return min(default, most) if wanted is None else wanted


def _checked(path: Path) -> VideoInfo:
    info = probe(path)
    if not info.has_audio:
        raise MediaError(f"no sound in {path}; how well lips fit the speech cannot be judged without")
    return info


def _remark_lengths(infos: Mapping[str, Mapping[str, VideoInfo]], say: Callable[[str], None]) -> None:
    def told(info: VideoInfo) -> str:
        return f"{info.seconds:.1f} s"

    odd = [
        f"{clip} ({', '.join(f'{method} {told(info)}' for method, info in each.items())})"
        for clip, each in infos.items()
        if max(info.seconds for info in each.values()) - min(info.seconds for info in each.values()) > LENGTH_SECONDS
    ]
    if odd:
        say(f"videos of one clip differ in length, which tells them apart: {'; '.join(odd)}")


def _truth(plan: Plan) -> str:
    assert plan.truth is not None, "controls are of the truth"
    return plan.truth


def _shown(controls: Mapping[str, str]) -> list[Shown]:
    return [Shown(None, clip) for clip in controls]


def _opaque_names(shown: Sequence[Shown], seed: int) -> dict[Shown, str]:
    """Names that say nothing, in an order that says nothing."""
    drawn = random.Random(f"names {seed}")
    names = drawn.sample(range(16**6), len(shown))
    return {each: f"{name:06x}" for each, name in zip(drawn.sample(shown, len(shown)), names, strict=True)}


def _key(
    plan: Plan, clips: Sequence[str], controls: Mapping[str, str], names: Mapping[Shown, str], orders: Sequence[Order]
) -> dict[str, object]:
    key: dict[str, object] = {
        "format": KEY_FORMAT,
        "version": KEY_VERSION,
        "seed": plan.seed,
        "methods": list(plan.methods),
        "truth": plan.truth,
        "clips": list(clips),
        "videos": {name: {"method": shown.method, "clip": shown.clip} for shown, name in names.items()},
        "sound_of_controls": {names[Shown(None, clip)]: other for clip, other in controls.items()},
        "orders": [
            {
                "ratings": [names[shown] for shown in order.ratings],
                "pairs": [[names[Shown(p.first, p.clip)], names[Shown(p.second, p.clip)]] for p in order.pairs],
            }
            for order in orders
        ],
    }
    return {**key, "study": hashlib.sha256(json.dumps(key).encode()).hexdigest()[:12]}


def _copy(picture: Path, sound: Path, target: Path) -> None:
    """A video with the sound of a file, coded as all copies are, without metadata; sides are made even."""
    info = probe(picture)
    size = info.width + info.width % 2, info.height + info.height % 2
    with VideoWriter(target, size, info.fps, sound, crf=CRF, metadata={"comment": ""}) as writer:
        for frame in read_frames(picture, info.fps, size):
            writer.write(frame)


def _page(key: Mapping[str, object], consent: str, seconds: Mapping[str, float]) -> str:
    """index.html: a function of what it shows; it holds neither methods nor clips."""
    orders = key["orders"]
    assert isinstance(orders, list)
    first = orders[0]
    watched = sum(seconds[name] for name in [*first["ratings"], *(name for pair in first["pairs"] for name in pair)])
    work = SECONDS_A_RATING * len(first["ratings"]) + SECONDS_A_PAIR * len(first["pairs"])
    names = list(seconds)
    place = {name: index for index, name in enumerate(names)}
    return render_page(
        Path(__file__).parent,
        title="What do you think of these videos?",
        consent=[part for part in consent.replace("\r\n", "\n").split("\n\n") if part.strip()],
        minutes=max(MIN_MINUTES_SAID, round((watched + work) / 60)),
        questions=QUESTIONS,
        design={
            "study": key["study"],
            "videos": names,
            "questions": list(QUESTIONS),
            "orders": [
                [[place[name] for name in order["ratings"]], [[place[n] for n in pair] for pair in order["pairs"]]]
                for order in orders
            ],
        },
    )
