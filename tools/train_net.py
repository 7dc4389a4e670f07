"""`boxrefine train`, run as `python tools/train_net.py`."""

import sys

from boxrefine_d2.cli.train_net import main

if __name__ == "__main__":
    sys.exit(main())
