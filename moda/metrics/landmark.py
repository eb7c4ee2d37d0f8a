"""Metrics on tracked landmarks. Definitions: docs/method.md, section 6, with what it leaves open stated here.

Dimension letters: T frames, V landmarks. "px" are pixels of the square frame (512 wide); frames in
which either video has no face are left out.
"""

from __future__ import annotations

import numpy as np

from moda.landmarks import EYE_CORNERS, LIPS, OUTER_LIPS, canonical_face
from moda.metrics.clip_pair import ClipPair
from moda.metrics.polygon import polygon_iou
from moda.metrics.registry import NotAvailable, Value, metric
from moda.metrics.tracks import PairedTracks

MAX_LAG_FRAMES = 10
"""Frames searched to either side for the best lag."""
MIN_FRAMES = 25
"""Fewest frames (1 s) that a correlation or a spread is computed from."""
MIN_LIP_STD_PX = 1e-3
"""Spread of the lip opening, canonical pixels, under which a mouth counts as still."""


@metric(
    name="lmd",
    label="LMD",
    unit="px",
    better="lower",
    version=1,
    source="the paper; form inferred, docs/method.md, section 6",
    needs=("tracks", "frame"),
)
def lmd(clip: ClipPair) -> Value:
    """Mean over frames and the 40 lip landmarks of the distance, in x and y, between the landmarks detected in
    the generated and in the true video; not aligned, so head position counts too.
    """
    pair = clip.tracks
    if not pair.valid.any():
        return NotAvailable("no frame with a face in both videos")
    return _distance(_lips(pair.generated.landmarks) - _lips(pair.true.landmarks))


@metric(
    name="lmd_v",
    label="LMD-v",
    unit="px/frame",
    better="lower",
    version=1,
    source="the paper; form inferred, docs/method.md, section 6",
    needs=("tracks", "frame"),
)
def lmd_v(clip: ClipPair) -> Value:
    """LMD of the lips' velocity: the same distance between first differences over time."""
    pair = clip.tracks
    if not (pair.valid[1:] & pair.valid[:-1]).any():
        return NotAvailable("no two neighbouring frames with a face in both videos")
    return _distance(np.diff(_lips(pair.generated.landmarks) - _lips(pair.true.landmarks), axis=0))


@metric(
    name="lmd_aligned",
    label="LMD aligned",
    unit="% eyes",
    better="lower",
    version=1,
    source="ours: LMD without head motion",
)
def lmd_aligned(clip: ClipPair) -> Value:
    """LMD after rigid alignment of both faces to the canonical face, so without head motion: mean distance in x
    and y of the 40 lip landmarks, in percent of the true face's distance between outer eye corners.
    """
    pair = clip.tracks
    if not pair.valid.any():
        return NotAvailable("no frame with a face in both videos")
    return 100.0 * _distance(_lips(pair.generated.canonical) - _lips(pair.true.canonical)) / _eyes(pair)


@metric(
    name="lmd_v_aligned",
    label="LMD-v aligned",
    unit="% eyes/frame",
    better="lower",
    version=1,
    source="ours: LMD-v without head motion",
)
def lmd_v_aligned(clip: ClipPair) -> Value:
    """LMD-v after rigid alignment of both faces to the canonical face, in percent of the true face's distance
    between outer eye corners a frame.
    """
    pair = clip.tracks
    if not (pair.valid[1:] & pair.valid[:-1]).any():
        return NotAvailable("no two neighbouring frames with a face in both videos")
    change = np.diff(_lips(pair.generated.canonical) - _lips(pair.true.canonical), axis=0)
    return 100.0 * _distance(change) / _eyes(pair)


@metric(
    name="ma",
    label="MA",
    unit="IoU",
    better="higher",
    version=1,
    source="the paper",
    needs=("tracks", "frame"),
)
def mouth_area(clip: ClipPair) -> Value:
    """Mean over frames of intersection over union of the filled outer-lip contours (20 landmarks, even-odd rule)
    of the generated and the true face; not aligned.
    """
    pair = clip.tracks
    outer = list(OUTER_LIPS)
    overlap = polygon_iou(
        pair.generated.landmarks[pair.valid][:, outer, :2], pair.true.landmarks[pair.valid][:, outer, :2]
    )
    if not np.isfinite(overlap).any():
        return NotAvailable("no frame with a mouth polygon in both videos")
    return float(np.nanmean(overlap))


