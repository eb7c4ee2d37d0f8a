"""Score generated videos against true ones: python scripts/eval.py --help"""

import sys

from moda.cli.evaluate import main

if __name__ == "__main__":  # tracking processes import this file again
    sys.exit(main())
