"""Stage 3: from landmarks and a reference picture to frames (paper, section 3.3)."""
