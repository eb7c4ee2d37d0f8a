"""Reports of a preparation: report.json (record.py) and report.html (page.py, page.html.j2)."""
