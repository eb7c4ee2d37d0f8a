"""Animate a portrait from a sound: python scripts/infer.py AUDIO PICTURE."""

import sys

from moda.cli.infer import main

if __name__ == "__main__":
    sys.exit(main())
