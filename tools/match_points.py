"""`boxrefine match-points`, run as `python tools/match_points.py`."""

import sys

from boxrefine_d2.cli.match_points import main

if __name__ == "__main__":
    sys.exit(main())
