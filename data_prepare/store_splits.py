"""The lists of a store that grows: who is in which split stays as a whole run has put it."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_prepare.split_lists import PublishedLists
from data_prepare.splits import ClipFacts, SplitRule, Splits, make_splits
from moda.data.clip import Clip
from moda.data.store import SPLITS, ClipStore
from moda.errors import DataError
from moda.files import write_json
from moda.reading import read_json

log = logging.getLogger(__name__)


def readable_clips(store: ClipStore) -> list[Clip]:
    """The finished clips of a store, without those whose record is damaged: they are made again, or left out."""
    clips = []
    for clip_id in store.ids:
        with contextlib.suppress(DataError):
            clips.append(store.clip(clip_id))
    return clips


def write_splits(store: ClipStore, rule: SplitRule | PublishedLists, *, whole: bool = True) -> Splits:
    """Write the lists for all clips of the store.

    Under the same rule, identities stay in the split where a whole run put them, so that a store can grow
    without a person moving from the test list into the training list. What a run that failed in part
    (not `whole`) assigns is assigned again by the next one.
    """
    path = store.root / "splits" / "rule.json"
    facts = [ClipFacts(clip.id, clip.identity, clip.frames) for clip in readable_clips(store)]
    record = rule.record if isinstance(rule, SplitRule) else {"lists": str(rule.folder)}
    fixed = _fixed_identities(path, record)
    splits = make_splits(facts, rule, fixed)
    notes = list(splits.notes)
    if not whole:
        notes.append("some videos failed: people who are new in these lists are assigned again by the next run")
    if damaged := len(store.ids) - len(facts):
        notes.append(f"clips whose clip.json is damaged, in no list until they are prepared again: {damaged}")
    splits = replace(splits, notes=tuple(notes))
    store.write_splits(splits.lists)
    write_json(path, {**record, "identities": {**fixed, **splits.identities} if whole else fixed})
    return splits


def _fixed_identities(path: Path, rule: dict[str, Any]) -> dict[str, str]:
    """Who is in which list by an earlier run under the same rule; {} if that cannot be read."""
    if not path.is_file():
        return {}
    try:
        before = read_json(path)
    except DataError as error:
        log.warning("%s; the lists are made anew", error)
        return {}
    identities = before.get("identities")
    if {key: before.get(key) for key in rule} != rule or not isinstance(identities, dict):
        return {}
    return {who: name for who, name in identities.items() if name in SPLITS}
