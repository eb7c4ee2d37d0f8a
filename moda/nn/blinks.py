"""Blinks as events: when they happen, and what the eyes' points do then.

Not in the paper, whose networks hardly blink: an event of a few frames, twenty times a minute, has
little weight in losses that average over frames. Here blinks are a marked point process in time; the mark
of an event is a blink of the training set.

    onsets   a head on the features gives a rate, exp(mean + bounded), learned by Poisson likelihood
    sampling a frame whose noise lies below a threshold is a candidate; it is an onset if no lower one lies
             within `REFRACTORY_FRAMES` frames (Matern's second hard-core process, Matern 1960), so that
             the result at a frame depends on its neighbourhood alone and overlapping windows agree
    course   one curve for all, stretched to the duration and scaled to the depth of the sampled blink
    points   eyes + closure * displacement * local height of the open eye; facing points of the lids meet

Dimension letters: B batch, T frames, P the 60 points of the eyes group, Q stored blinks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from moda.blinks import COURSE_TIMES, OPEN_SHARE
from moda.landmarks import (
    EYES,
    LEFT_EYE,
    LEFT_EYEBROW,
    LEFT_IRIS,
    LOWER_LID_ROWS,
    N_EYES,
    RIGHT_EYE,
    RIGHT_EYEBROW,
    RIGHT_IRIS,
    UPPER_LID_ROWS,
)
from moda.representation import FPS

REFRACTORY_FRAMES = 12
"""Frames around a blink's onset in which no other begins: half a second."""
MAX_LOG_RATE_CHANGE = 0.7
"""Largest change of the logarithm of the rate by audio and subject, either way: a factor of 2. On 770 blinks of 45
people the head did not generalise (negative log likelihood 2.59 -> 2.41 a second in training, 1.74 -> 1.75 outside of
it), so its effect is bounded."""
DEFAULT_BLINKS_A_FRAME = 20 / 60 / FPS
"""Blinks a frame of a network that was not fitted."""
MIN_BLINK_SECONDS, MAX_BLINK_SECONDS = 0.1, 0.4
"""Seconds a sampled blink may last."""
MAX_STORED_BLINKS = 256
"""Blinks of the training set to sample from (Q)."""
SHUT_DEPTH_QUANTILE = 0.9
"""Quantile of the depths of the training set's blinks that counts as shut: the tracker leaves a gap in closed eyes."""
DEEPER = 1.5
"""How much deeper a blink is drawn than the tracker saw it, shut at most: it sees the lids of closed eyes apart, and
those that close between two frames."""
SHORTEST_SECONDS = 0.14
"""A shorter blink is drawn so long: in the rendered video the tracker sees one 0.8 times as long as it is drawn, and
the shortest are not found again."""
MAX_BLINK_REACH_FRAMES = 24
"""Frames before and after its deepest one that a blink reaches at most."""
MIN_MAX_BLINKS_A_FRAME = (1.0 / 60 / FPS, 0.9 / (2 * REFRACTORY_FRAMES + 1))
"""Smallest and largest rate: one a minute, and near the most that the refractory time allows."""


class BlinkSample(NamedTuple):
    """A blink of the training set.

    seconds, depth, course: as in `moda.blinks.BlinkShape`. eyes: (60, 3) canonical points of the open
    eyes, interpolated to the deepest frame, pixels. change: (60, 3) what the blink adds to them there.
    """

    seconds: float
    depth: float
    course: np.ndarray
    eyes: np.ndarray
    change: np.ndarray


