"""Head and shoulders as BVH (Biovision hierarchy): a root at rest with three joints, centimetres."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from moda.exchange.skeleton import joints
from moda.files import write_text
from moda.representation import Motion

_CHANNELS = "CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation"


def write_bvh(path: Path, motion: Motion) -> None:
    """Write a motion's head pose and the mean place of each shoulder; raises `OutputError`."""
    parts = joints(motion)
    lines = ["HIERARCHY", "ROOT Root", "{", "\tOFFSET 0 0 0", f"\t{_CHANNELS}"]
    for part in parts:
        x, y, z = (100 * value for value in part.rest)
        lines += [
            f"\tJOINT {part.name}", "\t{", f"\t\tOFFSET {x:.6g} {y:.6g} {z:.6g}", f"\t\t{_CHANNELS}",
            "\t\tEnd Site", "\t\t{", "\t\t\tOFFSET 0 10 0", "\t\t}", "\t}",
        ]  # fmt: skip
    lines += ["}", "MOTION", f"Frames: {len(motion)}", f"Frame Time: {1 / motion.fps:.8f}"]
    columns = [np.zeros((len(motion), 6))]
    for part in parts:
        columns += [100 * (part.moved + np.array(part.rest)), part.degrees[:, ::-1]]
    for row in np.concatenate(columns, axis=1):
        lines.append(" ".join(f"{value:.6g}" for value in row))
    write_text(path, "\n".join(lines) + "\n")
