"""`boxrefine train-detector`, run as `python tools/train_cad.py`."""

import sys

from boxrefine_d2.cli.train_cad import main

if __name__ == "__main__":
    sys.exit(main())
