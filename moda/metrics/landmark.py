"""Metrics on tracked landmarks: LMD, LMD-v, MA, lip correlation, jitter (docs/method.md, section 6).

Dimension letters: T frames, V landmarks. "px" are pixels of the square frame (512 wide); frames in which either video
has no face are left out.
"""

from __future__ import annotations

import numpy as np

from moda.landmarks import EYE_CORNERS, LIPS, OUTER_LIPS, canonical_face
from moda.metrics.registry import ClipPair, NotAvailable, Value, metric
from moda.metrics.tracks import PairedTracks

MAX_LAG_FRAMES = 10
"""Frames searched to either side for the best lag."""
MIN_FRAMES = 25
"""Fewest frames (1 s) that a correlation or a spread is computed from."""
MIN_LIP_STD_PX = 1e-3
"""Standard deviation of the lip opening, canonical pixels, under which a mouth counts as still."""
MIN_SCAN_LINES = 160
"""Scan lines per pair of polygons, at least."""
CHUNK_FRAMES = 256
"""Frames at a time, to bound memory."""


@metric(
    name="lmd",
    label="LMD",
    unit="px",
    better="lower",
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
    source="ours: LMD without head motion",
)
def lmd_aligned(clip: ClipPair) -> Value:
    """LMD after rigid alignment of both faces to the canonical face, so without head motion: mean distance in x
    and y of the 40 lip landmarks, in percent of the true face's distance between outer eye corners.
    """
    pair = clip.tracks
    if not pair.valid.any():
        return NotAvailable("no frame with a face in both videos")
    return 100.0 * _distance(_lips(pair.generated.canonical) - _lips(pair.true.canonical)) / eye_distance(pair)


@metric(
    name="lmd_motion",
    label="LMD of motion",
    unit="% eyes",
    better="lower",
    source="ours: LMD aligned without the shape",
)
def lmd_motion(clip: ClipPair) -> Value:
    """LMD aligned after each face's own mean lip shape over the clip is removed: how far the lips' movement is from the
    true one, whatever their shape at rest. A mouth that does not move scores the size of the true movement.
    """
    pair = clip.tracks
    if not pair.valid.any():
        return NotAvailable("no frame with a face in both videos")
    moved = [_lips(face.canonical)[pair.valid] for face in (pair.generated, pair.true)]
    made, true = (lips - lips.mean(axis=0) for lips in moved)
    return 100.0 * _distance(made - true) / eye_distance(pair)


