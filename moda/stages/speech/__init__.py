"""Speech stage: pretraining of the small speech encoder."""
