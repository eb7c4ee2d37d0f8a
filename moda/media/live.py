"""A microphone and a window."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import TracebackType

import cv2
import numpy as np

from moda.errors import ConfigError, MediaError
from moda.representation import SAMPLE_RATE


def microphone(seconds: float) -> Iterator[np.ndarray]:
    """Pieces of so many seconds (N,) at `SAMPLE_RATE` from the default microphone, without end.

    Raises `ConfigError` without sounddevice, `MediaError` without a microphone.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        raise ConfigError(f"the microphone needs sounddevice ({error}): pip install 'moda[live]'") from error
    try:
        device = sounddevice.InputStream(
            samplerate=SAMPLE_RATE, channels=1, dtype="float32", blocksize=round(seconds * SAMPLE_RATE)
        )
    except (sounddevice.PortAudioError, ValueError) as error:
        raise MediaError(f"no microphone can be opened: {error}") from error
    return _pieces(device, round(seconds * SAMPLE_RATE))


def _pieces(device: object, samples: int) -> Iterator[np.ndarray]:
    with device:  # type: ignore[attr-defined]
        while True:
            yield device.read(samples)[0][:, 0]  # type: ignore[attr-defined]


class Window:
    """A window that shows frames; closed by its button, q or Escape."""

    def __init__(self, title: str) -> None:
        self._title = title

    @staticmethod
    def possible() -> bool:
        """Whether there is a display."""
        return sys.platform in ("win32", "darwin") or bool({"DISPLAY", "WAYLAND_DISPLAY"} & {*os.environ})

    def __enter__(self) -> Window:
        try:
            cv2.namedWindow(self._title, cv2.WINDOW_NORMAL)
        except cv2.error as error:
            raise MediaError(f"no window can be opened: {error.err}; write with --output") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        cv2.destroyAllWindows()

    def show(self, frame: np.ndarray) -> bool:
        """Show a frame (H, W, 3) RGB; False once the window was closed."""
        cv2.imshow(self._title, frame[..., ::-1])
        key = cv2.waitKey(1) & 0xFF
        return key not in (27, ord("q")) and cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1
