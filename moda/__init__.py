"""MODA: audio-driven portrait animation, from raw videos to a talking portrait.

The names of `__all__` are what a program needs (docs/python.md). Each is imported when it is first used.
"""

from importlib import import_module

__version__ = "0.1.0"

_PLACES = {
    "AnimationConfig": "moda.animation",
    "Animator": "moda.pipeline",
    "ModaError": "moda.errors",
    "Motion": "moda.representation",
    "Portrait": "moda.representation",
    "VideoWriter": "moda.media.video_writer",
    "choose_device": "moda.device",
    "make_portrait": "moda.tracking.portrait",
    "read_audio": "moda.media.audio",
    "read_picture": "moda.media.picture",
    "track_motion": "moda.tracking.driving",
}
__all__ = ["__version__", *_PLACES]


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module 'moda' has no attribute '{name}'; it has {', '.join(_PLACES)}")
    value = globals()[name] = getattr(import_module(_PLACES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
