"""The renderer's output, and how it is composited over the warped reference (docs/method.md, section 5).

Dimension letters: B batch, h w height and width of the network's picture. Pictures are in [-1, 1], maps in [0, 1].
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from moda.imaging.windows import FACE_STRENGTH


class RendererOutput(NamedTuple):
    """picture (B, 3, h, w) = moved + mask * (colour - moved) within bounds (`composite`), moved = `shifted` warp.

    colour: (B, 3, h, w). mask: (B, 1, h, w), 1 everywhere without a warp. shift: (B, 2, h, w), pixels right and down
    of the place that each pixel is taken from, or None.
    """

    picture: Tensor
    colour: Tensor
    mask: Tensor
    shift: Tensor | None = None


def shifted(picture: Tensor, shift: Tensor) -> Tensor:
    """Each pixel of a picture (B, C, h, w) taken from `shift` (B, 2, h, w) pixels right and down, bicubic.

    Where the shift is 0 the pixel is returned as it is, to the bit.
    """
    height, width = picture.shape[-2:]
    down = (torch.arange(height, device=shift.device) + 0.5)[:, None]
    right = (torch.arange(width, device=shift.device) + 0.5)[None, :]
    places = torch.stack([(right + shift[:, 0]) * (2 / width) - 1, (down + shift[:, 1]) * (2 / height) - 1], dim=-1)
    found = nn.functional.grid_sample(
        picture, places.to(picture.dtype), mode="bicubic", padding_mode="border", align_corners=False
    )
    return torch.where((shift != 0).any(dim=1, keepdim=True), found, picture)


def composite(
    warped: Tensor, colour: Tensor, mask: Tensor, shift: Tensor | None, *, region: Tensor, face_change: float
) -> RendererOutput:
    """A `RendererOutput` over the warped reference; all of one size.

    region: (B, 1, h, w), 1 on the mouth or the eyes, `FACE_STRENGTH` around them. face_change: grey levels of 255 by
    which the face around changes at most; 0 sets no bound. On skin that was rare in training, a network draws smudges.
    """
    moved = warped if shift is None else shifted(warped, shift)
    change = mask * (colour - moved)
    if face_change:
        inside = ((region - FACE_STRENGTH) / (1 - FACE_STRENGTH)).clamp(0, 1)
        bound = face_change / 127.5 / (1 - inside).clamp_min(1e-3)
        change = bound * torch.tanh(change / bound)
    return RendererOutput(moved + change, colour, mask, shift)
