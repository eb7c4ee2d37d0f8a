import math
from typing import NamedTuple

import pytest
import torch

from moda.nn.attention import ProbAttn, SpecAttn, alignment_mask, causal_mask, head_slopes, temporal_mask
from moda.nn.positional import sinusoidal

INF = float("-inf")


def test_causal_mask_shuts_the_future_with_minus_infinity() -> None:
    assert causal_mask(3).tolist() == [[0, INF, INF], [0, 0, INF], [0, 0, 0]]


def test_alignment_mask_is_open_on_the_diagonal_only() -> None:
    assert alignment_mask(3).tolist() == [[0, INF, INF], [INF, 0, INF], [INF, INF, 0]]


def test_slopes() -> None:
    assert head_slopes(4, "faceformer").tolist() == [1 / 4, 1 / 16, 1 / 64, 1 / 256]
    assert head_slopes(4, "single").tolist() == [1 / 256] * 4


def test_temporal_mask_counts_whole_periods_back() -> None:
    mask = temporal_mask(6, 2, torch.tensor([1.0, 0.25]))
    assert mask.shape == (2, 6, 6)
    assert mask[0, 5].tolist() == [-2, -2, -1, -1, 0, 0]
    assert mask[1, 5].tolist() == [-0.5, -0.5, -0.25, -0.25, 0, 0]
    assert mask[0, 2].tolist() == [-1, 0, 0, INF, INF, INF]


@pytest.fixture
def spec() -> SpecAttn:
    torch.manual_seed(0)
    return SpecAttn(16, heads=4, layers=2, ffn=16, period=5).eval()


