"""Errors that a person can act on.

Every message says what was wrong, what was got, what was wanted, and which file it was.
The command line prints the message on one line and exits with `exit_code`; anything that is
not a `ModaError` is a defect of this project and keeps its traceback.
"""

from collections.abc import Sequence


def few(names: Sequence[str], most: int = 3) -> str:
    """The first names of a list, and how many there are more."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def shortened(value: object) -> str:
    """A value of any size as Python writes it, 60 characters of it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


class ModaError(Exception):
    """Base of every error that this project raises on purpose."""

    exit_code = 2


class ConfigError(ModaError):
    """A configuration that cannot be used: unknown key, wrong type, values that contradict."""


class MediaError(ModaError):
    """An audio recording, picture or video that cannot be read, or does not hold what is needed."""


class FaceError(MediaError):
    """A picture or video in which no usable face was found."""


class CheckpointError(ModaError):
    """A checkpoint that cannot be trusted or does not fit: stage, weights, signature, format."""


class DataError(ModaError):
    """A clip store or split list that is missing, of another version, or too small to use."""


class OutputError(ModaError):
    """A place that cannot be written: no permission, no space, a folder in the way."""


class TrainingError(ModaError):
    """Training cannot go on: a loss that is not finite, or statistics that cannot be computed."""

    exit_code = 1
