"""Train, animate and score variants of the stages: python scripts/ablate.py --help"""

import sys

from moda.cli.ablate import main

if __name__ == "__main__":  # tracking processes import this file again
    sys.exit(main())
