"""When /p b m/ are spoken: from phoneme alignments that a user gives, or by the phoneme recogniser."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moda.errors import DataError
from moda.metrics.registry import MetricSettings, NotAvailable
from moda.reading import read_text
from moda.representation import SAMPLE_RATE
from moda.stretches import stretches

if TYPE_CHECKING:  # it loads torch, which reading a configuration does not need
    from moda.data.phoneme_teacher import Hama

RECOGNISER = "hama"
"""Value of `phonemes` that asks for the recogniser; any other is a folder of alignments."""
BILABIALS = frozenset("pbmɓʙ")
"""Sounds that close the lips, by the first letter of their symbol: IPA (pʰ) or ARPABET (P, B, M)."""
PEAK_LAG_SECONDS = 0.1
"""By how much the recogniser's peaks come after the lips have closed. At 378 peaks in 29 clips: opening smallest
two to three frames before the peak, closed within two frames of this moment at 90 % of the peaks (elsewhere 32 %).
"""
NOT_ASKED = NotAvailable(
    "no phonemes: --phonemes FOLDER of alignments (CLIP.TextGrid or CLIP.tsv), or --phonemes hama (moda[phonemes])"
)
_INTERVAL = re.compile(r'xmin\s*=\s*([\d.]+)\s+xmax\s*=\s*([\d.]+)\s+text\s*=\s*"([^"\n]*)"')
_TIER = re.compile(r'name\s*=\s*"([^"\n]*)"')
PHONE_TIER = "phone"
"""What the name of a TextGrid's tier of phonemes holds."""


def phoneme_source(settings: MetricSettings) -> str:
    """Where phonemes come from, for the header; raises `DataError` if they cannot be had."""
    if settings.phonemes is None:
        return "no phonemes"
    if settings.phonemes == RECOGNISER:
        return _recogniser().name
    folder = Path(settings.phonemes)
    if not folder.is_dir():
        raise DataError(f"no folder of phoneme alignments: {folder}; name one, or '{RECOGNISER}' for the recogniser")
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".TextGrid", ".tsv"):
            digest.update(path.name.encode() + path.read_bytes())
    return f"alignments {folder.name} {digest.hexdigest()[:8]}"


def bilabial_times(settings: MetricSettings, clip: str, wave: np.ndarray) -> np.ndarray | NotAvailable:
    """(P,) seconds at which a clip's /p b m/ are spoken, or why that is not known; wave: (N,) at 16 kHz.

    Raises `DataError` for an alignment that cannot be read.
    """
    if settings.phonemes is None:
        return NOT_ASKED
    if settings.phonemes == RECOGNISER:
        return _recognised(wave.astype(np.float32).tobytes())
    for path in (Path(settings.phonemes) / f"{clip}{suffix}" for suffix in (".TextGrid", ".tsv")):
        if path.is_file():
            spans = _textgrid(path) if path.suffix == ".TextGrid" else _table(path)
            return np.array([(start + stop) / 2 for start, stop, symbol in spans if is_bilabial(symbol)])
    return NotAvailable(f"no alignment {clip}.TextGrid or {clip}.tsv in {settings.phonemes}")


def is_bilabial(symbol: str) -> bool:
    """Whether a phoneme's symbol is that of a sound that closes the lips."""
    name = symbol.strip().lower()
    return name[:1] in BILABIALS and not any("a" <= letter <= "z" for letter in name[1:])


def spoken(posteriors: np.ndarray, symbols: list[str]) -> np.ndarray:
    """Log posteriors (T, S) of a CTC network -> (P,) seconds of its bilabials: each run of frames in which one is the
    most probable symbol, `PEAK_LAG_SECONDS` before its most probable frame.
    """
    wanted = [number for number, symbol in enumerate(symbols) if is_bilabial(symbol)]
    inside = np.isin(posteriors.argmax(axis=1), wanted)
    share = np.exp(posteriors[:, wanted].astype(np.float64)).sum(axis=1)
    peaks = [first + int(share[first:stop].argmax()) for first, stop in stretches(inside)]
    from moda.data.speech import TEACHER_HOP

    return (np.array(peaks, float) + 0.5) * TEACHER_HOP / SAMPLE_RATE - PEAK_LAG_SECONDS


@lru_cache(maxsize=1)
def _recogniser() -> Hama:
    from moda.data.phoneme_teacher import Hama

    return Hama()


@lru_cache(maxsize=4)
def _recognised(samples: bytes) -> np.ndarray:
    """Of float32 samples: the rows of a clip share their audio."""
    from moda.data.phoneme_teacher import label

    teacher = _recogniser()
    return spoken(label(teacher, np.frombuffer(samples, np.float32)), teacher.symbols)


def _textgrid(path: Path) -> list[tuple[float, float, str]]:
    """(start, stop, symbol) of the tier whose name holds "phone", of Praat's long text form."""
    parts = _TIER.split(read_text(path))
    tiers = {name.lower(): body for name, body in zip(parts[1::2], parts[2::2], strict=True)}
    named = [body for name, body in tiers.items() if PHONE_TIER in name]
    if not named:
        raise DataError(f"{path} has no tier of phonemes, named 'phones': it has {', '.join(tiers) or 'none'}")
    return [(float(start), float(stop), symbol) for start, stop, symbol in _INTERVAL.findall(named[0])]


def _table(path: Path) -> list[tuple[float, float, str]]:
    """(start, stop, symbol) of lines of seconds, seconds and a symbol between tabs."""
    spans = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        cells = line.split("\t")
        try:
            if line.strip():
                spans.append((float(cells[0]), float(cells[1]), cells[2]))
        except (ValueError, IndexError) as error:
            raise DataError(
                f"{path}, line {number}: '{line[:60]}', wanted start, stop (seconds) and a phoneme between tabs"
            ) from error
    return spans
