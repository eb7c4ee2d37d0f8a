"""Stage 1: from audio and subject to motion (paper, section 3.1)."""
