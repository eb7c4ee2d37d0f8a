"""What an evaluation writes: tables, curves, records and the HTML page."""
