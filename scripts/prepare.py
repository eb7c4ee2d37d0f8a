"""`moda prepare` of this checkout, whatever is installed: python scripts/prepare.py --help"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from moda.cli.prepare import main

if __name__ == "__main__":  # worker processes import this file again
    sys.exit(main())
