"""Prepare raw videos for training: `python scripts/prepare.py VIDEOS OUT --jobs N`."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from moda.cli.prepare import main

    sys.exit(main())
