"""Reports of an evaluation: table.md (tables.py), clips.csv and scores.json (records.py), report.html (page.py)."""
