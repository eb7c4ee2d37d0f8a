"""From a folder of raw videos to the clip store: steps for one clip, and a runner for many."""
