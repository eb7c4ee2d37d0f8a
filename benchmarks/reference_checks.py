"""Which reference faces are refused: free ones, covered ones, turned ones.

FOLDERS hold pictures and videos (their first frame) of faces with free mouths: whatever is refused or noted there is
listed, to be looked at. Over --covered of them things are drawn (benchmarks/covered_mouths.py), with seed 1; --turned
of them are turned by quarters.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.covered_mouths import KINDS, Face, cover
from moda.errors import FaceError, ModaError
from moda.geometry import fit_head_pose, to_canonical
from moda.imaging.crop import face_size, from_frame
from moda.media.picture import read_picture
from moda.tracking.checks import (
    MAX_HIDDEN_SHARE,
    MIN_UPRIGHT_PROBABILITY,
    NOTED_HIDDEN_SHARE,
    ReferenceFace,
    check_face,
)
from moda.tracking.face import FaceTracker
from moda.tracking.face_choice import upright_face
from moda.tracking.face_view import look_at
from moda.tracking.portrait import MAX_FACES, track_in_square

MAX_MESH_ERROR = 0.1
"""Largest mean distance of landmarks from their right places, in sizes of the face, of a right mesh."""
SHARES = ((0.0, 0.1), (0.1, 0.4), (0.4, 0.7), (0.7, 1.01))
"""Groups by the true share of the lips that is hidden."""


def verdict_on(
    tracker: FaceTracker, image: np.ndarray, name: str
) -> tuple[str, ReferenceFace | None, np.ndarray | None]:
    """Verdict in a word, what the checks saw, and the landmarks in the upright picture."""
    try:
        upright, face = upright_face(tracker, image, 1, name)
    except FaceError:
        return "no face", None, None
    box, square, landmarks = track_in_square(tracker, upright, face)
    pose = fit_head_pose(landmarks[None])
    placed = from_frame(landmarks, box)
    canonical = to_canonical(landmarks[None], pose)[0]
    seen = ReferenceFace(placed, upright.shape[1::-1], canonical, pose[0], look_at(square, landmarks, pose[0]))
    try:
        remarks = check_face(seen, name)
    except FaceError:
        reason = (
            "covered"
            if seen.view.hidden > MAX_HIDDEN_SHARE
            else "misplaced"
            if seen.view.upright < MIN_UPRIGHT_PROBABILITY
            else "other"
        )
        return f"refused: {reason}", seen, placed
    return ("noted" if any("cover" in remark for remark in remarks) else "passed"), seen, placed


def pictures(folders: list[Path]) -> Iterator[tuple[str, np.ndarray]]:
    for folder in folders:
        for path in sorted(folder.iterdir()):
            try:
                yield str(path), read_picture(path)
            except ModaError as error:
                print(error)


def table(title: str, counts: dict[str, Counter[str]]) -> None:
    verdicts = sorted({verdict for row in counts.values() for verdict in row})
    print(f"\n{title:34s}" + "".join(f"{verdict:>20s}" for verdict in verdicts))
    for name, row in counts.items():
        print(f"{name:34s}" + "".join(f"{row[verdict]:20d}" for verdict in verdicts))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--covered", type=int, default=200)
    parser.add_argument("--turned", type=int, default=100)
    arguments = parser.parse_args(argv)
    rng = np.random.default_rng(1)
    free: dict[str, Counter[str]] = {}
    free_faces: list[tuple[str, np.ndarray, np.ndarray]] = []
    with FaceTracker(video=False, max_faces=MAX_FACES) as tracker:
        for name, image in pictures(arguments.folders):
            verdict, seen, landmarks = verdict_on(tracker, image, name)
            free.setdefault(str(Path(name).parent), Counter())[verdict] += 1
            if verdict != "passed":
                print(f"{verdict}: {name}" + (f" hidden {seen.view.hidden:.2f}" if seen else ""), flush=True)
            elif landmarks is not None:
                free_faces.append((name, image, landmarks))
        table("free mouths", free)

        covered: dict[str, Counter[str]] = {}
        shares: dict[str, Counter[str]] = {
            f"{low:.0%} to {min(high, 1):.0%} of the lips": Counter() for low, high in SHARES
        }
        for number in rng.permutation(len(free_faces))[: arguments.covered]:
            name, image, landmarks = free_faces[number]
            for kind in KINDS:
                shift = tuple(rng.normal(0, 0.12, 2))
                drawn, hidden = cover(image, landmarks, kind, rng, [other for _, other, _ in free_faces[:20]], shift)
                share = float(hidden[Face(image, landmarks).mouth_area()].mean())
                verdict = verdict_on(tracker, drawn, name)[0]
                row = next(row for row, (low, high) in zip(shares, SHARES, strict=True) if low <= share < high)
                shares[row][verdict] += 1
                if share >= SHARES[-1][0]:
                    covered.setdefault(kind, Counter())[verdict] += 1
        table(f"covered, at least {SHARES[-1][0]:.0%} of the lips", covered)
        table(f"by share (limits {NOTED_HIDDEN_SHARE:.0%}, {MAX_HIDDEN_SHARE:.0%})", shares)

        turned: dict[str, Counter[str]] = {}
        for number in rng.permutation(len(free_faces))[: arguments.turned]:
            name, image, landmarks = free_faces[number]
            for quarters in (1, 2, 3):
                verdict, _, placed = verdict_on(tracker, np.ascontiguousarray(np.rot90(image, quarters)), name)
                if placed is not None and verdict in ("passed", "noted"):
                    apart = np.linalg.norm((placed - landmarks)[:, :2], axis=1).mean() / face_size(landmarks)
                    verdict = "wrong mesh" if apart > MAX_MESH_ERROR else "right mesh"
                turned.setdefault(f"by {90 * quarters} degrees", Counter())[verdict] += 1
        table("turned", turned)
    return 0


if __name__ == "__main__":
    sys.exit(main())