@metric(
    name="lmd_v_aligned",
    label="LMD-v aligned",
    unit="% eyes/frame",
    better="lower",
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
    return 100.0 * _distance(change) / eye_distance(pair)


@metric(
    name="ma",
    label="MA",
    unit="IoU",
    better="higher",
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


@metric(name="lip_corr", label="lip corr", unit="r", better="higher", source="ours")
def lip_correlation(clip: ClipPair) -> Value:
    """Pearson correlation, at lag 0, of generated and true lip opening (mean distance of the three central
    inner-lip pairs after rigid alignment to the canonical face).
    """
    return _correlation(clip.tracks, 0)


@metric(name="lip_corr_best", label="lip corr, best lag", unit="r", better="higher", source="ours")
def best_lip_correlation(clip: ClipPair) -> Value:
    """The highest lip-opening correlation over lags of -10 to +10 frames."""
    best = _best_lag(clip.tracks)
    return best if isinstance(best, NotAvailable) else best[1]


@metric(name="lip_lag", label="best lag", unit="frames", better="zero", digits=1, source="ours")
def best_lip_lag(clip: ClipPair) -> Value:
    """The lag of that highest correlation; positive means the generated lips move later than the true ones."""
    best = _best_lag(clip.tracks)
    return best if isinstance(best, NotAvailable) else float(best[0])


@metric(name="opening_ratio", label="opening ratio", unit="ratio", better="one", source="ours")
def opening_ratio(clip: ClipPair) -> Value:
    """Standard deviation of the generated lip opening over that of the true one; under 1 the lips move too little."""
    pair = clip.tracks
    if pair.valid.sum() < MIN_FRAMES:
        return NotAvailable(f"fewer than {MIN_FRAMES} frames with a face in both videos")
    true_spread = pair.true.opening[pair.valid].std()
    if true_spread < MIN_LIP_STD_PX:
        return NotAvailable("the true lips do not move")
    return float(pair.generated.opening[pair.valid].std() / true_spread)


@metric(name="jitter", label="jitter", unit="px", better="lower", source="ours")
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


def eye_distance(pair: PairedTracks) -> float:
    """Median distance between the true face's outer eye corners after alignment, pixels."""
    right, left = (pair.true.canonical[:, corner, :2] for corner in EYE_CORNERS)
    return float(np.nanmedian(np.linalg.norm(left - right, axis=-1)))


def _lips(landmarks: np.ndarray) -> np.ndarray:
    return landmarks[:, list(LIPS), :2]


def _distance(difference: np.ndarray) -> float:
    """Mean length of (T, V, 2) vectors, without frames that hold NaN."""
    return float(np.nanmean(np.linalg.norm(difference, axis=-1)))


def lagged(true: np.ndarray, generated: np.ndarray, lag: int) -> tuple[np.ndarray, np.ndarray]:
    """Of two curves (T,) the values of true[t] and of generated[t + lag], over all t that both have."""
    return true[max(0, -lag) : len(true) - max(0, lag)], generated[max(0, lag) : len(generated) - max(0, -lag)]


def _correlation(pair: PairedTracks, lag: int) -> Value:
    """Correlation of true[t] with generated[t + lag] over all t that exist and are tracked."""
    true, generated = lagged(pair.true.opening, pair.generated.opening, lag)
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


def polygon_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of filled polygons, frame by frame, by scan lines.

    first: (T, P, 2), second: (T, Q, 2) closed contours (the first point not repeated), filled by the even-odd rule.
    Returns (T,); NaN where both are empty.

    Between two neighbouring vertex heights the width of a polygon is linear in y, so its middle line gives the exact
    area. Only the overlap bends where edges cross, and for that each such slab is cut into finer ones. Along x
    everything is exact. There are no pixels, so the result does not depend on the size of the picture.
    """
    chunks = [
        _iou(first[i : i + CHUNK_FRAMES], second[i : i + CHUNK_FRAMES]) for i in range(0, len(first), CHUNK_FRAMES)
    ]
    return np.concatenate(chunks) if chunks else np.zeros(0)


def _iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    heights = np.sort(np.concatenate([first[..., 1], second[..., 1]], axis=1), axis=1)
    slab = np.diff(heights, axis=1)
    lines_a_slab = -(-MIN_SCAN_LINES // slab.shape[1])
    parts = (np.arange(lines_a_slab) + 0.5) / lines_a_slab
    lines = (heights[:, :-1, None] + slab[..., None] * parts).reshape(len(first), -1)
    thickness = np.repeat(slab / lines_a_slab, lines_a_slab, axis=1)

    crossings = [_crossings(polygon, lines) for polygon in (first, second)]
    stops = np.sort(np.concatenate(crossings, axis=2), axis=2)  # (T, L, K), inf where there are fewer
    with np.errstate(invalid="ignore"):
        length = np.diff(stops, axis=2)
    length = np.where(np.isfinite(length), length, 0.0)
    # Inside one polygon after an odd number of its crossings.
    left = stops[..., :-1, None]
    inside = [((c[..., None, :] <= left).sum(axis=-1) % 2 == 1) & np.isfinite(left[..., 0]) for c in crossings]
    both = (length * (inside[0] & inside[1])).sum(axis=2)
    either = (length * (inside[0] | inside[1])).sum(axis=2)
    intersection, union = (both * thickness).sum(axis=1), (either * thickness).sum(axis=1)
    return np.divide(intersection, union, out=np.full(len(first), np.nan), where=union > 0)


def _crossings(polygon: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """Where scan lines (T, L) cross the edges of (T, P, 2): sorted x (T, L, K), filled up with inf."""
    start, end = polygon[:, None], np.roll(polygon, -1, axis=1)[:, None]  # (T, 1, P, 2)
    y = lines[..., None]
    crosses = (start[..., 1] <= y) != (end[..., 1] <= y)
    rise = np.where(crosses, end[..., 1] - start[..., 1], 1.0)
    x = start[..., 0] + (y - start[..., 1]) / rise * (end[..., 0] - start[..., 0])
    x = np.sort(np.where(crosses, x, np.inf), axis=2)
    return x[..., : max(1, int(crosses.sum(axis=2).max(initial=0)))]
