"""Ablations: plan.py (variants, trials), runs.py (training), trials.py (scoring), forecast.py (dry run), report.py."""
