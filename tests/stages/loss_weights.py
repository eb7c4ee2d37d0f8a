"""What holds of every weight of a stage's losses: it scales its own terms by as much, and no other's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest
import torch

from moda.training.stage import Stage


def check_weights(
    stage: Stage, trainable: str, batch: object, owners: dict[str, set[str]], others: Iterable[str]
) -> None:
    """owners: weight -> names of the trainable's terms that it scales. others: numbers of the config that are no
    weights, or have no term here.
    """
    numbers = {name for name, field in type(stage.loss_config).model_fields.items() if field.annotation is float}
    assert numbers == {*owners, *others}
    stage.eval()

    def terms(weights: Mapping[str, float]) -> dict[str, float]:
        stage.loss_config = stage.loss_config.model_copy(update=dict(weights))
        with torch.no_grad():
            losses = dict(stage.losses(batch, torch.Generator().manual_seed(0)))
        return {name: float(term) for name, term in losses[trainable].items()}

    plain = terms(dict.fromkeys(owners, 1.0))
    assert set(plain) == set().union(*owners.values()), "every term has a weight"
    assert all(plain.values()), "no term is 0"
    weights = {weight: 2.0 + place for place, weight in enumerate(owners)}
    expected = {name: plain[name] * weights[weight] for weight, own in owners.items() for name in own}
    assert terms(weights) == pytest.approx(expected, rel=1e-4)
