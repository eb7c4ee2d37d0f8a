"""Audio-video synchronisation of a clip: Sync-C, Sync-D and offset."""
