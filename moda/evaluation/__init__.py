"""The program that evaluates: inputs, tracking, controls, scoring, generation, ablation, statistics, reports."""
