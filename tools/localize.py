"""`boxrefine localize`, run as `python tools/localize.py`."""

import sys

from boxrefine_d2.cli.localize import main

if __name__ == "__main__":
    sys.exit(main())
