"""MediaPipe as it is called here: its tasks, its model files, its pictures, and quiet."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from importlib import import_module, resources
from types import ModuleType
from typing import Any

import numpy as np

_muting = threading.Lock()
_muters: list[int] = []
"""Of each running block of `native_stderr_muted` a descriptor of the true stderr."""


@contextlib.contextmanager
def native_stderr_muted() -> Iterator[None]:
    """Hide what MediaPipe's C++ code writes to the process's stderr; Python errors still raise.

    Of several threads the first one hides it and the last one puts it back.
    """
    with _muting:
        sys.stderr.flush()
        _muters.append(os.dup(_muters[0] if _muters else 2))
        if len(_muters) == 1:
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, 2)
            os.close(sink)
    try:
        yield
    finally:
        with _muting:
            if len(_muters) == 1:
                os.dup2(_muters[0], 2)
            os.close(_muters.pop())


class _OnUse(ModuleType):
    """Stands for a module that is imported when something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


def vision_tasks() -> Any:
    """MediaPipe's vision tasks. It imports Matplotlib, for drawings that nobody here asks for: that waits until they
    are, since it takes longer than the rest of it.
    """
    standing = {}
    if "mediapipe" not in sys.modules:
        plotting, whole = _OnUse("matplotlib.pyplot"), _OnUse("matplotlib")
        whole.pyplot = plotting  # type: ignore[attr-defined]
        standing = {module.__name__: module for module in (plotting, whole) if module.__name__ not in sys.modules}
    sys.modules.update(standing)
    try:
        from mediapipe.tasks.python import vision
    finally:
        for name, module in standing.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
    return vision


def model_options(name: str) -> Any:
    """MediaPipe's options for a model file of the package, which it is handed as bytes: any folder's name will do."""
    from mediapipe.tasks.python import BaseOptions

    return BaseOptions(model_asset_buffer=(resources.files("moda") / "package_data" / name).read_bytes())


def native_image(picture: np.ndarray) -> Any:
    """An (H, W, 3) uint8 RGB picture as MediaPipe's image."""
    import mediapipe

    return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(picture))
