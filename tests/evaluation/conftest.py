"""The faces of the metrics' tests."""

from tests.metrics.conftest import make_face, opening

__all__ = ["make_face", "opening"]
