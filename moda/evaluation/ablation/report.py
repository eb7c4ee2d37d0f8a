"""Reports of an ablation: variants by metric over seeds, and a verdict on each claim."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from scipy.stats import t

from moda.evaluation.ablation.plan import REFERENCE_VARIANT, AblationConfig, ClaimConfig, Trial
from moda.evaluation.report.tables import markdown
from moda.evaluation.results import Evaluation
from moda.evaluation.statistics import LEVEL
from moda.files import write_json, write_text
from moda.metrics import METRICS
from moda.metrics.registry import Metric
from moda.printing import printable

FORMAT = 1
CLAIM_TOLERANCE = 1e-3
"""Largest difference between a score and the claimed number that counts as equal."""
Scores = Mapping[str, Mapping[str, Mapping[int, float]]]
"""Mean over clips by variant, metric and seed."""


def collect(trials: Sequence[Trial], evaluation: Evaluation) -> dict[str, dict[str, dict[int, float]]]:
    """Means by variant, metric and seed, over the clips on which every trial that has the metric has a value.

    Trials without a row, which failed, are left out.
    """
    rows = {row.name: row for row in evaluation.rows}
    trials = [trial for trial in trials if trial.name in rows and rows[trial.name].scores]
    scores: dict[str, dict[str, dict[int, float]]] = {}
    for metric in evaluation.metrics:
        clips = common_clips(trials, evaluation, metric)
        for trial in trials:
            found = scores.setdefault(trial.variant, {}).setdefault(metric, {})
            values = rows[trial.name].by_clip(metric)
            if clips and values:
                found[trial.seed] = fmean(values[clip] for clip in clips)
    return scores


def common_clips(trials: Sequence[Trial], evaluation: Evaluation, metric: str) -> list[str]:
    """The clips on which every trial that has values of a metric has one."""
    rows = {row.name: row for row in evaluation.rows}
    found = [rows[trial.name].by_clip(metric) for trial in trials if trial.name in rows]
    there = [values.keys() for values in found if values]
    return sorted(set.intersection(*map(set, there))) if there else []


def verdict(claim: ClaimConfig, scores: Scores) -> tuple[str, str]:
    """The verdict on a claim, and the numbers behind it.

    A difference is shown where the `LEVEL` t interval of its mean over seeds, paired by seed, excludes 0, unless
    the mean would be printed as 0; one seed shows none. Returns "agrees", "does not agree", "no difference shown" or
    "not available", and why.
    """
    full, variant = (scores.get(name, {}).get(claim.metric, {}) for name in (REFERENCE_VARIANT, claim.variant))
    if claim.variant_is is not None:
        if not variant:
            return "not available", f"{claim.variant} has no {claim.metric}"
        numbers = ", ".join(f"{variant[seed]:.3g}" for seed in sorted(variant))
        near = all(abs(value - claim.variant_is) <= CLAIM_TOLERANCE for value in variant.values())
        return ("agrees" if near else "does not agree"), f"{claim.variant}: {numbers}"
    seeds = sorted(set(full) & set(variant))
    if not seeds:
        return "not available", f"{REFERENCE_VARIANT} or {claim.variant} has no {claim.metric}"
    differences = [full[seed] - variant[seed] for seed in seeds]
    numbers = "; ".join(f"{full[seed]:.3g} against {variant[seed]:.3g}" for seed in seeds)
    interval = mean_over_seeds(differences)
    if interval is None:
        return "no difference shown", f"one seed only: {numbers}"
    low, high = interval
    numbers += f"; difference {fmean(differences):+.3g}, {LEVEL:.0%} [{low:+.3g}, {high:+.3g}]"
    if low <= 0 <= high or abs(fmean(differences)) < 0.5 * 10 ** -METRICS[claim.metric].digits:
        return "no difference shown", numbers
    return ("agrees" if (low > 0) == (claim.full_is == "higher") else "does not agree"), numbers


def mean_over_seeds(values: Sequence[float]) -> tuple[float, float] | None:
    """Student's t interval of a mean, both ends; None for a single value.

    With two seeds it is 12.7 standard errors wide to either side: that both point one way has a chance of one half.
    """
    if len(values) < 2:
        return None
    reach = float(t.ppf((1 + LEVEL) / 2, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - reach, fmean(values) + reach


def write_ablation(
    config: AblationConfig, trials: Sequence[Trial], evaluation: Evaluation, failed: Mapping[str, str]
) -> list[Path]:
    """Write ablation.md and ablation.json into the output folder; returns their paths.

    failed: why a trial has no scores, by its name.
    """
    scores = collect(trials, evaluation)
    run = {trial.variant for trial in trials}
    claims = [claim for claim in config.claims if claim.variant in run and claim.metric in evaluation.metrics]
    paths = [config.output / "ablation.md", config.output / "ablation.json"]
    write_text(paths[0], printable(report(config, evaluation, scores, claims, failed), keep="\n"))
    record: dict[str, Any] = {
        "format": FORMAT,
        "seeds": config.seeds,
        "samples": config.samples,
        "failed": dict(failed),
        "clips": {metric: common_clips(trials, evaluation, metric) for metric in evaluation.metrics},
        "scores": {
            name: {m: {str(s): v for s, v in by.items()} for m, by in found.items()} for name, found in scores.items()
        },
        "claims": [
            {**claim.model_dump(), **dict(zip(("verdict", "why"), verdict(claim, scores), strict=True))}
            for claim in claims
        ],
    }
    write_json(paths[1], record)
    return paths


def report(
    config: AblationConfig,
    evaluation: Evaluation,
    scores: Scores,
    claims: Sequence[ClaimConfig],
    failed: Mapping[str, str],
) -> str:
    """The whole of ablation.md."""
    seeds = ", ".join(map(str, config.seeds))
    parts = [
        "# Ablation",
        f"Trained on `{config.store}` with seeds {seeds}; scored on its list `{config.split}`, "
        f"{len(evaluation.clips)} clips. Mean over the clips that all trials have a value for, then over seeds "
        "(least to most). Controls are in table.md.",
        _table(scores, evaluation.metrics),
    ]
    if failed:
        parts += ["## Failed", "\n".join(f"- {name}: {why}" for name, why in failed.items())]
    if REFERENCE_VARIANT in scores and len(scores) > 1:
        parts += [f"## Against {REFERENCE_VARIANT}, seed by seed", _differences(scores, evaluation.metrics)]
    if claims:
        lines = []
        for claim in claims:
            result, why = verdict(claim, scores)
            lines.append(f"- {claim.says} ({claim.metric}): **{result}** ({why})")
        rule = (
            f"A difference is shown where the {LEVEL:.0%} t interval of its mean over seeds excludes 0, unless it "
            "rounds to 0; it holds for other seeds, not for other clips, and is not corrected for the number of claims."
        )
        parts += ["## The paper's claims", rule, "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _cell(values: Sequence[float], digits: int) -> str:
    if not values:
        return "not available"
    mean = f"{fmean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _shown(scores: Scores, metrics: Mapping[str, Metric]) -> list[Metric]:
    return [metric for metric in metrics.values() if any(found.get(metric.name) for found in scores.values())]


def _table(scores: Scores, metrics: Mapping[str, Metric]) -> str:
    """A line a metric, a column a variant."""
    lines = []
    for metric in _shown(scores, metrics):
        cells = [_cell(list(found.get(metric.name, {}).values()), metric.digits) for found in scores.values()]
        lines.append([f"{metric.label} [{metric.unit}]", *cells])
    return markdown(["metric", *scores], lines)


def _differences(scores: Scores, metrics: Mapping[str, Metric]) -> str:
    """Variant less "full", paired by seed."""
    others = [name for name in scores if name != REFERENCE_VARIANT]
    lines = []
    for metric in _shown(scores, metrics):
        full = scores[REFERENCE_VARIANT].get(metric.name, {})
        cells = []
        for name in others:
            found = scores[name].get(metric.name, {})
            gaps = [found[seed] - full[seed] for seed in sorted(set(found) & set(full))]
            cells.append(", ".join(f"{gap:+.{metric.digits}f}" for gap in gaps) or "not available")
        lines.append([metric.label, *cells])
    return markdown(["metric", *others], lines)
