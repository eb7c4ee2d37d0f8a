import math

import pytest
import torch

from moda.nn.positional import fourier, sinusoidal


def test_values_follow_the_formula() -> None:
    encoding = sinusoidal(40, 8)
    for t, k in ((0, 0), (1, 0), (13, 2), (39, 3)):
        angle = t / 10_000 ** (2 * k / 8)
        assert encoding[t, 2 * k].item() == pytest.approx(math.sin(angle), abs=1e-5)
        assert encoding[t, 2 * k + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)


def test_periodic_encoding_repeats_after_the_period_and_not_before() -> None:
    encoding = sinusoidal(60, 16, period=25)
    torch.testing.assert_close(encoding[25:50], encoding[:25], rtol=0, atol=0)
    assert not torch.allclose(encoding[24], encoding[0])
    plain = sinusoidal(60, 16)
    torch.testing.assert_close(encoding[:25], plain[:25])
    assert not torch.allclose(plain[25], plain[0])


def test_fourier_tells_times_apart() -> None:
    embedded = fourier(torch.tensor([0.0, 0.5, 0.51, 1.0]), 32)
    assert embedded.shape == (4, 32)
    distances = torch.cdist(embedded, embedded) + torch.eye(4) * 9
    assert distances.min() > 0.1
