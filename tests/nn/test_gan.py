import pytest
import torch

from moda.nn.gan import discriminator_loss, feature_matching_loss, generator_loss


def scale(logits: float, inner: float = 0.0) -> list[torch.Tensor]:
    return [torch.full((2, 3, 4, 4), inner), torch.full((2, 5, 2, 2), inner), torch.full((2, 1, 3, 3), logits)]


def test_losses_of_a_lone_tensor_use_every_item() -> None:
    """Defect of the released code: indexing a tensor with [-1] keeps the last item of the batch."""
    logits = torch.tensor([[0.0], [3.0]])
    assert generator_loss(logits).item() == pytest.approx((1 + 4) / 2)
    assert discriminator_loss(logits, logits).item() == pytest.approx((1 + 4) / 2 + (0 + 9) / 2)


def test_losses_sum_over_all_scales() -> None:
    assert generator_loss([scale(0.0), scale(3.0), scale(1.0)]).item() == pytest.approx(1 + 4 + 0)
    real, fake = [scale(1.0), scale(0.0)], [scale(2.0), scale(0.0)]
    assert discriminator_loss(real, fake).item() == pytest.approx((0 + 4) + (1 + 0))


def test_feature_matching_leaves_the_logits_out_and_moves_only_the_generator() -> None:
    real, fake = [scale(9.0, 1.0), scale(9.0, 2.0)], [scale(0.0, 0.0), scale(0.0, 0.0)]
    for maps in (*real, *fake):
        for tensor in maps:
            tensor.requires_grad_()
    loss = feature_matching_loss(real, fake)
    assert loss.item() == pytest.approx((1 + 1 + 2 + 2) / 4)
    loss.backward()
    assert fake[1][0].grad is not None
    assert real[0][0].grad is None
    assert fake[0][2].grad is None


def test_weights_keep_patches_that_say_nothing_out() -> None:
    weight = torch.zeros(1, 1, 8, 8)
    weight[..., :4, :4] = 1.0
    real = [[torch.ones(1, 2, 4, 4), torch.ones(1, 1, 2, 2)]]
    fake = [[torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 2, 2)]]
    fake[0][1][..., 1, 1] = 7.0  # outside the weight
    assert discriminator_loss(real, fake, weight) == 0
    assert generator_loss(fake, weight) == 1
    assert feature_matching_loss(real, fake, weight) == 1
    assert discriminator_loss(real, fake) > 1
