"""`boxrefine explain`, run as `python tools/explain.py`."""

import sys

from boxrefine_d2.cli.explain import main

if __name__ == "__main__":
    sys.exit(main())
