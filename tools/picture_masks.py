"""`boxrefine picture-masks`, run as `python tools/picture_masks.py`."""

import sys

from boxrefine_d2.cli.picture_masks import main

if __name__ == "__main__":
    sys.exit(main())
