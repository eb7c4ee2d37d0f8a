"""Does a training go well? What its log says about it, in lines for people: what is odd, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from moda.training.reference import Curves, Reference

FAR_ABOVE = 1.5
"""Times the reference's loss at the same step from which a loss is far above it."""
WON, LOST, STALLED = 0.1, 0.95, 0.98
"""Shares of the loss of an undecided discriminator: below the first it has won, above the second it has lost, unless
its loss falls below the third of what it was."""
CLIPPED, USUALLY_CLIPPED = 0.95, 0.8
"""Share of clipped steps that is nearly all, and that of a reference for which this is usual."""
MIN_POINTS = 3
"""Points of the log between two validations, and validations since the best, that a judgement needs."""
RISE = 1.05
"""Times the best validation score from which the score has risen."""
SMALLER, LOUDER_DB, LESS = 0.6, 12.0, 0.3
"""Data unlike the reference's: times its faces and lip motion, decibels below its loudness, share of clips or time."""


class Adversary(NamedTuple):
    """Names trainable/term of a discriminator's loss and of what its generator gets from it.

    undecided: the discriminator's loss where it answers 1/2 to everything.
    """

    discriminator: str
    generator: str
    undecided: float


@dataclass
class History:
    """A run since it was started: means of the training's values by trainable/name, and validations, by step."""

    trained: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    validated: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    looked: int = 0
    """Step of the last diagnosis."""

    def window(self) -> list[tuple[int, dict[str, float]]]:
        """The training since the last diagnosis."""
        return [point for point in self.trained if point[0] > self.looked]


def diagnose(history: History, reference: Reference | None, adversary: Adversary | None, clip: float) -> dict[str, str]:
    """What is odd since the last diagnosis: kind -> line. clip: largest norm of a gradient, 0 for none."""
    window = history.window()
    curves = None if reference is None else reference.training
    lines = {
        "reference": None if curves is None else above_reference(window, curves, adversary),
        "discriminator": None if adversary is None else discriminator_won_or_lost(window, adversary),
        "clipped": clipped_all_the_time(window, clip, curves),
        "overfitting": overfitting(history, adversary),
    }
    history.looked = window[-1][0] if window else history.looked
    return {kind: line for kind, line in lines.items() if line is not None}


def losses(values: Mapping[str, float], adversary: Adversary | None) -> dict[str, float]:
    """Sum of the terms of each trainable, but for those of the game between generator and discriminator."""
    game = set() if adversary is None else {adversary.discriminator, adversary.generator}
    totals: dict[str, float] = {}
    for name, value in values.items():
        trainable, _, term = name.partition("/")
        if name not in game and term not in ("gradient", "clipped"):
            totals[trainable] = totals.get(trainable, 0.0) + value
    return totals


def above_reference(
    window: Sequence[tuple[int, Mapping[str, float]]], curves: Curves, adversary: Adversary | None
) -> str | None:
    """The trainable whose loss is most above the reference's at these steps."""
    points = [(step, values) for step, values in window if curves.steps and step >= curves.steps[0]]
    found = []
    for name in losses(points[-1][1], adversary) if points else ():
        own = float(np.mean([losses(values, adversary)[name] for _, values in points]))
        usual = float(np.mean([losses(curves.at(step), adversary).get(name, 0.0) for step, _ in points]))
        if usual > 0 and own > FAR_ABOVE * usual:
            found.append((own / usual, own, usual, name))
    if not found:
        return None
    ratio, own, usual, name = max(found)
    return (
        f"the loss of '{name}' is {own:.4g}, {ratio:.1f} times the reference's at this step ({usual:.4g}): look at the "
        "line 'starting from' above, at what is said of the data, and try a lower optimizer.lr"
    )


def discriminator_won_or_lost(window: Sequence[tuple[int, Mapping[str, float]]], adversary: Adversary) -> str | None:
    """Whether one player has nothing left to learn from the other, throughout."""
    name, _, undecided = adversary
    values = [point[name] for _, point in window if name in point]
    if len(values) < MIN_POINTS:
        return None
    mean = float(np.mean(values))
    if max(values) < WON * undecided:
        return (
            f"the discriminator has won ({name} is {mean:.2g}; undecided is {undecided:g}): its generator learns "
            "nothing from it; lower loss.adversarial or optimizer.lr, or make the discriminator smaller"
        )
    if min(values) > LOST * undecided and values[-1] > STALLED * values[0]:
        return (
            f"the discriminator cannot tell true from made ({name} is {mean:.2g}; undecided is {undecided:g}): its "
            "generator gets no direction from it; fine early on; else raise optimizer.lr or make it larger"
        )
    return None


