"""Which raw videos there are: a folder, HDTF's lists."""
