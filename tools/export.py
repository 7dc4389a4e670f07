"""`boxrefine export`, run as `python tools/export.py`."""

import sys

from boxrefine_d2.cli.export import main

if __name__ == "__main__":
    sys.exit(main())
