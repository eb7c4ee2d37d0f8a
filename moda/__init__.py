"""MODA: audio-driven portrait animation, from raw videos to a talking portrait."""

__version__ = "0.1.0"
