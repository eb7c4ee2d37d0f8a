"""Blinks drawn as events: their rate, their spacing, that windows agree, and what the lids do."""

import math

import numpy as np
import pytest
import torch

from moda.blinks import COURSE_TIMES, find_blinks
from moda.landmarks import EYES, LEFT_EYEBROW, LEFT_EYELID_PAIRS, N_EYES, canonical_face, eye_opening
from moda.nn.blinks import DEEPER, MAX_LOG_RATE_CHANGE, REFRACTORY_FRAMES, SHORTEST_SECONDS, BlinkProcess, BlinkSample
from moda.windows import SlidingWindow, run_windowed

WIDTH = 8
MINUTE = 1500
ROW = {landmark: i for i, landmark in enumerate(EYES)}


def mesh() -> torch.Tensor:
    """The canonical face with irises in the middle of its eyes, (478, 3)."""
    face = canonical_face().vertices
    irises = [face[[362, 263]].mean(0)] * 5 + [face[[33, 133]].mean(0)] * 5
    return torch.from_numpy(np.concatenate([face, irises])).float()


def sample(seconds: float = 0.16, depth: float = 0.9, size: float = 1.0) -> BlinkSample:
    """A blink in which upper lids fall to `depth` of the way to the lower ones."""
    process = BlinkProcess(WIDTH)
    eyes = size * mesh()[list(EYES)].double()
    change = torch.zeros(N_EYES, 3, dtype=torch.double)
    change[process.upper, 1] = depth * process.heights(eyes)[process.upper]
    rising = np.interp(COURSE_TIMES, [0, 0.4, 1.4], [0, 1, 0])
    return BlinkSample(seconds, depth, rising, eyes.numpy(), change.numpy())


def fitted(rate: float = 20 / MINUTE, **changes: float) -> BlinkProcess:
    torch.manual_seed(0)
    process = BlinkProcess(WIDTH).eval()
    process.fit(rate, [sample(**changes)])
    return process


def noise(frames: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, frames, 2, generator=torch.Generator().manual_seed(seed))


def features(frames: int) -> torch.Tensor:
    return torch.randn(1, frames, WIDTH, generator=torch.Generator().manual_seed(9))


def starts(closure: torch.Tensor) -> torch.Tensor:
    """First frames of stretches of closure."""
    shut = torch.nn.functional.pad((closure[0] > 0).int(), (1, 0))
    return torch.nonzero(shut.diff() == 1)[:, 0]


@pytest.mark.parametrize("a_minute", [5, 20, 45])
def test_blinks_come_at_the_rate_that_was_fitted_though_crowded_ones_are_dropped(a_minute: int) -> None:
    process = fitted(a_minute / MINUTE, seconds=0.1)
    minutes = 200
    found = len(starts(process.draw(features(minutes * MINUTE), noise(minutes * MINUTE))))
    spread = math.sqrt(a_minute * minutes)  # of a Poisson process; this one is more even
    assert abs(found - a_minute * minutes) < 3 * spread


def test_no_blink_begins_before_the_last_one_is_over() -> None:
    process = fitted(45 / MINUTE, seconds=0.1)
    gaps = starts(process.draw(features(60 * MINUTE), noise(60 * MINUTE))).diff()
    assert gaps.min() == REFRACTORY_FRAMES + 1
    assert gaps.max() > 10 * REFRACTORY_FRAMES


def test_windows_agree_with_one_pass() -> None:
    """300 by 150 frames, merged, against 450 at once: the same but near the ends, where windows weigh little."""
    process, frames = fitted(40 / MINUTE), 450
    seen = features(frames)
    for seed in range(20):
        drawn = noise(frames, seed)
        whole = process.draw(seen, drawn)[0]
        assert (whole > 0.8).any()

        def window(start: int, stop: int, drawn: torch.Tensor = drawn) -> dict[str, torch.Tensor]:
            return {"closure": process.draw(seen[:, start:stop], drawn[:, start:stop])[0]}

        parts = window(0, 300)["closure"], window(150, 450)["closure"]
        edge = 2 * REFRACTORY_FRAMES
        assert torch.equal(parts[0][: 300 - edge], whole[: 300 - edge])
        assert torch.equal(parts[1][edge:], whole[150 + edge :])
        merged = run_windowed(window, frames, window=SlidingWindow(300, 150))["closure"]
        torch.testing.assert_close(merged[150 + edge : 300 - edge], whole[150 + edge : 300 - edge])
        # within the edges of windows a blink may be missing in the one that has a small weight there
        assert (merged - whole).abs().max() < 0.16


