"""`python -m moda`: the same as the `moda` command."""

import sys

from moda.cli.commands import main

if __name__ == "__main__":  # tracking processes import this file again
    sys.exit(main())
