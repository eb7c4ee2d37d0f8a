"""Sync stage: trains the network that estimates by how many frames a picture is late for its audio."""
