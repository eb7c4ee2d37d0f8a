"""Landmarks, person masks and head checks of pictures and videos: MediaPipe and the face view network."""
