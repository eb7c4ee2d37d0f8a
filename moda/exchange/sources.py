"""Motion from whatever holds it: a motion file, a table, Live Link Face's table, a video with a face."""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path

from moda.exchange.arkit import read_live_link
from moda.exchange.table import Table, read_table
from moda.reading import require_file
from moda.representation import SHAPES, Motion
from moda.tracking.driving import track_motion

ALL = frozenset((*SHAPES, "gaze", "blinks"))

log = logging.getLogger(__name__)


def read_motion(path: Path) -> Table:
    """The motion in a file, and which of its parts the file tells of. Raises a `ModaError` for what holds none."""
    require_file(path, "source of motion")
    if zipfile.is_zipfile(path):
        return Table(Motion.load(path), ALL)
    with path.open("rb") as file:
        head = file.read(4096)
    if path.suffix.lower() != ".csv":
        log.info("%s: tracking the face of the video", path)
        return Table(track_motion(path), ALL - {"torso"})
    if head.lstrip(b"\xef\xbb\xbf").startswith(b"Timecode"):
        return Table(read_live_link(path), frozenset({"head"}))
    return read_table(path)