class BlinkProcess(nn.Module):
    """When to blink, given features (B, T, width) and noise (B, T, 2), and the eyes' points then.

    Statistics are buffers, filled by `fit`; before it nothing is displaced.
    """

    noise_dim = 2
    """Channels of standard normal noise: when, and which blink."""

    log_rate: Tensor
    course: Tensor
    kept: Tensor
    displacement: Tensor
    upper: Tensor
    lower: Tensor
    eye_of: Tensor

    def __init__(self, width: int, hidden: int = 32, dropout: float = 0.3) -> None:
        super().__init__()
        self.head = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(width, hidden), nn.SiLU(), nn.Dropout(dropout), nn.Linear(hidden, 1)
        )
        last = self.head[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)  # the mean rate everywhere
        nn.init.zeros_(last.bias)
        self.register_buffer("log_rate", torch.tensor(DEFAULT_BLINKS_A_FRAME).log())
        self.register_buffer("course", torch.from_numpy(_bump()).float())
        self.register_buffer("kept", torch.tensor([[0.15, 0.7]]).repeat(MAX_STORED_BLINKS, 1))
        self.register_buffer("displacement", torch.zeros(N_EYES, 3))
        for name, rows in (("upper", UPPER_LID_ROWS), ("lower", LOWER_LID_ROWS), ("eye_of", _eye_of())):
            self.register_buffer(name, torch.tensor(rows), persistent=False)

    def fit(self, rate: float, samples: Sequence[BlinkSample]) -> None:
        """Fill the buffers: blinks a frame, and blinks as they look; those of unusual duration are left out.

        Without any sample the eyes stay open.
        """
        self.log_rate.fill_(float(np.log(np.clip(rate, *MIN_MAX_BLINKS_A_FRAME))))
        samples = sorted(
            (s for s in samples if MIN_BLINK_SECONDS <= s.seconds <= MAX_BLINK_SECONDS), key=lambda s: s.seconds
        )
        if not samples:
            self.displacement.zero_()
            return
        picked = np.linspace(0, len(samples) - 1, MAX_STORED_BLINKS).round().astype(int)
        shut = float(np.quantile([s.depth for s in samples], SHUT_DEPTH_QUANTILE))
        self.kept.copy_(torch.tensor([(samples[i].seconds, min(samples[i].depth / shut, 1.0)) for i in picked]))
        course = np.clip(np.mean([s.course for s in samples], axis=0), 0, None)
        self.course.copy_(torch.from_numpy(course / course.max()))
        arrays = (np.stack([getattr(sample, name) for sample in samples]) for name in ("eyes", "change"))
        eyes, change = (torch.from_numpy(array).to(self.displacement.device) for array in arrays)
        # change = depth * height * displacement, by least squares over all blinks
        size = torch.tensor([s.depth for s in samples])[:, None].to(eyes) * self.heights(eyes)
        displacement = (change * size[..., None]).sum(0) / size.square().sum(0)[:, None].clamp(min=1e-9)
        # at depth 1 facing points of the lids meet, neither more nor less
        excess = displacement[self.upper, 1] - displacement[self.lower, 1] - 1
        displacement[self.upper, 1] -= excess / 2
        displacement[self.lower, 1] += excess / 2
        self.displacement.copy_(displacement)

    def rate(self, features: Tensor, log_base: Tensor | None = None) -> Tensor:
        """Logarithm of the blinks a frame, (B, T). log_base: (B,) in the place of the mean rate's."""
        base = self.log_rate if log_base is None else log_base[:, None]
        return base + MAX_LOG_RATE_CHANGE * torch.tanh(self.head(features)[..., 0])

    def loss(self, features: Tensor, onsets: Tensor, seen: Tensor, usual: Tensor) -> Tensor:
        """Negative log-likelihood a second of a Poisson process, without its constant; a scalar.

        onsets, seen: (B, T), 1 where a blink starts and where the face was detected. usual: (B,) blinks a
        frame of each window's person, an offset as in Poisson regression: a person's rate does not
        generalise to others, so the head learns only when blinks happen.
        """
        log_rate = self.rate(features.float(), usual.clamp(*MIN_MAX_BLINKS_A_FRAME).log())
        a_frame = log_rate.exp() - onsets * log_rate
        return FPS * (a_frame * seen).sum() / seen.sum().clamp(min=1)

    @torch.no_grad()
    def draw(self, features: Tensor, noise: Tensor) -> Tensor:
        """Closure of the eyes (B, T): 0 open, the depth of a blink at its deepest; noise (B, T, 2)."""
        when, which = noise.float().unbind(-1)
        rate = self.rate(features.float()).exp().clamp(*MIN_MAX_BLINKS_A_FRAME)
        around = 2 * REFRACTORY_FRAMES + 1
        # of a process that accepts a frame with p, (1 - (1 - p)^around) / around remain
        accepted = 1 - (1 - around * rate) ** (1 / around)
        candidate = when < torch.special.ndtri(accepted)
        marks = torch.where(candidate, -when, -torch.inf)
        lives = candidate & (marks >= nn.functional.max_pool1d(marks, around, stride=1, padding=REFRACTORY_FRAMES))
        row = (torch.special.ndtr(which) * MAX_STORED_BLINKS).long().clamp(max=MAX_STORED_BLINKS - 1)
        seconds, depth = self.kept[row].unbind(-1)
        return self._closure(lives * (DEEPER * depth).clamp(max=1.0), seconds.clamp(min=SHORTEST_SECONDS) * FPS)

    def close(self, eyes: Tensor, subject: Tensor, closure: Tensor) -> Tensor:
        """Offsets of open eyes (B, T, 60, 3) and subject (B, 478, 3), pixels -> offsets with the closure (B, T).

        Facing points of the lids keep their middle and lose that share of the way between them in all three
        directions: those of narrow or slanted eyes lie beside one another as well, and a slit would stay open.
        """
        points = subject[:, None, list(EYES)] + eyes
        height = (closure[..., None] * self.heights(points))[..., None].to(eyes)
        closed = eyes + height * self.displacement
        nearer = self.displacement[self.upper] - self.displacement[self.lower]
        wanted = closure[..., None, None] * (points[..., self.lower, :] - points[..., self.upper, :]) * nearer[:, 1:2]
        missing = (wanted - height[..., self.upper, :] * nearer) / 2
        closed[..., self.upper, :] += missing
        closed[..., self.lower, :] -= missing
        return closed

    def heights(self, points: Tensor) -> Tensor:
        """Points of the eyes group (..., 60, 3) -> what each moves in proportion to, (..., 60).

        A lid's point: its distance from the one that faces it, so that lids meet along their whole
        length whatever the eye's shape; any other point: the mean of these of its eye.
        """
        gaps = (points[..., self.lower, :] - points[..., self.upper, :]).norm(dim=-1)  # (..., 14): left, right
        each = gaps.shape[-1] // 2
        means = torch.stack((gaps[..., :each].mean(-1), gaps[..., each:].mean(-1)), dim=-1)
        heights = means[..., self.eye_of].clone()
        heights[..., self.upper] = gaps
        heights[..., self.lower] = gaps
        return heights

    def _closure(self, depth: Tensor, duration: Tensor) -> Tensor:
        """Depth (B, T), 0 where no blink starts, and duration in frames -> closure (B, T); the deeper blink counts."""
        peak = COURSE_TIMES[0] + self.course.argmax() / (len(COURSE_TIMES) - 1) * (COURSE_TIMES[-1] - COURSE_TIMES[0])
        # A blink's deepest instant falls on a frame, or the shortest ones would be missed between two.
        # (B, T, lags): what the blinks that start around a frame, the earliest first, give to it
        started = nn.functional.pad(depth, (MAX_BLINK_REACH_FRAMES, MAX_BLINK_REACH_FRAMES)).unfold(
            1, 2 * MAX_BLINK_REACH_FRAMES + 1, 1
        )
        lasting = nn.functional.pad(duration, (MAX_BLINK_REACH_FRAMES, MAX_BLINK_REACH_FRAMES), value=1.0).unfold(
            1, 2 * MAX_BLINK_REACH_FRAMES + 1, 1
        )
        since = torch.arange(MAX_BLINK_REACH_FRAMES, -MAX_BLINK_REACH_FRAMES - 1, -1, device=depth.device)
        time = peak + (since - (peak * lasting).round()) / lasting  # in durations from its start
        place = (time - COURSE_TIMES[0]) / (COURSE_TIMES[1] - COURSE_TIMES[0])
        inside = (place >= 0) & (place < len(COURSE_TIMES) - 1)
        low = place.floor().long().clamp(0, len(COURSE_TIMES) - 2)
        course = torch.lerp(self.course[low], self.course[low + 1], place - low)
        return (course * inside * started).amax(dim=-1)


def _bump() -> np.ndarray:
    """A course to start from: (61,), 1 a third of the way, below 1 - OPEN_SHARE of it outside of the blink."""
    return np.exp(
        np.log(1 - OPEN_SHARE) * np.where(COURSE_TIMES < 1 / 3, 3 * COURSE_TIMES - 1, (3 * COURSE_TIMES - 1) / 2) ** 2
    )


def _eye_of() -> list[int]:
    """To which eye (0 left, 1 right) each of the 60 rows of the eyes group belongs."""
    left = {*LEFT_IRIS, *LEFT_EYE, *LEFT_EYEBROW}
    assert left | {*RIGHT_IRIS, *RIGHT_EYE, *RIGHT_EYEBROW} == set(EYES)
    return [0 if landmark in left else 1 for landmark in EYES]
