"""Validation figures of a renderer's windows, and the score that chooses best.pt."""

from __future__ import annotations

from torch import Tensor

from moda.stages.renderer.pairs import Windows
from moda.stages.renderer.terms import masked_l1, sharpness, weight_of

MIN_SHARPNESS_SHARE = 0.7
"""Share of the truth's sharpness below which a picture's score suffers: L1 alone likes what is blurred."""


def window_scores(picture: Tensor, part: Windows) -> dict[str, float]:
    """L1 weighted by `weight_of`, grey levels of 255; sharpness there over the truth's; both of the warp alone, too.

    picture: (B, 3, h, w) in -1..1, what a network made of the windows.
    """
    inputs, target = part
    weight = weight_of(inputs)
    detail = max(sharpness(target, weight), 1e-9)
    made = {"": picture} | ({} if inputs.warped is None else {"_warp": inputs.warped})
    scores = {}
    for which, each in made.items():
        scores[f"l1{which}"] = float(masked_l1(each, target, weight)) * 127.5
        scores[f"sharpness{which}"] = sharpness(each, weight) / detail
    return scores


def with_score(means: dict[str, float]) -> dict[str, float]:
    """L1 over that of the warp; and the score: L1, made worse by the share by which sharpness is below
    `MIN_SHARPNESS_SHARE`; added up over kinds of window. Of means: one batch may well be smoother than the truth.
    """
    found = dict(means)
    score = 0.0
    for prefix in [name.removesuffix("l1") for name in ("l1", "eyes_l1") if name in means]:
        blurred = max(0.0, MIN_SHARPNESS_SHARE - means[f"{prefix}sharpness"])
        score += means[f"{prefix}l1"] * (1 + blurred)
        if f"{prefix}l1_warp" in means:
            found[f"{prefix}l1_to_warp"] = means[f"{prefix}l1"] / max(means[f"{prefix}l1_warp"], 1e-9)
    return {**found, "score": score}
