"""Stage 2, FaCo-Net: from lips and eyes to the dense face (paper, section 3.2)."""
