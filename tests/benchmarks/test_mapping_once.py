"""The three ways that benchmarks/mapping_once.py times are one and the same function."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from benchmarks.mapping_once import cached, frame_by_frame, once
from moda.nn.attention import SpecAttn
from moda.nn.blocks import MLP


@pytest.mark.parametrize("slopes", ["faceformer", "single"])
def test_frame_by_frame_gives_what_mapping_once_gives(slopes: Literal["faceformer", "single"]) -> None:
    torch.manual_seed(0)
    spec = SpecAttn(16, heads=2, layers=2, ffn=16, period=5, slopes=slopes).eval()
    head = MLP((16, 8, 6), "layer").eval()
    s_a = torch.randn(1, 23, 16)
    s = s_a + torch.randn(1, 1, 16)
    with torch.no_grad():
        expected = once(spec, head, s, s_a)
        assert expected.shape == (1, 23, 6) and expected.std() > 0.01
        for way in (frame_by_frame, cached):
            torch.testing.assert_close(way(spec, head, s, s_a), expected, rtol=1e-4, atol=1e-5)


def test_each_frame_costs_a_pass_without_a_cache() -> None:
    spec = SpecAttn(16, heads=2, layers=1, ffn=16).eval()
    lengths: list[int] = []
    spec.decoder.register_forward_pre_hook(lambda module, given: lengths.append(given[0].shape[1]))
    frame_by_frame(spec, torch.nn.Identity(), torch.randn(1, 6, 16), torch.randn(1, 6, 16))
    assert lengths == [1, 2, 3, 4, 5, 6]
