"""`boxrefine improve verdict`, run as `python tools/improve_verdict.py`."""

import sys

from boxrefine_d2.cli.improve_verdict import main

if __name__ == "__main__":
    sys.exit(main())
