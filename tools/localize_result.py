"""`boxrefine localize result`, run as `python tools/localize_result.py`."""

import sys

from boxrefine_d2.cli.localize_result import main

if __name__ == "__main__":
    sys.exit(main())
