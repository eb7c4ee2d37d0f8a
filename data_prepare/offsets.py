"""Print the audio-video offset of every clip of a store that can be settled, for another round of training.

    python -m data_prepare.offsets STORE [--checkpoint runs/default/sync/best.pt] > offsets.tsv
    moda train --config default/sync --set data.offsets=offsets.tsv

Lines are "clip_id<TAB>frames<TAB>confidence", frames by which the picture comes late. Clips that cannot
be settled are left out, and so out of the training that reads the list: their own lag is unknown.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from moda.av_offset import AvOffset, LipSync
from moda.data.clip import Clip
from moda.data.store import ClipStore
from moda.errors import ModaError
from moda.printing import log_to_stderr, printable

log = logging.getLogger(__name__)


def store_offsets(store: ClipStore, estimator: LipSync) -> Iterator[tuple[Clip, AvOffset]]:
    """(clip, offset) of every clip with audio, settled or not, in the order of their ids."""
    for clip_id in store.ids:
        clip = store.clip(clip_id)
        if clip.has_audio:
            yield clip, estimator.estimate(clip.canonical, clip.tracked, clip.audio())


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, estimate, print; exit code 2 for an error that a person can act on."""
    parser = argparse.ArgumentParser(
        prog="python -m data_prepare.offsets", description="Print the audio-video offsets of a clip store."
    )
    parser.add_argument("store", type=Path, help="clip store made by `moda prepare`")
    parser.add_argument("--checkpoint", type=Path, help="network of stage sync (default: the shipped one)")
    arguments = parser.parse_args(argv)
    log_to_stderr()
    settled = clips = 0
    try:
        for clip, offset in store_offsets(ClipStore.open(arguments.store), LipSync.load(arguments.checkpoint)):
            clips += 1
            if offset.settled:
                settled += 1
                sys.stdout.write(f"{clip.id}\t{offset.frames:.2f}\t{offset.confidence:.3f}\n")
    except ModaError as error:
        sys.stderr.write(f"error: {printable(error)}\n")
        return error.exit_code
    log.info("%d of %d clips with audio are settled", settled, clips)
    return 0


if __name__ == "__main__":
    sys.exit(main())
