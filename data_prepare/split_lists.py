"""Published split lists: train.txt, val.txt and test.txt with names of clips."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from moda.data.store import SPLITS
from moda.errors import DataError, few
from moda.reading import read_lines

_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")
MAX_SHOWN_NAMES = 5
"""So many names are shown of a long list."""


@dataclass(frozen=True)
class PublishedLists:
    """Names of clips by split. allow_shared: a person may be in two lists, as in some published splits."""

    names: dict[str, tuple[str, ...]]
    folder: Path
    allow_shared: bool = False

    @staticmethod
    def read(folder: Path, allow_shared: bool = False) -> PublishedLists:
        """Read the lists that are there: one name a line, with or without an ending; # begins a remark.

        Raises `DataError` if there is none, one cannot be read, none names a clip, or one name is in two.
        """
        names: dict[str, tuple[str, ...]] = {}
        for split in SPLITS:
            path = folder / f"{split}.txt"
            lines = read_lines(path) if path.exists() else []
            words = (re.sub(r"(^|\s)#.*", "", line).strip().removeprefix("./") for line in lines)
            names[split] = tuple(dict.fromkeys(_ENDING.sub("", word) for word in words if word))
        if not any(names.values()):
            raise DataError(f"no split lists in {folder}: wanted train.txt, val.txt or test.txt with names of clips")
        seen: dict[str, str] = {}
        for split, listed in names.items():
            for name in listed:
                if seen.setdefault(name, split) != split:
                    raise DataError(f"{folder}: {name} is in {seen[name]}.txt and in {split}.txt")
        return PublishedLists(names, folder, allow_shared)


def lists_by_name(
    published: PublishedLists, clips: Sequence[tuple[str, str]]
) -> tuple[dict[str, list[str]], dict[str, str], tuple[str, ...], dict[str, tuple[str, ...]]]:
    """clips: (id, identity) -> (ids by split, split by identity, notes, missing names by split).

    A name is a clip's id, or a path that ends in it, or that of a video whose clips are `<name>_000`,
    `<name>_001` ... A person in two lists counts for the first of them. Raises `DataError` for one
    unless it is allowed.
    """
    ids = {clip_id for clip_id, _ in clips}
    shots: dict[str, list[str]] = {}
    for clip_id in sorted(ids):
        if found := re.match(r"^(.+)_\d{3,}$", clip_id):
            shots.setdefault(found[1], []).append(clip_id)
    split_of: dict[str, str] = {}
    missing: dict[str, tuple[str, ...]] = {}
    for split, names in published.names.items():
        absent = []
        for name in names:
            base = name.replace("\\", "/").rsplit("/", 1)[-1]
            whole = name.replace("\\", "/").replace("/", "__")
            found_ids = next(([word] for word in (whole, base) if word in ids), shots.get(base, []))
            if not found_ids:
                absent.append(name)
            for clip_id in found_ids:
                if split_of.setdefault(clip_id, split) != split:
                    raise DataError(
                        f"{published.folder}: clip {clip_id} is in {split_of[clip_id]}.txt and in {split}.txt"
                    )
        missing[split] = tuple(absent)
    where: dict[str, str] = {}
    shared: dict[str, set[str]] = {}
    for split in SPLITS:
        for clip_id, identity in clips:
            if split_of.get(clip_id) == split and where.setdefault(identity, split) != split:
                shared.setdefault(identity, {where[identity]}).add(split)
    notes = []
    if shared:
        who = few(sorted(shared), MAX_SHOWN_NAMES)
        if not published.allow_shared:
            raise DataError(
                f"{published.folder}: people in two lists: {len(shared)} ({who}); move them, or allow it, "
                "knowing that the test then measures people that were trained on"
            )
        notes.append(f"people in two lists: {len(shared)} ({who})")
    for split, absent_names in missing.items():
        if absent_names:
            which = few(absent_names, MAX_SHOWN_NAMES)
            notes.append(f"clips of {split}.txt that are not in the store: {len(absent_names)} ({which})")
    if left := len(ids) - len(split_of):
        notes.append(f"clips of the store in none of the lists: {left}")
    lists = {split: [clip_id for clip_id, _ in clips if split_of.get(clip_id) == split] for split in SPLITS}
    return lists, where, tuple(notes), missing
