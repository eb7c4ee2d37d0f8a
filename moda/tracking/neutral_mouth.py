"""A neutral estimate of a face whose one picture is not: a mouth that is open in it is closed, lips and all.

`moda.geometry.subject_mesh` closes the inner and outer lips. Between them the mesh has two more rings of points;
left where an open mouth had them they would fold the lips as soon as these move.
"""

from __future__ import annotations

import numpy as np

from moda.landmarks import INNER_LIP_PAIRS

_UPPER = ((183, 184), (42, 74), (41, 73), (38, 72), (12, 11), (268, 302), (271, 303), (272, 304), (407, 408))
_LOWER = ((96, 77), (89, 90), (179, 180), (86, 85), (15, 16), (316, 315), (403, 404), (319, 320), (325, 307))
"""The points between inner and outer lip, above and below each of `INNER_LIP_PAIRS`, in its order."""


def with_whole_lips(subject: np.ndarray, canonical: np.ndarray) -> np.ndarray:
    """The mesh at rest (478, 3) with the red of the lips moved as their edges were.

    subject: `subject_mesh` of the one frame `canonical` (478, 3), whose points it holds but for those of the mouth.
    """
    whole = np.array(subject)
    for (upper, lower), above, below in zip(INNER_LIP_PAIRS, _UPPER, _LOWER, strict=True):
        for edge, between in ((upper, above), (lower, below)):
            whole[list(between)] += subject[edge] - canonical[edge]
    return whole
