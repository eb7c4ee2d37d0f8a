"""How fast the video was generated."""

from __future__ import annotations

from moda.metrics.registry import ClipPair, Value, metric


@metric(
    name="real_time_factor",
    label="RTF",
    unit="s/s",
    better="lower",
    source="usual definition",
    needs=("generation",),
)
def real_time_factor(clip: ClipPair) -> Value:
    """Seconds of work a second of video, from audio and portrait to the written file, without loading the networks;
    recorded by this machine when it generated the video.
    """
    return clip.real_time_factor
