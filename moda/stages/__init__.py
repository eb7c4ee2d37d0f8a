"""The training stages and their networks."""

from moda.stages.registry import STAGES, build_network, find_stage

__all__ = ["STAGES", "build_network", "find_stage"]
