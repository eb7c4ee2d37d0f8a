"""Stage 1: from sound and subject to motion (paper, section 3.1)."""
