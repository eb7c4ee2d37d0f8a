"""Reports of an evaluation: tables.py and exports.py (tables), records.py (clips, scores), page.py (pages)."""
