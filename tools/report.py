"""`boxrefine report`, run as `python tools/report.py`."""

import sys

from boxrefine_d2.cli.report import main

if __name__ == "__main__":
    sys.exit(main())
