"""`boxrefine improve page`, run as `python tools/improve_page.py`."""

import sys

from boxrefine_d2.cli.improve_page import main

if __name__ == "__main__":
    sys.exit(main())