def clipped_all_the_time(
    window: Sequence[tuple[int, Mapping[str, float]]], clip: float, usual: Curves | None
) -> str | None:
    """The trainable whose gradients are clipped most, if at nearly every step, where the reference's are not."""
    found = []
    for name in window[-1][1] if window and clip else ():
        trainable, _, value = name.partition("/")
        if value != "clipped" or len(window) < MIN_POINTS:
            continue
        share = float(np.mean([values[name] for _, values in window]))
        if share < CLIPPED or (usual is not None and np.mean(usual.values.get(name, [0.0])) > USUALLY_CLIPPED):
            continue
        norm = float(np.mean([values[f"{trainable}/gradient"] for _, values in window]))
        found.append((norm, share, trainable))
    if not found:
        return None
    norm, share, trainable = max(found)
    return (
        f"the gradient of '{trainable}' is clipped at {share:.0%} of the steps (mean norm {norm:.3g}, optimizer.clip "
        f"{clip:g}): every step is of one length; fine while losses fall; else lower optimizer.lr, or set "
        f"optimizer.clip={norm:.2g}"
    )


def overfitting(history: History, adversary: Adversary | None) -> str | None:
    """Whether the validation score has risen since its best while the training's losses fell on."""
    scores = [(step, values["score"]) for step, values in history.validated if "score" in values]
    if len(scores) <= MIN_POINTS:
        return None
    best = min(range(len(scores)), key=lambda i: scores[i][1])
    step, score = scores[best]
    if len(scores) - 1 - best < MIN_POINTS or min(value for _, value in scores[best + 1 :]) <= RISE * score:
        return None
    before = [sum(losses(values, adversary).values()) for at, values in history.trained if at <= step]
    after = [sum(losses(values, adversary).values()) for _, values in history.window()]
    if not before or not after or np.mean(after) >= before[-1]:
        return None
    return (
        f"validation rises (score {scores[-1][1]:.4g}, at its best {score:.4g} at step {step}) while the training's "
        "losses fall: it learns its footage by heart; best.pt is of the best step: stop here, or add people and footage"
    )


def diagnose_data(found: Mapping[str, float], usual: Mapping[str, float] | None) -> list[str]:
    """What is odd about the data (`moda.data.statistics`) beside the reference's; without these, what is bad anyway."""
    beside = {} if usual is None else usual

    def of(name: str, unit: str = "") -> str:
        return f" (the reference's: {beside[name]:.3g}{unit})" if name in beside else ""

    def below(name: str, least: float) -> bool:
        return name in found and found[name] < least

    lines = []
    if below("offset_settled", beside.get("offset_settled", 0.5 + LESS) - LESS):
        lines.append(
            f"sound and picture are in step for sure in {found['offset_settled']:.0%} of the clips only"
            f"{of('offset_settled')}: lips cannot be learned from others; prepare with options.settled_only: true"
        )
    if below("face_px", SMALLER * beside.get("face_px", 0.0)):
        lines.append(
            f"faces are small, {found['face_px']:.0f} px{of('face_px', ' px')}: use footage of higher resolution"
        )
    if below("lip_motion", SMALLER * beside.get("lip_motion", 0.0)):
        lines.append(
            f"mouths hardly move, {found['lip_motion']:.2f} px in a second{of('lip_motion', ' px')}: use footage of "
            "people who talk, and raise options.limits.min_lip_motion of the preparation"
        )
    if below("audible", 0.5):
        lines.append(
            f"{1 - found['audible']:.0%} of the clips have no audio and are of no use here: add videos with audio"
        )
    elif below("loudness_dbfs", beside.get("loudness_dbfs", -np.inf) - LOUDER_DB):
        lines.append(
            f"the audio is quiet, {found['loudness_dbfs']:.0f} dBFS{of('loudness_dbfs', ' dBFS')}: listen to some clips"
        )
    elif found.get("pauses", 0.0) > beside.get("pauses", 1.0) + LESS:
        lines.append(
            f"{found['pauses']:.0%} of the audio is silence{of('pauses')}: cut the videos to where people talk"
        )
    return lines
