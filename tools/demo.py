"""`boxrefine demo`, run as `python tools/demo.py`."""

import sys

from boxrefine_d2.cli.demo import main

if __name__ == "__main__":
    sys.exit(main())
