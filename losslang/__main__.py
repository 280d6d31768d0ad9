"""The entry point of `python -m losslang`."""

import sys

from losslang.tools.cli import main

if __name__ == "__main__":
    sys.exit(main())
