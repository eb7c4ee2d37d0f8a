"""Audio, video and picture files in and out: demultiplexing, decoding, time, colour, encoding."""
