"""`boxrefine improve`, run as `python tools/improve.py`."""

import sys
from pathlib import Path

from boxrefine_d2.cli.improve import main

if __name__ == "__main__":
    sys.exit(main(tools=Path(__file__).parent))
