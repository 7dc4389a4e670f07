"""`boxrefine self-train`, run as `python tools/self_train.py`."""

import sys
from pathlib import Path

from boxrefine_d2.cli.self_train import main

if __name__ == "__main__":
    sys.exit(main(tools=Path(__file__).parent))
