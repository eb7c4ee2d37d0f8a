import math

import pytest
import torch

from moda.nn.losses import kl_divergence, l1, velocity_l1


def test_kl_by_hand() -> None:
    mu, logvar = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, math.log(4.0)]])
    # -1/2 (1 + 0 - 1 - 1) = 0.5 and -1/2 (1 + ln 4 - 0 - 4) = 1.5 - ln 2; their mean.
    assert kl_divergence(mu, logvar).item() == pytest.approx((0.5 + 1.5 - math.log(2)) / 2)
    assert kl_divergence(torch.zeros(3, 4), torch.zeros(3, 4)).item() == 0


def test_velocity_sees_movement_and_not_position() -> None:
    truth = torch.tensor([0.0, 1.0, 3.0]).view(1, 3, 1)
    assert velocity_l1(truth + 5, truth).item() == 0
    assert velocity_l1(torch.zeros(1, 3, 1), truth).item() == pytest.approx(1.5)
    assert velocity_l1(torch.zeros(1, 1, 1), torch.ones(1, 1, 1)).item() == 0
    assert l1(torch.zeros(1, 3, 1), truth).item() == pytest.approx(4 / 3)
