"""`boxrefine name`, run as `python tools/name_boxes.py`."""

import sys

from boxrefine_d2.cli.name_boxes import main

if __name__ == "__main__":
    sys.exit(main())
