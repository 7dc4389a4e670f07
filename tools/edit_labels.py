"""`boxrefine edit`, run as `python tools/edit_labels.py`."""

import sys

from boxrefine_d2.cli.edit_labels import main

if __name__ == "__main__":
    sys.exit(main())