@metric(name="lip_corr", label="lip corr", unit="r", better="higher", version=1, source="ours")
def lip_correlation(clip: ClipPair) -> Value:
    """Pearson correlation, at lag 0, of generated and true lip opening (mean distance of the three central
    inner-lip pairs after rigid alignment to the canonical face).
    """
    pair = clip.tracks
    return _correlation(pair, 0)


@metric(name="lip_corr_best", label="lip corr, best lag", unit="r", better="higher", version=1, source="ours")
def best_lip_correlation(clip: ClipPair) -> Value:
    """The highest lip-opening correlation over lags of -10 to +10 frames."""
    pair = clip.tracks
    best = _best_lag(pair)
    return best if isinstance(best, NotAvailable) else best[1]


@metric(name="lip_lag", label="best lag", unit="frames", better="zero", version=1, digits=1, source="ours")
def best_lip_lag(clip: ClipPair) -> Value:
    """The lag of that highest correlation; positive means the generated lips move later than the true ones."""
    pair = clip.tracks
    best = _best_lag(pair)
    return best if isinstance(best, NotAvailable) else float(best[0])


@metric(name="opening_ratio", label="opening ratio", unit="ratio", better="one", version=1, source="ours")
def opening_ratio(clip: ClipPair) -> Value:
    """Standard deviation of the generated lip opening over that of the true one; under 1 the lips move too little."""
    pair = clip.tracks
    if pair.valid.sum() < MIN_FRAMES:
        return NotAvailable(f"fewer than {MIN_FRAMES} frames with a face in both videos")
    true_spread = pair.true.opening[pair.valid].std()
    if true_spread < MIN_LIP_STD_PX:
        return NotAvailable("the true lips do not move")
    return float(pair.generated.opening[pair.valid].std() / true_spread)


@metric(name="jitter", label="jitter", unit="px", better="lower", version=1, source="ours")
def jitter(clip: ClipPair) -> Value:
    """Mean length of the second difference over time, in x and y, of the 33 rigid landmarks of the generated
    face; holds the tracker's noise and true head motion too, so read it against the ground truth's row.
    """
    pair = clip.tracks
    rigid = pair.generated.landmarks[:, canonical_face().rigid, :2]
    second = np.diff(rigid, n=2, axis=0)
    if not np.isfinite(second).any():
        return NotAvailable("no three neighbouring frames with a face")
    return _distance(second)


def _eyes(pair: PairedTracks) -> float:
    """Median distance between the true face's outer eye corners after alignment, pixels."""
    right, left = (pair.true.canonical[:, corner, :2] for corner in EYE_CORNERS)
    return float(np.nanmedian(np.linalg.norm(left - right, axis=-1)))


def _lips(landmarks: np.ndarray) -> np.ndarray:
    return landmarks[:, list(LIPS), :2]


def _distance(difference: np.ndarray) -> float:
    """Mean length of (T, V, 2) vectors, without frames that hold NaN."""
    return float(np.nanmean(np.linalg.norm(difference, axis=-1)))


def _correlation(pair: PairedTracks, lag: int) -> Value:
    """Correlation of true[t] with generated[t + lag] over all t that exist and are tracked."""
    frames = len(pair)
    true = pair.true.opening[max(0, -lag) : frames - max(0, lag)]
    generated = pair.generated.opening[max(0, lag) : frames - max(0, -lag)]
    valid = np.isfinite(true) & np.isfinite(generated)
    if valid.sum() < MIN_FRAMES:
        return NotAvailable(f"fewer than {MIN_FRAMES} frames with a face in both videos")
    true, generated = true[valid], generated[valid]
    if true.std() < MIN_LIP_STD_PX:
        return NotAvailable("the true lips do not move")
    if generated.std() < MIN_LIP_STD_PX:
        return NotAvailable("the lips do not move")
    return float(np.corrcoef(true, generated)[0, 1])


def _best_lag(pair: PairedTracks) -> tuple[int, float] | NotAvailable:
    if len(pair) < MIN_FRAMES + MAX_LAG_FRAMES:
        return NotAvailable(f"shorter than {MIN_FRAMES + MAX_LAG_FRAMES} frames")
    best: tuple[int, float] | None = None
    for lag in sorted(range(-MAX_LAG_FRAMES, MAX_LAG_FRAMES + 1), key=abs):  # of equals, the lag nearest to 0
        value = _correlation(pair, lag)
        if isinstance(value, NotAvailable):
            return value
        if best is None or value > best[1] + 1e-9:
            best = (lag, value)
    return best if best is not None else NotAvailable("no lag to search")
