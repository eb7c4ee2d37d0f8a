"""Stage 1 as in the paper (section 3.1): dual attentions, SpecAttn and the transformer VAE ProbAttn, and ablations."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from moda.nn.attention import Latent, ProbAttn
from moda.nn.blocks import MLP
from moda.stages.audio2repr.base import CHANNELS, Audio2Repr, Features, Prediction, spec_attention
from moda.stages.audio2repr.config import PaperConfig


class PaperAudio2Repr(Audio2Repr):
    """The paper's stage 1 (docs/method.md, section 2, points 5 to 8), with the defaults 96,718,185 parameters.

    attention: dual    s_t = (s_sa, s_pa), (B, T, 2 d), of SpecAttn and ProbAttn; Z = d
               spec    s_t = s_sa, (B, T, d); deterministic
               prob    s_t = s_pa, (B, T, d); Z = d
               lstm    s_t = LSTM(s), (B, T, 2 d); deterministic
               none    s_t = s, (B, T, d); deterministic

    Four MLPs map s_t to lips, eyes, head and torso. lips_read: spec gives the lips s_sa alone.
    """

    def __init__(self, config: PaperConfig) -> None:
        super().__init__(config)
        self.config = config
        d, attention = config.d, config.attention
        self.prob: ProbAttn | None = None
        self.lstm: nn.LSTM | None = None
        if attention in ("dual", "spec"):
            self.spec = spec_attention(config)
        if attention == "lstm":
            self.lstm = nn.LSTM(d, 2 * d, config.layers, batch_first=True)
        if attention in ("dual", "prob"):
            self.prob = ProbAttn(d, heads=config.heads, layers=config.layers, ffn=config.ffn, dropout=config.dropout)
            self.latent_dim = d
        width = 2 * d if attention in ("dual", "lstm") else d
        self.heads = nn.ModuleDict(
            {
                "lips": MLP((d if self._lips_read_spec else width, *config.lip_hidden, CHANNELS["lips"]), config.norm),
                "eyes": MLP((width, *config.other_hidden, CHANNELS["eyes"]), config.norm),
                "head": MLP((width, *config.other_hidden, config.head_channels), config.norm),
                "torso": MLP((width, *config.other_hidden, CHANNELS["torso"]), config.norm),
            }
        )

    @property
    def _lips_read_spec(self) -> bool:
        return self.config.attention == "dual" and self.config.lips_read == "spec"

    def _predict(self, features: Features, noise: Tensor | None) -> Prediction:
        branches: list[Tensor] = []
        latent: Latent | None = None
        if self.lstm is not None:
            branches.append(self.lstm(features.both)[0])
        if self.spec is not None:
            branches.append(self.spec(features.both, features.audio))
        if self.prob is not None and noise is not None:
            s_pa, latent = self.prob(features.audio, features.subject, noise)
            branches.append(s_pa)
        s_t = torch.cat(branches, dim=-1) if branches else features.both  # point 7
        lips = self._head("lips", branches[0] if self._lips_read_spec else s_t)
        eyes, head, torso = (self._head(name, s_t) for name in ("eyes", "head", "torso"))
        return Prediction(lips, eyes, head, torso, latent)
