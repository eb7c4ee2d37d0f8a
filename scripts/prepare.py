"""Prepare raw videos for training: `python scripts/prepare.py VIDEOS OUT --jobs N`."""

import sys

from moda.cli.prepare import main

if __name__ == "__main__":
    sys.exit(main())
