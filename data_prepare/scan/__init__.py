"""One pass through a raw video: faces, shots, spans to cut."""
