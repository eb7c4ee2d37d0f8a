"""The photo store: photographs of one face each, measured as a reference picture is, to train the renderer on.

    STORE/photos.json        {"format": 1, "size": 512}
    STORE/photos/<id>.npz    image (S, S, 3) uint8 RGB, S at most `size`; landmarks, rotation, translation, scale,
                             subject, torso
                 <id>.json   {"file", "folder", "stamp", "status": "kept" or "rejected", "reason"}, written last

Landmarks are pixels of the square frame, as in a clip.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from moda.errors import DataError
from moda.locations import command
from moda.reading import read_arrays, read_json
from moda.representation import HeadPose, Portrait

FORMAT = 1
KEPT, REJECTED = "kept", "rejected"
ARRAYS = ("image", "landmarks", "rotation", "translation", "scale", "subject", "torso")


def arrays_of(portrait: Portrait, image: np.ndarray) -> dict[str, np.ndarray]:
    """What a photograph's .npz holds; image: its square, (S, S, 3) uint8 RGB."""
    pose = portrait.pose
    found = {
        "landmarks": portrait.landmarks, "rotation": pose.rotation, "translation": pose.translation,
        "scale": np.asarray(pose.scale), "subject": portrait.subject, "torso": portrait.torso,
    }  # fmt: skip
    return {"image": image} | {name: values.astype(np.float32) for name, values in found.items()}


class PhotoStore:
    """A folder of prepared photographs; may be sent to another process."""

    def __init__(self, root: Path, ids: list[str]) -> None:
        self.root, self.ids = root, ids

    @staticmethod
    def open(root: Path) -> PhotoStore:
        """Raises `DataError` if there is none at `root`, it is of another format, or holds no photograph."""
        if not (root / "photos.json").is_file():
            raise DataError(
                f"no photo store at {root} (photos.json is missing); make one with '{command('prepare')} --photos'"
            )
        found = read_json(root / "photos.json").get("format")
        if found != FORMAT:
            raise DataError(
                f"photo store {root} has format {found!r}, wanted {FORMAT}; prepare it again "
                f"('{command('prepare')} --photos')"
            )
        records = sorted((root / "photos").glob("[!.]*.json"))
        ids = [path.stem for path in records if read_json(path).get("status") == KEPT]
        if not ids:
            raise DataError(f"the photo store {root} holds no photograph; see what '{command('prepare')}' says of them")
        return PhotoStore(root, ids)

    def __len__(self) -> int:
        return len(self.ids)

    def photo(self, number: int) -> Portrait:
        """One photograph, its person mask 1 everywhere; raises `DataError` if its file is damaged."""
        path = self.root / "photos" / f"{self.ids[number]}.npz"
        found: dict[str, Any] = read_arrays(path, ARRAYS, hint="; prepare the photographs again")
        pose = HeadPose(*(found.pop(name).astype(np.float64) for name in ("rotation", "translation", "scale")))
        return Portrait(pose=pose, person=np.ones(found["image"].shape[:2], np.float32), **found)

    def fingerprint(self) -> str:
        """Equal for stores of the same photographs of the same size in bytes."""
        digest = hashlib.sha256()
        for photo_id in self.ids:
            digest.update(f"{photo_id} {(self.root / 'photos' / f'{photo_id}.npz').stat().st_size}\n".encode())
        return digest.hexdigest()[:32]
