"""`boxrefine describe`, run as `python tools/describe.py`."""

import sys

from boxrefine_d2.cli.describe import main

if __name__ == "__main__":
    sys.exit(main())
