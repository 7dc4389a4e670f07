"""`boxrefine evaluate`, run as `python tools/evaluate.py`."""

import sys

from boxrefine_d2.cli.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
