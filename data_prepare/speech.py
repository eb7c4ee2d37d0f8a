"""Label speech with a phoneme teacher, so that the speech stage trains without it.

    python -m data_prepare.speech AUDIO_DIR OUT --list FILE

writes OUT/<name>.npz for every audio, {wave int16 (N,), posteriors float16 (T, 191)}: log posteriors
of the teacher (package `hama`, Apache-2.0, a development extra) at 50 Hz, T = round(N / 320);
OUT/speech.json, which names the teacher and its symbols; and OUT/splits/{train,val}.txt.

FILE lists one audio a line, relative to AUDIO_DIR, optionally followed by a tab and a group (a
speaker, a corpus): a group is in one split as a whole, and a file without one is its own group.
Done files are skipped, so the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moda.data.phoneme_teacher import Hama, Teacher, label
from moda.data.speech import FORMAT, META_FILE, TEACHER_HOP
from moda.errors import DataError, ModaError
from moda.files import write_bytes, write_json, write_npz
from moda.media.audio import read_audio
from moda.printing import log_to_stderr, printable
from moda.reading import read_lines

log = logging.getLogger(__name__)

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".mp4", ".webm", ".mov"}
GROUPS_A_VALIDATION_GROUP = 20
"""One group in so many goes to validation."""


@dataclass(frozen=True)
class SpeechRecording:
    """An audio recording to label: its path relative to the audio folder, and the group it belongs to."""

    path: str
    group: str

    @property
    def name(self) -> str:
        """File name in the output folder, without suffix."""
        return re.sub(r"[/\\\r\n]", "__", self.path)

    @property
    def split(self) -> str:
        return "val" if zlib.crc32(os.fsencode(self.group)) % GROUPS_A_VALIDATION_GROUP == 0 else "train"


def list_sources(folder: Path, listing: Path | None) -> list[SpeechRecording]:
    """Recordings named in a list file, or every audio below the folder; `DataError` if there is no such list."""
    if listing is None:
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES)
        return [SpeechRecording(name := p.relative_to(folder).as_posix(), name) for p in found]
    rows = [line.split("\t") for line in read_lines(listing) if line.strip()]
    return [SpeechRecording(row[0], row[1] if len(row) > 1 and row[1] else row[0]) for row in rows]


def prepare_speech(sources: Sequence[SpeechRecording], folder: Path, out: Path, teacher: Teacher) -> list[str]:
    """Label every audio into `out`; returns one line for each that could not be read, the rest goes on."""
    (out / "splits").mkdir(parents=True, exist_ok=True)
    failures, done = [], []
    for number, source in enumerate(sources, 1):
        target = out / f"{source.name}.npz"
        if not target.is_file():
            try:
                wave = read_audio(folder / source.path)
            except ModaError as error:
                failures.append(f"{source.path}: {error}")
                continue
            audio = np.round(np.clip(wave, -1, 1) * 32767).astype(np.int16)
            write_npz(target, {"wave": audio, "posteriors": label(teacher, wave)})
        done.append(source)
        if number % 50 == 0:
            log.info("%d of %d recordings labelled", number, len(sources))
    if not done:
        raise DataError(f"no audio below {folder} could be labelled ({len(failures)} failed)")
    splits = {split: [s.name for s in done if s.split == split] for split in ("train", "val")}
    if not splits["val"]:
        splits["val"] = splits["train"][-1:]
        splits["train"] = splits["train"][:-1] or splits["val"]
    for split, names in splits.items():
        write_bytes(out / "splits" / f"{split}.txt", os.fsencode("".join(f"{name}\n" for name in names)))
    meta = {"format": FORMAT, "teacher": teacher.name, "symbols": teacher.symbols, "hop": TEACHER_HOP}
    write_json(out / META_FILE, meta)
    return failures


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, label, list what failed; exit code 2 for an error that a person can act on."""
    parser = argparse.ArgumentParser(
        prog="python -m data_prepare.speech", description="Label speech for the speech stage."
    )
    parser.add_argument("audio", type=Path, help="folder of recordings")
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--list", type=Path, help="text file: one audio a line, relative to AUDIO [TAB group]")
    arguments = parser.parse_args(argv)
    log_to_stderr()
    try:
        sources = list_sources(arguments.audio, arguments.list)
        failures = prepare_speech(sources, arguments.audio, arguments.out, Hama())
    except ModaError as error:
        sys.stderr.write(f"error: {printable(error)}\n")
        return error.exit_code
    log.info("%d recordings labelled into %s, %d failed", len(sources) - len(failures), arguments.out, len(failures))
    for line in failures:
        log.warning("failed: %s", line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
