"""Sync-C, Sync-D and offset: scores.py has the metrics, *_scorer.py the two networks, curve.py their reading."""
