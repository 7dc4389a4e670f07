"""`boxrefine compare-keys`, run as `python tools/compare_keys.py`."""

import sys

from boxrefine_d2.cli.compare_keys import main

if __name__ == "__main__":
    sys.exit(main())
