"""`python -m losslang`."""

import sys

from losslang.cli import main

if __name__ == "__main__":
    sys.exit(main())
