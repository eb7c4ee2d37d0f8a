"""The faces of the metrics' tests, and videos of them."""

from tests.evaluation.videos import videos
from tests.metrics.conftest import make_face, opening

__all__ = ["make_face", "opening", "videos"]