def test_the_noise_decides_and_another_gives_other_blinks() -> None:
    process = fitted()
    one, again, two = (process.draw(features(MINUTE), noise(MINUTE, seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one > 0, two > 0)
    longer = noise(MINUTE, 1)
    longer[..., 1] = 3.0  # the same moments, other blinks
    process.kept[-1] = torch.tensor([0.3, 0.5 / DEEPER])
    other = process.draw(features(MINUTE), longer)
    assert torch.equal(starts(one).diff(), starts(other).diff())
    assert other.max() == pytest.approx(0.5) and (other > 0).sum() > 1.5 * (one > 0).sum()


@pytest.mark.parametrize("frames", [1, 2, 25])
def test_short_windows_work(frames: int) -> None:
    closure = fitted().draw(features(frames), noise(frames))
    assert closure.shape == (1, frames) and torch.isfinite(closure).all()


@pytest.mark.parametrize("seconds", [0.12, 0.17, 0.4])
def test_a_blink_reaches_its_depth_and_lasts_as_long_as_it_should(seconds: float) -> None:
    process = fitted(seconds=seconds, depth=0.9)
    process.kept[:, 1] = 0.8 / DEEPER
    closure = process.draw(features(20 * MINUTE), noise(20 * MINUTE))
    assert closure.max() == pytest.approx(0.8, abs=1e-4)
    blinks = find_blinks(1 - closure[0].numpy())
    # below 0.7 while the course is above 0.3 / 0.8: this much of the durations that its straight lines last
    share = 0.3 / 0.8
    lasting = (1.4 - share) - share * 0.4
    assert len(blinks) > 300
    assert np.mean([blink.seconds for blink in blinks]) == pytest.approx(
        max(SHORTEST_SECONDS, seconds) * lasting, rel=0.15
    )


def test_lids_close_fast_after_the_onset_and_open_slowly() -> None:
    """One blink of five frames from frame 30: deepest two frames later, and open again five after that."""
    process = fitted(seconds=0.2)
    drawn = torch.full((1, 60, 2), 3.0)
    drawn[0, 30, 0] = -8.0
    closure = process.draw(features(60), drawn)[0]
    wanted = torch.zeros(60)
    wanted[30:37] = torch.tensor([0.0, 0.5, 1.0, 0.8, 0.6, 0.4, 0.2])
    torch.testing.assert_close(closure, wanted, atol=1e-5, rtol=0)


def test_lids_go_further_than_the_tracker_saw_and_never_past_one_another() -> None:
    process = fitted()
    drawn = []
    for seen in (0.4, 0.6, 1.0):
        process.kept[:, 1] = seen
        drawn.append(float(process.draw(features(MINUTE), noise(MINUTE)).max()))
    assert drawn == pytest.approx([0.4 * DEEPER, 0.6 * DEEPER, 1.0], abs=1e-4)


@pytest.mark.parametrize("size", [0.7, 1.0, 1.4])
def test_lids_meet_in_every_face_and_brows_stay(size: float) -> None:
    process, subject = fitted(), size * mesh()[None]
    eyes = 0.1 * torch.randn(1, 3, N_EYES, 3, generator=torch.Generator().manual_seed(2))
    closed = process.close(eyes, subject, torch.tensor([[0.0, 0.5, 1.0]]))
    assert torch.equal(closed[:, 0], eyes[:, 0])
    faces = subject[:, None].repeat(1, 3, 1, 1)
    faces[:, :, list(EYES)] += eyes
    gap = faces[0, :, process_landmarks(process.lower)] - faces[0, :, process_landmarks(process.upper)]
    assert gap[..., 0].abs().max() > 0.1  # facing points lie beside one another as well
    shut = closed - eyes
    left = gap + shut[0, :, process.lower] - shut[0, :, process.upper]
    assert (left[1] - 0.5 * gap[1]).abs().max() < 1e-4  # half of the way
    assert left[2].abs().max() < 1e-4  # all of it
    brows = [ROW[landmark] for landmark in LEFT_EYEBROW]
    assert shut[:, :, brows].abs().max() == 0  # the blink that was learned moved none
    faces[:, :, list(EYES)] += shut
    share = eye_opening(faces[0].numpy())
    assert share[2] < 0.01 * share[0] and share[1] == pytest.approx(0.5 * share[0], rel=0.02)


def process_landmarks(rows: torch.Tensor) -> list[int]:
    return [EYES[row] for row in rows]


def test_facing_points_are_those_of_the_eye_opening() -> None:
    process = BlinkProcess(WIDTH)
    pairs = list(zip(process_landmarks(process.upper), process_landmarks(process.lower), strict=True))
    assert len(pairs) == 14 and set(LEFT_EYELID_PAIRS) <= set(pairs)
    points = mesh()[list(EYES)]
    heights = process.heights(points)
    upper, lower = ROW[386], ROW[374]
    assert heights[upper] == heights[lower] == pytest.approx(float((points[upper] - points[lower]).norm()))
    left = [i for i, (a, _) in enumerate(pairs) if a in {384, 385, 386, 387, 388, 398, 466}]
    gaps = (points[process.upper] - points[process.lower]).norm(dim=-1)
    assert heights[ROW[276]] == pytest.approx(float(gaps[left].mean()))  # a brow moves with its eye


def test_what_is_learned_does_not_depend_on_how_large_the_faces_are() -> None:
    process = BlinkProcess(WIDTH)
    process.fit(0.01, [sample(size=0.5), sample(size=1.0), sample(size=2.0)])
    torch.testing.assert_close(process.displacement, fitted().displacement, atol=1e-5, rtol=1e-4)
    assert process.displacement[process.upper, 1].sub(1).abs().max() < 1e-5
    assert process.displacement[process.lower].abs().max() < 1e-5


@pytest.mark.parametrize("factor", [0.8, 1.3])
def test_lids_that_passed_each_other_or_left_a_gap_are_made_to_meet(factor: float) -> None:
    process, one = BlinkProcess(WIDTH), sample()
    process.fit(0.01, [one._replace(change=factor * one.change)])
    upper, lower = process.displacement[process.upper], process.displacement[process.lower]
    torch.testing.assert_close(upper[:, 1], torch.full((14,), (factor + 1) / 2))
    torch.testing.assert_close(lower[:, 1], torch.full((14,), (factor - 1) / 2))


def test_durations_outside_of_a_blinks_are_left_out_and_depths_are_relative_to_shut_eyes() -> None:
    process = BlinkProcess(WIDTH)
    process.fit(0.01, [sample(0.08), sample(0.45), sample(0.2, 0.9), sample(0.3, 0.9), sample(0.12, 0.45)])
    assert process.kept[0].tolist() == pytest.approx([0.12, 0.5])
    assert process.kept[-1].tolist() == pytest.approx([0.3, 1.0])
    assert set(process.kept[:, 0].tolist()) == set(torch.tensor([0.12, 0.2, 0.3]).tolist())


def test_without_a_blink_to_learn_from_eyes_stay_open() -> None:
    process = fitted()
    process.fit(0.0, [])
    eyes = torch.zeros(1, 20 * MINUTE, N_EYES, 3)
    closure = process.draw(features(20 * MINUTE), noise(20 * MINUTE))
    assert torch.equal(process.close(eyes, mesh()[None], closure), eyes)


def test_likelihood_by_hand() -> None:
    process = BlinkProcess(WIDTH).eval()
    onsets = torch.tensor([[0.0, 1.0, 0.0, 1.0]])
    seen = torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    found = process.loss(features(4), onsets, seen, torch.tensor([0.02]))
    assert found.item() == pytest.approx(25 * (3 * 0.02 - math.log(0.02)) / 3, rel=1e-5)
    onsets[0, 3] = 7.0  # not seen, so it does not count
    assert process.loss(features(4), onsets, seen, torch.tensor([0.02])) == found
    assert torch.isfinite(process.loss(features(4), onsets, torch.zeros(1, 4), torch.tensor([0.0])))


def test_the_head_learns_when_within_its_bound() -> None:
    """Blinks where a feature is high: the rate goes up there and down elsewhere, by a factor of 2 at most."""
    torch.manual_seed(0)
    process = BlinkProcess(WIDTH, dropout=0.0)
    process.fit(0.02, [sample()])
    seen = torch.randn(4, 500, WIDTH)
    high = seen[..., 0] > 0.5
    onsets = (high & (torch.rand(4, 500) < 0.06)).float()
    usual = torch.full((4,), 0.02)
    optimizer = torch.optim.Adam(process.parameters(), lr=1e-2)
    first = process.loss(seen, onsets, torch.ones(4, 500), usual)
    for _ in range(150):
        optimizer.zero_grad()
        loss = process.loss(seen, onsets, torch.ones(4, 500), usual)
        loss.backward()
        optimizer.step()
    rate = process.rate(seen).exp()
    assert loss < 0.9 * first
    assert rate[high].mean() > 2.5 * rate[~high].mean()
    limit = math.exp(MAX_LOG_RATE_CHANGE) * 1.001
    assert rate.max() < 0.02 * limit and rate.min() > 0.02 / limit


def test_it_is_saved_with_its_statistics() -> None:
    one, two = fitted(0.03, seconds=0.3), BlinkProcess(WIDTH).eval()
    two.load_state_dict(one.state_dict())
    assert torch.equal(one.draw(features(MINUTE), noise(MINUTE)), two.draw(features(MINUTE), noise(MINUTE)))
    assert torch.equal(one.displacement, two.displacement)
