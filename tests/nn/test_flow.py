import math
from functools import reduce

import numpy as np
import pytest
import torch

from moda.errors import TrainingError
from moda.nn.flow import FlowAttn, LinearBasis, distance_bias
from moda.normalization import Moments

GROUPS = {"eyes": (12, 4, False), "head": (3, 3, True)}


def motion(frames: int, seed: int) -> dict[str, np.ndarray]:
    """Eyes that live in four directions, head of channels of very different sizes."""
    random = np.random.default_rng(seed)
    directions = np.random.default_rng(99).standard_normal((4, 12))
    eyes = random.standard_normal((frames, 4)) * [4, 3, 2, 1] @ directions + 5
    head = random.standard_normal((frames, 3)) * [10, 1, 0.01] + [1, 2, 3]
    return {"eyes": eyes.reshape(frames, 4, 3), "head": head}


def moments(*recordings: dict[str, np.ndarray]) -> dict[str, Moments]:
    """Each group's, over all recordings."""
    return {
        name: reduce(Moments.merge, (Moments.of(recording[name], scatter=True) for recording in recordings))
        for name in recordings[0]
    }


@pytest.fixture
def flow() -> FlowAttn:
    torch.manual_seed(0)
    network = FlowAttn(GROUPS, 6, width=16, layers=2, heads=2, ffn=16, kernel=3).eval()
    network.fit_basis(moments(motion(200, 0), motion(300, 1)))
    return network


def tensors(frames: int, seed: int) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(values[None]).float() for name, values in motion(frames, seed).items()}


