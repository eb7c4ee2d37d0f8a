import math

import pytest
import torch

from moda.nn.losses import frame_l1, kl_divergence


def test_kl_by_hand() -> None:
    mu, logvar = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, math.log(4.0)]])
    # -1/2 (1 + 0 - 1 - 1) = 0.5 and -1/2 (1 + ln 4 - 0 - 4) = 1.5 - ln 2; their mean.
    assert kl_divergence(mu, logvar).item() == pytest.approx((0.5 + 1.5 - math.log(2)) / 2)
    assert kl_divergence(torch.zeros(3, 4), torch.zeros(3, 4)).item() == 0


def test_l1_over_frames_by_hand() -> None:
    error = torch.tensor([[[1.0, -3.0], [100.0, 100.0]]])
    assert frame_l1(error, torch.tensor([[1.0, 0.0]])) == 2.0
    assert frame_l1(error, torch.zeros(1, 2)) == 0.0
    assert frame_l1(torch.tensor([[-1.0, 3.0]]), torch.ones(1, 2)) == 2.0
