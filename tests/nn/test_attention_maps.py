"""The weights that are shown are those by which values are mixed."""

from __future__ import annotations

import torch
from torch import nn

from moda.nn.attention import ProbAttn, SpecAttn
from moda.nn.attention_maps import attention_maps
from moda.nn.flow import FlowBlock, distance_bias

T, D, HEADS = 12, 16, 4


def test_both_branches_compute_the_same_and_show_their_masks() -> None:
    torch.manual_seed(0)
    s, v, noise = torch.randn(2, T, D), torch.randn(2, D), torch.randn(2, T, D)
    spec, prob = SpecAttn(D, layers=2, period=4).eval(), ProbAttn(D, layers=1).eval()
    for network, inputs in ((spec, (s, s)), (prob, (s, v, noise))):
        with torch.no_grad():
            plain = network(*inputs)
            with attention_maps(network) as maps:
                shown = network(*inputs)
            again = network(*inputs)
        for a, b, c in zip(*([x] if torch.is_tensor(x) else [x[0]] for x in (plain, shown, again)), strict=True):
            torch.testing.assert_close(a, b)
            assert torch.equal(a, c)
        for name, weights in maps.items():
            assert weights.shape == (2, HEADS, T, T)
            torch.testing.assert_close(weights.sum(-1), torch.ones(2, HEADS, T))
            if "decoder" in name and "self_attn" in name:
                assert (weights.triu(1) == 0).all(), "no frame sees the future"
    assert set(maps) == {"encoder.layers.0.self_attn", "decoder.layers.0.self_attn", "decoder.layers.0.multihead_attn"}


def test_flow_weights_mix_the_values_of_the_block() -> None:
    torch.manual_seed(0)
    block = FlowBlock(D, HEADS, 32, 3, 0.0)
    h, time, bias = torch.randn(2, T, D), torch.randn(2, D), distance_bias(T, 2.0 ** -torch.arange(1.0, 1 + HEADS))
    mixed: list[torch.Tensor] = []
    projected: list[torch.Tensor] = []
    block.project.register_forward_pre_hook(lambda _, args: mixed.append(args[0]))
    block.qkv.register_forward_hook(lambda _, args, out: projected.append(out))
    with attention_maps(nn.ModuleDict({"block": block})) as maps:
        block(h, time, bias)
    values = projected[0][..., 2 * D :].reshape(2, T, HEADS, D // HEADS).transpose(1, 2)
    torch.testing.assert_close((maps["block"] @ values).transpose(1, 2).reshape(2, T, D), mixed[0])