def test_latents_are_white_and_decode_is_the_inverse(flow: FlowAttn) -> None:
    x = tensors(2000, 5)
    z = flow.encode(x)
    assert z.shape == (1, 2000, flow.latent_dim) and flow.latent_dim == 7
    covariance = torch.cov(z[0].T)
    assert (covariance - torch.eye(7)).abs().max() < 0.25
    assert z.mean(dim=(0, 1)).abs().max() < 0.2
    back = flow.decode(z)
    torch.testing.assert_close(back["eyes"], x["eyes"].flatten(2), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(back["head"], x["head"], rtol=1e-3, atol=1e-3)


def test_share_of_variance_is_reported() -> None:
    kept = FlowAttn({"eyes": (12, 2, False)}, 6, width=16, layers=1, heads=2, ffn=16).fit_basis(moments(motion(500, 0)))
    assert 0.5 < kept["eyes"] < 0.99


def test_group_that_never_moves_stays_finite() -> None:
    flow = FlowAttn(GROUPS, 6, width=16, layers=1, heads=2, ffn=16)
    still = {"eyes": np.full((50, 12), 2.0), "head": np.full((50, 3), 1.0)}
    flow.fit_basis(moments(still))
    z = flow.encode({name: torch.from_numpy(v[None]).float() for name, v in still.items()})
    assert z.abs().max() < 1
    torch.testing.assert_close(flow.decode(torch.randn(1, 5, 7))["head"], torch.ones(1, 5, 3), rtol=0, atol=1e-3)


def test_no_motion_at_all_is_an_error() -> None:
    with pytest.raises(TrainingError, match="0 frames"):
        FlowAttn(GROUPS, 6, width=16, layers=1, heads=2, ffn=16).fit_basis(
            moments({name: values[:0] for name, values in motion(2, 0).items()})
        )


def test_moments_without_scatter_are_an_error() -> None:
    bare = {name: Moments.of(values) for name, values in motion(9, 0).items()}
    with pytest.raises(TrainingError, match="'eyes' have no scatter"):
        FlowAttn(GROUPS, 6, width=16, layers=1, heads=2, ffn=16).fit_basis(bare)


def test_unfitted_basis_takes_the_first_channels() -> None:
    basis = LinearBasis(5, 3)
    x = torch.randn(1, 2, 5)
    torch.testing.assert_close(basis.encode(x), x[..., :3])


def test_distance_bias_is_symmetric_and_zero_at_home() -> None:
    bias = distance_bias(4, torch.tensor([1.0, 0.5]))
    assert bias[0, 0].tolist() == [0, -1, -2, -3]
    assert bias[1, 3].tolist() == [-1.5, -1, -0.5, 0]


def test_fresh_network_has_no_velocity_and_hands_the_noise_on(flow: FlowAttn) -> None:
    noise, s = torch.randn(1, 30, 7), torch.randn(1, 30, 6)
    torch.testing.assert_close(flow.sample(noise, s, 5), noise, rtol=0, atol=0)


def trained(flow: FlowAttn) -> FlowAttn:
    """Weights that are no longer at their start."""
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(
                0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
            )
    return flow


@pytest.mark.parametrize("solver", ["euler", "heun"])
def test_samples_depend_on_noise_and_sound_and_on_nothing_else(flow: FlowAttn, solver: str) -> None:
    trained(flow)
    noise, s = torch.randn(1, 40, 7), torch.randn(1, 40, 6)
    one = flow.sample(noise, s, 4, solver)
    torch.testing.assert_close(one, flow.sample(noise, s, 4, solver), rtol=0, atol=0)
    assert (one - flow.sample(-noise, s, 4, solver)).abs().max() > 0.1
    assert (one - flow.sample(noise, s + 1, 4, solver)).abs().max() > 1e-3


def test_velocity_knows_before_from_after_and_shifts_with_time(flow: FlowAttn) -> None:
    trained(flow)
    x, s, t = torch.randn(1, 80, 7), torch.randn(1, 80, 6), torch.tensor([0.3])
    mirrored = flow.velocity(x.flip(1), t, s.flip(1)).flip(1)
    assert (flow.velocity(x, t, s) - mirrored).abs().max() > 1e-3
    # No absolute positions: input that repeats gives output that repeats, away from the ends.
    tiled = flow.velocity(x.repeat(1, 4, 1), t, s.repeat(1, 4, 1))
    assert (tiled[:, 190:210] - tiled[:, 110:130]).abs().max() < 1e-3 < tiled[:, 110:130].std()


def test_solvers_integrate_a_known_field(flow: FlowAttn, monkeypatch: pytest.MonkeyPatch) -> None:
    """dx/dt = t from 0: exactly 1/2 for Heun, (n - 1) / 2n for Euler."""
    monkeypatch.setattr(flow, "_velocity", lambda x, t, *_: t[:, None, None].expand_as(x))
    zero, s = torch.zeros(1, 3, 7), torch.zeros(1, 3, 6)
    torch.testing.assert_close(flow.sample(zero, s, 4, "heun"), zero + 0.5)
    torch.testing.assert_close(flow.sample(zero, s, 4, "euler"), zero + 3 / 8)


def test_loss_is_that_of_the_straight_path(flow: FlowAttn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The velocity that always points to x1, (x1 - x_t) / (1 - t), has loss zero."""
    x1, s = torch.randn(2, 10, 7), torch.zeros(2, 10, 6)
    assert flow.loss(x1, s, torch.Generator().manual_seed(3)).item() == pytest.approx(2, abs=1)
    monkeypatch.setattr(flow, "velocity", lambda x, t, s, style: (x1 - x) / (1 - t[:, None, None]))
    assert flow.loss(x1, s, torch.Generator().manual_seed(3)).item() < 1e-6


def test_loss_is_deterministic_given_the_generator(flow: FlowAttn) -> None:
    x1, s = torch.randn(2, 10, 7), torch.zeros(2, 10, 6)
    losses = [flow.loss(x1, s, torch.Generator().manual_seed(seed)).item() for seed in (3, 3, 4)]
    assert losses[0] == losses[1] != losses[2]


def test_learns_a_distribution() -> None:
    """The condition says where, the noise how."""
    torch.manual_seed(0)
    flow = FlowAttn({"head": (2, 2, False)}, 1, width=16, layers=1, heads=2, ffn=32, kernel=3)
    optimiser = torch.optim.Adam(flow.parameters(), 1e-2)
    for _ in range(120):
        side = torch.sign(torch.randn(16, 1, 1)).expand(16, 8, 1)
        x1 = 2 * side + 0.3 * torch.randn(16, 8, 2)
        optimiser.zero_grad()
        flow.loss(x1, side).backward()
        optimiser.step()
    flow.eval()
    with torch.no_grad():
        for sign in (-1.0, 1.0):
            x = flow.sample(torch.randn(64, 8, 2), torch.full((64, 8, 1), sign), 8)
            assert abs(x.mean().item() - 2 * sign) < 0.4
            assert 0.1 < x.std().item() < 0.7


def test_a_style_changes_the_motion_and_one_that_is_not_known_does_not() -> None:
    torch.manual_seed(0)
    flow = FlowAttn({"head": (2, 2, False)}, 1, width=16, layers=1, heads=2, ffn=32, kernel=3, styled=True).eval()
    torch.nn.init.normal_(flow.leave.weight)
    noise, s = torch.randn(3, 10, 2), torch.zeros(3, 10, 1)
    plain = flow.sample(noise, s, 4)
    styled = flow.sample(noise, s, 4, style=torch.tensor([0.2, 0.8, math.nan]))
    assert torch.equal(styled[2], plain[2])
    assert (styled[:2] - plain[:2]).abs().amax(dim=(1, 2)).min() > 1e-3


def test_a_flow_learns_how_far_its_style_says() -> None:
    """Motion that is as large as the style says: the flow's is, too."""
    torch.manual_seed(0)
    flow = FlowAttn({"head": (1, 1, False)}, 1, width=32, layers=1, heads=2, ffn=32, kernel=3, styled=True)
    optimiser = torch.optim.Adam(flow.parameters(), 3e-3)
    for _ in range(150):
        style = torch.rand(64)
        motion = torch.randn(64, 8, 1) * (0.2 + style)[:, None, None]
        optimiser.zero_grad()
        flow.loss(motion, torch.zeros(64, 8, 1), style=style).backward()
        optimiser.step()
    small, large = (
        flow.sample(torch.randn(200, 8, 1), torch.zeros(200, 8, 1), 6, style=torch.full((200,), style)).std()
        for style in (0.1, 0.9)
    )
    assert large > 1.8 * small
