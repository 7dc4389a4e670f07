"""`boxrefine segment`, run as `python tools/segment.py`."""

import sys

from boxrefine_d2.cli.segment import main

if __name__ == "__main__":
    sys.exit(main())
