"""`boxrefine discover`, run as `python tools/discover.py`."""

import sys

from boxrefine_d2.cli.discover import main

if __name__ == "__main__":
    sys.exit(main())
