"""The clip store: a folder of prepared clips with their splits; `clip.py` says what it holds."""

from __future__ import annotations

import contextlib
import os
from functools import cached_property
from pathlib import Path

from moda.data.clip import Clip
from moda.data.index import FILE as INDEX
from moda.data.index import Index, write_index
from moda.data.remote import RemoteStore, address
from moda.errors import DataError, OutputError
from moda.files import write_json, write_text
from moda.locations import command
from moda.reading import read_json, read_lines
from moda.representation import FPS, SAMPLE_RATE

FORMAT = 2
SPLITS = ("train", "val", "test")
SPLIT_FILES = tuple(f"splits/{name}.txt" for name in SPLITS)
MAX_SIDE_PX = 1 << 14
MAX_NAME = 255


class ClipStore:
    """A folder of prepared clips with their splits."""

    def __init__(self, root: Path, size: int, remote: RemoteStore | None = None) -> None:
        self.root = root
        """Its folder on this machine."""
        self.size = size
        """Side of every video, pixels."""
        self._remote = remote
        self._clips: dict[str, Clip] = {}

    @cached_property
    def _index(self) -> Index:
        return Index(self.root, trusted=self._remote is not None)

    @staticmethod
    def open(root: Path | str) -> ClipStore:
        """Open a store; raises `DataError` if there is none, or it is of another format version or rate.

        root: a folder, or the address of one that fsspec reads, as s3://bucket/store; see `remote`.
        """
        url = address(root)
        remote = None if url is None else RemoteStore(url, ["store.json", *SPLIT_FILES], INDEX)
        root = Path(root) if remote is None else remote.folder
        if not (root / "store.json").is_file():
            raise DataError(f"no clip store at {root} (store.json is missing); make one with '{command('prepare')}'")
        record = read_json(root / "store.json")
        wanted = {"format": FORMAT, "fps": FPS, "sample_rate": SAMPLE_RATE}
        wrong = [
            f"{key} {record.get(key)!r}, wanted {value}" for key, value in wanted.items() if record.get(key) != value
        ]
        if wrong:
            raise DataError(
                f"clip store {root} does not fit this version: {'; '.join(wrong)}; prepare it again "
                f"('{command('prepare')}')"
            )
        size = record.get("size")
        if type(size) is not int or not 1 <= size <= MAX_SIDE_PX:
            raise DataError(f"clip store {root} has size {size!r}, wanted a whole number of 1 to {MAX_SIDE_PX}")
        return ClipStore(root, size, remote)

    @staticmethod
    def create(root: Path | str, size: int) -> ClipStore:
        """Make an empty store, or open the one that is there; `DataError` if that one has another size."""
        root = Path(root)
        if (root / "store.json").exists():
            store = ClipStore.open(root)
            if store.size != size:
                raise DataError(
                    f"clip store {root} has size {store.size}, wanted {size}: choose another folder or that size"
                )
            return store
        try:
            (root / "clips").mkdir(parents=True, exist_ok=True)
            (root / "splits").mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make a clip store at {root}: {error.strerror or error}") from error
        write_json(root / "store.json", {"format": FORMAT, "fps": FPS, "size": size, "sample_rate": SAMPLE_RATE})
        return ClipStore(root, size)

    @property
    def ids(self) -> list[str]:
        """Ids of the finished clips, sorted."""
        if self._remote is not None:
            return self._index.ids
        return sorted(path.parent.name for path in (self.root / "clips").glob("[!.]*/clip.json"))

    def clip(self, clip_id: str) -> Clip:
        """One clip by id; the same object each time. Raises `DataError` for a name that is no clip of this store."""
        if clip_id not in self._clips:
            if os.path.basename(clip_id) != clip_id or clip_id.startswith(".") or len(clip_id) > MAX_NAME:
                raise DataError(f"'{clip_id[:60]}' is no name of a clip of the store {self.root}")
            folder = self.root / "clips" / clip_id
            known = self._index.entry(clip_id)
            if known is not None:
                record, digest = known
                self._clips[clip_id] = Clip(folder, record, whole=False, digest=digest, remote=self._remote)
                return self._clips[clip_id]
            if not os.path.isfile(folder / "clip.json"):
                raise DataError(f"no clip '{clip_id[:200]}' in store {self.root}; prepare the videos again")
            clip = Clip.open(folder)
            if clip.id != clip_id:
                raise DataError(f"{folder / 'clip.json'} is of the clip '{clip.id}'; prepare the clip again")
            self._clips[clip_id] = clip
        return self._clips[clip_id]

    def split(self, name: str) -> list[Clip]:
        """The clips of 'train', 'val' or 'test', in the list's order; raises `DataError` if there is no list."""
        path = self.root / "splits" / f"{name}.txt"
        if not path.is_file():
            raise DataError(f"clip store {self.root} has no split '{name}': no file {path}")
        return [self.clip(clip_id) for line in read_lines(path) if (clip_id := line.strip())]

    def write_index(self) -> None:
        """Write what is known of all clips that can be read into one file."""
        clips = []
        for clip_id in self.ids:
            with contextlib.suppress(DataError):
                clips.append(Clip.open(self.root / "clips" / clip_id))
        write_index(self.root, ((clip.id, clip.folder, clip.record) for clip in clips))

    def remove_index(self) -> None:
        """Remove it, before clips change; raises `OutputError` if that cannot be done."""
        try:
            (self.root / INDEX).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write into {self.root}: {error.strerror}") from error

    def write_splits(self, splits: dict[str, list[str]]) -> None:
        """Write the lists of clip ids; a split that is not named is written empty."""
        (self.root / "splits").mkdir(exist_ok=True)
        for name in SPLITS:
            write_text(
                self.root / "splits" / f"{name}.txt", "".join(f"{clip_id}\n" for clip_id in splits.get(name, []))
            )
