"""The program that evaluates.

folders, framing, jobs: which videos are compared, and how they are brought into one frame. tracking: their faces.
controls: rows made from the truth. scoring: one clip, evaluate: all. generate: our own videos. statistics: intervals
and comparisons. report/: what is written. ablation/: variants, trained, scored and compared.
"""