def test_mask_of_each_sample_is_that_of_its_own_heads(spec: SpecAttn) -> None:
    """(B*h, T, T) runs over the heads first: a batch must give what its samples give alone."""
    s, s_a = torch.randn(3, 12, 16), torch.randn(3, 12, 16)
    together = spec(s, s_a)
    alone = torch.cat([spec(s[i : i + 1], s_a[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_specattn_is_causal_in_audio(spec: SpecAttn) -> None:
    v_s, s_a = torch.randn(1, 1, 16), torch.randn(1, 20, 16)
    changed = s_a.clone()
    changed[:, 11:] += 1.0
    before, after = spec(s_a + v_s, s_a), spec(changed + v_s, changed)
    torch.testing.assert_close(before[:, :11], after[:, :11], rtol=0, atol=1e-6)
    assert (before[:, 11:] - after[:, 11:]).abs().amax(dim=-1).min() > 1e-3


def test_specattn_looks_back(spec: SpecAttn) -> None:
    s_a = torch.randn(1, 20, 16)
    changed = s_a.clone()
    changed[:, 3] += 1.0
    assert (spec(s_a, s_a) - spec(changed, changed))[:, 19].abs().max() > 1e-5


def test_cross_attention_under_the_diagonal_mask_does_not_depend_on_the_query(spec: SpecAttn) -> None:
    attention = spec.decoder.layers[0].multihead_attn
    memory = torch.randn(2, 9, 16)
    mask = alignment_mask(9)
    one, _ = attention(torch.randn(2, 9, 16), memory, memory, attn_mask=mask)
    other, _ = attention(torch.randn(2, 9, 16), memory, memory, attn_mask=mask)
    torch.testing.assert_close(one, other)
    value = memory @ attention.in_proj_weight[32:].T + attention.in_proj_bias[32:]
    torch.testing.assert_close(one, attention.out_proj(value), rtol=1e-4, atol=1e-5)


def test_position_is_told_along_time_and_not_along_the_batch(spec: SpecAttn) -> None:
    """The same sample twice in a batch comes out the same; the same frame at two times does not."""
    s_a = torch.randn(1, 12, 16).expand(3, 12, 16)
    out = spec(s_a, s_a)
    torch.testing.assert_close(out[0], out[2], rtol=0, atol=1e-6)
    still = torch.randn(1, 1, 16).expand(1, 12, 16)
    out = spec(still, still)
    assert (out[:, 1] - out[:, 0]).abs().max() > 1e-3
    prob = ProbAttn(16, layers=1, ffn=16).eval()
    out, _ = prob(s_a, torch.zeros(3, 16), torch.zeros(3, 12, 16))
    torch.testing.assert_close(out[0], out[2], rtol=0, atol=1e-6)
    out, _ = prob(still, torch.zeros(1, 16), torch.zeros(1, 12, 16))
    assert (out[:, 1] - out[:, 0]).abs().max() > 1e-3


def test_target_is_s_with_the_periodic_encoding(spec: SpecAttn) -> None:
    seen = []
    spec.decoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    spec(torch.zeros(1, 12, 16), torch.zeros(1, 12, 16))
    torch.testing.assert_close(seen[0][0], sinusoidal(12, 16, period=5))


def test_layers_of_a_stack_start_different(spec: SpecAttn) -> None:
    first, second = (layer.linear1.weight for layer in spec.decoder.layers)
    assert not torch.equal(first, second)


def test_probattn_is_mu_plus_sigma_noise() -> None:
    torch.manual_seed(0)
    prob = ProbAttn(16, layers=1, ffn=16).eval()
    s_a, v_s, noise = torch.randn(2, 8, 16), torch.randn(2, 16), torch.randn(2, 8, 16)
    out, (mu, logvar) = prob(s_a, v_s, noise)
    assert out.shape == mu.shape == logvar.shape == (2, 8, 16)
    again, _ = prob(s_a, v_s, noise)
    torch.testing.assert_close(out, again, rtol=0, atol=0)
    seen = []
    hook = prob.from_latent.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    other, (same_mu, _) = prob(s_a, v_s, noise + 1)
    hook.remove()
    torch.testing.assert_close(seen[0], mu + logvar.div(2).exp() * (noise + 1))
    assert (prob(s_a, v_s + 1, noise)[0] - out).abs().max() > 1e-3
    torch.testing.assert_close(mu, same_mu)
    assert (out - other).abs().max() > 1e-3
    # A posterior of no width leaves nothing of the noise.
    torch.nn.init.zeros_(prob.to_logvar.weight)
    torch.nn.init.constant_(prob.to_logvar.bias, -2 * math.log(1e9))
    narrow, _ = prob(s_a, v_s, noise)
    wide, _ = prob(s_a, v_s, noise + 1)
    torch.testing.assert_close(narrow, wide, rtol=0, atol=1e-5)


def test_probattn_decoder_is_causal_in_its_target() -> None:
    """With a memory that says nothing, later input leaves earlier output alone."""
    torch.manual_seed(0)
    prob = ProbAttn(16, layers=2, ffn=16).eval()
    torch.nn.init.zeros_(prob.from_latent.weight)
    s_a, v_s, noise = torch.randn(1, 12, 16), torch.randn(1, 16), torch.zeros(1, 12, 16)
    changed = s_a.clone()
    changed[:, 7:] += 1.0
    before, after = prob(s_a, v_s, noise)[0], prob(changed, v_s, noise)[0]
    torch.testing.assert_close(before[:, :7], after[:, :7], rtol=0, atol=1e-5)
    assert (before[:, 7:] - after[:, 7:]).abs().max() > 1e-3


class Recorded(NamedTuple):
    """What a stack was called with: its tensors, and its masks by name."""

    given: tuple[torch.Tensor, ...]
    masks: dict[str, torch.Tensor]


def recorded(stack: torch.nn.Module) -> list[Recorded]:
    """The calls of a stack from now on."""
    calls: list[Recorded] = []
    stack.register_forward_pre_hook(lambda module, given, named: calls.append(Recorded(given, named)), with_kwargs=True)
    return calls


def test_specattn_gives_its_decoder_m_t_and_m_a_and_the_audio_alone_as_memory(spec: SpecAttn) -> None:
    calls = recorded(spec.decoder)
    s, s_a = torch.randn(2, 12, 16), torch.randn(2, 12, 16)
    spec(s, s_a)
    ((_, memory), masks) = calls[0]
    assert memory is s_a
    wanted = torch.zeros(4, 12, 12)
    for head, slope in enumerate((1 / 4, 1 / 16, 1 / 64, 1 / 256)):
        for i in range(12):
            for j in range(12):
                wanted[head, i, j] = -slope * ((i - j) // 5) if j <= i else INF
    assert torch.equal(masks["tgt_mask"], torch.cat((wanted, wanted)))
    assert torch.equal(masks["memory_mask"], alignment_mask(12))


def test_probattn_decoder_mask_is_minus_infinity_and_not_ones() -> None:
    """Defect of the released code: a mask of ones and zeros, which the attention adds to its logits."""
    torch.manual_seed(0)
    prob = ProbAttn(16, layers=2, ffn=16).eval()
    decoder, encoder = recorded(prob.decoder), recorded(prob.encoder)
    prob(torch.randn(2, 9, 16), torch.randn(2, 16), torch.randn(2, 9, 16))
    mask = decoder[0].masks["tgt_mask"]
    future = torch.ones(9, 9, dtype=torch.bool).triu(1)
    assert (mask[future] == INF).all() and (mask[~future] == 0).all()
    assert "memory_mask" not in decoder[0].masks and not encoder[0].masks


def test_under_the_masks_the_future_has_no_weight_at_all(spec: SpecAttn) -> None:
    layer = spec.decoder.layers[0]
    x = 30 * torch.randn(1, 12, 16)  # logits large enough to beat any finite penalty
    for mask in (causal_mask(12), temporal_mask(12, 5, head_slopes(4, "faceformer"))):
        _, weights = layer.self_attn(x, x, x, attn_mask=mask, average_attn_weights=False)
        assert weights[..., torch.ones(12, 12, dtype=torch.bool).triu(1)].max() == 0
        torch.testing.assert_close(weights.sum(-1), torch.ones(1, 4, 12))
    _, weights = layer.multihead_attn(x, x, x, attn_mask=alignment_mask(12))
    assert torch.equal(weights[0], torch.eye(12))


def test_specattn_is_causal_in_its_subject_and_audio_by_gradient(spec: SpecAttn) -> None:
    """No path at all from later features, however small: the derivative is exactly zero."""
    s, s_a = torch.randn(1, 20, 16, requires_grad=True), torch.randn(1, 20, 16, requires_grad=True)
    spec(s, s_a)[0, 11].square().sum().backward()
    for values in (s, s_a):
        assert values.grad is not None
        assert (values.grad[0, 12:] == 0).all() and (values.grad[0, :12].abs().amax(-1) > 0).all()
