"""Networks that cannot be built, or are too large, are one line before memory is taken."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from moda.errors import CheckpointError, ConfigError, MediaError
from moda.nn.building import building


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(10**6, 10**6),
        lambda: nn.Conv2d(10**5, 10**5, 3),
        lambda: torch.zeros((10**6, 10**6)),
        lambda: torch.full((10**12,), 1.0),
        lambda: torch.eye(10**6),
        lambda: torch.randn(10**6, 10**6),
        lambda: [nn.Linear(1000, 1000) for _ in range(1000)],
        lambda: [nn.Linear(1, 1) for _ in range(10**9)],
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2), 10**9),
        lambda: nn.LSTM(10**6, 10**6),
    ],
)
def test_what_is_too_large_is_not_begun(make: object) -> None:
    with (
        pytest.raises(ConfigError, match=r"a\.yaml: .* far too many weights"),
        building("a.yaml", values=10**6 * 10, tensors=1000),
    ):
        make()  # type: ignore[operator]


def test_what_cannot_be_built_says_why_and_what_is_known_passes() -> None:
    with pytest.raises(CheckpointError, match="embed_dim must be divisible by"), building("a", error=CheckpointError):
        nn.MultiheadAttention(5, 2)
    with pytest.raises(ConfigError, match="a: no network"), building("a"):
        nn.Linear(-1, 2)
    with pytest.raises(ConfigError, match="division"), building("a"):
        nn.Linear(1 // 0, 2)
    with pytest.raises(MediaError, match=r"^known$"), building("a"):
        raise MediaError("known")
    with building("a", values=100, tensors=2):
        assert nn.Linear(9, 10).weight.shape == (10, 9)
