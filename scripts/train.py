"""Train one stage: python scripts/train.py --config CONFIG."""

import sys

from moda.cli.train import main

if __name__ == "__main__":
    sys.exit(main())
